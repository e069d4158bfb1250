"""`pst subtitle`: speech in, subtitles in another language out."""

from __future__ import annotations

import typer

from pst_cli.commands.options import work_command

HELP = """Translate speech into subtitles.

The same work as `pst translate`, with CLIP.LANGUAGE.srt beside each input as the default, and
cues that keep to --style netflix.
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("subtitle", help=HELP)(work_command("srt", to_files=True, default_style="netflix"))
