"""`pst bench`: ways of decoding measured against one another on the user's own sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pst_cli.commands import options
from pst_cli.errors import UsageError

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
        help="References to score against: a JSONL manifest matched by file name, or plain text "
        "with one line a file.",
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


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("bench", help=HELP)(bench)


def bench(
    inputs: options.Inputs,
    to: options.To = "en",
    source: options.From = None,
    model: options.Model = options.DEFAULT_MODEL,
    methods: Methods = None,
    draft_model: DraftModel = None,
    drafters: Drafters = None,
    top_k: options.TopK = 1,
    draft_length: options.DraftLength = None,
    draft_confidence: options.DraftConfidence = None,
    beams: options.Beams = 1,
    rounds: Rounds = 5,
    batch_size: options.BatchSize = 1,
    refs: Refs = None,
    oracle: Oracle = False,
    peers: Peers = False,
    ct2: CT2 = None,
    json_document: Json = False,
    plot: Plot = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    vad: options.Vad = True,
    context: options.Context = "auto",
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure what was asked for; `HELP` is what its users read."""
    del debug  # read where errors are told
    target, spoken = options.language(to, "--to"), source and options.language(source, "--from")
    wanted = chosen_methods(methods)
    from pst_cli.commands.measure import Request, execute  # loads torch

    execute(
        Request(
            inputs=inputs,
            target=target,
            source=spoken,
            model=model,
            methods=wanted,
            named=methods is not None,
            draft_model=draft_model,
            drafters=drafters or [],
            top_k=top_k,
            draft_length=draft_length,
            draft_confidence=draft_confidence,
            beams=beams,
            rounds=rounds,
            batch_size=batch_size,
            references=refs,
            oracle=oracle,
            peers=peers,
            ct2=ct2,
            json=json_document,
            plot=plot,
            device=device,
            dtype=dtype,
            vad=vad,
            context=options.known(context, options.CONTEXTS, "--context"),
            offline=offline,
            quiet=quiet,
        )
    )


def chosen_methods(names: str | None) -> tuple[str, ...]:
    """The methods asked for, or all."""
    if names is None:
        return METHODS
    wanted = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in wanted:
        if name not in METHODS:
            hint = f"one or more of {', '.join(METHODS)}"
            raise UsageError(f"--methods {name}: not a way of decoding", hint=hint)
    return wanted
