"""`pst evaluate`: how good translations are, held against a manifest's references."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from pst_cli.commands import options

HELP = """Score translations of a manifest's speech against its references.

BLEU, chrF, TER and the share that is in the language asked for, for each direction; their means
from English, into English and without it; error rates where speech is transcribed. Each utterance
is heard once for all its targets.
"""

Manifest = Annotated[
    Path, typer.Argument(help="Utterances with references: JSONL, an utterance a line.")
]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        help=f"Languages to translate into, comma-separated: {options.CODES}; "
        "every one that has references if absent.",
    ),
]
From = Annotated[
    str | None, typer.Option("--from", help="Only speech in these languages, comma-separated.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Only the first so many utterances of each language."),
]
Hypotheses = Annotated[
    Path | None,
    typer.Option(
        "--hypotheses",
        help="Keep what is said in this file (JSONL); the same command again goes on from it.",
    ),
]
Fallback = Annotated[
    bool,
    typer.Option(
        "--fallback/--no-fallback",
        help="Decode again at higher temperatures what looks wrong, as `translate` does, or never.",
    ),
]
BatchSize = Annotated[
    int,
    typer.Option("--batch-size", min=1, help="Utterances, or targets, decoded together, at most."),
]
Times = Annotated[
    int | None,
    typer.Option(
        "--times",
        min=1,
        help="Measure, too, when segments start, on this many clips of each language at most: "
        "utterances laid end to end, up to 28 s.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", help="Write a page for a model card to this file (Markdown), too."),
]
Samples = Annotated[
    int,
    typer.Option("--samples", min=0, help="Random outputs of each direction in the report."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, not a table.")]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("evaluate", help=HELP)(evaluate)


def evaluate(
    manifest: Manifest,
    model: options.Model = options.DEFAULT_MODEL,
    to: To = None,
    source: From = None,
    decoding: options.Decoding = "auto",
    draft_model: options.DraftModel = None,
    draft_length: options.DraftLength = None,
    draft_confidence: options.DraftConfidence = None,
    top_k: options.TopK = 1,
    beams: options.Beams = 1,
    batch_size: BatchSize = 8,
    limit: Limit = None,
    hypotheses: Hypotheses = None,
    fallback: Fallback = True,
    context: options.Context = "auto",
    times: Times = None,
    report: Report = None,
    samples: Samples = 10,
    json_document: Json = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Score what was asked for; `HELP` is what its users read."""
    del debug  # read where errors are told
    wanted, spoken = options.languages(to, "--to"), options.languages(source, "--from")
    from pst_cli.commands.scoring import Request, execute  # loads torch

    request = Request(
        manifest=manifest,
        targets=wanted,
        sources=spoken,
        limit=limit,
        model=model,
        decoding=options.known(decoding, options.DECODINGS, "--decoding"),
        draft_model=draft_model,
        draft_length=draft_length,
        draft_confidence=draft_confidence,
        top_k=top_k,
        beams=beams,
        batch_size=batch_size,
        hypotheses=hypotheses,
        fallback=fallback,
        context=options.known(context, options.CONTEXTS, "--context"),
        times=times,
        report=report,
        samples=samples,
        command=shlex.join(["pst", *sys.argv[1:]]),
        json=json_document,
        device=device,
        dtype=dtype,
        offline=offline,
        quiet=quiet,
    )
    raise typer.Exit(execute(request))
