"""The main job: windows in, translated segments out, in batches of rows.

A row is one window in one language: a window that is wanted in several is encoded once. What
happens is told as events, in order for each file, so that the caller can show and write results
while the work goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import torch

from pst_cli.decoding.acceptance import Acceptance, Greedy, Sampling
from pst_cli.decoding.alignment import Times, token_times
from pst_cli.decoding.beam import search
from pst_cli.decoding.guards import Guards, Judged, decode_guarded
from pst_cli.decoding.loop import Decoded, Strategy
from pst_cli.decoding.proposals import Guide
from pst_cli.decoding.rules import TokenRules
from pst_cli.decoding.segments import segments
from pst_cli.errors import ModelError, PstError
from pst_cli.methods import PLAIN, Method
from pst_cli.models.alignment import listening
from pst_cli.models.context import Context, padded_alike
from pst_cli.models.encoded import Encoded
from pst_cli.types import LANGUAGES, Segment, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from pst_cli.models.host import Host

VOTERS = 6  # windows; how many a file's source language is voted on by


@dataclass(frozen=True, slots=True)
class Options:
    """How to translate; `source` None means: hear it."""

    source: str | None = None
    transcript: bool = False  # whether each file is wanted in its own language, too
    batch_size: int = 8  # rows; the first batches are smaller, so that the first text is early
    vad: bool = True
    track: int | None = None  # of a container's sound tracks, from 1; None: its default one
    context: Context | None = None  # what windows are padded to; None: as the host was taught
    beams: int = 1  # hypotheses a window at temperature 0; 1: greedy
    top_k: int = 1  # of the host's choices, those that a drafted token may be; above 1: lossy
    guards: Guards = field(default_factory=Guards)
    seed: int = 0  # of the sampling that temperatures above 0 do
    align: bool = False  # whether segments tell when their words are spoken (`Segment.marks`)


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
    """One window to decode into one language; `encoded`, one row, where that was already done."""

    file: Path
    window: Window
    prompt: tuple[int, ...]
    encoded: Encoded | None = None
    target: str = ""  # for who reads the events; the prompt is what the host is asked


Waiting: TypeAlias = "tuple[Job, ...] | Event"
"""What is worked on or told in its turn: a window in all its languages, or something to tell."""

Timed: TypeAlias = tuple[Judged, Times]
"""A decoded row, and when its tokens are spoken where that was asked for."""


class Translator:
    """Turns windows into judged rows with one host, whichever way the host is sped up."""

    def __init__(self, host: Host, options: Options, method: Method = PLAIN) -> None:
        self.host, self.options, self.method = host, options, method
        self.rules = TokenRules(host.tokens, host.config.vocab_size, device=host.device)
        self._generator = torch.Generator(host.device).manual_seed(options.seed)

    @property
    def context(self) -> Context:
        """What windows are padded to."""
        return self.options.context or self.host.context

    def encode(self, windows: Sequence[Window]) -> list[Encoded]:
        """What is heard of each window, a row each; those that are padded alike together."""
        found: dict[int, Encoded] = {}
        for seconds, rows in padded_alike(windows, self.context).items():
            log_mel = self.host.log_mel([windows[row].samples for row in rows], seconds)
            encoded = self.host.encode(log_mel)
            every = Encoded(encoded, self.method.hear(log_mel, encoded))
            found |= {row: every[[place]] for place, row in enumerate(rows)}
        return [found[row] for row in range(len(windows))]

    def decode(self, encoded: Encoded, prompts: Sequence[Sequence[int]]) -> list[Judged]:
        """Decode rows, guarded."""

        def attempt(rows: Sequence[int], temperature: float) -> list[Decoded]:
            return self._attempt(encoded[list(rows)], [prompts[row] for row in rows], temperature)

        return decode_guarded(len(prompts), attempt, self.host.text, self.options.guards)

    def _attempt(
        self, heard: Encoded, prompts: Sequence[Sequence[int]], temperature: float
    ) -> list[Decoded]:
        """Decode rows once: by search at temperature 0 where beams are asked for."""
        beams = self.options.beams if temperature == 0 else 1
        if beams > 1 or self.method is not PLAIN:  # a drafter listens for one row at a time
            heard = heard.apart()
        session = self.host.open(heard.host, beams, heard.mask, heard.windows)
        guide = Guide(self.rules, len(prompts[0]), self.host.tokens.end)
        drafter = self.method.start(session, heard.drafter, guide)
        strategy = Strategy(drafter, self._acceptance(temperature), self.rules)
        return search(session, prompts, self.host.tokens, strategy, beams)

    def _acceptance(self, temperature: float) -> Acceptance:
        if temperature > 0:
            return Sampling(temperature, self._generator)
        return Greedy(self.options.top_k)

    def times(
        self, heard: Encoded, windows: Sequence[Window], judged: Sequence[Judged]
    ) -> list[Times]:
        """When the tokens of each row are spoken; nothing where nobody asks."""
        if not self.options.align:
            return [()] * len(judged)
        host = self.host

        def listen(tokens: Tensor) -> Iterator[Tensor]:
            heads = host.alignment_heads
            return listening(host.decoder, tokens, heard.host, heads, heard.mask, heard.windows)

        said = [one.decoded for one in judged]
        return token_times(said, windows, listen, host.tokens, host.decoder.limit)

    def vote(self, encoded: Encoded, windows: Sequence[Window]) -> tuple[str, float]:
        """The source language that windows agree on, and its share; louder for longer windows."""
        scores = self.host.language_scores(encoded.host, list(LANGUAGES), encoded.mask)
        weights = torch.tensor([window.seconds for window in windows])
        shares = (scores.exp().cpu() * weights[:, None]).sum(0) / weights.sum()
        best = int(shares.argmax())
        return list(LANGUAGES)[best], float(shares[best])


class Worker:
    """Decodes what has gathered and tells of it in order; remembers which batch size fits."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator
        self.size, self.most = 1, translator.options.batch_size

    def run(self, items: Iterable[Waiting]) -> Iterator[Event]:
        """Decode and tell; a window's rows stay together, and a batch takes no part of one."""
        waiting: list[Waiting] = []
        for item in items:
            waiting.append(item)
            if isinstance(item, tuple) and len(_jobs(waiting)) + len(item) > self.size:
                yield from self._flush(waiting)
                waiting = []
        yield from self._flush(waiting)

    def _flush(self, waiting: Sequence[Waiting]) -> Iterator[Event]:
        heard = iter((yield from self.heard(_jobs(waiting))))
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

    def encoded(self, windows: Sequence[Window]) -> Generator[Event, None, list[Encoded]]:
        """What is heard of each window, a row each."""
        return (yield from self._fitting(windows, self.translator.encode))

    def _decoded(self, jobs: Sequence[Job]) -> Generator[Event, None, list[Timed]]:
        return (yield from self._fitting((yield from self._listened(jobs)), self._batch))

    def _listened(self, jobs: Sequence[Job]) -> Generator[Event, None, list[Job]]:
        """All jobs with what is heard; a window that several name is encoded once."""
        fresh = {id(job.window): job.window for job in jobs if job.encoded is None}
        encoded = yield from self.encoded(list(fresh.values()))
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
                if not _out_of_memory(error):
                    raise
                if len(batch) == 1:
                    hint = "use a smaller --model, or --dtype bfloat16"
                    raise ModelError("out of memory with a single window", hint=hint) from error
                self.most = len(batch) // 2
                yield Note(f"out of memory: going on with --batch-size {self.most}")
        return done

    def _batch(self, jobs: Sequence[Job]) -> list[Timed]:
        encoded = Encoded.join([job.encoded for job in jobs if job.encoded is not None])
        judged = self.translator.decode(encoded, [job.prompt for job in jobs])
        times = self.translator.times(encoded, [job.window for job in jobs], judged)
        return list(zip(judged, times, strict=True))


def _jobs(waiting: Sequence[Waiting]) -> list[Job]:
    return [job for item in waiting if isinstance(item, tuple) for job in item]


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(error) for words in ("allocate memory", "not enough memory"))
