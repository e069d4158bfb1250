"""What a check can find: each kind with its weight, in the words that its users read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ERROR = "error"  # training would fail, or learn or measure something wrong
WARNING = "warning"  # worth a look


class Kind(NamedTuple):
    """How much a finding matters, and what it is called."""

    level: str
    title: str


KINDS = {
    "bad-line": Kind(ERROR, "a line that is no utterance"),
    "missing-audio": Kind(ERROR, "the sound is not there"),
    "unreadable-audio": Kind(ERROR, "the sound cannot be read"),
    "past-the-end": Kind(ERROR, "a stretch that goes past the end of its file"),
    "no-text": Kind(ERROR, "no text in any language"),
    "wrong-script": Kind(ERROR, "a text that cannot be in its language"),
    "shared-audio": Kind(ERROR, "the same sound in two manifests"),
    "empty-text": Kind(WARNING, "an empty text or translation"),
    "ignored-translation": Kind(WARNING, "a translation that is not used"),
    "duration": Kind(WARNING, "a stated duration that is not the sound's"),
    "too-long": Kind(WARNING, "longer than a window"),
    "length-ratio": Kind(WARNING, "a translation much longer or shorter than others"),
    "speaking-rate": Kind(WARNING, "much faster or slower than others"),
    "duplicate": Kind(WARNING, "the same sound with the same text"),
    "contradiction": Kind(WARNING, "the same sound with another text"),
    "shared-text": Kind(WARNING, "the same text in two manifests"),
    "shared-speaker": Kind(WARNING, "the same speaker in two manifests"),
}
"""Errors first, in the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in one line of a manifest that deserves a look."""

    kind: str  # one of KINDS
    place: str  # "train.jsonl:17"
    message: str

    @property
    def level(self) -> str:
        return KINDS[self.kind].level
