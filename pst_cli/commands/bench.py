"""`pst bench`: ways of decoding measured against one another on the user's own sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pst_cli.commands import options
from pst_cli.commands.records import ModelOptions, check_greedy, command

HELP = """Measure ways of decoding on your own sound: speed, and whether the words stay the same.

Windows are cut once and decoded at temperature 0, each once, by every method in turn, in one
process; the order rotates, the first round is dropped, the middle round is shown.
"""
METHODS = ("plain", "speculative", "kvspn", "medusa")

Methods = Annotated[
    str | None,
    typer.Option(
        "--methods",
        help=f"Comma-separated: {', '.join(METHODS)}; all that can run if absent; plain always.",
    ),
]
Refs = Annotated[
    Path | None,
    typer.Option(
        "--refs",
        help="References to score against: a JSONL manifest matched by path, else by file name, or "
        "plain text with one line a file.",
    ),
]
DraftModel = Annotated[
    str | None,
    typer.Option(
        "--draft-model",
        help="Model that drafts for `speculative`; the host's own student if absent.",
    ),
]
Drafters = Annotated[
    list[Path] | None,
    typer.Option(
        "--drafter",
        help="Directory of a KVSPN or of Medusa heads; repeatable. Those beside the model run too.",
    ),
]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Rounds after the one to warm up.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, not tables.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Draw the comparison to this file (.png, .svg).")
]
Peers = Annotated[
    bool,
    typer.Option(
        "--peers", help="Run transformers, faster-whisper and openai-whisper too, if installed."
    ),
]
CT2 = Annotated[
    Path | None,
    typer.Option("--ct2", help="The model for CTranslate2, for the peer faster-whisper."),
]
Oracle = Annotated[
    bool,
    typer.Option(
        "--oracle", help="Draft what plain said, 1 to 8 tokens a pass: the loop's ceiling."
    ),
]


@dataclass(frozen=True, kw_only=True)
class BenchOptions(ModelOptions):
    """What `pst bench` takes."""

    inputs: options.Inputs
    to: options.To = "en"
    source: options.From = None
    method_names: Methods = None
    draft_model: DraftModel = None
    drafters: Drafters = None
    rounds: Rounds = 5
    batch_size: options.BatchSize = 1
    refs: Refs = None
    oracle: Oracle = False
    peers: Peers = False
    ct2: CT2 = None
    json: Json = False
    plot: Plot = None
    vad: options.Vad = True

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods asked for, or all."""
        if self.method_names is None:
            return METHODS
        return options.listed(self.method_names, METHODS, "--methods", "method")

    def check(self) -> None:
        options.language(self.to, "--to")
        if self.source:
            options.language(self.source, "--from")
        super().check()
        check_greedy(self.beams, {"--oracle": self.oracle, "--peers": self.peers})


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("bench", help=HELP)(command(BenchOptions, _run))


def _run(asked: BenchOptions) -> int:
    from pst_cli.commands.measure import execute  # loads torch

    return execute(asked)
