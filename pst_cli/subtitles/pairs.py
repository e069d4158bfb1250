"""Stacks two languages: what was said above, its translation below.

Each language is first cut into cues within limits of its own. Which of them stand for the same
speech is then told by their times, as Gale and Church (1993), "A program for aligning sentences in
bilingual corpora", tell it by lengths: one cue goes with one or several neighbours in the other
language, or stands alone.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from pst_cli.subtitles.cues import cues
from pst_cli.subtitles.lines import Run
from pst_cli.subtitles.spoken import spoken
from pst_cli.subtitles.text import Stop, reading, width
from pst_cli.types import Cue, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pst_cli.subtitles.spoken import Spoken
    from pst_cli.subtitles.styles import Style

MOST = 4  # cues of one language that one of the other is matched with
ALONE = 2.5  # s of distance; above this two cues rather stand alone, each
MORE = 0.4  # s of distance that each further cue in a match must be worth
SECOND = 1000  # ms
BAND = 15.0  # s; cues whose starts are further apart are never matched
SHAPES = [(1, 1), (0, 1), (1, 0)]
SHAPES += [shape for many in range(2, MOST + 1) for shape in ((1, many), (many, 1))]
# What a cut inside a text costs, in shares of the text that it may lie off its time instead.
CUTS = {
    Stop.SENTENCE: 0.0,
    Stop.CLAUSE: 0.04,
    Stop.JOINT: 0.06,
    Stop.PHRASE: 0.08,
    Stop.WORD: 0.15,
    Stop.NEAR: 0.2,
    Stop.LOOSE: 0.3,
    Stop.TIGHT: 0.6,
}


@dataclass(frozen=True, slots=True)
class Side:
    """One language's part: its cues in order, and what they keep to."""

    cues: Sequence[Cue]
    language: str
    style: Style

    @classmethod
    def of(cls, segments: Iterable[Segment], language: str, style: Style) -> Side:
        return cls(list(cues(segments, language, style)), language, style)

    def parts(self, row: Sequence[Cue]) -> list[tuple[str, ...]]:
        """All the text anew, lines for each cue of `row` and about its time; some may have none."""
        start, end = row[0].start, max(row[-1].end, row[0].start + 1)
        whole = Segment(start / SECOND, end / SECOND, _text(self.cues))
        run = spoken(whole, self.language, self.style.columns)

        def cost(index: int) -> float:
            off = (run[index].start if index < len(run) else end) - row[len(cuts)].start
            price = CUTS[run[index - 1].stop] if 0 < index < len(run) else 0.0
            return abs(off) / (end - start) + price

        cuts = [0]
        while len(cuts) < len(row):
            cuts.append(min(range(cuts[-1], len(run) + 1), key=cost))
        return [_lines(run[a:b], self.style) for a, b in pairwise([*cuts, len(run)])]


@dataclass(frozen=True, slots=True)
class Pair:
    """A stacked cue: integer milliseconds, each language's lines; at most one has none."""

    start: int
    end: int
    upper: tuple[str, ...]
    lower: tuple[str, ...]

    @property
    def cue(self) -> Cue:
        return Cue(self.start, self.end, self.upper + self.lower)

    @property
    def texts(self) -> tuple[str, str]:
        """What each language says, on one line."""
        return joined(self.upper), joined(self.lower)


def stacked(upper: Side, lower: Side) -> list[Pair]:
    """Both languages in one row of cues, in order, with all the words of either.

    Times are those of `lower`; it is cut anew only where `upper` would not fit it otherwise.
    """
    found: list[Pair] = []
    for above, below in _matches(upper.cues, lower.cues):
        found += _stack(replace(upper, cues=above), replace(lower, cues=below))
    return _in_turn(found, lower.style.gap)


def joined(lines: Sequence[str]) -> str:
    """Lines as one text; no space where a Chinese one was broken."""
    text = ""
    for line in lines:
        wide = text and line and width(text[-1]) == width(line[0]) == 2
        text += line if wide or not text else f" {line}"
    return text


def _matches(
    upper: Sequence[Cue], lower: Sequence[Cue]
) -> Iterator[tuple[Sequence[Cue], Sequence[Cue]]]:
    """The nearest matching in time; dynamic programming over how much of each is matched."""
    best = {(0, 0): 0.0}
    shapes = dict[tuple[int, int], tuple[int, int]]()
    for i, j in _places(upper, lower):
        for a, b in SHAPES:
            before = best.get((i - a, j - b), math.inf)
            cost = before + _distance(upper[max(i - a, 0) : i], lower[max(j - b, 0) : j])
            if cost < best.get((i, j), math.inf):
                best[i, j], shapes[i, j] = cost, (a, b)
    i, j = len(upper), len(lower)
    found = []
    while i or j:
        a, b = shapes[i, j]
        i, j = i - a, j - b
        found.append((upper[i : i + a], lower[j : j + b]))
    yield from reversed(found)


def _places(upper: Sequence[Cue], lower: Sequence[Cue]) -> Iterator[tuple[int, int]]:
    """How many cues of each language may be matched at a time, in rising order."""
    starts, band = [cue.start for cue in lower], round(BAND * SECOND)
    for i in range(len(upper) + 1):
        first = bisect_left(starts, upper[i - 1].start - band) if i else 0
        last = bisect_right(starts, upper[i].start + band) if i < len(upper) else len(lower)
        for j in range(first, last + 1):
            yield i, j


def _distance(upper: Sequence[Cue], lower: Sequence[Cue]) -> float:
    """How ill cues match, in seconds."""
    if not upper or not lower:
        return ALONE
    starts, ends = upper[0].start - lower[0].start, upper[-1].end - lower[-1].end
    return (abs(starts) + abs(ends)) / SECOND + MORE * (max(len(upper), len(lower)) - 1)


def _stack(upper: Side, lower: Side) -> list[Pair]:
    """The stacked cues of one match."""
    if not lower.cues:
        return [Pair(cue.start, cue.end, cue.lines, ()) for cue in upper.cues]
    if not upper.cues:
        return [Pair(cue.start, cue.end, (), cue.lines) for cue in lower.cues]
    said, shown = upper.parts(lower.cues), lower.cues
    cut_below = [Pair(b.start, b.end, a, b.lines) for a, b in zip(said, shown, strict=True)]
    places = _shared(lower.cues, upper.cues, lower.style.gap)
    put_below = lower.parts(places)
    cut_above = [Pair(a.start, a.end, a.lines, b) for a, b in zip(places, put_below, strict=True)]
    return min(cut_below, cut_above, key=lambda way: _faults(way, upper.style, lower.style))


def _faults(way: Iterable[Pair], *styles: Style) -> tuple[int, int]:
    """How often stacked cues break a limit of either language: first in lines, then otherwise."""
    high = other = 0
    for pair in way:
        lasts = pair.end - pair.start
        for lines, style in zip((pair.upper, pair.lower), styles, strict=True):
            high += len(lines) > style.lines
            other += SECOND * reading(lines, wide=style.wide) > style.speed * lasts
            other += not style.shortest <= lasts <= style.longest
            other += not lines
    return high, other


def _text(row: Sequence[Cue]) -> str:
    return joined([line for cue in row for line in cue.lines])


def _lines(run: Sequence[Spoken], style: Style) -> tuple[str, ...]:
    """A cue's lines: the best of those that the style lets it have, else as many as it takes."""
    if not run:
        return ()
    laid = Run([one.piece for one in run], [one.stop for one in run], style.columns)
    if laid.reach(style.lines)[0] >= len(run):
        return laid.text(0, len(run), laid.breaks(0, len(run), style.lines))
    ends = laid.reach(1)
    breaks = [ends[0]]
    while ends[breaks[-1]] < len(run):
        breaks.append(ends[breaks[-1]])
    return laid.text(0, len(run), breaks)


def _shared(room: Sequence[Cue], row: Sequence[Cue], gap: int) -> list[Cue]:
    """The cues of `row` moved into the time of `room`, apart by `gap` where they fit so."""
    start, end = room[0].start, room[-1].end
    marks = [start, *(one.start for one in row[1:]), end]
    shortest = (end - start) / (2 * len(row))  # a cue squeezed further is no cue
    if any(last - first < shortest for first, last in pairwise(marks)):
        ends = [0]
        for one in row:
            ends.append(ends[-1] + sum(map(width, one.lines)))
        marks = [start + (end - start) * place // max(ends[-1], 1) for place in ends]
    spans = [(first, max(last - gap, first + 1)) for first, last in pairwise(marks)]
    spans[-1] = (marks[-2], end)
    return [replace(one, start=a, end=b) for one, (a, b) in zip(row, spans, strict=True)]


def _in_turn(row: Sequence[Pair], gap: int) -> list[Pair]:
    """Make times rise: what starts early ends the one before it, and waits for it to have begun."""
    found: list[Pair] = []
    for pair in row:
        start = pair.start
        if found:
            start = max(start, found[-1].start + 1)
            end = found[-1].end if found[-1].end <= start else max(start - gap, found[-1].start + 1)
            found[-1] = replace(found[-1], end=end)
        found.append(replace(pair, start=start, end=max(pair.end, start + 1)))
    return found
