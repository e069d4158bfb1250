"""The run: manifests of what is learnt and what is judged by, and the sound that they name."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from pst_cli.audio.spans import span_seconds
from pst_cli.audio.writing import write_flac
from pst_cli.corpus.origins import told
from pst_cli.corpus.sentences import Forbidden, Said, Same, all_said, chosen, merged, read_table
from pst_cli.corpus.voices import cast, check_engines
from pst_cli.data.manifest import Utterance, read_manifest, write_manifest
from pst_cli.data.outliers import odd_lengths
from pst_cli.data.repeats import repeated
from pst_cli.data.texts import normalised
from pst_cli.errors import AudioError, DataError
from pst_cli.outputs import write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pst_cli.corpus.recipe import Apart, Recipe, Speech
    from pst_cli.types import Progress

TRAIN, TEXTS, DEV, TEST = "train.jsonl", "texts.jsonl", "dev.jsonl", "test.jsonl"
SOURCES = "SOURCES.md"


@dataclass(frozen=True, slots=True)
class Built:
    """What a corpus came to hold."""

    real: int  # utterances
    spoken: int  # by voices
    refused: int  # that a voice could not say
    texts: int  # sets that are only read
    dev: int
    test: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """A recipe, where its sources lie, where the corpus goes, and what need not be said again."""

    recipe: Recipe
    sources: Path
    output: Path
    without: Sequence[Path] = ()  # manifests, of what has been learnt

    def build(self, workers: int, progress: Progress | None = None) -> Built:
        """Make everything that is not there yet, with `workers` voices at a time.

        Raises:
            DataError: a source or a manifest is missing or broken, or a voice is not installed.
            OutputError: something cannot be written; what was made before stays.
        """
        check_engines(self.recipe.voices)
        dev, test = self._apart()
        forbidden = Forbidden([*dev, *test])
        real = sure([o for source in self.recipe.speech for o in self._real(source, forbidden)])
        sets = self._sets(forbidden)
        old = all_said(one for manifest in self.without for one in read_manifest(manifest))
        parts = [self._parts(sets, voice, old) for voice in self._languages()]
        spoken, refused = self._speak(list(chain.from_iterable(parts)), workers, progress)
        written = [_text(one) for one in sets if len(one) > 1]
        for name, found in ((TRAIN, [*real, *spoken]), (TEXTS, written), (DEV, dev), (TEST, test)):
            if found:
                write_manifest(self.output / name, found)
        write_atomic(self.output / SOURCES, told(self.recipe, real, spoken))
        return Built(len(real), len(spoken), refused, len(written), len(dev), len(test))

    def _languages(self) -> list[str]:
        return sorted({voice.language for voice in self.recipe.voices})

    def _apart(self) -> tuple[list[Utterance], list[Utterance]]:
        """What training is stopped by, and what it is judged by."""
        found: tuple[list[Utterance], list[Utterance]] = ([], [])
        for apart in self.recipe.apart:
            for group, members in _groups(read_manifest(self.sources / apart.manifest), apart):
                early = random.Random(f"{self.recipe.seed} {group}").random() < apart.dev
                found[0 if early else 1].extend(members)
        return found

    def _real(self, source: Speech, forbidden: Forbidden) -> list[Utterance]:
        fit = [
            one if source.transcripts else replace(one, text="")
            for one in read_manifest(self.sources / source.manifest)
            if one.name not in source.skip and not forbidden.holds(one.texts().values())
        ]
        if source.most is None or source.most >= len(fit):
            return fit
        return random.Random(f"{self.recipe.seed} {source.manifest}").sample(fit, source.most)

    def _sets(self, forbidden: Forbidden) -> list[Same]:
        rows = (read_table(self.sources, one) for one in self.recipe.sentences)
        every = merged(chain.from_iterable(rows))
        return [one for one in every if not forbidden.holds(one.values())]

    def _parts(self, sets: Sequence[Same], language: str, old: Said) -> list[tuple[str, Same]]:
        spoken = (one for one in sets if language in one)
        new = [one for one in spoken if (language, normalised(one[language])) not in old]
        return [(language, one) for one in chosen(new, language, self.recipe)]

    def _speak(
        self, parts: Sequence[tuple[str, Same]], workers: int, progress: Progress | None
    ) -> tuple[list[Utterance], int]:
        """What could be spoken, and how much could not."""
        spoken: list[Utterance] = []
        pool = ThreadPoolExecutor(workers)
        try:
            for done, one in enumerate(pool.map(self._say, parts), 1):
                spoken += [one] if one else []
                if progress:
                    progress("sentences spoken", done, len(parts))
        finally:  # Ctrl-C does not wait for all that was planned
            pool.shutdown(cancel_futures=True)
        return spoken, len(parts) - len(spoken)

    def _say(self, part: tuple[str, Same]) -> Utterance | None:
        """A sentence with its sound, which is made if it is not there; None where no voice can."""
        language, texts = part
        speaker = cast(self.recipe.voices, language, texts[language], self.recipe.seed)
        others = {code: text for code, text in texts.items() if code != language}
        spoken = Utterance(None, language, texts[language], others, speaker=speaker.known_as)
        name = f"{spoken.id}-{speaker.id}.flac"  # another voice makes a file of its own
        sound = self.output / "audio" / language / spoken.id[:2] / name
        try:
            if not sound.is_file():
                write_flac(sound, speaker.say(texts[language]))
            seconds = round(span_seconds(sound), 3)
        except (DataError, AudioError):
            return None
        return replace(spoken, audio=sound, duration=seconds)


def sure(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Those that `pst data check` has no doubts about: repeats and odd lengths are left out."""
    doubts = chain(repeated(utterances), odd_lengths(utterances))
    doubtful = {finding.place for finding in doubts}
    return [one for one in utterances if one.place not in doubtful]


def _groups(utterances: Sequence[Utterance], apart: Apart) -> list[tuple[str, list[Utterance]]]:
    """Utterances that belong together, in the manifest's order."""
    found: dict[str, list[Utterance]] = defaultdict(list)
    for one in utterances:
        match = re.search(apart.group, one.name) if apart.group else None
        found[match[0] if match else one.id].append(one)
    return list(found.items())


def _text(texts: Same) -> Utterance:
    language, *others = texts
    return Utterance(None, language, texts[language], {code: texts[code] for code in others})
