"""Tables of sentences, brought together into sets that say the same in several languages."""

from __future__ import annotations

import csv
import lzma
import random
from collections import Counter
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.corpus.catalogs import read_catalogs
from pst_cli.corpus.coverage import covering
from pst_cli.corpus.names import read_annotations, read_stamps
from pst_cli.data.texts import normalised, size
from pst_cli.errors import DataError
from pst_cli.training.plan import drawn_apart
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pst_cli.corpus.recipe import Recipe, Sentences
    from pst_cli.data.manifest import Utterance

ALTERNATIVES = " ||| "
INSTALLED = {"catalogs": read_catalogs, "stamps": read_stamps, "annotations": read_annotations}
LONGEST = 240  # letters; see `data.texts.size`
LONG = 120  # letters; from there on, longer sets are not liked more
CONTAINED = 24  # letters; a longer sentence inside a text that is kept apart counts as of it

Same = dict[str, str]  # language -> sentence
Said = frozenset[tuple[str, str]]  # languages, and what was spoken in them


def read_table(sources: Path, table: Sentences) -> Iterator[Same]:
    """The sets of a table, row by row; DataError where it cannot be read."""
    path = sources / table.table
    if read := INSTALLED.get(table.layout):
        yield from map(_fitting, read(path, table.package))
        return
    try:
        with (lzma.open if path.suffix == ".xz" else open)(
            path, "rt", encoding="utf-8", newline=""
        ) as file:
            rows = csv.DictReader(file, restval="", delimiter="\t", quoting=csv.QUOTE_NONE)
            yield from map(_columns if table.layout == "columns" else _pair, rows)
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, csv.Error, KeyError) as error:
        reason = f"{display(path)} cannot be read as a table of {table.layout}: {error}"
        raise DataError(reason) from error


def _columns(row: Mapping[str, str]) -> Same:
    """The first alternative of each cell that is fit."""
    found = {}
    for language in LANGUAGES:
        cells = row.get(language, "").split(ALTERNATIVES)
        if text := next((cell.strip() for cell in cells if fit(language, cell.strip())), ""):
            found[language] = text
    return found


def _pair(row: Mapping[str, str]) -> Same:
    return _fitting({row["source_language"]: row["source"], row["target_language"]: row["target"]})


def _fitting(said: Same) -> Same:
    return {code: text.strip() for code, text in said.items() if fit(code, text.strip())}


def fit(language: str, text: str) -> bool:
    """Whether a sentence may be learnt: simplified characters only, where it is Chinese."""
    if language not in LANGUAGES or not normalised(text):
        return False
    if language != "zh":
        return True
    try:
        text.encode("gb2312")  # holds simplified characters alone
    except UnicodeEncodeError:
        return False
    return True


def merged(rows: Iterable[Same]) -> list[Same]:
    """Sets that share a sentence become one, the first to name a language keeping it."""
    sets: list[Same] = []
    home: dict[tuple[str, str], int] = {}
    for row in rows:
        known = next((home[item] for item in row.items() if item in home), None)
        if known is None:
            known = len(sets)
            sets.append({})
        for language, text in row.items():
            if sets[known].setdefault(language, text) == text:
                home.setdefault((language, text), known)
    return sets


class Forbidden:
    """Texts that nothing may be learnt from, in any language."""

    def __init__(self, utterances: Iterable[Utterance]) -> None:
        texts = [normalised(text) for one in utterances for text in one.texts().values()]
        self._exact = frozenset(texts)
        self._all = "\n".join(sorted(self._exact))

    def holds(self, texts: Iterable[str]) -> bool:
        """Whether one of `texts` is one of them, or long enough and a part of one."""
        plain = [normalised(text) for text in texts]
        return any(
            text in self._exact or (size(text) >= CONTAINED and text in self._all) for text in plain
        )


def all_said(utterances: Iterable[Utterance]) -> Said:
    """What `utterances` say in the language that they are spoken in."""
    return frozenset((one.language, normalised(one.text)) for one in utterances)


def chosen(sets: Iterable[Same], language: str, recipe: Recipe) -> list[Same]:
    """The sets that are spoken in `language`, in an order that only the recipe's seed decides.

    Each holds `recipe.fewest` languages or more. Those that hold rarer languages and longer
    sentences are likelier, so that directions are evened out and windows are not all of five words;
    with `recipe.often`, those that hold words which were heard seldom come before all others. A
    larger `recipe.each` only adds to what a smaller one has.
    """
    fitting = [
        one for one in sets if len(one) >= recipe.fewest and _speakable(one, language, recipe)
    ]
    counts = Counter(code for one in fitting for code in one)

    def weight(one: Same) -> float:
        rarity = sum(1 / counts[code] for code in one)
        return len(fitting) * rarity * min(size(one[language]), LONG)

    rng = random.Random(f"{recipe.seed} {language}")
    count = round(recipe.each * recipe.portions.get(language, 1))
    weights = list(map(weight, fitting))
    drawn = drawn_apart(fitting, weights, len(fitting), rng)
    return (covering(drawn, language, recipe.often) if recipe.often else drawn)[:count]


def _speakable(said: Same, language: str, recipe: Recipe) -> bool:
    return language in said and recipe.shortest <= size(said[language]) <= LONGEST
