"""Cuts what is spoken into cues that can be read: the best of all ways, in words and in time.

Dynamic programming over pieces, as in Knuth and Plass (1981), "Breaking paragraphs into lines",
with one thing more: a cue that needs longer to be read than its words last puts the next one off,
so that a way is known by its cost and by when its next cue begins. Of ways that come to the same
place, those that are neither cheaper nor earlier than another are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from pst_cli.subtitles.lines import Run
from pst_cli.subtitles.text import Stop
from pst_cli.subtitles.timing import Standing
from pst_cli.types import Cue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pst_cli.subtitles.spoken import Spoken
    from pst_cli.subtitles.styles import Style

# What a cue costs, for where it ends and for the room it wastes: one cue more is worth it to end
# each with a sentence; a steep power, since half a cue is fine to read and a lone word is not.
_CUE, _SLACK, _POWER = 30, 200, 4
_STOPS = {
    Stop.SENTENCE: 0,
    Stop.CLAUSE: 40,
    Stop.JOINT: 70,
    Stop.PHRASE: 100,
    Stop.WORD: 180,
    Stop.NEAR: 240,
    Stop.LOOSE: 360,
    Stop.TIGHT: 800,
}
_MIXED = 70  # for each end of a cue that is but a part of a sentence, beside another sentence
_SILENCE = 60  # for one as long as may stand inside a cue ...
_MORE_SILENCE = 2  # ... and for each ms beyond
_EARLY = 0.03  # for each ms that a sentence is read before it is said, past the first second
_LATE = 0.05  # for each ms that a cue is put off
_CLIPPED = 1500, 0.5  # for a cue whose words outlast it, and for each ms
_TOO_SHORT, _TOO_FAST = 8000, 3000  # for a limit broken, and as much again if by the whole of it
_SECOND = 1000  # ms


@dataclass(frozen=True, slots=True)
class Way:
    """One way to show all pieces before `first`; what comes next begins at `start`, in ms."""

    cost: float
    start: float
    first: int = 0
    before: Way | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A cue, the piece after it, and when what begins with that may be shown at the earliest."""

    cue: Cue
    end: int
    following: float


def cut(run: Sequence[Spoken], style: Style, floor: float, until: float) -> list[Shown]:
    """Cues for `run`, which holds something, begun at `floor` ms at the earliest.

    `until` is when what follows begins (infinite where nothing does).
    """
    cutter = Cutter(run, style, until)
    best: Way | None = cutter.best(floor)
    steps = []
    while best is not None:
        steps.append(best)
        best = best.before
    return [cutter.shown(way, after) for way, after in pairwise(reversed(steps))]


def _undominated(ways: list[Way]) -> list[Way]:
    kept: list[Way] = []
    for way in sorted(ways, key=lambda way: (way.start, way.cost)):
        if not kept or way.cost < kept[-1].cost:
            kept.append(way)
    return kept


class Cutter:
    """What every cue that could be cut out of `run` costs."""

    def __init__(self, run: Sequence[Spoken], style: Style, until: float) -> None:
        self.run, self.style = run, style
        self.begins: list[float] = [*(one.start for one in run), until]
        found, ends = [one.piece for one in run], [one.stop for one in run]
        self.text = Run(found, ends, style.columns, wide=style.wide)
        silences = (self._silence(other.start - one.end) for one, other in pairwise(run))
        self._silences = [0.0, *accumulate(silences)]
        begun = (i if i and run[i - 1].stop is Stop.SENTENCE else 0 for i in range(len(run)))
        self._sentences = list(accumulate(begun, max))

    def best(self, floor: float) -> Way:
        """The cheapest way past all of `run`, begun at `floor` at the earliest."""
        ways: list[list[Way]] = [[] for _ in range(len(self.run) + 1)]
        ways[0] = [Way(0, max(floor, self.begins[0]))]
        for first, reach in enumerate(self.text.reach(self.style.lines)):
            kept = _undominated(ways[first])
            for end in range(first + 1, reach + 1):
                price = self.price(first, end)
                ways[end] += [further for way in kept for further in self.past(way, end, price)]
        return min(ways[-1], key=lambda way: way.cost)

    def price(self, first: int, end: int) -> float:
        """What a cue costs wherever it stands in time."""
        room = self.style.columns * self.style.lines
        slack = max(0, room - self.text.width(first, end)) / room
        stop = _STOPS[self.run[end - 1].stop] if end < len(self.run) else 0
        broken = self.text.price(self.text.breaks(first, end, self.style.lines))
        words = _CUE + stop + _SLACK * slack**_POWER + broken + self._mixed(first, end)
        return words + self._spread(first, end)

    def past(self, way: Way, end: int, price: float) -> Iterator[Way]:
        """The ways on from `way`, past a cue that ends before piece `end`."""
        standing = self._standing(way, end)
        natural = self.begins[end]
        soonest = max(natural, way.start + 1 + self.style.gap)
        starts = {soonest}
        if end < len(self.run):
            starts.add(
                max(soonest, min(standing.read + self.style.gap, natural + self.style.delay))
            )
        for start in starts:
            short, fast = standing.lack(start)
            broken = (short > 0) * _TOO_SHORT * (1 + short) + (fast > 0) * _TOO_FAST * (1 + fast)
            late = _LATE * (start - natural) if start > natural else 0
            yield Way(way.cost + price + broken + late, start, end, way)

    def shown(self, way: Way, after: Way) -> Shown:
        """The cue that stands between two ways."""
        breaks = self.text.breaks(way.first, after.first, self.style.lines)
        end = self._standing(way, after.first).end(after.start)
        cue = Cue(int(way.start), int(end), self.text.text(way.first, after.first, breaks))
        return Shown(cue, after.first, after.start)

    def _standing(self, way: Way, end: int) -> Standing:
        characters = self.text.length(way.first, end)
        return Standing(way.start, self.run[end - 1].end, characters, self.style)

    def _mixed(self, first: int, end: int) -> float:
        if self._sentences[end - 1] <= first:
            return 0
        ends = [self.run[i - 1].stop for i in (first, end) if 0 < i < len(self.run)]
        return _MIXED * sum(stop is not Stop.SENTENCE for stop in ends)

    def _spread(self, first: int, end: int) -> float:
        """What the words of a cue pay for being said far apart."""
        if not self.style.join:
            return 0
        begun = self.begins[first]
        early = max(0, self.begins[max(first, self._sentences[end - 1])] - begun - _SECOND)
        outlasts = self.run[end - 1].end - begun - self.style.longest
        clipped = _CLIPPED[0] + _CLIPPED[1] * outlasts if outlasts > 0 else 0
        return self._silences[end - 1] - self._silences[first] + _EARLY * early + clipped

    def _silence(self, silence: int) -> float:
        if not self.style.join or silence <= 0:
            return 0
        inside = min(silence, self.style.join) / self.style.join
        return _SILENCE * inside + _MORE_SILENCE * max(0, silence - self.style.join)
