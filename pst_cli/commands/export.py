"""`pst export`: a model as other Whisper programs open it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pst_cli import console
from pst_cli.commands import options
from pst_cli.commands.download import fetcher
from pst_cli.errors import UsageError
from pst_cli.types import MEGABYTE

HELP = """Write a model as other Whisper programs open it; an adapter is merged into its host.

The directory appears when it is whole. The model card goes along, and so do the drafters beside the
weights, except to CTranslate2.
"""
FORMATS = ("transformers", "ctranslate2", "adapter")
DTYPES = ("float16", "bfloat16", "float32")
QUANTIZATIONS = ("int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", *DTYPES)

Model = Annotated[
    str, typer.Argument(help="A model's name, a hub id, or a directory of weights or an adapter.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Directory to write; it must be new or empty.")
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="transformers, ctranslate2 (which faster-whisper opens), or adapter: cut to --size, "
        "or of --host.",
    ),
]
Quantization = Annotated[
    str | None,
    typer.Option(
        "--quantization",
        help=f"With ctranslate2, one of {', '.join(QUANTIZATIONS)}; as the weights are if absent. "
        "With adapter, int8: half the size.",
    ),
]
Size = Annotated[
    float | None,
    typer.Option(
        "--size", min=0.1, help="With adapter: MB; what changed most is kept, as LoRA pairs."
    ),
]
Host = Annotated[
    str | None,
    typer.Option(
        "--host", help="With adapter: the model that this one was made of; what differs is written."
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option("--dtype", help=f"{', '.join(DTYPES)}; as the host's weights are if absent."),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("export", help=HELP)(export)


def export(
    model: Model,
    output: Output,
    format_name: Format = "transformers",
    quantization: Quantization = None,
    size: Size = None,
    host: Host = None,
    dtype: Dtype = None,
    offline: options.Offline = False,
    debug: options.Debug = False,
) -> None:
    """Write what was asked for and print where; `HELP` is what its users read."""
    del debug  # read where errors are told
    ctranslate2 = options.known(format_name, FORMATS, "--format") == "ctranslate2"
    if (format_name == "adapter") != (size is not None or host is not None):
        hint = "add --format adapter, --size 30 or --host base"
        raise UsageError("--format adapter goes with --size or --host, or both", hint=hint)
    if quantization:
        options.known(quantization, QUANTIZATIONS, "--quantization")
        if not ctranslate2 and (format_name, quantization) != ("adapter", "int8"):
            hint = "add --format ctranslate2, or make it --format adapter and int8"
            raise UsageError("--quantization is of CTranslate2, and of adapters int8", hint=hint)
    numbers = options.known(dtype, DTYPES, "--dtype") if dtype else None
    if numbers and format_name == "adapter":
        hint = "leave it out: adapters are in float16, or with --quantization int8 in that"
        raise UsageError("--dtype is of whole models", hint=hint)
    from pst_cli import export as work  # loads torch
    from pst_cli import weights
    from pst_cli.models import device

    work.check_output(output, ctranslate2=ctranslate2)
    fetch = fetcher(offline=offline, quiet=False)
    checkpoint = weights.locate(model, fetch)
    wish = work.ExportOptions(
        ctranslate2=ctranslate2,
        host=(host, weights.locate(host, fetch)) if host else None,
        size=None if size is None else round(size * MEGABYTE),
        quantization=quantization,
        dtype=device.DTYPES[numbers] if numbers else None,
    )
    kept = work.export(checkpoint, output, wish)
    if size is not None:
        console.stderr().print(f"pst: {kept:.1%} of what changed is kept")
    console.write(f"{console.display(output)}\n")
