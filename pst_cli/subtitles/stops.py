"""Grades every place where a text may be broken, by its punctuation and by the words beside it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from pst_cli.subtitles.breaks import GRAMMARS, Grammar
from pst_cli.subtitles.text import Piece, Stop, is_chinese

if TYPE_CHECKING:
    from collections.abc import Sequence

_EDGES = re.compile(r"^\W+|\W+$")
_NONE = Grammar()


def stops(run: Sequence[Piece], language: str) -> list[Stop]:
    """What ends where each piece ends; the last one, which nothing follows, by punctuation alone.

    A language without a `Grammar` has its punctuation.
    """
    grammar = GRAMMARS.get(language, _NONE)
    words = [_Word(piece, grammar) for piece in run]
    found: list[Stop] = []
    for i, (left, right) in enumerate(pairwise(words)):
        first = i == 0 or found[-1] is Stop.SENTENCE
        before = None if first else words[i - 1]
        found.append(_between(before, left, right, grammar))
    return [*found, *(piece.stop for piece in run[-1:])]


class _Word:
    """A piece as the lists know it; `begins` and `ends` differ where one stands for two words."""

    __slots__ = ("begins", "ends", "large", "number", "piece", "stop", "text")

    def __init__(self, piece: Piece, grammar: Grammar) -> None:
        self.piece, self.stop = piece, piece.stop
        bare = _EDGES.sub("", piece.text).replace("’", "'")
        self.text = bare.lower()
        self.large = bare[:1].isupper()
        self.number = bare[:1].isdigit() or (bare[:1].isnumeric() and len(bare) <= len("一个"))
        head, apostrophe, tail = self.text.partition("'") if grammar.elides else ("", "", "")
        self.begins = {self.text, head + apostrophe}
        self.ends = {self.text, tail}


def _between(before: _Word | None, left: _Word, right: _Word, grammar: Grammar) -> Stop:
    if left.stop is Stop.SENTENCE:
        return _dot(left, right, grammar)
    if left.stop is Stop.CLAUSE:
        return Stop.CLAUSE
    if right.piece.spaced and is_chinese(left.piece.text[-1]) and is_chinese(right.piece.text[0]):
        return Stop.CLAUSE  # Chinese has a space only where a comma might stand
    if _tight(left, right, grammar):
        return Stop.TIGHT
    if left.large and right.large:  # a first and a last name
        sure = before is not None and not grammar.nouns_are_large
        return Stop.TIGHT if sure else Stop.LOOSE
    return _loose(left, right, grammar) or _good(before, right, grammar)


def _dot(left: _Word, right: _Word, grammar: Grammar) -> Stop:
    """A sentence's end, unless the dot belongs to a short form, an initial or an ordinal."""
    if left.piece.bare.endswith("."):
        initial = left.large and len(left.text) == 1
        ordinal = grammar.nouns_are_large and left.number and len(left.text) <= len("31")
        if left.text in grammar.short or initial or ordinal:
            return Stop.TIGHT
    small = _EDGES.sub("", right.piece.text)[:1].islower()
    return Stop.CLAUSE if small else Stop.SENTENCE


def _tight(left: _Word, right: _Word, grammar: Grammar) -> bool:
    if right.begins & grammar.trailing or left.text.endswith(grammar.endings):
        return True
    if left.ends & (grammar.determiners | grammar.prepositions | grammar.leaning):
        return True
    if left.text in grammar.titles:
        return right.large or bool(grammar.nouns_are_large)
    return left.number and not right.begins & (grammar.joints | grammar.prepositions)


def _loose(left: _Word, right: _Word, grammar: Grammar) -> Stop | None:
    if left.ends & (grammar.loose | grammar.joints):
        return Stop.LOOSE
    # A small word before a comma or a full stop leans back: "came in.", "gekauft hat,"
    stranded = right.stop is not Stop.WORD and right.begins & (
        grammar.prepositions | grammar.leaning | grammar.loose
    )
    return Stop.LOOSE if stranded else None


def _good(before: _Word | None, right: _Word, grammar: Grammar) -> Stop:
    if right.begins & grammar.joints:
        return Stop.JOINT
    if right.begins & grammar.prepositions:
        return Stop.PHRASE
    if right.begins & grammar.leaning:
        return Stop.PHRASE  # a pronoun or a negation begins what is said of something
    small = right.begins & (grammar.determiners | grammar.loose)
    return Stop.NEAR if before and before.ends & grammar.determiners and not small else Stop.WORD
