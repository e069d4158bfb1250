"""Breaks a long text into cues of few short lines, at the places where a reader would pause."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from pst_cli.errors import UsageError
from pst_cli.subtitles.text import Piece, Stop, pieces, width

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Limits:
    """What one cue may hold; a line is measured in columns of display width."""

    columns: int = 42  # Netflix and TED alike
    lines: int = 2

    def __post_init__(self) -> None:
        if self.columns < 2 or self.lines < 1:  # 2: one Chinese character
            raise UsageError(
                f"a cue cannot be {self.columns} columns wide and {self.lines} lines high"
            )


CHINESE = Limits(columns=2 * 16)  # 16 full-width characters (Netflix)


class Prices(NamedTuple):
    """What a partition pays for each run, for where it ends, and for the room it wastes."""

    run: float
    stops: dict[Stop, float]
    last_slack: float
    slack: float
    power: int


# Dear runs: as few lines as possible. Slack is a little cheaper above the last line, so that of
# two equally ragged pairs the bottom-heavy one wins.
_LINE = Prices(1e6, {Stop.SENTENCE: 0, Stop.CLAUSE: 5, Stop.WORD: 25}, 100, 90, 2)
# Cheap runs: one cue more is worth it to end each with a sentence; a steep power, since half
# a cue is fine to read and a lone word is not.
_CUE = Prices(30, {Stop.SENTENCE: 0, Stop.CLAUSE: 40, Stop.WORD: 130}, 200, 200, 4)


def layout(text: str, limits: Limits) -> list[tuple[str, ...]]:
    """The lines of each cue that cleaned `text` needs; words and their order never change.

    No line is wider than `limits.columns`, save one that holds a single wider word.
    """
    found = pieces(text, limits.columns)
    ends = _line_ends(found, limits.columns)
    reach = ends
    for _ in range(limits.lines - 1):
        reach = [ends[end] for end in reach]
    room = limits.columns * limits.lines
    return [_lines(run, limits.columns) for run in _partition(found, reach, room, _CUE)]


def _lines(run: Sequence[Piece], columns: int) -> tuple[str, ...]:
    parts = _partition(run, _line_ends(run, columns), columns, _LINE)
    return tuple(_join(part) for part in parts)


def _join(run: Sequence[Piece]) -> str:
    return run[0].text + "".join(" " * piece.spaced + piece.text for piece in run[1:])


def _offsets(run: Sequence[Piece]) -> list[int]:
    """Column at which each piece would end if all stood on one line, after a leading 0."""
    return [0, *accumulate(width(piece.text) + piece.spaced for piece in run)]


def _line_ends(run: Sequence[Piece], columns: int) -> list[int]:
    """For a line begun with piece i, the index after the last piece that fits; at least one does.

    One entry more than pieces: the empty line at the end ends there.
    """
    offsets = _offsets(run)
    ends: list[int] = []
    end = 0
    for i, piece in enumerate(run):
        end = max(end, i + 1)
        while end < len(run) and offsets[end + 1] - offsets[i] - piece.spaced <= columns:
            end += 1
        ends.append(end)
    return [*ends, len(run)]


def _partition(
    run: Sequence[Piece], reach: Sequence[int], room: int, prices: Prices
) -> list[Sequence[Piece]]:
    """The cheapest way to cut `run` into parts, a part begun at i ending at most at `reach[i]`.

    Dynamic programming from the end, as in Knuth and Plass (1981), "Breaking paragraphs into
    lines"; linear in the pieces, since a part holds few.
    """
    offsets = _offsets(run)
    stops = [prices.stops[piece.stop] for piece in run]
    last = len(run)

    def cost(start: int, end: int) -> float:
        wasted = max(0, room - (offsets[end] - offsets[start] - run[start].spaced)) / room
        if end == last:
            return prices.run + prices.last_slack * wasted**prices.power
        return prices.run + stops[end - 1] + prices.slack * wasted**prices.power

    best = [0.0] * (last + 1)
    cut = [last] * (last + 1)
    for i in reversed(range(last)):
        best[i], cut[i] = min((cost(i, j) + best[j], j) for j in range(i + 1, reach[i] + 1))
    parts = []
    i = 0
    while i < last:
        parts.append(run[i : cut[i]])
        i = cut[i]
    return parts
