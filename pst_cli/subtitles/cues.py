"""Turns segments into cues, as they are decoded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pst_cli.subtitles.cutting import Shown, cut
from pst_cli.subtitles.spoken import Spoken, chained, spoken
from pst_cli.subtitles.styles import PLAIN, Style, style_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pst_cli.types import Cue, Segment

APART = 2000  # ms; what is said before a longer silence is laid out without what comes after it
AHEAD = 30_000  # ms; without such a silence, cues are laid out when so much is known ...
KEPT = 2  # ... but for the last ones, which what follows may change


def cues(segments: Iterable[Segment], language: str, style: Style | None = None) -> Iterator[Cue]:
    """Cues in order, none empty, none overlapping, each at least 1 ms long.

    Lazy: cues come out after a silence, or half a minute behind; in a style whose segments stand
    alone (plain, the default) as soon as the next segment is known, which may cut the last cue's
    end short. The words are those of the segments in `language`, whatever the style.
    ValueError on a time that is negative or not a number.
    """
    style = style or style_for(PLAIN.name, language)
    held: list[Spoken] = []
    floor = 0.0
    for segment in segments:
        found = spoken(segment, language, style.columns)
        if not found:
            continue
        if held:
            shown, held = _settled(held, style, floor, found[0].start)
            floor = shown[-1].following if shown else floor
            yield from (one.cue for one in shown)
        held = chained(held, found, language) if held else found
    if held:
        yield from (one.cue for one in cut(held, style, floor, math.inf))


def _settled(
    held: list[Spoken], style: Style, floor: float, until: int
) -> tuple[list[Shown], list[Spoken]]:
    """The cues that what begins at `until` cannot change, and what is held on to."""
    if not style.join or until - held[-1].end > APART:
        return cut(held, style, floor, until), []
    if held[-1].end - held[0].start < AHEAD:
        return [], held
    shown = cut(held, style, floor, until)[:-KEPT]
    return shown, held[shown[-1].end :] if shown else held
