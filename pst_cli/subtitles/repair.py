"""Mends what breaks a house style by moving times and line breaks; words are never touched.

What matters more comes first: order, no overlap, the gap, lines, then how long text stands. A cue
never starts before its time; it may start late, or stand on into silence.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from pst_cli.subtitles.checks import check, reading_time
from pst_cli.subtitles.layout import layout
from pst_cli.subtitles.markup import is_marked, relay, turns
from pst_cli.subtitles.styles import TED
from pst_cli.subtitles.text import length
from pst_cli.types import Cue

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from pst_cli.subtitles.entries import Body, Entry
    from pst_cli.subtitles.markup import Markup
    from pst_cli.subtitles.reading import Document
    from pst_cli.subtitles.styles import Style

LATE = 800  # ms that a cue may start after its time, so that the one before it can be read


def repair(document: Document, style: Style, languages: Sequence[str] = ()) -> Document:
    """`document` with what can be mended mended; itself if nothing is wrong.

    Where two languages share a cue, lines stay as they are.
    """
    step = document.format.precision
    if not any(check(document.cues, style, step)):
        return document
    body = _filled(document.body)
    entries = [_standing(entry, style) for entry in body.entries]
    entries.sort(key=lambda entry: entry.cue.start)
    cues = _apart([entry.cue for entry in entries], style, step)
    entries = _timed(entries, _lingering(cues, replace(style, longest=math.inf), step))
    if len(languages) < 2:
        desk = Desk(style, "".join(languages), step, document.format.markup)
        entries = [part for entry in entries for part in desk.relaid(entry)]
    cues = [entry.cue for entry in entries]  # what is cut up is no longer too long: the rest ends
    entries = _timed(entries, _lingering(cues, replace(style, linger=0), step))
    return replace(document, body=replace(body, entries=tuple(entries)))


class Desk:
    """Breaks the lines of one file's cues anew, and cuts up cues that are too long."""

    def __init__(self, style: Style, language: str, step: int, markup: Markup) -> None:
        self._style, self._language, self._step, self._markup = style, language, step, markup

    def relaid(self, entry: Entry) -> list[Entry]:
        """The entry within the limits, in several parts if need be; itself where that fails."""
        broken = {violation.kind for violation in check([entry.cue], self._style, self._step)}
        said = turns(entry.cue.lines)
        if "longest" in broken and len(said) == 1:
            parts = self._cut(entry, self._laid(said[0], lines=1), broken)
            if parts != [entry]:
                return parts
        if broken.isdisjoint({"lines", "columns"}):
            return [entry]
        laid = [self._laid(text) for text in said]
        lines = tuple(line for blocks in laid for block in blocks for line in block)
        if len(lines) > self._style.lines:
            return self._cut(entry, laid[0], broken) if len(laid) == 1 else [entry]
        (raw,) = relay(entry.raw, self._markup, [lines])
        return [replace(entry, cue=replace(entry.cue, lines=lines), raw=raw)]

    def _laid(self, text: str, lines: int | None = None) -> list[tuple[str, ...]]:
        """The lines of each cue that `text` needs, however long it stands."""
        style = replace(self._style, lines=lines or self._style.lines)
        return layout(text, style, self._language)

    def _cut(
        self, entry: Entry, blocks: Sequence[tuple[str, ...]], broken: Container[str]
    ) -> list[Entry]:
        """A part for each block, if none of them then breaks what the whole did not.

        Text with markup stays whole: what one part opens the next would have to open again.
        """
        if is_marked(entry.raw, self._markup):
            return [entry]
        start, gap = entry.cue.start, self._style.gap
        shares = [0, *accumulate(length("\n".join(lines)) for lines in blocks)]
        span = entry.cue.end + gap - start
        marks = [start + span * share // shares[-1] for share in shares]
        times = [(_up(a, self._step), _down(b - gap, self._step)) for a, b in pairwise(marks)]
        cues = [Cue(*time, lines) for time, lines in zip(times, blocks, strict=True)]
        found = (one.kind for cue in cues for one in check([cue], self._style, self._step))
        if not all(kind == "speed" and kind in broken for kind in found):
            return [entry]
        raws = relay(entry.raw, self._markup, blocks)
        first, *rest = (replace(entry, cue=c, raw=r) for c, r in zip(cues, raws, strict=True))
        return [first, *(replace(part, name="", notes="") for part in rest)]


def _filled(body: Body) -> Body:
    """Without the cues that hold nothing to read; notes above them go on to the next."""
    entries, notes = [], ""
    for entry in body.entries:
        notes += entry.notes
        if entry.cue.lines:
            entries.append(replace(entry, notes=notes))
            notes = ""
    return replace(body, entries=tuple(entries), tail=notes + body.tail)


def _standing(entry: Entry, style: Style) -> Entry:
    """With times that can be: from 0 on, and the end after the start."""
    start = max(0, entry.cue.start)
    end = entry.cue.end if entry.cue.end > start else start + _needed(entry.cue, style)
    return replace(entry, cue=replace(entry.cue, start=start, end=end))


def _timed(entries: Sequence[Entry], cues: Sequence[Cue]) -> list[Entry]:
    return [replace(entry, cue=cue) for entry, cue in zip(entries, cues, strict=True)]


def _needed(cue: Cue, style: Style) -> int:
    """How long `cue` has to stand to be read, in ms, even where the style does not care."""
    return reading_time(cue, replace(style, speed=min(style.speed, TED.speed)))


def _apart(cues: Sequence[Cue], style: Style, step: int) -> list[Cue]:
    """Cues that follow one another, the gap between them if there is room for it."""
    found: list[Cue] = []
    for cue in cues:
        if found:
            found[-1], cue = _parted(found[-1], cue, style, step)
        found.append(cue)
    return found


def _parted(first: Cue, second: Cue, style: Style, step: int) -> tuple[Cue, Cue]:
    """Two cues with times that do not touch.

    The second starts late if the first could not be read otherwise, though not at the cost of
    its own reading, and by more than `LATE` only where the first would flash by.
    """
    started = max(second.start, first.start)
    if first.end > started - style.gap:
        ours, theirs = _needed(first, style), _needed(second, style)
        wanted = first.start + ours + style.gap
        fair = first.start + style.gap
        fair += max(0, second.end - fair) * ours // (ours + theirs)
        latest = max(started + LATE, first.start + style.shortest + style.gap)
        started = _up(max(started, min(wanted, fair, latest), first.start + step), step)
    end = min(first.end, _down(started - style.gap, step))
    end = min(started, max(end, first.start + step))
    return replace(first, end=end), Cue(started, max(second.end, started + step), second.lines)


def _lingering(cues: Sequence[Cue], style: Style, step: int) -> list[Cue]:
    """Cues that stand on into silence as far as they need and may, and none too long."""
    rooms: list[float] = [after.start - style.gap for after in cues[1:]]
    found = []
    for cue, room in zip(cues, [*rooms, math.inf], strict=False):
        latest = cue.start + style.longest
        read = _up(cue.start + reading_time(cue, style), step)
        end = max(cue.end, min(read, cue.end + style.linger, latest, room))
        if end < room <= min(latest, end + style.chain - style.gap):
            end = room
        found.append(replace(cue, end=max(cue.start + step, _down(int(min(end, latest)), step))))
    return found


def _down(moment: int, step: int) -> int:
    return moment // step * step


def _up(moment: int, step: int) -> int:
    return -(-moment // step) * step
