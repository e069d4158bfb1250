"""When each piece of a segment is spoken: between its marks by display width, so without them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING
from unicodedata import category

from pst_cli.subtitles.chinese import words
from pst_cli.subtitles.stops import stops
from pst_cli.subtitles.text import Piece, Stop, clean, is_chinese, pieces, width
from pst_cli.subtitles.times import milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.types import Segment

PAUSE = 500  # ms; a silence that is heard as one
SLOW = (400, 150)  # ms a piece and ms a column: no word takes longer, the rest is silence


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece, the milliseconds of the file in which it is said, and what ends after it."""

    piece: Piece
    start: int
    end: int
    stop: Stop


def spoken(segment: Segment, language: str, columns: int) -> list[Spoken]:
    """A segment's pieces, none if nothing would be seen; starts never fall.

    ValueError on a time that is negative or not a number.
    """
    text = clean(segment.text)
    times = _anchors(segment)
    if not text:
        return []
    run = pieces(text, columns, words if language == "zh" else tuple)
    begins = [0, *accumulate(_solid(piece.text) for piece in run)]
    starts = [_interpolate(times, column) for column in begins]
    found = []
    graded = zip(run, stops(run, language), pairwise(starts), strict=True)
    for piece, stop, (start, following) in graded:
        slow = start + SLOW[0] + SLOW[1] * width(piece.text)
        end = min(following, slow) if segment.marks else following
        found.append(Spoken(piece, start, end, _heard(stop, following - end)))
    return found


def chained(earlier: Sequence[Spoken], later: Sequence[Spoken], language: str) -> list[Spoken]:
    """Two stretches as one; both hold something."""
    last, first = earlier[-1], later[0]
    full = is_chinese(last.piece.text[-1]) and last.piece.stop is not Stop.WORD
    first = replace(first, piece=Piece(first.piece.text, spaced=not full))
    stop = _heard(stops([last.piece, first.piece], language)[0], first.start - last.end)
    if Stop.PHRASE < stop <= Stop.NEAR:
        stop = Stop.PHRASE  # the voice, or who wrote it down, made a new start here
    rest = [first, *later[1:]]
    floor = last.start
    rest = [replace(one, start=max(floor, one.start), end=max(floor, one.end)) for one in rest]
    return [*earlier[:-1], replace(last, stop=stop), *rest]


def _heard(stop: Stop, silence: int) -> Stop:
    return min(stop, Stop.CLAUSE) if silence >= PAUSE else stop


def _anchors(segment: Segment) -> list[tuple[int, int]]:
    """(columns of text before it, ms) of every moment that is known, both rising."""
    start = milliseconds(segment.start)
    end = max(start, milliseconds(segment.end))
    total = _solid(segment.text)
    found = [(0, start)]
    for count, seconds in segment.marks:
        column, moment = _solid(segment.text[:count]), milliseconds(seconds)
        if column == 0 and start < moment < end:
            found[0] = (0, moment)  # the voice begins after the segment does
        elif found[-1][0] < column < total and found[-1][1] < moment < end:
            found.append((column, moment))
    return [*found, (total, end)]


def _interpolate(anchors: Sequence[tuple[int, int]], column: int) -> int:
    after = min(
        max(1, bisect_right(anchors, column, key=lambda anchor: anchor[0])), len(anchors) - 1
    )
    (left, start), (right, end) = anchors[after - 1], anchors[after]
    if right <= left:
        return start
    return start + (end - start) * (min(column, right) - left) // (right - left)


def _solid(text: str) -> int:
    """Columns without blanks, which cleaning changes."""
    return width("".join(c for c in text if not (c.isspace() or category(c) == "Cc")))
