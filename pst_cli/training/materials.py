"""What a run is given: manifests read, measured, told apart, and laid out as clips."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.data.manifest import Utterance, read_manifest
from pst_cli.errors import DataError
from pst_cli.training.card import DataFacts, data_facts
from pst_cli.training.clips import joined, measured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pst_cli.models.spelling import Speller
    from pst_cli.training.clips import Clip


LAYOUT = 1  # of `fixed_clips`, their seed too: what one run has stored of them serves the next


@dataclass(frozen=True, slots=True)
class Materials:
    """Utterances that can be heard, those that can only be read, and where both are from."""

    spoken: list[Utterance]
    texts: list[Utterance]
    facts: list[DataFacts]
    left_out: list[Utterance]  # no window can hold them

    @classmethod
    def read(cls, manifests: Sequence[Path], use: str) -> Materials:
        """All of `manifests`; `use` is what the model card says they were for.

        Raises DataError where one cannot be used.
        """
        found = cls([], [], [], [])
        for path in manifests:
            utterances = read_manifest(path)
            spoken = measured(utterances)
            texts = [one for one in utterances if one.audio is None]
            found.spoken.extend(spoken)
            found.texts.extend(texts)
            usable = {one.place for one in spoken}
            found.left_out.extend(o for o in utterances if o.audio and o.place not in usable)
            found.facts.append(data_facts(path, [*spoken, *texts], use=use))
        return found

    def counted(self, speller: Speller, most: int | None = None) -> dict[str, Counter[int]]:
        """How often each token stands in the texts of each language.

        With `most`, over every so many utterances, `most` of them or fewer.
        """
        utterances = [*self.spoken, *self.texts]
        apart = -(-len(utterances) // most) if most else 1
        counts: dict[str, Counter[int]] = defaultdict(Counter)
        for one in utterances[:: max(1, apart)]:
            for language, text in one.texts().items():
                counts[language].update(speller.words(text, language))
        return counts


def read_both(train: Sequence[Path], held_out: Sequence[Path]) -> tuple[Materials, Materials]:
    """What is learnt from, and what is held out.

    Raises DataError where nothing in the first can be heard, nothing in the second can be judged
    by, or one sound is in both.
    """
    learnt, held = Materials.read(train, "training"), Materials.read(held_out, "held out")
    if not learnt.spoken:
        raise DataError(
            "no utterance of at most 30 s to learn from in the manifests",
            hint="pst data check MANIFEST tells what they hold",
        )
    if held_out and not any(one.texts() for one in held.spoken):
        raise DataError(
            "no held-out utterance of at most 30 s has a text to judge by",
            hint="name a manifest with texts or translations after --held-out, or leave it out",
        )
    known = {(one.audio, one.start) for one in learnt.spoken}
    both = [one for one in held.spoken if (one.audio, one.start) in known]
    if both:
        raise DataError(
            f"{len(both)} held-out utterances are learnt from too, the first at {both[0].place}",
            hint="pst data check TRAIN HELD-OUT finds all that two manifests share",
        )
    return learnt, held


def fixed_clips(utterances: Sequence[Utterance], longest: float) -> list[Clip]:
    """Clips that are the same in every run, of one speaker each where speakers are named.

    Each is as long as a limit drawn up to `longest` seconds allows, and of utterances that have
    text in the same languages: a clip has only what all of its own have.
    """
    groups: dict[tuple[str, ...], list[Utterance]] = defaultdict(list)
    for one in utterances:
        groups[one.language, one.speaker or "", *sorted(one.texts())].append(one)
    found: list[Clip] = []
    for name in sorted(groups):
        rng = random.Random(f"{LAYOUT} {name}")
        rng.shuffle(groups[name])
        found += joined(groups[name], longest, (1.0,), rng)
    return found
