"""`pst prune`: a model made smaller by dropping layers and tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pst_cli import console
from pst_cli.commands import options
from pst_cli.commands.download import fetcher

HELP = """Make a model smaller: drop layers, and tokens that six languages hardly use.

First and last layer stay, the others go evenly; what is left must be trained before it is of use.
Trimming the vocabulary alone needs no training: the words stay the same wherever the tokens kept
can spell them. CTranslate2, and whatever else tells by the number of tokens, takes a trimmed model
for an English-only one; pst and transformers do not. Prints parameters and size, before and after.
"""
Model = Annotated[
    str, typer.Argument(help="A model's name, a hub id, or a directory of weights or an adapter.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Directory to write; it must be new or empty.")
]
DecoderLayers = Annotated[
    int | None, typer.Option("--decoder-layers", min=1, help="Decoder layers to keep.")
]
EncoderLayers = Annotated[
    int | None, typer.Option("--encoder-layers", min=1, help="Encoder layers to keep.")
]
Vocabulary = Annotated[
    int | None,
    typer.Option(
        "--vocabulary",
        min=1,
        help="Text tokens to keep, the most frequent in --text; bytes and specials all stay.",
    ),
]
Texts = Annotated[
    list[Path] | None,
    typer.Option(
        "--text",
        help="Text to count tokens over: one a line, a .jsonl manifest or a .tsv, or any of these "
        "with .xz; repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, not a table.")]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("prune", help=HELP)(prune)


def prune(
    model: Model,
    output: Output,
    decoder_layers: DecoderLayers = None,
    encoder_layers: EncoderLayers = None,
    vocabulary: Vocabulary = None,
    texts: Texts = None,
    json_document: Json = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Prune as asked and report; `HELP` is what its users read."""
    del debug  # read where errors are told
    from pst_cli import pruning, weights  # loads torch
    from pst_cli.commands import savings

    wish = pruning.PruneOptions(
        decoder_layers=decoder_layers,
        encoder_layers=encoder_layers,
        vocabulary=vocabulary,
        texts=texts or (),
    )
    pruning.check_options(output, wish)
    checkpoint = weights.locate(model, fetcher(offline=offline, quiet=quiet))
    screen = console.stderr()
    screen.quiet = quiet
    if texts:
        screen.print("pst: counting tokens")
    report = pruning.prune(checkpoint, model, output, wish)
    console.write(savings.document(report) if json_document else savings.table(report))
    screen.print(f"pst: {console.display(output)} is ready: {savings.advice(report)}")
