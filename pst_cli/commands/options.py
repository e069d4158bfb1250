"""Options that several subcommands share, each declared once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from pst_cli.errors import UsageError
from pst_cli.subtitles.styles import STYLES
from pst_cli.types import LANGUAGES

CODES = ", ".join(LANGUAGES)
DEFAULT_MODEL = "base"  # of all that translates; "base-m2m" where that is shipped
NAMES = (DEFAULT_MODEL, "base-own", "tiny", "base", "small", "medium", "large-v3")
MODELS = ", ".join(dict.fromkeys(NAMES))
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
        help=f"{', '.join(DECODINGS)}; auto is the fastest that the model's directory supports.",
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


def languages(codes: str | None, flag: str) -> tuple[str, ...] | None:
    """The languages in a comma-separated list, each once, in order; None where none was given."""
    if codes is None:
        return None
    found = tuple(dict.fromkeys(code.strip() for code in codes.split(",") if code.strip()))
    if not found:
        raise UsageError(f"{flag} names no language", hint=f"one or more of {CODES}")
    return tuple(language(code, flag) for code in found)


def known(word: str, words: Sequence[str], flag: str) -> str:
    """`word` if it is one of `words`; UsageError names `flag` and what it takes."""
    if word not in words:
        raise UsageError(f"{flag} {word}: no such choice", hint=f"one of {', '.join(words)}")
    return word


def formats(names: str) -> tuple[str, ...]:
    """The formats in a comma-separated list, each once, in order."""
    wanted = tuple(dict.fromkeys(name.strip().lower() for name in names.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in FORMAT_NAMES]
    if unknown or not wanted:
        bad = unknown[0] if unknown else names
        hint = f"one or more of {', '.join(FORMAT_NAMES)}"
        raise UsageError(f"--format {bad}: not a format pst writes", hint=hint)
    return wanted


def work_command(default: str, *, to_files: bool, default_style: str) -> Callable[..., None]:
    """The function behind `translate` and `subtitle`: one signature, two sets of defaults.

    `default` is the format if none is named, `to_files` whether it goes to a file beside the input
    rather than to stdout, `default_style` what its cues keep to.
    """

    def work(
        inputs: Inputs,
        to: Targets,
        source: From = None,
        bilingual: Bilingual = False,
        track: Track = None,
        model: Model = DEFAULT_MODEL,
        format_names: Formats = None,
        style: StyleName = default_style,
        bom: Bom = False,
        crlf: Crlf = False,
        output: Output = None,
        output_dir: OutputDir = None,
        device: Device = "auto",
        dtype: Dtype = "auto",
        decoding: Decoding = "auto",
        draft_model: DraftModel = None,
        draft_length: DraftLength = None,
        draft_confidence: DraftConfidence = None,
        top_k: TopK = 1,
        beams: Beams = 1,
        batch_size: BatchSize = 8,
        vad: Vad = True,
        context: Context = "auto",
        skip_existing: SkipExisting = False,
        offline: Offline = False,
        quiet: Quiet = False,
        debug: Debug = False,
    ) -> None:
        del debug  # read where errors are told
        wanted = formats(format_names) if format_names is not None else ()
        targets, spoken = languages(to, "--to"), source and language(source, "--from")
        style = known(style, list(STYLES), "--style")
        from pst_cli.commands.work import Request, execute  # loads torch

        request = Request(
            inputs=inputs,
            targets=targets or (),
            source=spoken,
            bilingual=bilingual,
            track=track,
            model=model,
            formats=wanted,
            default=default,
            to_files=to_files,
            output=output,
            output_dir=output_dir,
            style=style,
            bom=bom,
            crlf=crlf,
            device=device,
            dtype=dtype,
            decoding=known(decoding, DECODINGS, "--decoding"),
            draft_model=draft_model,
            draft_length=draft_length,
            draft_confidence=draft_confidence,
            top_k=top_k,
            beams=beams,
            batch_size=batch_size,
            vad=vad,
            context=known(context, CONTEXTS, "--context"),
            skip_existing=skip_existing,
            offline=offline,
            quiet=quiet,
        )
        raise typer.Exit(execute(request))

    return work
