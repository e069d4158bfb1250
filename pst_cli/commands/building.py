"""The run behind `data build`: read the recipe, make what is missing, tell what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich import progress as bars

from pst_cli import console
from pst_cli.corpus.build import TRAIN, Built, Corpus
from pst_cli.corpus.recipe import find_recipe, read_recipe
from pst_cli.outputs import check_writable
from pst_cli.types import Progress


def execute(
    name: str, sources: Path, output: Path, *, each: int | None, workers: int | None, quiet: bool
) -> None:
    """Build and tell; raises DataError or OutputError where it cannot be done."""
    recipe = read_recipe(find_recipe(name))
    recipe = recipe if each is None else replace(recipe, each=each)
    check_writable(output)
    with _progress(quiet) as told:
        built = Corpus(recipe, sources, output).build(workers or os.cpu_count() or 1, told)
    if not quiet:
        _tell(built, output)


def _tell(built: Built, output: Path) -> None:
    refused = f", {built.refused:,} refused" if built.refused else ""
    console.stderr().print(
        f"pst: {built.real:,} utterances of real speech, {built.spoken:,} by voices{refused}, "
        f"{built.texts:,} texts; to judge by: {built.dev:,} dev, {built.test:,} test\n"
        f"pst: learn from it with: pst train host {console.display(output / TRAIN)}"
    )


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """A bar on stderr where somebody sits at a terminal."""
    screen = console.stderr()
    if quiet or not screen.is_terminal:
        yield _nothing
        return
    with bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
        console=screen,
        transient=True,
    ) as shown:
        task = shown.add_task("reading", total=None)
        yield lambda what, done, total: shown.update(
            task, description=what, completed=done, total=total
        )


def _nothing(what: str, done: int, total: int | None) -> None:
    """Tells nobody."""
