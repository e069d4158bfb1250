"""What text is to a screen: how wide it stands, where it may be broken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING
from unicodedata import category, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_BREAK_SPACES = "\u00a0\u202f"  # French sets them before ? and »; str.split would lose them
_BLANK = re.compile(rf"(?:[^\S{_NO_BREAK_SPACES}]|[\x00-\x1f\x7f-\x9f])+")
_JOINER = "\u200d"  # zero-width joiner: the emoji after it is drawn into the one before
_SKIN_TONES = range(0x1F3FB, 0x1F400)

_UNSEEN = frozenset({"Mn", "Me", "Cf"})  # combining marks, joiners, direction marks
_CLOSING = frozenset({"Pe", "Pf", "Po"})
_OPENING = frozenset({"Ps", "Pi"})
_NEVER_FIRST = _CLOSING | _UNSEEN | {"Pd", "Lm"}  # Lm: the repetition mark 々
_NEVER_LAST = _OPENING | {"Cf"}

_QUOTES = "\"'”’»“)]}）】》〉」』 " + _NO_BREAK_SPACES
_SENTENCE_ENDS = ".!?…。！？．؟۔"
_CLAUSE_ENDS = ",;:，、；：،؛—–"


class Stop(Enum):
    """What ends where a piece ends, best place to break first."""

    SENTENCE = "sentence"
    CLAUSE = "clause"
    WORD = "word"


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text that is never broken; `spaced` if a space stands before it."""

    text: str
    spaced: bool

    @property
    def stop(self) -> Stop:
        last = self.text.rstrip(_QUOTES)[-1:] or "-"
        if last in _SENTENCE_ENDS:
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


def pieces(text: str, columns: int) -> list[Piece]:
    """Cleaned `text` cut wherever a line may end: at spaces, and between Chinese characters.

    Punctuation that stands alone ("va ?", "« oui") stays with its word, as long as the two
    fit into `columns`.
    """
    found: list[Piece] = []
    for word in text.split(" "):
        for index, part in enumerate(_unspaced(word)):
            piece = Piece(part, spaced=index == 0 and bool(found))
            if piece.spaced and _clings(found[-1].text, part):
                both = Piece(f"{found[-1].text} {part}", found[-1].spaced)
                if width(both.text) <= columns:
                    found[-1] = both
                    continue
            found.append(piece)
    return found


@lru_cache(maxsize=4096)
def _columns(character: str) -> int:
    if category(character) in _UNSEEN or ord(character) in _SKIN_TONES:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def _unspaced(word: str) -> Iterator[str]:
    start = 0
    for i in range(1, len(word)):
        if _may_part(word[i - 1], word[i]):
            yield word[start:i]
            start = i
    yield word[start:]


def _may_part(left: str, right: str) -> bool:
    """Whether a line may end between two characters that have no space between them."""
    if not (_is_cjk(left) or _is_cjk(right)) or left in _NO_BREAK_SPACES:
        return False
    return category(left) not in _NEVER_LAST and category(right) not in _NEVER_FIRST


def _is_cjk(character: str) -> bool:
    """Ideographs, kana and full-width punctuation; emoji (category So) are not."""
    return east_asian_width(character) in "WF" and category(character)[0] in "LP"


def _clings(left: str, right: str) -> bool:
    """Whether `right` is closing punctuation alone, or `left` opening punctuation alone."""
    return {category(c) for c in right} <= _CLOSING or {category(c) for c in left} <= _OPENING
