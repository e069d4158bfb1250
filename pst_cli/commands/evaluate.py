"""`pst evaluate`: how good translations are, held against a manifest's references."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pst_cli.commands import options
from pst_cli.commands.records import DecodingOptions, command

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
        help="Decode again in other ways what looks wrong, as `translate` does, or never.",
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


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(DecodingOptions):
    """What `pst evaluate` takes."""

    manifest: Manifest
    to: To = None
    source: From = None
    limit: Limit = None
    hypotheses: Hypotheses = None
    fallback: Fallback = True
    batch_size: BatchSize = 8
    times: Times = None
    report: Report = None
    samples: Samples = 10
    json: Json = False

    @property
    def targets(self) -> tuple[str, ...] | None:
        """The languages to translate into; None: all that have references."""
        return options.languages(self.to, "--to")

    @property
    def sources(self) -> tuple[str, ...] | None:
        """The languages spoken; None: all."""
        return options.languages(self.source, "--from")

    def check(self) -> None:
        options.languages(self.to, "--to")
        options.languages(self.source, "--from")
        super().check()


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("evaluate", help=HELP)(command(EvaluateOptions, _run))


def _run(asked: EvaluateOptions) -> int:
    from pst_cli.commands.scoring import execute  # loads torch

    return execute(asked)
