"""The run behind `data build`: read the recipe, make what is missing, tell what came of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pst_cli import console
from pst_cli.commands.progress import counting
from pst_cli.corpus.build import TRAIN, Built, Corpus
from pst_cli.corpus.recipe import find_recipe, read_recipe
from pst_cli.outputs import check_result

if TYPE_CHECKING:
    from collections.abc import Sequence


def execute(
    name: str,
    sources: Path,
    output: Path,
    *,
    each: int | None,
    without: Sequence[Path],
    workers: int | None,
    quiet: bool,
) -> None:
    """Build and tell; raises DataError, OutputError or UsageError where it cannot be done."""
    recipe = read_recipe(find_recipe(name))
    recipe = recipe if each is None else replace(recipe, each=each)
    check_result(output / TRAIN, *without)
    with counting("reading", quiet=quiet) as told:
        corpus = Corpus(recipe, sources, output, without)
        built = corpus.build(workers or os.cpu_count() or 1, told)
    if not quiet:
        _tell(built, output)


def _tell(built: Built, output: Path) -> None:
    refused = f", {built.refused:,} refused" if built.refused else ""
    console.stderr().print(
        f"pst: {built.real:,} utterances of real speech, {built.spoken:,} by voices{refused}, "
        f"{built.texts:,} texts; to judge by: {built.dev:,} dev, {built.test:,} test\n"
        f"pst: learn from it with: pst train host {console.display(output / TRAIN)} --output RUN"
    )
