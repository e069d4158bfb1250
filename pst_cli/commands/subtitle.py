"""`pst subtitle`: speech in, subtitles in another language out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import typer

from pst_cli.commands import options
from pst_cli.commands.records import command
from pst_cli.commands.translate import TranslateOptions, run

HELP = """Translate speech into subtitles.

The same work as `pst translate`, with CLIP.LANGUAGE.srt beside each input as the default, and
cues that keep to --style netflix.
"""


@dataclass(frozen=True, kw_only=True)
class SubtitleOptions(TranslateOptions):
    """What `pst subtitle` takes."""

    default: ClassVar[str] = "srt"
    to_files: ClassVar[bool] = True

    style: options.StyleName = "netflix"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("subtitle", help=HELP)(command(SubtitleOptions, run))
