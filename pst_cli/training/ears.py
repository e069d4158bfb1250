"""How sound gets into a batch: read, altered and measured anew, or encoded once and stored."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from pst_cli.audio.perturb import add_noise
from pst_cli.errors import AudioError, TrainingError, UsageError
from pst_cli.training.collate import spec_augment
from pst_cli.types import TIMESTAMP_SECONDS, WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pst_cli.models.features import LogMel
    from pst_cli.training.examples import Example
    from pst_cli.types import Samples

Context = Literal["own", "random", "full"]
CONTEXTS: tuple[Context, ...] = ("own", "random", "full")
FULL_SHARE = 0.1  # of batches that "random" pads to the whole window
STRETCH = 1.2  # times its own length; the most that "random" pads any other batch to
DECIBELS = (5.0, 25.0)  # of speech above noise


def context_seconds(longest: float, context: Context, rng: random.Random) -> float:
    """What a batch whose longest row has `longest` seconds is padded to, in whole frames.

    "own" is its length, "full" 30 s as Whisper was trained; "random" lies between the two, and is
    30 s for one batch in ten, so that one host serves all lengths.
    """
    if context == "full" or (context == "random" and rng.random() < FULL_SHARE):
        return WINDOW_SECONDS
    wanted = longest if context == "own" else longest * rng.uniform(1.0, STRETCH) + rng.random()
    frames = -(-wanted // TIMESTAMP_SECONDS)
    return min(frames * TIMESTAMP_SECONDS, WINDOW_SECONDS)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Sound read for every batch anew."""

    log_mel: LogMel
    context_of: Context = "random"
    noisy: float = 0.0  # the share of rows that noise is added to
    masked: bool = False  # SpecAugment

    def context(self, examples: Sequence[Example], seed: str) -> float:
        longest = max(one.seconds for one in examples)
        return context_seconds(longest, self.context_of, random.Random(seed))

    def listen(self, examples: Sequence[Example], seconds: float, seeds: Sequence[str]) -> Tensor:
        generators = [random.Random(seed) for seed in seeds]
        sounds = [self._sound(one, rng) for one, rng in zip(examples, generators, strict=True)]
        log_mel = self.log_mel(sounds, seconds)
        if not self.masked:
            return log_mel
        return torch.stack([spec_augment(*pair) for pair in zip(log_mel, generators, strict=True)])

    def _sound(self, example: Example, rng: random.Random) -> Samples:
        assert example.clip is not None
        try:
            sound = example.clip.sound()
        except (AudioError, UsageError) as error:
            place = example.clip.utterances[0].place
            hint = "pst data check finds all such lines; leave them out and start the run again"
            raise TrainingError(f"{place}: {error.message}", hint=hint) from error
        if rng.random() >= self.noisy:
            return sound
        return add_noise(sound, rng.uniform(*DECIBELS), rng.getrandbits(32))


class Whole(Fresh):
    """As `Fresh`, but spectrograms are of all 30 s: who is to hear less takes a part of them."""

    __slots__ = ()

    def listen(self, examples: Sequence[Example], seconds: float, seeds: Sequence[str]) -> Tensor:
        return super().listen(examples, max(seconds, WINDOW_SECONDS), seeds)
