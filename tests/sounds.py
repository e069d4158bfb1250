"""Sound whose samples tell which utterance they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soundfile

from pst_cli.data.manifest import Utterance
from pst_cli.types import SAMPLE_RATE

if TYPE_CHECKING:
    from pathlib import Path

LEVEL = 0.05  # utterance k stands at k + 1 times this
TEXTS = ("Ask what you can do.", "The country asks.", "And so my fellow Americans.", "Questions.")


def level(number: int) -> float:
    return LEVEL * (number + 1)


def utterances(folder: Path, seconds: list[float], **fields: object) -> list[Utterance]:
    """One utterance after another, all of them stretches of a single file."""
    pieces = [
        np.full(round(length * SAMPLE_RATE), level(number), np.float32)
        for number, length in enumerate(seconds)
    ]
    path = folder / "levels.wav"
    soundfile.write(path, np.concatenate(pieces), SAMPLE_RATE, subtype="FLOAT")
    ends = np.cumsum([len(piece) for piece in pieces]) / SAMPLE_RATE
    starts = [0.0, *ends[:-1]]
    given: dict[str, object] = {"language": "en", "translations": {"de": "Die Sitzung."}} | fields
    return [
        Utterance(
            path,
            text=TEXTS[number % len(TEXTS)],
            start=float(start),
            end=float(end),
            duration=float(end - start),
            place=f"train.jsonl:{number + 1}",
            **given,  # type: ignore[arg-type]
        )
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
