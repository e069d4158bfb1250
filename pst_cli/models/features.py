"""Sound as Whisper measures it, at any length up to 30 s."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pst_cli.types import SAMPLE_RATE, TIMESTAMP_SECONDS, WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.types import Samples

WINDOW = 400  # samples (25 ms) that one spectrum is of
HOP = 160  # samples (10 ms) from one to the next
FRAME = round(TIMESTAMP_SECONDS * SAMPLE_RATE)  # samples of one frame of the encoder: two hops
FAINT = 1e-10  # the least power whose logarithm is taken
RANGE = 8.0  # decades below the loudest, where a row is cut off
KNEE, KNEE_MEL, LINEAR = 1000.0, 15.0, 3 / 200  # Hz; mel; mel a Hz below the knee
LOG = 27 / math.log(6.4)  # mel for each factor of e above it


class LogMel:
    """Log-mel spectrograms, as openai/whisper has them (`log_mel_spectrogram` in audio.py)."""

    def __init__(self, mels: int, device: torch.device | str = "cpu") -> None:
        self._filters = mel_filters(mels).to(device)
        self._window = torch.hann_window(WINDOW, device=device)

    def __call__(self, sounds: Sequence[Samples], seconds: float = WINDOW_SECONDS) -> Tensor:
        """(rows, mels, frames) in float32, each row padded with silence to `seconds`.

        `seconds` is rounded to whole frames of the encoder (20 ms), two of the spectrogram.
        """
        samples = round(seconds / TIMESTAMP_SECONDS) * FRAME
        padded = np.zeros((len(sounds), samples), np.float32)
        for row, sound in zip(padded, sounds, strict=True):
            row[: len(sound)] = sound[:samples]
        waves = torch.from_numpy(padded).to(self._window.device)
        spectra = torch.stft(waves, WINDOW, HOP, window=self._window, return_complex=True)
        power = spectra[..., :-1].abs() ** 2
        levels = (self._filters @ power).clamp(min=FAINT).log10()
        levels = levels.maximum(levels.amax((1, 2), keepdim=True) - RANGE)
        return (levels + 4.0) / 4.0


@lru_cache
def mel_filters(mels: int) -> Tensor:
    """Triangles of one area, equally far apart in mel: (mels, frequencies) in float32.

    The scale is that of Slaney's Auditory Toolbox (Interval Technical Report 1998-010), as in
    librosa, which the filters of openai/whisper come from.
    """
    half = SAMPLE_RATE / 2
    frequencies = torch.linspace(0, half, WINDOW // 2 + 1, dtype=torch.float64)  # Hz
    top = KNEE_MEL + LOG * math.log(half / KNEE)
    mel = torch.linspace(0, top, mels + 2, dtype=torch.float64)
    edges = torch.where(mel < KNEE_MEL, mel / LINEAR, KNEE * ((mel - KNEE_MEL) / LOG).exp())
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequencies - low) / (middle - low)
    falling = (high - frequencies) / (high - middle)
    return (rising.minimum(falling).clamp(min=0) * 2 / (high - low)).float()
