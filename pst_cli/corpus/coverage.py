"""Which sentences to hear first, so that no word of everyday speech is left out.

Drawn as they come, sentences say the same few hundred words over and over, and most of the things
that people name are heard once or never: a host so taught guesses at them. To take sentences for
the words that have been heard seldom so far is the greedy answer to maximum coverage (Nemhauser et
al., 1978).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WORD = re.compile(r"[^\W\d_]+")
COMMON = 5  # sets that have a word and its other language; below, it is a name, a slip, or rare


def covering(sets: Sequence[dict[str, str]], language: str, often: int) -> list[dict[str, str]]:
    """`sets`, those first that have words to add, each word to be heard up to `often` times.

    A word of `language` counts once for each other language that it is put into. All are heard
    once, as far as any set holds them, before one is taken to be heard twice, then four times, and
    so on; among sets that add something the order stays. The others follow.
    """
    words = [frozenset(_words(one, language)) for one in sets]
    known = Counter(word for some in words for word in some)
    lasting = [frozenset(w for w in some if known[w] >= COMMON) for some in words]
    heard: Counter[tuple[str, str]] = Counter()
    first: list[int] = []
    rest = list(range(len(sets)))
    for level in _levels(often):
        left = []
        for index in rest:
            if any(heard[word] < level for word in lasting[index]):
                first.append(index)
                heard.update(lasting[index])
            else:
                left.append(index)
        rest = left
    return [sets[index] for index in (*first, *rest)]


def _words(one: Mapping[str, str], language: str) -> Iterator[tuple[str, str]]:
    """Words of the sentence, each with a language that it is put into."""
    for word in WORD.findall(one[language].casefold()):
        for other in one:
            if other != language:
                yield word, other


def _levels(often: int) -> Iterator[int]:
    """1, 2, 4, ... and `often` in the end."""
    level = 1
    while level < often:
        yield level
        level *= 2
    yield often
