"""What counts as speech, and how it is packed."""

from __future__ import annotations

from dataclasses import dataclass

from pst_cli.errors import UsageError
from pst_cli.types import WINDOW_SECONDS


@dataclass(frozen=True, slots=True)
class VadOptions:
    """Thresholds are probabilities, the rest seconds.

    Chosen on real clips joined with pauses of 0.3 to 3 s (40 each of Kerstin, LibriSpeech,
    AISHELL and African Storybook):
    `min_speech`: 0.1 s finds 149 of the 150 shortest Tux Paint clips (a word or two), 0.16 s 145,
    0.25 s 144; thirteen kinds of noise, tones and melody give no region at either.
    `min_silence`: at 0.3 s the German voice falls into exactly its 40 sentences; 0.1 s breaks
    them into 53, 0.5 s joins neighbours into 38.
    `pad`: Silero hears soft onsets late (95 % within 0.17 s) and ends early (95 % within
    0.19 s, worst 0.28 s); of the story readers' audible speech 7 % falls outside the bare
    regions, 1.4 % with 0.2 s of padding, 0.5 % with 0.3 s.

    Raises:
        UsageError: a value is out of range; the message names its flag.
    """

    threshold: float = 0.5  # a region begins at this probability ...
    release: float = 0.35  # ... and may end only below this one
    min_speech: float = 0.1  # shorter regions are dropped
    min_silence: float = 0.3  # shorter pauses do not end a region
    pad: float = 0.3  # sound kept before and after a window's speech
    max_gap: float = 2.0  # a longer pause ends the window
    max_seconds: float = WINDOW_SECONDS

    def __post_init__(self) -> None:
        self._require(0 < self.threshold < 1, "--vad-threshold is a probability between 0 and 1")
        self._require(0 < self.release <= self.threshold, "the release is at most the threshold")
        lengths = (self.min_speech, self.min_silence, self.pad, self.max_gap)
        self._require(all(length >= 0 for length in lengths), "a length in seconds is negative")
        self._require(
            1 + 2 * self.pad <= self.max_seconds <= WINDOW_SECONDS,
            f"a window lasts from {1 + 2 * self.pad:g} to {WINDOW_SECONDS:g} seconds",
        )

    @staticmethod
    def _require(holds: bool, otherwise: str) -> None:
        if not holds:
            raise UsageError(otherwise, hint="leave it out for a default chosen on real speech")
