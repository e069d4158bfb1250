"""A run over many files: results are written, whole, as each file finishes.

Events pass through; a finished file becomes `Written`, or `Failed` where a result of it cannot be
written. Nothing that goes wrong with one file touches another.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.errors import OutputError
from pst_cli.files import Wanted
from pst_cli.outputs import FOLDER, UNKNOWN, Job, Version, write_atomic
from pst_cli.paths import is_file
from pst_cli.pipeline import Event, Failed, Finished, Heard
from pst_cli.subtitles.bilingual import render_both
from pst_cli.subtitles.cues import cues
from pst_cli.subtitles.formats import AS_IS, Meta, Writing, render
from pst_cli.subtitles.styles import PLAIN, style_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pst_cli.types import Segment


@dataclass(frozen=True, slots=True)
class Look:
    """What results have in common."""

    model: str
    style: str = PLAIN.name
    writing: Writing = AS_IS


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


def split_done(jobs: Sequence[Job]) -> tuple[list[Job], list[Path]]:
    """Jobs still to do, and the inputs that need none of them.

    Done is a language of an input whose every output exists (and is not empty) in one version.
    """
    done = {(job.source, job.version.target) for job in jobs if _is_there(job)}
    todo = [job for job in jobs if (job.source, job.version.target) not in done]
    inputs = dict.fromkeys(job.source for job in jobs)
    return todo, [source for source in inputs if source not in {job.source for job in todo}]


def _is_there(job: Job) -> bool:
    return all(is_file(path) and path.stat().st_size for path in job.outputs.values())


def wanted(jobs: Iterable[Job]) -> list[Wanted]:
    """Each input of `jobs`, in order, with the languages that they are for."""
    found: dict[Path, list[str]] = defaultdict(list)
    for job in jobs:
        found[job.source].append(job.version.target)
    return [Wanted(source, tuple(dict.fromkeys(targets))) for source, targets in found.items()]


def write_results(
    events: Iterable[Event], jobs: Sequence[Job], look: Look
) -> Iterator[Event | Written]:
    """Pass events on, writing each input's results when it finishes."""
    planned: dict[Path, list[Job]] = defaultdict(list)
    for job in jobs:
        planned[job.source].append(job)
    heard: dict[Path, dict[str, list[Segment]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        if isinstance(event, Heard):
            heard[event.file][event.target] += event.segments
        if not isinstance(event, Finished):
            yield event
            continue
        spoken = (None, event.source or UNKNOWN)
        mine = [job for job in planned[event.file] if job.version.spoken in spoken]
        yield _written(mine, heard.pop(event.file, {}), event, look)


def _written(
    jobs: Iterable[Job], heard: Mapping[str, list[Segment]], event: Finished, look: Look
) -> Written | Failed:
    """Write what can be written, even where something cannot."""
    outputs: list[Path] = []
    errors: list[OutputError] = []
    for job in jobs:
        meta = Meta(str(event.file), event.source, job.version.target, look.model)
        for name, path in job.outputs.items():
            try:
                write_atomic(path, document(name, heard, job.version, meta, look), flag=FOLDER)
                outputs.append(path)
            except OutputError as error:
                errors.append(error)
    if errors:
        return Failed(event.file, errors[0])
    return Written(event.file, event.seconds, tuple(outputs), event.notes)


def document(
    name: str, heard: Mapping[str, Sequence[Segment]], version: Version, meta: Meta, look: Look
) -> str:
    """One version of a file in one format, of what was heard of it in each language."""
    said = heard.get(version.target, ())
    if version.spoken in (None, UNKNOWN, version.target):
        shown = cues(said, version.target, style_for(look.style, version.target))
        return render(name, said, shown, meta, look.writing)
    transcript = heard.get(version.spoken or "", ())
    return render_both(name, transcript, said, meta, look.style, look.writing)
