"""`pst download`: fetch weights before they are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pst_cli import console
from pst_cli.commands import options
from pst_cli.types import Progress


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("download")(download)


def download(
    name: Annotated[
        str,
        typer.Argument(help=f"{options.MODELS}, turbo, a hub id or a directory."),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Fetch anew, whatever is on this disk already.")
    ] = False,
) -> None:
    """Fetch weights into the store, an adapter's host too, and print where they are."""
    from pst_cli import store
    from pst_cli.store import layout

    fetch = _shown(partial(store.download, force=force))
    path = fetch(name)
    if layout.tell(path) is layout.Layout.ADAPTER:
        _complete(name, path, fetch)
    console.write(f"{console.display(path)}\n")


def _complete(name: str, path: Path, fetch: Callable[[str], Path]) -> None:
    """Fetch the host of the adapter in `path`, and say so."""
    from pst_cli import weights  # loads torch

    found = weights.complete(name, path, fetch)
    host = f"{weights.host_name(path)}, which is here too: {found.host}"
    console.stderr().print(f"pst: {console.display(f'{name} is an adapter for {host}')}")


def fetcher(*, offline: bool, quiet: bool) -> Callable[[str], Path]:
    """Finds the weights of any name, and fetches them if need be, with a bar unless `quiet`."""
    from pst_cli import store

    resolve = partial(store.resolve, offline=offline)
    return resolve if quiet else _shown(resolve)


def _shown(get: Callable[..., Path]) -> Callable[[str], Path]:
    """`get` with a progress bar."""

    def fetch(name: str) -> Path:
        with transfer_progress() as progress:
            return get(name, progress=progress)

    return fetch


@contextlib.contextmanager
def transfer_progress() -> Iterator[Progress | None]:
    """A bar on stderr for each thing under way; None where nobody sits at a terminal."""
    screen = console.stderr()
    if not screen.is_terminal:
        yield None
        return
    from rich import progress as bars

    with bars.Progress(
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
        console=screen,
        transient=True,
    ) as shown:
        tasks: dict[str, bars.TaskID] = {}

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                # What is there already when a download resumes says nothing of its speed.
                tasks[what] = shown.add_task(what, total=total, completed=done)
            shown.update(tasks[what], completed=done, total=total)

        yield report
