"""How well times hold: where segments start in clips of several utterances, and where they should.

Utterances in one language are laid end to end with gaps of 0.1 to 0.8 s, so that it is known when
each begins. The host's own times are measured, without the voice detection that corrects subtitles.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from pst_cli.evaluate.tasks import ORDER, Direction
from pst_cli.models.prompts import prompt
from pst_cli.pipeline import Event as Heard
from pst_cli.pipeline import Job, Worker
from pst_cli.training.clips import Clip, measured
from pst_cli.training.materials import fixed_clips
from pst_cli.vad import whole_windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pst_cli.data.manifest import Utterance
    from pst_cli.translator import Translator

LONGEST = 28.0  # s of a clip
NEAR = (0.3, 1.0)  # s; how many errors are within is told
TAIL = 0.9  # the share of errors that the larger figure is not below
SEED = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Errors in seconds: `n` of them, two quantiles (inf where none is known), shares in `NEAR`."""

    n: int
    median: float
    p90: float
    near: tuple[float, ...]

    @classmethod
    def of(cls, errors: Sequence[float]) -> Spread:
        """Of distances that may be inf: what has no counterpart at all."""
        if not errors:
            return cls(0, math.inf, math.inf, (0.0,) * len(NEAR))
        ordered = sorted(errors)
        shares = [sum(error <= most for error in errors) / len(errors) for most in NEAR]
        tail = ordered[math.ceil(TAIL * len(ordered)) - 1]
        return cls(len(errors), median(errors), tail, tuple(shares))

    def document(self) -> dict[str, Any]:
        """For JSON, which knows no inf: null."""
        found: dict[str, Any] = {"n": self.n}
        for name, value in (("median", self.median), ("p90", self.p90)):
            found[name] = value if math.isfinite(value) else None
        shares = zip(NEAR, self.near, strict=True)
        return found | {f"within_{most:g}": share for most, share in shares}


@dataclass(frozen=True, slots=True)
class Times:
    """One direction: from true starts to the nearest segments, and the other way round."""

    source: str
    target: str
    clips: int
    starts: Spread
    segments: Spread

    def document(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "target": self.target,
            "clips": self.clips,
            "starts": self.starts.document(),
            "segments": self.segments.document(),
        }


@dataclass(frozen=True, slots=True)
class Timed:
    """A clip in one language: how far its starts and its segments are off, in seconds."""

    direction: Direction
    audio_seconds: float
    starts: tuple[float, ...]
    segments: tuple[float, ...]


Event = Timed | Heard


def distances(points: Iterable[float], marks: Sequence[float]) -> tuple[float, ...]:
    """From each point to the nearest mark; inf where there is no mark."""
    return tuple(min((abs(point - mark) for mark in marks), default=math.inf) for point in points)


def end_to_end(utterances: Sequence[Utterance], most: int) -> list[Clip]:
    """At most `most` clips of each language, of two utterances or more; the same in every run.

    Raises DataError where a sound cannot be read.
    """
    every = [clip for clip in fixed_clips(measured(utterances), LONGEST) if len(clip.gaps) > 1]
    found: list[Clip] = []
    for language in ORDER:
        mine = [clip for clip in every if clip.language == language]
        drawn = random.Random(f"{SEED} {language}").sample(range(len(mine)), min(most, len(mine)))
        found += [mine[index] for index in sorted(drawn)]
    return found


def timed(
    clips: Sequence[Clip], wanted: Sequence[Direction], translator: Translator
) -> Iterator[Event]:
    """Translate each clip in all directions wanted of its language; it is heard once for them.

    Raises AudioError or UsageError where a sound cannot be read.
    """
    size, run = translator.options.batch_size, Worker(translator)
    ordered = sorted(clips, key=lambda clip: clip.seconds)
    for first in range(0, len(ordered), size):
        yield from _batch(ordered[first : first + size], wanted, run)


def _batch(clips: Sequence[Clip], wanted: Sequence[Direction], run: Worker) -> Iterator[Event]:
    windows = [window for clip in clips for window in whole_windows([clip.sound()])]
    encoded = yield from run.encoded(windows)
    host, asked = run.translator.host, list[tuple[Clip, Direction]]()
    jobs = []
    for clip, window, states in zip(clips, windows, encoded, strict=True):
        for source, target in wanted:
            audio = clip.utterances[0].audio
            if source == clip.language and audio is not None:
                tokens = tuple(prompt(host.tokens, host.ability, target, source))
                asked.append((clip, (source, target)))
                jobs.append(Job(audio, window, tokens, states, source, target))
    found = yield from run.heard(jobs)
    for (clip, direction), segments in zip(asked, found, strict=True):
        yield _timed(clip, direction, [segment.start for segment in segments])


def _timed(clip: Clip, direction: Direction, found: Sequence[float]) -> Timed:
    true = [start for start, _ in clip.spans()]
    return Timed(direction, clip.seconds, distances(true, found), distances(found, true))


def times(measurements: Iterable[Timed]) -> list[Times]:
    """All measurements by direction, in the order of `LANGUAGES`."""
    grouped: dict[Direction, list[Timed]] = defaultdict(list)
    for one in measurements:
        grouped[one.direction].append(one)
    return [
        Times(
            *direction,
            clips=len(grouped[direction]),
            starts=Spread.of([error for one in grouped[direction] for error in one.starts]),
            segments=Spread.of([error for one in grouped[direction] for error in one.segments]),
        )
        for direction in sorted(grouped, key=lambda pair: tuple(map(ORDER.index, pair)))
    ]
