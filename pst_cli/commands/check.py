"""`pst check`: subtitle files held against a house style, and mended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pst_cli.commands import options
from pst_cli.errors import UsageError
from pst_cli.subtitles.styles import STYLES

HELP = """Check subtitle files against a house style, and mend them.

Reads SRT, WebVTT, ASS, SSA, MicroDVD, MPL2, TMP, SAMI and TTML, whoever wrote them, and prints a
line for each violation: reading speed, width and number of lines, shortest and longest time, gaps,
overlaps, order, cues without text or length. Exit code 1 means that there are some.
"""

Files = Annotated[list[Path], typer.Argument(help="Subtitle files.")]
Language = Annotated[
    str | None,
    typer.Option("--language", help="Language of the text; if absent, as in clip.fr.srt."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, not lines.")]
Fix = Annotated[
    bool,
    typer.Option("--fix", help="Mend what can be mended without changing words, in place."),
]
OutputDir = Annotated[
    Path | None,
    typer.Option("--output-dir", help="With --fix: write mended files here, not in place."),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("check", help=HELP)(check)


def check(
    files: Files,
    style: options.StyleName = "netflix",
    language: Language = None,
    json_document: Json = False,
    fix: Fix = False,
    output_dir: OutputDir = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Check what was named; `HELP` is what its users read."""
    del debug  # read where errors are told
    if output_dir and not fix:
        raise UsageError("--output-dir is where mended files go", hint="add --fix")
    from pst_cli.commands.proofreading import Request, execute

    request = Request(
        files=files,
        style=options.known(style, tuple(STYLES), "--style"),
        language=language and options.language(language, "--language"),
        json=json_document,
        fix=fix,
        output_dir=output_dir,
        quiet=quiet,
    )
    raise typer.Exit(execute(request))
