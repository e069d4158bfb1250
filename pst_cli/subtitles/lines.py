"""Breaks a run of pieces into few short lines, at the places where a reader would pause."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, TypeAlias

from pst_cli.subtitles.text import Stop, reading, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.subtitles.text import Piece

# What a line pays to end at a stop, and for the room it wastes, squared. Slack is a little cheaper
# above the last line, so that of two equally ragged pairs the bottom-heavy one wins.
_STOPS = {
    Stop.SENTENCE: 0,
    Stop.CLAUSE: 5,
    Stop.JOINT: 10,
    Stop.PHRASE: 14,
    Stop.WORD: 25,
    Stop.NEAR: 40,
    Stop.LOOSE: 80,
    Stop.TIGHT: 600,
}
_SLACK, _LAST_SLACK = 90, 100

Lines: TypeAlias = tuple[float, tuple[int, ...]]
"""What breaking costs, and the piece that begins each line but the first."""


class Run:
    """Pieces with what ends after each, measured so that any stretch of them is told at once."""

    def __init__(
        self, pieces: Sequence[Piece], stops: Sequence[Stop], columns: int, *, wide: bool = False
    ) -> None:
        self.pieces, self.stops, self.columns = pieces, stops, columns
        self._space = reading([" "], wide=wide)
        self._columns = [0, *accumulate(width(piece.text) + piece.spaced for piece in pieces)]
        lengths = (reading([p.text], wide=wide) + self._space * p.spaced for p in pieces)
        self._lengths = [0.0, *accumulate(lengths)]

    def width(self, first: int, end: int) -> int:
        """Columns of pieces `first` to `end` (exclusive) on one line."""
        return self._columns[end] - self._columns[first] - self.pieces[first].spaced

    def length(self, first: int, end: int) -> float:
        """Characters to read in the same stretch."""
        return self._lengths[end] - self._lengths[first] - self._space * self.pieces[first].spaced

    def reach(self, lines: int) -> list[int]:
        """For a cue begun with each piece, the index after the last that its lines can hold."""
        ends = self._line_ends()
        reach = ends
        for _ in range(lines - 1):
            reach = [ends[end] for end in reach]
        return reach[:-1]

    def breaks(self, first: int, end: int, most: int) -> tuple[int, ...]:
        """Before which pieces the best lines of a stretch within reach begin, but for the first.

        As few lines as hold it, at most `most`.
        """
        found: Lines = (math.inf, ())
        for count in range(1, most + 1):
            found = self._exactly(first, end, count)
            if math.isfinite(found[0]):
                break
        return found[1]

    def price(self, breaks: Sequence[int]) -> float:
        """What lines that begin before `breaks` pay for where they are broken."""
        return sum(_STOPS[self.stops[place - 1]] for place in breaks)

    def text(self, first: int, end: int, breaks: Sequence[int]) -> tuple[str, ...]:
        """The lines of a stretch, begun anew before each of `breaks`."""
        return tuple(_join(self.pieces[a:b]) for a, b in pairwise([first, *breaks, end]))

    def _exactly(self, first: int, end: int, count: int) -> Lines:
        if count == 1:
            return self._slack(first, end, _LAST_SLACK), ()
        best: Lines = (math.inf, ())
        for cut in range(first + 1, end):
            cost = self._slack(first, cut, _SLACK) + _STOPS[self.stops[cut - 1]]
            if cost >= best[0]:
                continue
            rest, breaks = self._exactly(cut, end, count - 1)
            best = min(best, (cost + rest, (cut, *breaks)))
        return best

    def _slack(self, first: int, end: int, price: int) -> float:
        wide = self.width(first, end)
        if wide > self.columns and end > first + 1:
            return math.inf
        return price * float(max(0, self.columns - wide) / self.columns) ** 2

    def _line_ends(self) -> list[int]:
        """For a line begun with each piece, the index after the last that fits; at least one does.

        One entry more than pieces: the empty line at the end ends there.
        """
        count = len(self.pieces)
        ends: list[int] = []
        end = 0
        for first in range(count):
            end = max(end, first + 1)
            while end < count and self.width(first, end + 1) <= self.columns:
                end += 1
            ends.append(end)
        return [*ends, count]


def _join(run: Sequence[Piece]) -> str:
    return run[0].text + "".join(" " * piece.spaced + piece.text for piece in run[1:])
