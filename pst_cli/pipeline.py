"""The main job: sound files in, translated segments out, window by window and in batches.

Windows of one file and of several files share batches. What happens is told as events, in order for
each file, so that the caller can show and write results while the work goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import torch

from pst_cli.audio import AudioStream, open_audio
from pst_cli.decoding.acceptance import Acceptance, Greedy, Sampling
from pst_cli.decoding.beam import Search, decode_beams
from pst_cli.decoding.guards import Guards, Judged, decode_guarded
from pst_cli.decoding.loop import Decoded, Strategy, decode
from pst_cli.decoding.proposals import Guide
from pst_cli.decoding.rules import TokenRules
from pst_cli.decoding.segments import segments
from pst_cli.errors import ModelError, PstError
from pst_cli.methods import PLAIN, Method
from pst_cli.models.context import Context, padded_alike
from pst_cli.models.encoded import Encoded
from pst_cli.models.prompts import Ability, prompt, untrained
from pst_cli.types import LANGUAGES, Segment, Window
from pst_cli.vad import speech_windows, whole_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from pst_cli.models.host import Host

VOTERS = 6  # windows; how many a file's source language is voted on by
FOREIGN = 0.5  # below this share of the vote the six languages together are doubtful


@dataclass(frozen=True, slots=True)
class Options:
    """How to translate; `source` None means: hear it."""

    target: str
    source: str | None = None
    batch_size: int = 8  # windows; the first batches are smaller, so that the first text is early
    vad: bool = True
    context: Context | None = None  # what windows are padded to; None: as the host was taught
    beams: int = 1  # hypotheses a window at temperature 0; 1: greedy
    top_k: int = 1  # of the host's choices, those that a drafted token may be; above 1: lossy
    guards: Guards = field(default_factory=Guards)
    seed: int = 0  # of the sampling that temperatures above 0 do


@dataclass(frozen=True, slots=True)
class Opened:
    """A file is being read; `seconds` is None where its container does not tell."""

    file: Path
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Heard:
    """A window was decoded: its segments (maybe none), and how far into the file that is."""

    file: Path
    segments: list[Segment]
    position: float  # s


@dataclass(frozen=True, slots=True)
class Finished:
    """A file is done; `source` is the language given or voted for."""

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
    """One window to decode; `encoded`, one row, where that was already done."""

    file: Path
    window: Window
    prompt: tuple[int, ...]
    encoded: Encoded | None = None


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
        session = self.host.open(heard.host, beams, heard.mask)
        guide = Guide(self.rules, len(prompts[0]), self.host.tokens.end)
        drafter = self.method.start(session, heard.drafter, guide)
        if beams > 1:
            search = Search(drafter, self.rules)
            return decode_beams(session, prompts, self.host.tokens, search, beams)
        strategy = Strategy(drafter, self._acceptance(temperature), self.rules)
        return decode(session, prompts, self.host.tokens, strategy)

    def _acceptance(self, temperature: float) -> Acceptance:
        if temperature > 0:
            return Sampling(temperature, self._generator)
        return Greedy(self.options.top_k)

    def vote(self, encoded: Encoded, windows: Sequence[Window]) -> tuple[str, float]:
        """The source language that windows agree on, and its share; louder for longer windows."""
        scores = self.host.language_scores(encoded.host, list(LANGUAGES), encoded.mask)
        weights = torch.tensor([window.seconds for window in windows])
        shares = (scores.exp().cpu() * weights[:, None]).sum(0) / weights.sum()
        best = int(shares.argmax())
        return list(LANGUAGES)[best], float(shares[best])


def translate(files: Iterable[Path], translator: Translator) -> Iterator[Event]:
    """Translate files one after another, their windows in shared batches."""
    run = Worker(translator)
    waiting: list[Job | Event] = []
    for item in _work(files, run):
        waiting.append(item)
        if sum(isinstance(one, Job) for one in waiting) >= run.size:
            yield from run.flush(waiting)
            waiting = []
    yield from run.flush(waiting)


class Worker:
    """Decodes what has gathered and tells of it in order; remembers which batch size fits."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator
        self.size, self.most = 1, translator.options.batch_size

    def flush(self, waiting: Sequence[Job | Event]) -> Iterator[Event]:
        jobs = [item for item in waiting if isinstance(item, Job)]
        heard = iter((yield from self.heard(jobs)))
        self.size = min(self.size * 2, self.most)
        for item in waiting:
            if isinstance(item, Job):
                yield Heard(item.file, next(heard), item.window.end)
            else:
                yield item

    def heard(self, jobs: Sequence[Job]) -> Generator[Event, None, list[list[Segment]]]:
        """Segments of each job, the rests of windows heard again until nothing is left."""
        found: list[list[Segment]] = [[] for _ in jobs]
        todo = list(enumerate(jobs))
        while todo:
            judged = yield from self._decoded([job for _, job in todo])
            rests = []
            for (index, job), one in zip(todo, judged, strict=True):
                host = self.translator.host
                made, rest = segments(one, job.window, host.tokens, host.text)
                found[index] += made
                if rest is not None:
                    rests.append((index, replace(job, window=rest, encoded=None)))
            todo = rests
        return found

    def encoded(self, windows: Sequence[Window]) -> Generator[Event, None, list[Encoded]]:
        """What is heard of each window, a row each."""
        return (yield from self._fitting(windows, self.translator.encode))

    def _decoded(self, jobs: Sequence[Job]) -> Generator[Event, None, list[Judged]]:
        return (yield from self._fitting(jobs, self._batch))

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

    def _batch(self, jobs: Sequence[Job]) -> list[Judged]:
        fresh = [job.window for job in jobs if job.encoded is None]
        encoded = iter(self.translator.encode(fresh) if fresh else ())
        rows = [next(encoded) if job.encoded is None else job.encoded for job in jobs]
        return self.translator.decode(Encoded.join(rows), [job.prompt for job in jobs])


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(error) for words in ("allocate memory", "not enough memory"))


def _work(files: Iterable[Path], run: Worker) -> Iterator[Job | Event]:
    """What there is to do and to tell, in order; a file that cannot be read is a Failed."""
    for file in files:
        try:
            with open_audio(file) as audio:
                yield Opened(file, audio.seconds)
                yield from _file_work(file, audio, run)
        except PstError as error:
            yield Failed(file, error)


def _file_work(file: Path, audio: AudioStream, run: Worker) -> Iterator[Job | Event]:
    options, host = run.translator.options, run.translator.host
    windows = (speech_windows if options.vad else whole_windows)(audio.blocks())
    source, heard, encoded = options.source, list[Window](), list[Encoded]()
    if source is None and host.ability is Ability.STOCK:
        heard = list(islice(windows, VOTERS))
        encoded = yield from run.encoded(heard)
    if heard:
        source, share = run.translator.vote(Encoded.join(encoded), heard)
        if share < FOREIGN:
            yield Note(f"the speech may be none of {', '.join(LANGUAGES)}", file)
    if source and untrained(host.ability, source, options.target):
        yield Note(f"this host was not trained to translate {source} into {options.target}")
    asked = tuple(prompt(host.tokens, host.ability, options.target, source))
    for window, states in zip(heard, encoded, strict=True):
        yield Job(file, window, asked, states)
    for window in windows:
        yield Job(file, window, asked)
    yield Finished(file, audio.position, source, tuple(audio.notes))
