"""What text is to a screen: how wide it stands, how long it reads, what is never broken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias
from unicodedata import category, east_asian_width

from pst_cli.types import SENTENCE_ENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

Words: TypeAlias = "Callable[[str], Sequence[str]]"
"""Cuts a text without spaces into its words, none left out."""

_NO_BREAK_SPACES = "\u00a0\u202f"  # French sets them before ? and »; str.split would lose them
_BLANK = re.compile(rf"(?:[^\S{_NO_BREAK_SPACES}]|[\x00-\x1f\x7f-\x9f])+")
_BREAKS = "\r\n\u2028\u2029"
_JOINER = "\u200d"  # zero-width joiner: the emoji after it is drawn into the one before
_SKIN_TONES = range(0x1F3FB, 0x1F400)

_UNSEEN = frozenset({"Mn", "Me", "Cf"})  # combining marks, joiners, direction marks
_CLOSING = frozenset({"Pe", "Pf", "Po"})
_OPENING = frozenset({"Ps", "Pi"})
_NEVER_FIRST = _CLOSING | _UNSEEN | {"Pd", "Lm"}  # Lm: the repetition mark 々
_NEVER_LAST = _OPENING | {"Cf"}

_QUOTES = "\"'”’»“)]}）】》〉」』 " + _NO_BREAK_SPACES
_CLAUSE_ENDS = ",;:，、；：،؛—–"


class Stop(IntEnum):
    """What ends where a piece ends, best place to break first."""

    SENTENCE = 0
    CLAUSE = 1
    JOINT = 2  # a conjunction or relative word follows
    PHRASE = 3  # a preposition follows
    WORD = 4
    NEAR = 5  # perhaps an adjective and its noun
    LOOSE = 6  # words that belong together
    TIGHT = 7  # words that are never parted while there is another way


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text that is never broken; `spaced` if a space stands before it."""

    text: str
    spaced: bool

    @property
    def bare(self) -> str:
        """The text without the quotes and brackets that close after it."""
        return self.text.rstrip(_QUOTES)

    @property
    def stop(self) -> Stop:
        """What its punctuation says, whatever its words: SENTENCE, CLAUSE or WORD."""
        last = self.bare[-1:] or "-"
        if last in SENTENCE_ENDS:
            return Stop.SENTENCE
        return Stop.CLAUSE if last in _CLAUSE_ENDS else Stop.WORD


def clean(text: str) -> str:
    """`text` on one line: blanks and control characters become single spaces, ends are trimmed.

    No-break spaces inside are kept. Text of which nothing would be seen becomes "".
    """
    text = _BLANK.sub(" ", text).strip()
    return text if any(_columns(c) and not c.isspace() for c in text) else ""


def width(text: str) -> int:
    """Columns that `text` takes: East Asian Wide and emoji 2, combining and invisible 0."""
    joined = False
    total = 0
    for character in text:
        total += 0 if joined and category(character) == "So" else _columns(character)
        joined = character == _JOINER and total > 0
    return total


def length(text: str) -> int:
    """Characters as read: spaces count, line breaks and what is not seen of its own do not."""
    joined = False
    total = 0
    for character in text:
        emoji = joined and category(character) == "So"
        total += not emoji and character not in _BREAKS and _columns(character) > 0
        joined = character == _JOINER and total > 0
    return total


def reading(lines: Sequence[str], *, wide: bool) -> float:
    """Characters as read in all of `lines`; where they are `wide` ones, narrow ones count half."""
    return sum(map(width, lines)) / 2 if wide else sum(map(length, lines))


def pieces(text: str, columns: int, words: Words = tuple) -> list[Piece]:
    """Cleaned `text` cut wherever a line may end: at spaces, and between Chinese `words`.

    Punctuation that stands alone ("va ?", "« oui") stays with its word, as long as the two
    fit into `columns`; a Chinese word that does not is cut between its characters.
    """
    found: list[Piece] = []
    for word in text.split(" "):
        for index, part in enumerate(_unspaced(word, columns, words)):
            piece = Piece(part, spaced=index == 0 and bool(found))
            if piece.spaced and _clings(found[-1].text, part):
                both = Piece(f"{found[-1].text} {part}", found[-1].spaced)
                if width(both.text) <= columns:
                    found[-1] = both
                    continue
            found.append(piece)
    return found


def is_chinese(character: str) -> bool:
    """Ideographs, kana and full-width punctuation; emoji (category So) are not."""
    return east_asian_width(character) in "WF" and category(character)[0] in "LP"


@lru_cache(maxsize=4096)
def _columns(character: str) -> int:
    if category(character) in _UNSEEN or ord(character) in _SKIN_TONES:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def _unspaced(text: str, columns: int, words: Words) -> Iterator[str]:
    """A text without spaces, cut between words; `words` is only asked about Chinese."""
    if not any(map(is_chinese, text)):
        yield text
        return
    for part in _cut(text, set(accumulate(map(len, words(text))))):
        yield from [part] if width(part) <= columns else _cut(part, range(len(part)))


def _cut(text: str, places: Container[int]) -> Iterator[str]:
    start = 0
    for i in range(1, len(text)):
        if i in places and _may_part(text[i - 1], text[i]):
            yield text[start:i]
            start = i
    yield text[start:]


def _may_part(left: str, right: str) -> bool:
    """Whether a line may end between two characters that have no space between them."""
    if not (is_chinese(left) or is_chinese(right)) or left in _NO_BREAK_SPACES:
        return False
    return category(left) not in _NEVER_LAST and category(right) not in _NEVER_FIRST


def _clings(left: str, right: str) -> bool:
    """Whether `right` is closing punctuation alone, or `left` opening punctuation alone."""
    return {category(c) for c in right} <= _CLOSING or {category(c) for c in left} <= _OPENING
