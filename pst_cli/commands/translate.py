"""`pst translate`: speech in, text in another language out."""

from __future__ import annotations

import typer

from pst_cli.commands.options import work_command

HELP = """Translate speech into text.

One input, one language and none of --format, --output, --output-dir: the text goes to stdout as
it is decoded. Otherwise results are named CLIP.LANGUAGE.FORMAT, beside each input or in
--output-dir.
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("translate", help=HELP)(work_command("txt", to_files=False, default_style="plain"))
