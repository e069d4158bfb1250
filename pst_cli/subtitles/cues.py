"""Turns segments into cues, one after another as they are decoded."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from pst_cli.subtitles.layout import CHINESE, Limits, layout
from pst_cli.subtitles.text import clean, width
from pst_cli.subtitles.times import milliseconds
from pst_cli.types import Cue, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def limits_for(language: str) -> Limits:
    """What a cue in `language` may hold."""
    return CHINESE if language == "zh" else Limits()


def cues(segments: Iterable[Segment], language: str, limits: Limits | None = None) -> Iterator[Cue]:
    """Cues in order, none empty, none overlapping, each at least 1 ms long.

    Lazy, one cue behind: a cue is held back until the next one's start is known, which may cut
    its end short. The words are those of the segments, whatever `limits` (by default those of
    `language`). ValueError on a time that is negative or not a number.
    """
    limits = limits or limits_for(language)
    return _in_turn(cue for segment in segments for cue in _cut(segment, limits))


def _cut(segment: Segment, limits: Limits) -> Iterator[Cue]:
    """The cues of one segment, its time shared in proportion to display width."""
    text = clean(segment.text)
    if not text:
        return
    start, end = milliseconds(segment.start), milliseconds(segment.end)
    blocks = layout(text, limits)
    widths = [0, *accumulate(sum(map(width, lines)) for lines in blocks)]
    marks = [start + (end - start) * done // widths[-1] for done in widths]
    for (begin, finish), lines in zip(pairwise(marks), blocks, strict=True):
        yield Cue(begin, finish, lines)


def _in_turn(loose: Iterable[Cue]) -> Iterator[Cue]:
    """Make times strictly rise: a cue that starts early ends the one before it."""
    held: Cue | None = None
    for cue in loose:
        start = cue.start if held is None else max(cue.start, held.start + 1)
        if held is not None:
            yield replace(held, end=min(held.end, start))
        held = replace(cue, start=start, end=max(cue.end, start + 1))
    if held is not None:
        yield held
