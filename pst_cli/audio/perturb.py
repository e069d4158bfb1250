"""Sound altered for training: laid end to end, sped up, made noisy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr

from pst_cli.types import SAMPLE_RATE, Samples

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS = (0.0, 0.5, 1.0)  # exponents of 1/f power spectra: white, between, pink


def lay_out(pieces: Sequence[Samples], gaps: Sequence[float]) -> Samples:
    """`pieces` one after another, each after its gap of silence in seconds."""
    laid: list[Samples] = []
    for piece, gap in zip(pieces, gaps, strict=True):
        laid += [np.zeros(round(gap * SAMPLE_RATE), np.float32), piece]
    return np.concatenate(laid)


def last_exactly(samples: Samples, seconds: float) -> Samples:
    """Cut, or followed by silence, to be `seconds` long."""
    wanted = round(seconds * SAMPLE_RATE)
    return np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))


def change_speed(samples: Samples, factor: float) -> Samples:
    """Played `factor` times as fast, the pitch changing with it (Ko et al., Interspeech 2015)."""
    if factor == 1.0:
        return samples
    return soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE).astype(np.float32)  # type: ignore[no-any-return]


def add_noise(samples: Samples, decibels: float, seed: int) -> Samples:
    """With noise of a random colour, `decibels` below the sound's own power."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    frequencies = np.maximum(np.arange(len(spectrum)), 1.0)
    noise = np.fft.irfft(spectrum / frequencies ** (rng.choice(COLOURS) / 2), len(samples))
    power, unwanted = float(np.mean(samples**2)), float(np.mean(noise**2))
    scale = (power / max(unwanted, 1e-12) * 10 ** (-decibels / 10)) ** 0.5
    noisy: Samples = (samples + scale * noise).astype(np.float32)
    return noisy
