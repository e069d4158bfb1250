"""A bar for work that comes in countable pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as bars

from pst_cli import console
from pst_cli.types import Progress


@contextmanager
def counting(begun: str, *, quiet: bool) -> Iterator[Progress | None]:
    """A bar on stderr, called `begun` until something is told; None where nobody would see it."""
    screen = console.stderr()
    if quiet or not screen.is_terminal:
        yield None
        return
    with bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
        console=screen,
        transient=True,
    ) as shown:
        task = shown.add_task(begun, total=None)
        yield lambda what, done, total: shown.update(
            task, description=what, completed=done, total=total
        )
