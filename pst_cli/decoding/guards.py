"""Guards: what tells a bad decoding from a good one, and decoding again at higher temperatures.

Thresholds and order are openai/whisper's (transcribe.py, decode_with_fallback). Where no attempt
passes it lets the last and hottest one stand; here the likeliest that does not repeat itself does,
as in faster-whisper, for that is mostly the greedy one: a stock host asked for a language it was
not trained for guesses all the time, and sampling only makes it worse. One guard is pst's own: no
sentence of a translation may be in another language. What is left as it was spoken is said surely.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.language import strays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pst_cli.decoding.loop import Decoded

REPETITION = "repetition"
LOW_PROBABILITY = "low-probability"
OTHER_LANGUAGE = "other-language"


@dataclass(frozen=True, slots=True)
class Guards:
    """Thresholds; a row that breaks one is decoded again at the next temperature."""

    compression_ratio: float = 2.4  # bytes of text per byte of its deflate; above: it repeats
    average_logprob: float = -1.0  # natural log per token; below: the host was guessing
    no_speech_probability: float = 0.6  # above, and guessing too: there was nothing to hear
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Judged:
    """A decoded row with its text and what the guards measured."""

    decoded: Decoded
    text: str
    temperature: float
    compression_ratio: float
    silent: bool
    flags: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """Whether it may stand: nothing is doubtful, or there was nothing to hear."""
        return self.silent or not self.flags


def compression_ratio(text: str) -> float:
    """Bytes of `text` per byte of its deflate; about 1 to 2 for prose, high for loops."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data)) if data else 1.0


def judge(
    decoded: Decoded, text: str, temperature: float, guards: Guards, language: str | None = None
) -> Judged:
    """What the guards say of one decoded row, all of which is to be in `language`, if any."""
    ratio = compression_ratio(text)
    guessing = decoded.average_logprob < guards.average_logprob
    silent = guessing and decoded.no_speech_probability > guards.no_speech_probability
    found = {
        REPETITION: ratio > guards.compression_ratio,
        LOW_PROBABILITY: guessing,
        OTHER_LANGUAGE: language is not None and strays(text, language),
    }
    flags = tuple(flag for flag, raised in found.items() if raised)
    return Judged(decoded, text, temperature, ratio, silent, flags)


def decode_guarded(
    languages: Sequence[str | None],
    attempt: Callable[[Sequence[int], float], Sequence[Decoded]],
    text: Callable[[Sequence[int]], str],
    guards: Guards,
) -> list[Judged]:
    """Decode rows, those that break a guard again at each next temperature.

    `languages` are what each row is to be translated into; None: no matter. attempt(indices,
    temperature) decodes the rows named. Where none passes, the best stands, flagged.
    """
    attempts: list[list[Judged]] = [[] for _ in languages]
    todo = list(range(len(languages)))
    for temperature in guards.temperatures:
        for index, decoded in zip(todo, attempt(todo, temperature), strict=True):
            said = text(decoded.tokens)
            attempts[index].append(judge(decoded, said, temperature, guards, languages[index]))
        todo = [index for index in todo if not attempts[index][-1].passes]
        if not todo:
            break
    return [max(judged, key=_merit) for judged in attempts]


def _merit(judged: Judged) -> tuple[bool, bool, bool, float]:
    """What makes one attempt better than another, the weightiest first."""
    loops, strayed = REPETITION in judged.flags, OTHER_LANGUAGE in judged.flags
    return judged.passes, not loops, not strayed, judged.decoded.average_logprob
