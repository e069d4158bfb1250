"""Records that pass between layers; plain data, no behaviour beyond their own arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SAMPLE_RATE = 16_000  # Hz; Whisper and Silero both hear at this rate
WINDOW_SECONDS = 30.0  # s; the longest stretch Whisper hears at once
MEGABYTE = 1_000_000  # bytes
TIMESTAMP_SECONDS = 0.02  # s; one timestamp token, which is one encoder frame

LANGUAGES = {
    "en": "English",
    "zh": "Chinese",
    "de": "German",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
}

UNSPACED = frozenset({"zh"})  # written without spaces, so that words cannot be counted
SENTENCE_ENDS = ".!?…。！？．؟۔"  # one character each, before any closing quote or bracket

Samples: TypeAlias = "npt.NDArray[np.float32]"
"""Mono sound at `SAMPLE_RATE`, shape (samples,), nominally in [-1, 1]."""

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with (what, done, total); `total` is None while it is not known."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `WINDOW_SECONDS` of sound that one decoding pass hears.

    `start` is its offset in the file in seconds; `speech` holds the regions inside it where a
    voice was detected, as (start, end) in file seconds, in order and without overlap.
    """

    start: float
    samples: Samples
    speech: tuple[tuple[float, float], ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    @property
    def end(self) -> float:
        return self.start + self.seconds


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of decoded text; times in file seconds.

    `flags` names the guards that found it doubtful ("repetition", "low-probability",
    "other-language"); they and the figures are those of the window it came from. `marks` say when
    places inside `text` are spoken, as (characters before it, seconds in the file), both rising;
    empty where nobody asked.
    """

    start: float
    end: float
    text: str
    average_logprob: float = 0.0
    compression_ratio: float = 1.0
    no_speech_probability: float = 0.0
    temperature: float = 0.0
    flags: tuple[str, ...] = ()
    marks: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: integer milliseconds, lines already broken."""

    start: int
    end: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Token ids with a meaning of their own in one Whisper vocabulary.

    Ids from `timestamp_begin` upward are times in steps of `TIMESTAMP_SECONDS`. `suppressed` are
    never emitted, `suppressed_first` not as the first token.
    """

    start: int
    end: int
    transcribe: int
    translate: int
    no_speech: int
    no_timestamps: int
    timestamp_begin: int
    languages: Mapping[str, int]
    suppressed: tuple[int, ...] = ()
    suppressed_first: tuple[int, ...] = ()
