"""The main job: windows in, translated segments out, in batches of rows.

A row is one window in one language: a window that is wanted in several is encoded once. What
happens is told as events, in order for each file, so that the caller can show and write results
while the work goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from pst_cli.decoding.guards import merit
from pst_cli.decoding.segments import segments
from pst_cli.errors import ModelError, PstError
from pst_cli.models.device import out_of_memory
from pst_cli.models.encoded import Encoded
from pst_cli.translator import elected

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from pst_cli.decoding.alignment import Times
    from pst_cli.decoding.guards import Judged
    from pst_cli.models.context import Context
    from pst_cli.translator import Translator
    from pst_cli.types import Segment, Window


@dataclass(frozen=True, slots=True)
class Opened:
    """A file is being read; `seconds` is None where its container does not tell."""

    file: Path
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Heard:
    """A window was decoded into `target`: its segments (maybe none), and how far that is."""

    file: Path
    target: str
    segments: list[Segment]
    position: float  # s


@dataclass(frozen=True, slots=True)
class Finished:
    """A file is done in all languages; `source` is the one given or voted for."""

    file: Path
    seconds: float
    source: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A file could not be done; the others go on."""

    file: Path
    error: PstError


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell, of one file or of the run."""

    text: str
    file: Path | None = None


Item = TypeVar("Item")
Result = TypeVar("Result")
Event = Opened | Heard | Finished | Failed | Note


@dataclass(frozen=True, slots=True)
class Job:
    """One window to decode into one language; `encoded`, one row, where that was already done.

    Languages are for guards and for who reads the events; the prompt is what the host is asked.
    """

    file: Path
    window: Window
    prompt: tuple[int, ...]
    encoded: Encoded | None = None
    source: str | None = None  # None: unknown
    target: str = ""

    @property
    def translated(self) -> str | None:
        """The language that it is translated into; None where it is transcribed."""
        return None if self.target in ("", self.source) else self.target


Waiting: TypeAlias = "tuple[Job, ...] | Event"
"""What is worked on or told in its turn: a window in all its languages, or something to tell."""

Timed: TypeAlias = "tuple[Judged, Times]"
"""A decoded row, and when its tokens are spoken where that was asked for."""


class Worker:
    """Decodes what has gathered and tells of it in order; remembers which batch size fits."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator
        self.size, self.most = 1, translator.options.batch_size

    def run(self, items: Iterable[Waiting]) -> Iterator[Event]:
        """Decode and tell; a window's rows stay together, and a batch takes no part of one.

        Short files share batches. A longer one is told to the end before the next is opened, which
        may have to be waited for, or fail.
        """
        waiting: list[Waiting] = []
        begun: set[Path] = set()  # files of which something was told already
        for item in items:
            waiting.append(item)
            rows = len(_jobs(waiting))
            if isinstance(item, tuple):
                due = rows + len(item) > self.size
            else:
                due = not rows or (isinstance(item, Finished) and item.file in begun)
            if due:
                yield from self._flush(waiting)
                begun |= {job.file for job in _jobs(waiting)}
                waiting = []
        yield from self._flush(waiting)

    def _flush(self, waiting: Sequence[Waiting]) -> Iterator[Event]:
        jobs = _jobs(waiting)
        heard = iter((yield from self.heard(jobs)))
        if jobs:
            self.size = min(self.size * 2, self.most)
        for item in waiting:
            if not isinstance(item, tuple):
                yield item
                continue
            for job in item:
                yield Heard(job.file, job.target, next(heard), job.window.end)

    def heard(self, jobs: Sequence[Job]) -> Generator[Event, None, list[list[Segment]]]:
        """Segments of each job, the rests of windows heard again until nothing is left."""
        found: list[list[Segment]] = [[] for _ in jobs]
        todo = list(enumerate(jobs))
        while todo:
            judged = yield from self._decoded([job for _, job in todo])
            rests = []
            for (index, job), (one, times) in zip(todo, judged, strict=True):
                host = self.translator.host
                made, rest = segments(one, job.window, host.tokens, host.text, times)
                found[index] += made
                if rest is not None:
                    rests.append((index, replace(job, window=rest, encoded=None)))
            todo = rests
        return found

    def encoded(
        self, windows: Sequence[Window], context: Context | None = None
    ) -> Generator[Event, None, list[Encoded]]:
        """What is heard of each window, a row each; see `Translator.encode`."""
        work = partial(self.translator.encode, context=context)
        return (yield from self._fitting(windows, work))

    def voted(
        self, windows: Sequence[Window], encoded: Sequence[Encoded]
    ) -> Generator[Event, None, tuple[str, float]]:
        """The language that most of what is heard in `windows` speaks for, and its share."""
        scores = yield from self._fitting(encoded, self.translator.language_scores)
        return elected(scores, windows)

    def _decoded(self, jobs: Sequence[Job]) -> Generator[Event, None, list[Timed]]:
        """Decode `jobs`; those that a wary translator doubts, once more and heard in full."""
        wary = self.translator.wary
        heard = yield from self._listened(jobs)
        timed = yield from self._fitting(heard, partial(self._batch, once=wary))
        doubtful = [row for row, (one, _) in enumerate(timed) if wary and not one.passes]
        if doubtful:
            again = [replace(jobs[row], encoded=None) for row in doubtful]
            heard = yield from self._listened(again, "full")
            better = yield from self._fitting(heard, self._batch)
            for row, one in zip(doubtful, better, strict=True):
                timed[row] = max(one, timed[row], key=lambda way: merit(way[0]))
        return timed

    def _listened(
        self, jobs: Sequence[Job], context: Context | None = None
    ) -> Generator[Event, None, list[Job]]:
        """All jobs with what is heard; a window that several name is encoded once."""
        fresh = {id(job.window): job.window for job in jobs if job.encoded is None}
        encoded = yield from self.encoded(list(fresh.values()), context)
        heard = dict(zip(fresh, encoded, strict=True))
        return [
            replace(job, encoded=heard[id(job.window)]) if job.encoded is None else job
            for job in jobs
        ]

    def _fitting(
        self, items: Sequence[Item], work: Callable[[Sequence[Item]], list[Result]]
    ) -> Generator[Event, None, list[Result]]:
        """Work in batches of at most `most`; one that does not fit in memory is halved."""
        done: list[Result] = []
        while len(done) < len(items):
            batch = items[len(done) : len(done) + self.most]
            try:
                done += work(batch)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if len(batch) == 1:
                    hint = "use a smaller --model, or --dtype bfloat16"
                    raise ModelError("out of memory with a single window", hint=hint) from error
                self.most = len(batch) // 2
                yield Note(f"out of memory: going on with --batch-size {self.most}")
        return done

    def _batch(self, jobs: Sequence[Job], *, once: bool = False) -> list[Timed]:
        encoded = Encoded.join([job.encoded for job in jobs if job.encoded is not None])
        prompts, languages = [job.prompt for job in jobs], [job.translated for job in jobs]
        judged = self.translator.decode(encoded, prompts, languages, once=once)
        times = self.translator.times(encoded, [job.window for job in jobs], judged)
        return list(zip(judged, times, strict=True))


def _jobs(waiting: Sequence[Waiting]) -> list[Job]:
    return [job for item in waiting if isinstance(item, tuple) for job in item]
