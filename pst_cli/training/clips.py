"""Clips: utterances laid end to end into windows whose inner boundaries are known.

Whisper learns times and long windows from these, where a manifest has short utterances alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pst_cli.audio.perturb import change_speed, last_exactly, lay_out
from pst_cli.audio.spans import read_span, span_seconds
from pst_cli.errors import AudioError, DataError, UsageError
from pst_cli.types import WINDOW_SECONDS

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Sequence

    from pst_cli.data.manifest import Utterance
    from pst_cli.types import Samples

GAP = (0.1, 0.8)  # s; silence between utterances of a clip, drawn evenly between these


@dataclass(frozen=True, slots=True)
class Clip:
    """At most 30 s of utterances in one language, each after its gap; played at `speed`."""

    utterances: tuple[Utterance, ...]
    gaps: tuple[float, ...]  # s of silence before each
    speed: float = 1.0

    @property
    def language(self) -> str:
        return self.utterances[0].language

    @property
    def seconds(self) -> float:
        return (sum(self.gaps) + sum(map(seconds, self.utterances))) / self.speed

    @property
    def key(self) -> str:
        """A name for what is heard, the same in every run: 32 hex digits."""
        parts = [(str(one.audio), one.start, one.end, one.duration) for one in self.utterances]
        known = repr((parts, self.gaps, self.speed)).encode()
        return hashlib.blake2b(known, digest_size=16).hexdigest()

    def spans(self) -> list[tuple[float, float]]:
        """When each utterance begins and ends in the clip, in seconds as played."""
        found, position = [], 0.0
        for utterance, gap in zip(self.utterances, self.gaps, strict=True):
            start = position + gap
            position = start + seconds(utterance)
            found.append((start / self.speed, position / self.speed))
        return found

    def texts(self) -> dict[str, tuple[str, ...]]:
        """The text of each utterance in every language that all of them have."""
        every = [utterance.texts() for utterance in self.utterances]
        shared = [code for code in every[0] if all(code in texts for texts in every)]
        return {code: tuple(texts[code] for texts in every) for code in shared}

    def sound(self) -> Samples:
        """As it is heard; AudioError where a file cannot be read, UsageError where it is gone."""
        # Manifests round: over ten utterances spans would drift away from the sound by 0.1 s.
        pieces = [
            last_exactly(read_span(one.audio, one.start, one.end), seconds(one))
            for one in self.utterances
            if one.audio is not None
        ]
        return change_speed(lay_out(pieces, self.gaps), self.speed)


def seconds(utterance: Utterance) -> float:
    """How long an utterance is at its own speed; it has been measured before."""
    assert utterance.duration is not None
    return utterance.duration


def measured(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Spoken utterances with their durations known, those that no window can hold left out.

    Raises DataError where a sound that has no duration in the manifest cannot be read.
    """
    found = []
    for one in utterances:
        if one.audio is None:
            continue
        if one.duration is None:
            try:
                one = replace(one, duration=span_seconds(one.audio) - one.start)
            except (AudioError, UsageError) as error:
                raise DataError(
                    f"{one.place}: {error.message}", hint="pst data check tells of all such lines"
                ) from error
        if 0 < seconds(one) <= WINDOW_SECONDS:
            found.append(one)
    return found


def single(utterance: Utterance, speed: float = 1.0) -> Clip:
    """One utterance by itself, without a lead."""
    return Clip((utterance,), (0.0,), speed if fits(seconds(utterance), speed) else 1.0)


def joined(
    utterances: Sequence[Utterance], longest: float, speeds: Sequence[float], rng: random.Random
) -> Iterator[Clip]:
    """Clips of `utterances` in order, each as long as a limit drawn up to `longest` s allows."""
    taken: list[Utterance] = []
    gaps: list[float] = []
    speed = rng.choice(speeds)
    limit = _limit(longest, speed, rng)
    for utterance in utterances:
        gap = rng.uniform(*GAP)
        if taken and sum(gaps) + gap + sum(map(seconds, taken)) + seconds(utterance) > limit:
            yield _clip(taken, gaps, speed)
            taken, gaps, speed = [], [], rng.choice(speeds)
            limit = _limit(longest, speed, rng)
        if not taken:
            gap = gap if fits(seconds(utterance) + gap, speed) else 0.0
        taken.append(utterance)
        gaps.append(gap)
    if taken:
        yield _clip(taken, gaps, speed)


def _clip(utterances: Sequence[Utterance], gaps: Sequence[float], speed: float) -> Clip:
    length = sum(gaps) + sum(map(seconds, utterances))
    return Clip(tuple(utterances), tuple(gaps), speed if fits(length, speed) else 1.0)


def _limit(longest: float, speed: float, rng: random.Random) -> float:
    """Seconds at the utterances' own speed."""
    return rng.uniform(longest / 3, min(longest, WINDOW_SECONDS)) * speed


def fits(length: float, speed: float) -> bool:
    """Whether `length` seconds, played at `speed`, are within a window."""
    return length / speed <= WINDOW_SECONDS
