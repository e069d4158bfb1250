"""Hypotheses as they come: each utterance is heard once and decoded into all its targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.audio.spans import read_span
from pst_cli.bench.timing import Stopwatch
from pst_cli.errors import PstError
from pst_cli.evaluate.record import Hypothesis
from pst_cli.language import joined
from pst_cli.methods import PLAIN
from pst_cli.models.prompts import prompt
from pst_cli.pipeline import Event as Heard
from pst_cli.pipeline import Job, Worker
from pst_cli.subtitles.text import clean
from pst_cli.translator import Translator
from pst_cli.types import SAMPLE_RATE, WINDOW_SECONDS
from pst_cli.vad import speech_windows, whole_windows

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from pst_cli.data.manifest import Utterance
    from pst_cli.decoding.guards import Judged
    from pst_cli.evaluate.tasks import Task
    from pst_cli.methods import Method
    from pst_cli.models.context import Context
    from pst_cli.models.encoded import Encoded
    from pst_cli.models.host import Host
    from pst_cli.translator import Options
    from pst_cli.types import Segment, Window

AHEAD = 8  # batches of utterances read at once, so that those of similar length meet


@dataclass(frozen=True, slots=True)
class Said:
    """A hypothesis, how many seconds of sound it is a translation of, and what guards think of it.

    `doubtful`: they flagged a part of it. A part in which they find no speech has no words.
    """

    hypothesis: Hypothesis
    audio_seconds: float
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Unread:
    """The sound of an utterance cannot be read; the others go on."""

    utterance: Utterance
    error: PstError


Event = Said | Unread | Heard


class TimedTranslator(Translator):
    """A translator that knows what it spent, rests and second tries included."""

    def __init__(self, host: Host, options: Options, method: Method = PLAIN) -> None:
        super().__init__(host, options, method)
        self._watch, self.tokens = Stopwatch(host.device), 0

    @property
    def decoding(self) -> float:
        """Seconds in the decoder, encoders left out."""
        return self._watch.spent["decode"]

    @property
    def seconds(self) -> float:
        return self.decoding + self._watch.spent["encode"]

    def encode(self, windows: Sequence[Window], context: Context | None = None) -> list[Encoded]:
        with self._watch.running("encode"):
            return super().encode(windows, context)

    def decode(
        self,
        encoded: Encoded,
        prompts: Sequence[Sequence[int]],
        languages: Sequence[str | None],
        *,
        once: bool = False,
    ) -> list[Judged]:
        with self._watch.running("decode"):
            judged = super().decode(encoded, prompts, languages, once=once)
        self.tokens += sum(len(one.decoded.tokens) for one in judged)
        return judged


@dataclass(frozen=True, slots=True)
class _Clip:
    """An utterance in memory."""

    task: Task
    windows: tuple[Window, ...]

    @property
    def seconds(self) -> float:
        return sum(window.seconds for window in self.windows)


@dataclass(frozen=True, slots=True)
class _Unit:
    """One utterance to be decoded into one language; hearing it took `seconds`, its share."""

    clip: _Clip
    target: str
    jobs: tuple[Job, ...]
    seconds: float


def translated(tasks: Sequence[Task], translator: TimedTranslator) -> Iterator[Event]:
    """What the host says of each task in each of its targets, nearly in order.

    The text is that of `pst translate` for the same window. An utterance of up to 30 s is one
    window; a longer one is cut at its pauses and its texts are joined.
    """
    size, run = translator.options.batch_size, Worker(translator)
    for first in range(0, len(tasks), AHEAD * size):
        clips = yield from _read(tasks[first : first + AHEAD * size])
        clips.sort(key=lambda clip: clip.seconds)
        for start in range(0, len(clips), size):
            yield from _clips(clips[start : start + size], translator, run)


def _read(tasks: Sequence[Task]) -> Generator[Event, None, list[_Clip]]:
    """Those of `tasks` whose sound can be read."""
    clips = []
    for task in tasks:
        try:
            clips.append(_Clip(task, tuple(windows(task.utterance))))
        except PstError as error:
            yield Unread(task.utterance, error)
    return clips


def windows(utterance: Utterance) -> Iterator[Window]:
    """An utterance's sound: itself if Whisper hears it at once, else its speech, cut at pauses.

    Raises AudioError or UsageError where it cannot be read.
    """
    assert utterance.audio is not None
    samples = read_span(utterance.audio, utterance.start, utterance.end)
    long = len(samples) > WINDOW_SECONDS * SAMPLE_RATE
    return (speech_windows if long else whole_windows)([samples])


def _clips(clips: Sequence[_Clip], translator: TimedTranslator, run: Worker) -> Iterator[Event]:
    """Hear clips together; decode as many at a time as make a batch."""
    spent = translator.seconds
    encoded = yield from run.encoded([window for clip in clips for window in clip.windows])
    share = (translator.seconds - spent) / max(len(encoded), 1)
    heard = iter(encoded)
    waiting: list[_Unit] = []
    for clip in clips:
        states = [next(heard) for _ in clip.windows]
        for unit in _units(clip, states, share, translator.host):
            waiting.append(unit)
            if sum(len(one.jobs) for one in waiting) >= translator.options.batch_size:
                yield from _decoded(waiting, translator, run)
                waiting = []
    yield from _decoded(waiting, translator, run)


def _units(clip: _Clip, heard: Sequence[Encoded], share: float, host: Host) -> Iterator[_Unit]:
    utterance, references = clip.task.utterance, clip.task.references
    assert utterance.audio is not None
    for target in references:
        asked = tuple(prompt(host.tokens, host.ability, target, utterance.language))
        jobs = tuple(
            Job(utterance.audio, window, asked, states, utterance.language, target)
            for window, states in zip(clip.windows, heard, strict=True)
        )
        yield _Unit(clip, target, jobs, share * len(jobs) / len(references))


def _decoded(units: Sequence[_Unit], translator: TimedTranslator, run: Worker) -> Iterator[Event]:
    jobs = [job for unit in units for job in unit.jobs]
    spent = translator.seconds
    found = iter((yield from run.heard(jobs)))
    share = (translator.seconds - spent) / max(len(jobs), 1)
    for unit in units:
        segments = [segment for _ in unit.jobs for segment in next(found)]
        yield _said(unit, segments, unit.seconds + share * len(unit.jobs))


def _said(unit: _Unit, segments: Sequence[Segment], seconds: float) -> Said:
    task = unit.clip.task
    texts = (clean(one.text) for one in segments)
    hypothesis = Hypothesis(
        id=task.utterance.id,
        source=task.utterance.language,
        target=unit.target,
        hypothesis=joined(filter(None, texts), unit.target),
        reference=task.references[unit.target],
        seconds=seconds,
    )
    return Said(hypothesis, unit.clip.seconds, any(segment.flags for segment in segments))
