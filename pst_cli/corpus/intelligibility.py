"""Intelligibility: how well a model transcribes each speaker of a manifest, a person or a voice.

What a frozen encoder does not understand, a decoder cannot learn to translate: it learns to make
things up. So a voice is heard before hours of it are made.
"""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.errors import DataError
from pst_cli.evaluate.recognition import error_rates
from pst_cli.evaluate.tasks import ORDER, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pst_cli.data.manifest import Utterance
    from pst_cli.evaluate.record import Key

LOST = 50.0  # percent of words, or of Chinese characters, wrong in the middle utterance
SEED = 0  # whom a sample is of does not change from run to run


@dataclass(frozen=True, slots=True)
class Hearing:
    """How one speaker was transcribed; a rate is None where there is nothing to count.

    All utterances together have one word and one character error rate, to which a single one that
    the model repeats itself in may add hundreds of percent; so their median tells who is lost.
    """

    language: str
    speaker: str  # "" where the manifest names none
    utterances: int
    wer: float | None  # percent; None for Chinese, which has no blanks to count words by
    cer: float | None  # percent
    median: float | None  # percent; of utterances, by words where they can be counted

    @property
    def lost(self) -> bool:
        """Whether the speaker is not understood."""
        return (self.median or 0.0) > LOST


def sampled(utterances: Iterable[Utterance], count: int) -> list[Task]:
    """At most `count` utterances of each speaker in each language, to be transcribed.

    Raises DataError where none has both sound and a transcript.
    """
    speakers: dict[tuple[str, str], list[Utterance]] = defaultdict(list)
    for one in utterances:
        if one.audio is not None and one.text.strip():
            speakers[one.language, one.speaker or ""].append(one)
    if not speakers:
        hint = 'each line needs "audio", "language" and "text"'
        raise DataError("the manifest has no speech with a transcript", hint=hint)
    rng = random.Random(SEED)
    drawn = [rng.sample(said, min(count, len(said))) for said in speakers.values()]
    return [Task(one, {one.language: one.text}) for some in drawn for one in some]


def hearings(tasks: Iterable[Task], texts: Mapping[Key, str]) -> list[Hearing]:
    """Every speaker of `tasks` of whom `texts` has something, by language, best understood first.

    `texts` holds transcripts by id and language; a sound that could not be read has none.
    """
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for task in tasks:
        one = task.utterance
        if (key := (one.id, one.language)) in texts:
            pairs[one.language, one.speaker or ""].append((texts[key], one.text))
    found = []
    for (language, speaker), heard in pairs.items():
        said, meant = zip(*heard, strict=True)
        wer, cer = error_rates(said, meant, language)
        median = _median([_rate(*one, language) for one in heard])
        found.append(Hearing(language, speaker, len(heard), wer, cer, median))
    return sorted(found, key=lambda one: (ORDER.index(one.language), one.median or 0.0))


def _rate(said: str, meant: str, language: str) -> float | None:
    """The error rate of one utterance, by words or else by characters."""
    words, characters = error_rates([said], [meant], language)
    return characters if words is None else words


def _median(rates: Iterable[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return statistics.median(known) if known else None
