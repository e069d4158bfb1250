"""SubRip and WebVTT: text in blocks below lines of times, read leniently and written again.

pysubs2 reads neither for us: it takes WebVTT's notes for speech, drops a last line that is a
number, forgets where a cue is placed and reads 123 hours as 23.
"""

from __future__ import annotations

import re
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING

from pst_cli.subtitles.entries import Body, Entry
from pst_cli.subtitles.markup import SUBRIP, WEBVTT, seen
from pst_cli.subtitles.times import clock
from pst_cli.types import Cue

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIME = r"(-?)(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_TIMES = re.compile(rf"\s*{_TIME}\s*-+>\s*{_TIME}(|\s.*)")
_GROUPS = 5  # in one time


def is_times(line: str) -> bool:
    """Whether `line` says when a cue stands."""
    return bool(_TIMES.fullmatch(line))


def parse_srt(text: str) -> Body:
    """The cues of a SubRip file, with or without counters.

    Text that a blank line cuts off, as players see it, is taken for the cue's all the same.
    """
    lines = text.split("\n")
    places = [place for place, line in enumerate(lines) if is_times(line)]
    starts = [place - _has_counter(lines, place, number) for number, place in enumerate(places, 1)]
    entries = []
    for place, stop in zip(places, [*starts[1:], len(lines)], strict=False):
        start, end, settings = _times(lines[place])
        raw = "\n".join(line for line in lines[place + 1 : stop] if line.strip())
        entries.append(Entry(Cue(start, end, seen(raw, SUBRIP)), raw, settings=settings))
    return Body("", tuple(entries))


def write_srt(body: Body) -> str:
    """SubRip, counted from 1."""
    return "".join(
        f"{number}\n{_written(entry, ',')}\n\n" for number, entry in enumerate(body.entries, 1)
    )


def parse_vtt(text: str) -> Body:
    """The cues of a WebVTT file (w3.org/TR/webvtt1); notes, styles, names and places are kept."""
    lines = text.split("\n")
    places = [place for place, line in enumerate(lines) if is_times(line)]
    head, name = _above(lines[: places[0]] if places else lines)
    entries = []
    notes = ""
    for place, stop in pairwise([*places, len(lines)]):
        start, end, settings = _times(lines[place])
        payload = list(takewhile(str.strip, lines[place + 1 : stop]))
        raw = "\n".join(payload)
        cue = Cue(start, end, seen(raw, WEBVTT))
        entries.append(Entry(cue, raw, settings, name=name, notes=notes))
        rest = lines[place + 1 + len(payload) : stop]
        notes, name = _above([*rest, ""] if stop == len(lines) else rest)
    return Body(head, tuple(entries), notes)


def write_vtt(body: Body) -> str:
    """WebVTT, hours always written."""
    texts = [body.head]
    for entry in body.entries:
        name = f"{entry.name}\n" if entry.name else ""
        texts.append(f"{entry.notes}{name}{_written(entry, '.')}\n\n")
    return "".join([*texts, body.tail])


def _has_counter(lines: Sequence[str], place: int, number: int) -> bool:
    """Whether the line above the times counts, rather than being speech in a file that does not."""
    counter = lines[place - 1].strip() if place else ""
    alone = place < 2 or not lines[place - 2].strip()
    return counter.isdecimal() and (alone or int(counter) == number)


def _above(lines: Sequence[str]) -> tuple[str, str]:
    """What stands above a line of times: whole blocks, and the cue's own name."""
    name = lines[-1] if lines[1:] and lines[-1].strip() else ""
    blocks = "\n".join(lines[:-1] if name else lines).strip("\n")
    return f"{blocks}\n\n" if blocks else "", name


def _times(line: str) -> tuple[int, int, str]:
    """Start and end in ms, and what follows them."""
    found = _TIMES.fullmatch(line)
    assert found
    *parts, settings = found.groups(default="")
    return _moment(parts[:_GROUPS]), _moment(parts[_GROUPS:]), settings.rstrip()


def _moment(parts: Sequence[str]) -> int:
    sign, hours, minutes, seconds, fraction = parts
    whole = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
    moment = whole * 1000 + int((fraction or "0").ljust(3, "0"))
    return -moment if sign else moment


def _written(entry: Entry, point: str) -> str:
    cue = entry.cue
    times = f"{clock(cue.start, point)} --> {clock(cue.end, point)}{entry.settings}"
    return f"{times}\n{entry.raw}"
