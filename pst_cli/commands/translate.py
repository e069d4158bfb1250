"""`pst translate`: speech in, text in another language out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import typer

from pst_cli.commands import options
from pst_cli.commands.records import DecodingOptions, command
from pst_cli.errors import UsageError
from pst_cli.subtitles.styles import PLAIN, STYLES

HELP = """Translate speech into text.

One input, one language and none of --format, --output, --output-dir: the text goes to stdout as
it is decoded. Otherwise results are named CLIP.LANGUAGE.FORMAT, beside each input or in
--output-dir.
"""
CUE_FORMATS = {"srt", "vtt", "ass"}  # what is not made of segments


@dataclass(frozen=True, kw_only=True)
class TranslateOptions(DecodingOptions):
    """What `pst translate` takes, and `pst subtitle` with other defaults."""

    default: ClassVar[str] = "txt"  # the format, where none is named
    to_files: ClassVar[bool] = False  # whether that goes to a file rather than to stdout

    inputs: options.Inputs
    to: options.Targets
    source: options.From = None
    bilingual: options.Bilingual = False
    track: options.Track = None
    format: options.Formats = None
    style: options.StyleName = PLAIN.name
    bom: options.Bom = False
    crlf: options.Crlf = False
    output: options.Output = None
    output_dir: options.OutputDir = None
    vad: options.Vad = True
    skip_existing: options.SkipExisting = False

    @property
    def targets(self) -> tuple[str, ...]:
        """The languages to translate into."""
        return options.languages(self.to, "--to") or ()

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats asked for; () where none was."""
        return options.formats(self.format) if self.format is not None else ()

    @property
    def aligned(self) -> bool:
        """Whether it matters when words are spoken: not where cues are segments, or are none."""
        cues = self.bilingual or {*(self.formats or (self.default,))} & CUE_FORMATS
        return self.style != PLAIN.name and bool(cues)

    def check(self) -> None:
        options.formats(self.format or self.default)
        options.languages(self.to, "--to")
        if self.source:
            options.language(self.source, "--from")
        options.known(self.style, list(STYLES), "--style")
        super().check()
        if self.bilingual and self.source in self.targets:
            hint = "name two languages, or leave out --bilingual for a transcript"
            raise UsageError(f"--bilingual: from {self.source} to {self.source} is one", hint=hint)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("translate", help=HELP)(command(TranslateOptions, run))


def run(asked: TranslateOptions) -> int:
    """Translate what was asked for; the exit code."""
    from pst_cli.commands.work import execute  # loads torch

    return execute(asked)
