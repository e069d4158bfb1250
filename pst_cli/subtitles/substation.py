"""Advanced SubStation Alpha (ASS) and its elder SSA: the lines that hold cues, out and in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pst_cli.errors import DataError
from pst_cli.subtitles.entries import Body, Entry
from pst_cli.subtitles.markup import SUBSTATION, seen
from pst_cli.subtitles.times import clock
from pst_cli.types import Cue

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP = 10  # ms; the format's times are hundredths of a second
_HEIGHT, _WIDTH = 1080, 1920  # of the picture that sizes below are measured in
_MARGIN = 0.05  # of the picture, kept free all round
_LINES = 18  # of text that would fill the picture

_JOINER = "\u2060"  # zero-width word joiner; libass and mpv advise it, there is no escape
_ESCAPE = re.compile(r"\\(?=[Nnh{}])")
_BRACE = re.compile(r"\{(?=([hnN])?)")
_DIALOGUE = re.compile(r"Dialogue:", re.IGNORECASE)
_FORMAT = re.compile(r"Format:(.*\bStart\b.*)", re.IGNORECASE)
_FIELDS = ("layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect")
_TIME = re.compile(r"\s*(-?)(\d+):(\d{1,2}):(\d{1,2})(?:[.:,](\d{1,3}))?\s*")
_NO_SUBTITLE = re.compile(r"\{[^}]*\\(?:p[1-9]|pos\(|move\()")  # drawn, or put into the picture


def header() -> str:
    """All that stands above the first cue: a white face with a black edge, bottom centre."""
    from pysubs2 import Alignment, Color, SSAFile, SSAStyle

    file = SSAFile()
    file.info |= {"PlayResX": str(_WIDTH), "PlayResY": str(_HEIGHT)}
    file.styles["Default"] = SSAStyle(
        fontname="Arial",
        fontsize=_HEIGHT // _LINES,
        primarycolor=Color(255, 255, 255),
        outlinecolor=Color(0, 0, 0),
        outline=3,
        shadow=0,
        alignment=Alignment.BOTTOM_CENTER,
        marginl=round(_WIDTH * _MARGIN),
        marginr=round(_WIDTH * _MARGIN),
        marginv=round(_HEIGHT * _MARGIN),
    )
    return str(file.to_string("ass", header_notice=""))


def dialogue(start: int, end: int, text: str) -> str:
    """One cue, its lines apart by `\\n`; written here since pysubs2 stops its clock at 10 hours."""
    return f"Dialogue: 0,{_clock(start)},{_clock(end)},Default,,0,0,0,,{escape(text)}\n"


def escape(text: str) -> str:
    """`text` so that no player takes part of it for a command, spelled as ffmpeg spells it.

    libass shows `\\{` as a brace; what does not know that shows the backslash, and takes the
    empty command behind it for one with the brace in it, rather than all that follows. A letter
    that would then make a command of that backslash is kept apart from it.
    """
    text = _ESCAPE.sub(lambda _: f"\\{_JOINER}", text)
    text = _BRACE.sub(lambda found: f"\\{{{{}}{_JOINER if found[1] else ''}", text)
    return text.replace("\n", "\\N")


def parse(text: str) -> Body:
    """The cues of a script in order of time; what is drawn or placed is kept but is no cue.

    DataError where a line cannot be read.
    """
    fields: Sequence[str] = _FIELDS
    head: str | None = None
    entries: list[Entry] = []
    kept: list[str] = []
    for line in text.split("\n"):
        if found := _FORMAT.match(line):
            fields = [name.strip().lower() for name in found[1].split(",")][:-1]
        if not _DIALOGUE.match(line) or _NO_SUBTITLE.search(line):
            kept.append(line)
            continue
        above = "".join(f"{line}\n" for line in kept)
        head = above if head is None else head
        entries.append(_entry(line, fields, above if entries else ""))
        kept = []
    tail = "\n".join(kept)
    return Body(head or "", tuple(sorted(entries, key=lambda entry: entry.cue.start)), tail)


def write(body: Body) -> str:
    """The script again."""
    lines = (
        f"{entry.notes}{entry.layer}{_clock(entry.cue.start)},{_clock(entry.cue.end)}"
        f"{entry.settings}{entry.raw}\n"
        for entry in body.entries
    )
    return body.head + "".join(lines) + body.tail


def _entry(line: str, fields: Sequence[str], notes: str) -> Entry:
    values = line.split(",", len(fields))
    place = fields.index("start") if "start" in fields else 0
    times = [_TIME.fullmatch(value) for value in values[place : place + 2]]
    if len(values) <= len(fields) or fields[place : place + 2] != ["start", "end"] or None in times:
        raise DataError(f"a line of it cannot be read: {line[:60]}")
    start, end = (_moment(found) for found in times if found)
    *_, raw = values
    layer = "".join(f"{value}," for value in values[:place])
    settings = "".join(f",{value}" for value in values[place + 2 : -1]) + ","
    return Entry(Cue(start, end, seen(raw, SUBSTATION)), raw, settings, layer=layer, notes=notes)


def _moment(found: re.Match[str]) -> int:
    sign, *parts, fraction = found.groups()
    hours, minutes, seconds = map(int, parts)
    whole = ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((fraction or "0").ljust(3, "0"))
    return -whole if sign else whole


def _clock(moment: int) -> str:
    """`H:MM:SS.cc`, to the nearest."""
    return clock((moment + STEP // 2) // STEP * STEP, ".").removeprefix("0")[:-1]
