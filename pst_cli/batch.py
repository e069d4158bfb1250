"""A run over many files: results are written, whole, as each file finishes.

Events pass through; a finished file becomes `Written`, or `Failed` where its result cannot be
written. Nothing that goes wrong with one file touches another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.errors import OutputError
from pst_cli.outputs import Job, write_atomic
from pst_cli.pipeline import Event, Failed, Finished, Heard
from pst_cli.subtitles.cues import cues
from pst_cli.subtitles.formats import Meta, render

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pst_cli.types import Segment


@dataclass(frozen=True, slots=True)
class Written:
    """A file is done and its results are on disk."""

    file: Path
    seconds: float
    outputs: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """All results of a file were there already."""

    file: Path


def split_done(jobs: Iterable[Job]) -> tuple[list[Job], list[Job]]:
    """Jobs still to do, and those whose every output exists (and is not empty)."""
    todo: list[Job] = []
    done: list[Job] = []
    for job in jobs:
        there = all(path.is_file() and path.stat().st_size for path in job.outputs.values())
        (done if there else todo).append(job)
    return todo, done


def write_results(
    events: Iterable[Event], jobs: Sequence[Job], target: str, model: str
) -> Iterator[Event | Written]:
    """Pass events on, writing each job's results when its file finishes."""
    outputs = {job.source: job for job in jobs}
    heard: dict[Path, list[Segment]] = {}
    for event in events:
        if isinstance(event, Heard):
            heard.setdefault(event.file, []).extend(event.segments)
        if not isinstance(event, Finished):
            yield event
            continue
        found = heard.pop(event.file, [])
        meta = Meta(str(event.file), event.source, target, model)
        try:
            yield _write(outputs[event.file], found, meta, event)
        except OutputError as error:
            yield Failed(event.file, error)


def _write(job: Job, found: list[Segment], meta: Meta, event: Finished) -> Written:
    for name, path in job.outputs.items():
        write_atomic(path, render(name, found, cues(found, meta.target_language), meta))
    return Written(event.file, event.seconds, tuple(job.outputs.values()), event.notes)
