"""`pst models`: the weights on this disk."""

from __future__ import annotations

from typing import Annotated

import typer

from pst_cli import console
from pst_cli.commands.download import transfer_progress
from pst_cli.errors import ModelError, PstError
from pst_cli.types import MEGABYTE

NAME_WIDTH = 24  # columns
NAME_HELP = "A name as `pst models list` shows it."


def register(app: typer.Typer) -> None:
    """Add the command and its own commands to `app`."""
    models = typer.Typer(no_args_is_help=True, help="List, check and remove weights.")
    models.command("list")(list_models)
    models.command("path")(path)
    models.command("verify")(verify)
    models.command("rm")(remove)
    app.add_typer(models, name="models")


def list_models() -> None:
    """Show the known names, what came with pst, and all that is in the store."""
    from pst_cli import store

    for entry in store.entries():
        size = f"{entry.size / MEGABYTE:,.0f} MB" if entry.path else "-"
        where = console.display(entry.path) if entry.path else "not on this disk"
        source = f"  ({entry.source})" if entry.source else ""
        console.write(f"{entry.name:<{NAME_WIDTH}} {size:>10}  {where}{source}\n")


def path(name: Annotated[str, typer.Argument(help=NAME_HELP)]) -> None:
    """Print where weights are; nothing is fetched."""
    from pst_cli import store

    console.write(f"{console.display(store.path(name))}\n")


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names to check; without any, what came with pst and the store."),
    ] = None,
) -> None:
    """Read every byte of the weights and compare it with what arrived.

    An adapter is held against its host too, where that is on this disk.
    """
    from pst_cli import store

    found: list[PstError] = []
    with transfer_progress() as progress:
        for name in names or store.held():
            try:
                found += store.verify(name, progress=progress) or _misfits(name)
            except PstError as error:  # the others are checked all the same
                found.append(error)
    for fault in found[:-1]:
        console.tell_error(fault)  # the last is told by the one catcher at the top
    if found:
        raise found[-1]


def _misfits(name: str) -> list[ModelError]:
    """What keeps the adapter `name` from its host; nothing where the host is not here."""
    from pst_cli import store
    from pst_cli.store import layout

    path = store.path(name)
    if layout.tell(path) is not layout.Layout.ADAPTER:
        return []
    from pst_cli import weights  # loads torch

    try:
        host = weights.host_name(path)
        if host and store.has(host):
            weights.complete(name, path, store.path).state()
    except ModelError as error:
        return [error]
    return []


def remove(name: Annotated[str, typer.Argument(help=NAME_HELP)]) -> None:
    """Take weights out of the store."""
    from pst_cli import store

    freed = store.remove(name)
    console.stderr().print(f"pst: removed {name}, {freed / MEGABYTE:,.0f} MB freed")
