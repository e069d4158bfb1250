"""Options that several subcommands share, each declared once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from pst_cli.errors import UsageError
from pst_cli.subtitles.styles import STYLES
from pst_cli.types import LANGUAGES

CODES = ", ".join(LANGUAGES)
AUTO = "auto"  # the model that is best at what is asked for; see `model_for`
TRANSLATOR, TRANSCRIBER = "base-m2m", "base"
NAMES = ("base-m2m", "base-m2m-fast", "base-own", "tiny", "base", "small", "medium", "large-v3")
MODELS = ", ".join(NAMES)
DECODINGS = ("auto", "plain", "speculative", "kvspn", "medusa")
CONTEXTS = ("auto", "own", "full")
FORMAT_NAMES = ("txt", "srt", "vtt", "ass", "tsv", "json")

Inputs = Annotated[
    list[str],
    typer.Argument(
        help="Sound or video files, directories (searched recursively), or - for stdin."
    ),
]
To = Annotated[str, typer.Option("--to", help=f"Language to translate into: {CODES}.")]
Targets = Annotated[
    str, typer.Option("--to", help=f"Languages to translate into, comma-separated: {CODES}.")
]
From = Annotated[
    str | None,
    typer.Option("--from", help="Language spoken; heard by a vote over several windows if absent."),
]
Model = Annotated[
    str,
    typer.Option("--model", help=f"{MODELS}, a hub id, or a directory of weights."),
]
ModelOrAuto = Annotated[
    str,
    typer.Option(
        "--model",
        help=f"{MODELS}, a hub id, or a directory of weights; auto: {TRANSLATOR} to translate, "
        f"{TRANSCRIBER} to transcribe.",
    ),
]
Formats = Annotated[
    str | None,
    typer.Option("--format", help=f"Output formats, comma-separated: {', '.join(FORMAT_NAMES)}."),
]
Bilingual = Annotated[
    bool, typer.Option("--bilingual", help="Show what was said above its translation.")
]
StyleName = Annotated[
    str,
    typer.Option(
        "--style", help=f"Whose rules cues keep to: {', '.join(STYLES)}; each for its language."
    ),
]
Bom = Annotated[
    bool, typer.Option("--bom", help="Begin files with a byte order mark, for old Windows players.")
]
Crlf = Annotated[bool, typer.Option("--crlf", help="End lines as Windows does.")]
Track = Annotated[
    int | None,
    typer.Option(
        "--track", min=1, help="Sound track to hear, from 1; the file's default one if absent."
    ),
]
OutputDir = Annotated[
    Path | None, typer.Option("--output-dir", help="Write results here, not beside the inputs.")
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", help="Write the one result to this file, or - for stdout."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Dtype = Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.")]
BatchSize = Annotated[
    int, typer.Option("--batch-size", min=1, help="Rows (a window in a language) decoded together.")
]
Decoding = Annotated[
    str,
    typer.Option(
        "--decoding",
        help=f"{', '.join(DECODINGS)}; auto is what --draft-model names, else the host's KVSPN, "
        "else plain.",
    ),
]
DraftModel = Annotated[
    str | None,
    typer.Option(
        "--draft-model",
        help="Drafts for the host: a smaller model's name, or a directory of a KVSPN.",
    ),
]
DraftLength = Annotated[
    int | None,
    typer.Option(
        "--draft-length", min=1, help="Tokens drafted for each host pass; the drafter's own choice."
    ),
]
DraftConfidence = Annotated[
    float | None,
    typer.Option(
        "--draft-confidence",
        min=0.0,
        max=1.0,
        help="A draft goes no further once it is less probable to hold than this.",
    ),
]
TopK = Annotated[
    int,
    typer.Option(
        "--top-k", min=1, help="Accept a draft among the host's k likeliest; above 1 is lossy."
    ),
]
Beams = Annotated[int, typer.Option("--beams", min=1, help="Beam search; 1 is greedy decoding.")]
Vad = Annotated[
    bool, typer.Option("--vad/--no-vad", help="Hear only where a voice is detected, or all of it.")
]
Context = Annotated[
    str,
    typer.Option(
        "--context",
        help="Sound is padded to: own length, full (30 s); auto as the model was taught.",
    ),
]
SkipExisting = Annotated[
    bool,
    typer.Option("--skip-existing", help="Leave out languages whose results are there already."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Make no network call at all.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where in pst an error arose.")]


def language(code: str, flag: str) -> str:
    """`code` if pst knows it; UsageError names `flag` and what it takes."""
    if code not in LANGUAGES:
        raise UsageError(f"{flag} {code}: not a language pst knows", hint=f"one of {CODES}")
    return code


def model_for(model: str, directions: Iterable[tuple[str | None, str]]) -> str:
    """What `model` stands for where speech of the first language is to be text in the second.

    "auto" is `TRANSLATOR`, or where nothing is to be translated `TRANSCRIBER`, which errs less in
    what was said. Speech whose language nobody told counts as English.
    """
    if model != AUTO:
        return model
    translates = any((spoken or "en") != wanted for spoken, wanted in directions)
    return TRANSLATOR if translates else TRANSCRIBER


def languages(codes: str | None, flag: str) -> tuple[str, ...] | None:
    """The languages in a comma-separated list, each once, in order; None where none was given."""
    return None if codes is None else listed(codes, list(LANGUAGES), flag, "language")


def formats(names: str) -> tuple[str, ...]:
    """The formats in a comma-separated list, each once, in order."""
    return listed(names.lower(), FORMAT_NAMES, "--format", "format")


def known(word: str, words: Sequence[str], flag: str) -> str:
    """`word` if it is one of `words`; UsageError names `flag` and what it takes."""
    if word not in words:
        raise UsageError(f"{flag} {word}: no such choice", hint=f"one of {', '.join(words)}")
    return word


def listed(given: str, words: Sequence[str], flag: str, kind: str) -> tuple[str, ...]:
    """The words of a comma-separated list, each once, in order, all of them among `words`.

    UsageError names `flag`, the `kind` of thing that it takes, and `words`.
    """
    found = tuple(dict.fromkeys(word.strip() for word in given.split(",") if word.strip()))
    hint = f"one or more of {', '.join(words)}"
    if not found:
        raise UsageError(f"{flag} names no {kind}", hint=hint)
    for word in found:
        if word not in words:
            raise UsageError(f"{flag} {word}: not a {kind} pst knows", hint=hint)
    return found
