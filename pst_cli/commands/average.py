"""`pst average`: one model whose weights are the mean of several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pst_cli import console
from pst_cli.commands import options
from pst_cli.commands.download import fetcher
from pst_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

HELP = """Write the mean of several models' weights: of runs from one host it is often the best.

Each MODEL is a name, a hub id, or a directory of weights or an adapter; one that is named twice
counts twice. The directory holds whole weights, of which pst export --format adapter --host makes
an adapter again; cards and drafters, which are of one model, do not go along. Or each is the
directory of a KVSPN, or of Medusa heads, for one host.
"""

Models = Annotated[list[str], typer.Argument(help="Two or more, of one make.", metavar="MODEL")]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Directory to write; it must be new or empty.")
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("average", help=HELP)(average)


def average(
    models: Models,
    output: Output,
    offline: options.Offline = False,
    debug: options.Debug = False,
) -> None:
    """Write the mean and print where; `HELP` is what its users read."""
    del debug  # read where errors are told
    if len(models) < 2:
        raise UsageError("a mean is of two models or more", hint="name another one beside it")
    from pst_cli import average as work  # loads torch
    from pst_cli import weights
    from pst_cli.outputs import check_new

    check_new(output)  # before anything is fetched
    if _drafters(models):
        work.average_drafters([Path(model) for model in models], output)
    else:
        fetch = fetcher(offline=offline, quiet=False)
        work.average([weights.locate(model, fetch) for model in models], output)
    console.write(f"{console.display(output)}\n")


def _drafters(models: Sequence[str]) -> bool:
    """Whether `models` are drafting networks; UsageError where only some of them are."""
    from pst_cli.models.kvspn_config import read_config

    found = [model for model in models if read_config(Path(model))]
    if found and len(found) < len(models):
        other = next(model for model in models if model not in found)
        raise UsageError(
            f"{found[0]} drafts, and {other} does not: they have no mean",
            hint="average models, or directories of drafters",
        )
    return bool(found)
