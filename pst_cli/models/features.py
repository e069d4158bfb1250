"""Sound as a checkpoint's own feature extractor measures it, at any length up to 30 s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pst_cli.types import SAMPLE_RATE, TIMESTAMP_SECONDS, WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pst_cli.types import Samples


class LogMel:
    """Log-mel spectrograms by a transformers WhisperFeatureExtractor."""

    def __init__(self, extractor: Any, device: str = "cpu") -> None:
        self._extractor, self._device = extractor, device

    def __call__(self, sounds: Sequence[Samples], seconds: float = WINDOW_SECONDS) -> Tensor:
        """(rows, mels, frames) in float32, each row padded with silence to `seconds`.

        `seconds` is rounded to whole frames of the encoder (20 ms), two of the spectrogram.
        """
        frames = round(seconds / TIMESTAMP_SECONDS)
        found = self._extractor(
            list(sounds),
            sampling_rate=SAMPLE_RATE,
            padding="max_length",
            max_length=frames * round(TIMESTAMP_SECONDS * SAMPLE_RATE),
            truncation=True,
            return_tensors="pt",
            device=self._device,
        )
        return found.input_features  # type: ignore[no-any-return]
