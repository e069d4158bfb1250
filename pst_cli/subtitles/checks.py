"""Finds the cues that break a house style, or the rules that every file has to keep."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pst_cli.subtitles.styles import Style, style_for
from pst_cli.subtitles.text import reading, width

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pst_cli.types import Cue

SECOND = 1000  # ms

KINDS = {  # how each is told of one cue, and what many of them are called
    "order": ("begins {value:.3f} s before the cue before it", "out of order"),
    "overlap": ("begins {value:.3f} s before the cue before it ends", "overlapping"),
    "times": ("ends {value:.3f} s after it begins", "without length"),
    "empty": ("has no text", "without text"),
    "gap": ("begins {value:.3f} s after the cue before it ends ({limit:.3f})", "too close"),
    "chain": ("leaves a gap of {value:.3f} s, to be closed to {limit:.3f}", "nearly chained"),
    "shortest": ("stands {value:.3f} s ({limit:.3f})", "too short"),
    "longest": ("stands {value:.3f} s ({limit:.3f})", "too long"),
    "lines": ("{value:.0f} lines ({limit:.0f})", "of too many lines"),
    "columns": ("a line of {value:.0f} columns ({limit:.0f})", "of too wide lines"),
    "speed": ("{value:.1f} characters a second ({limit:.4g})", "too fast to read"),
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one cue breaks: what it is, and what it may be.

    Seconds, columns, lines or characters a second, as `kind` says.
    """

    cue: int  # from 1, in the order of the file
    start: int  # ms
    end: int
    kind: str
    value: float
    limit: float

    def told(self) -> str:
        """In words, without the place."""
        return KINDS[self.kind][0].format(value=self.value, limit=self.limit)


def style_of(name: str, languages: Sequence[str]) -> Style:
    """What a cue may be in the style called `name`; with two languages in it, one above the other.

    Of such a pair a viewer reads one, but a file does not say which lines are whose: the limits
    are those that every good pair keeps. UsageError for a name that there is not.
    """
    styles = [style_for(name, language) for language in languages or ("",)]
    return replace(
        styles[0],
        columns=max(style.columns for style in styles),
        lines=sum(style.lines for style in styles),
        speed=sum(style.speed for style in styles),
    )


def check(cues: Iterable[Cue], style: Style, precision: int = 1) -> Iterator[Violation]:
    """Every rule that is broken, cue by cue.

    `precision`: ms; how near to a limit the file's format can come, which is forgiven.
    """
    latest: Cue | None = None  # of those before, the one that ends last
    before: Cue | None = None
    for number, cue in enumerate(cues, 1):
        for kind, value, limit in (
            *_between(before, latest, cue, style, precision),
            *_alone(cue, style, precision),
        ):
            yield Violation(number, cue.start, cue.end, kind, value, limit)
        before = cue
        latest = cue if latest is None or cue.end >= latest.end else latest


def counted(violations: Iterable[Violation], less: Iterable[Violation] = ()) -> dict[str, int]:
    """How many there are of each kind, those of `less` taken off; worst kind first."""
    found = Counter(violation.kind for violation in violations)
    found -= Counter(violation.kind for violation in less)
    return {kind: found[kind] for kind in KINDS if found[kind]}


def reading_time(cue: Cue, style: Style) -> int:
    """How long a cue has to stand to be read, in ms."""
    needed = math.ceil(SECOND * reading(cue.lines, wide=style.wide) / style.speed)
    return max(1, style.shortest, needed)


def _between(
    before: Cue | None, latest: Cue | None, cue: Cue, style: Style, precision: int
) -> Iterator[tuple[str, float, float]]:
    if before is None or latest is None:
        return
    if cue.start < before.start:
        yield "order", (before.start - cue.start) / SECOND, 0
        return
    gap = cue.start - latest.end
    closed = cue.start - style.gap - latest.start  # the duration that closing the gap would give
    if gap < 0:
        yield "overlap", -gap / SECOND, 0
    elif gap + precision < style.gap:
        yield "gap", gap / SECOND, style.gap / SECOND
    elif style.gap + precision < gap < style.chain - precision and closed <= style.longest:
        yield "chain", gap / SECOND, style.gap / SECOND


def _alone(cue: Cue, style: Style, precision: int) -> Iterator[tuple[str, float, float]]:
    duration = cue.end - cue.start
    read = reading(cue.lines, wide=style.wide)
    if cue.start < 0 or duration <= 0:
        yield "times", duration / SECOND, 0
    elif duration + precision < style.shortest:
        yield "shortest", duration / SECOND, style.shortest / SECOND
    elif duration - precision > style.longest:
        yield "longest", duration / SECOND, style.longest / SECOND
    if not cue.lines:
        yield "empty", 0, 0
        return
    if len(cue.lines) > style.lines:
        yield "lines", len(cue.lines), style.lines
    if (widest := max(map(width, cue.lines))) > style.columns:
        yield "columns", widest, style.columns
    if duration > 0 and read * SECOND > style.speed * (duration + precision):
        yield "speed", math.ceil(10 * SECOND * read / duration) / 10, style.speed
