"""Writes segments or cues in each format that pst knows, chunk by chunk.

SRT has no way to escape: `-->` in speech becomes "→", and "<" stays as it is, though some
players take what follows for a tag. WebVTT and ASS escape and lose nothing. SRT and WebVTT are
written here rather than by pysubs2, which writes nothing before it has everything, stops the
clock at 100 hours, and leaves `-->`, `<` and `&` in speech as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TypeAlias

from pst_cli.subtitles.substation import STEP, dialogue, header
from pst_cli.subtitles.text import clean
from pst_cli.subtitles.times import clock, milliseconds
from pst_cli.types import Cue, Segment


@dataclass(frozen=True, slots=True)
class Meta:
    """Where a transcript came from; languages are codes, the source's None while unknown."""

    source: str
    source_language: str | None
    target_language: str
    model: str


@dataclass(frozen=True, slots=True)
class Writing:
    """How a document lies in a file, for players that are particular; always UTF-8."""

    bom: bool = False  # old Windows players take a file without one for the local code page
    crlf: bool = False

    def dress(self, chunks: Iterable[str]) -> Iterator[str]:
        """The chunks with the line ends and the first character that were asked for."""
        if self.bom:
            yield "\ufeff"
        for chunk in chunks:
            yield chunk.replace("\n", "\r\n") if self.crlf else chunk


AS_IS = Writing()

Format: TypeAlias = Callable[[Iterable[Segment], Iterable[Cue], Meta], Iterator[str]]
"""Reads either the segments or the cues, never both, so that both may flow from one source."""


def txt(segments: Iterable[Segment], _cues: Iterable[Cue], _meta: Meta) -> Iterator[str]:
    """The words alone, one segment a line."""
    for segment in segments:
        if text := clean(segment.text):
            yield f"{text}\n"


def srt(_segments: Iterable[Segment], cues: Iterable[Cue], _meta: Meta) -> Iterator[str]:
    """SubRip: counter, times with a comma, lines, blank line; LF."""
    for number, (cue, text) in enumerate(_visible(cues), 1):
        yield f"{number}\n{_times(cue, ',')}\n{text.replace('-->', '→')}\n\n"


def vtt(_segments: Iterable[Segment], cues: Iterable[Cue], _meta: Meta) -> Iterator[str]:
    """WebVTT (w3.org/TR/webvtt1), hours always written."""
    yield "WEBVTT\n\n"
    for cue, text in _visible(cues):
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        yield f"{_times(cue, '.')}\n{escaped}\n\n"


def ass(_segments: Iterable[Segment], cues: Iterable[Cue], _meta: Meta) -> Iterator[str]:
    """Advanced SubStation Alpha, bottom centre, drawn for 1080 lines; times to 10 ms."""
    yield header()
    for cue, text in _visible(cues, STEP):
        yield dialogue(cue.start, cue.end, text)


def tsv(segments: Iterable[Segment], _cues: Iterable[Cue], _meta: Meta) -> Iterator[str]:
    """Start and end in ms with the text, as openai-whisper's: no quoting, no tab in the text."""
    yield "start\tend\ttext\n"
    for cue in _in_turn(map(_whole, segments)):
        yield f"{cue.start}\t{cue.end}\t{cue.text}\n"


def json_(segments: Iterable[Segment], _cues: Iterable[Cue], meta: Meta) -> Iterator[str]:
    """Everything known, one segment a line; valid JSON once the last chunk is out."""
    head = {
        "source": meta.source,
        "language": {"from": meta.source_language, "to": meta.target_language},
        "model": meta.model,
    }
    yield _dump(head)[:-1] + ', "segments": ['
    separator = "\n"
    for segment in segments:
        yield separator + _dump(_record(segment))
        separator = ",\n"
    yield "\n]}\n"


FORMATS: dict[str, Format] = {
    "txt": txt,
    "srt": srt,
    "vtt": vtt,
    "ass": ass,
    "tsv": tsv,
    "json": json_,
}


def stream(
    name: str,
    segments: Iterable[Segment],
    cues: Iterable[Cue],
    meta: Meta,
    writing: Writing = AS_IS,
) -> Iterator[str]:
    """Chunks of the document as they become known; together they are `render`'s.

    Only one of `segments` and `cues` is read. JSON has no byte order mark (RFC 8259, 8.1),
    whatever `writing` says. ValueError on a time that is negative or not a number, or a cue that
    ends before it starts; KeyError if `FORMATS` has no such name.
    """
    writing = replace(writing, bom=writing.bom and name != "json")
    return writing.dress(FORMATS[name](segments, cues, meta))


def render(
    name: str,
    segments: Iterable[Segment],
    cues: Iterable[Cue],
    meta: Meta,
    writing: Writing = AS_IS,
) -> str:
    """The whole document; errors as `stream`'s."""
    return "".join(stream(name, segments, cues, meta, writing))


def _visible(cues: Iterable[Cue], step: int = 1) -> Iterator[tuple[Cue, str]]:
    """Each cue in turn with its text, without the blank lines that would end it early."""
    for cue in _in_turn(map(_checked, cues), step):
        yield cue, cue.text


def _checked(cue: Cue) -> Cue:
    times = _times(cue, ".")
    if cue.end <= cue.start:
        raise ValueError(f"a cue must end after it starts: {times}")
    return replace(cue, lines=tuple(filter(None, map(clean, cue.lines))))


def _whole(segment: Segment) -> Cue:
    """A segment on one line; times checked."""
    text = clean(segment.text)
    lines = (text,) if text else ()
    return Cue(milliseconds(segment.start), milliseconds(segment.end), lines)


def _in_turn(cues: Iterable[Cue], step: int = 1) -> Iterator[Cue]:
    """Those with text, in whole steps of `step` ms, none empty and none begun before another's end.

    What would overlap begins later; cues do not, but for those shorter than a step.
    """
    free = 0
    for cue in cues:
        if not cue.lines:
            continue
        start, end = (round(moment / step) * step for moment in (cue.start, cue.end))
        start = max(start, free)
        free = max(end, start + step)
        yield replace(cue, start=start, end=free)


def _times(cue: Cue, point: str) -> str:
    return f"{clock(cue.start, point)} --> {clock(cue.end, point)}"


def _record(segment: Segment) -> dict[str, object]:
    """The segment as JSON can hold it: times checked, and figures that are no number null."""
    record = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in asdict(segment).items()
        if key != "marks"  # serve the layout of cues; nothing that the host said
    }
    times = {key: milliseconds(getattr(segment, key)) / 1000 for key in ("start", "end")}
    return record | times


def _dump(value: Mapping[str, object]) -> str:
    """Readable JSON that UTF-8 can always encode.

    Lone surrogates (odd bytes of a file name) become `\\udcff`, as JSON itself escapes them.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
