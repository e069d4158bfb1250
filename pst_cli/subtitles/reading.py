"""Reads a subtitle file of any format, ours or not, so that it can be checked and mended."""

from __future__ import annotations

import codecs
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pst_cli.errors import DataError
from pst_cli.subtitles import blocks, substation
from pst_cli.subtitles.entries import Body, Entry
from pst_cli.subtitles.markup import PLAIN, SUBRIP, SUBSTATION, WEBVTT, Markup
from pst_cli.subtitles.text import clean
from pst_cli.types import LANGUAGES, Cue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGEST = 64 << 20  # bytes; a film's subtitles have a thousandth of that

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_BOM = "\ufeff"
_HIGH = re.compile(rb"[\x80-\xff]+")
_SCRIPT = re.compile(r"^\[(?:Script Info|V4\+? Styles|Events)\]", re.MULTILINE | re.IGNORECASE)

_CODES = dict(zip(LANGUAGES, LANGUAGES, strict=True)) | {
    "eng": "en",
    "zho": "zh",
    "chi": "zh",
    "deu": "de",
    "ger": "de",
    "spa": "es",
    "fra": "fr",
    "fre": "fr",
    "ita": "it",
}
_KINDS = ("forced", "sdh", "cc", "hi", "default")  # of subtitles; players want them last


@dataclass(frozen=True, slots=True)
class Format:
    """A format that pst reads and, if it has a `write`, writes again with nothing lost."""

    name: str
    precision: int = 1  # ms between two times that can be told apart
    markup: Markup = PLAIN
    write: Callable[[Body], str] | None = None


SRT = Format("srt", 1, SUBRIP, blocks.write_srt)
VTT = Format("vtt", 1, WEBVTT, blocks.write_vtt)
ASS = Format("ass", substation.STEP, SUBSTATION, substation.write)
_COARSE = {"mpl2": 100, "tmp": 1000}  # ms; all others have milliseconds or frames
_STARTS_ONLY = ("sami", "tmp")


@dataclass(frozen=True, slots=True)
class Document:
    """A subtitle file in memory; `notes` are what its user should know of how it was read."""

    body: Body
    format: Format
    encoding: str = "utf-8"
    bom: bool = False
    newline: str = "\n"
    notes: tuple[str, ...] = ()

    @property
    def cues(self) -> list[Cue]:
        return [entry.cue for entry in self.body.entries]

    def text(self) -> str:
        """The file again, to be written in `encoding`; DataError if its format is only read."""
        if self.format.write is None:
            hint = "convert it to SRT first, with ffmpeg or a subtitle editor"
            raise DataError(f"{self.format.name} can be checked but not mended", hint=hint)
        text = self.format.write(self.body).replace("\n", self.newline)
        return (_BOM if self.bom else "") + text


def read(path: Path) -> Document:
    """The subtitles in `path`; DataError where there are none to read."""
    try:
        if path.stat().st_size > LARGEST:
            raise DataError("too large for subtitles", hint="name a subtitle file, not a film")
        data = path.read_bytes()
    except OSError as error:
        raise DataError((error.strerror or str(error)).lower()) from error
    text, encoding, guessed = decode(data)
    bom = text.startswith(_BOM)
    newline = _newline(text)
    text = text.removeprefix(_BOM).replace("\r\n", "\n").replace("\r", "\n")
    found = parse(text)
    notes = (f"its encoding is a guess: {encoding}",) if guessed else ()
    return replace(found, encoding=encoding, bom=bom, newline=newline, notes=(*notes, *found.notes))


def languages_of(name: str) -> tuple[str, ...]:
    """The languages that a file's name tells: `clip.fr.srt` one, `clip.en-fr.srt` both, or none."""
    for part in reversed(name.lower().split(".")[1:-1]):
        codes = [_CODES.get(code) for code in re.split("[-_]", part)]
        if codes[0]:
            return tuple(dict.fromkeys(code for code in codes if code))
        if part not in _KINDS:  # of the title, where `de`, `es` and `it` are words
            break
    return ()


def decode(data: bytes) -> tuple[str, str, bool]:
    """The text, its encoding, and whether that is a guess; DataError if it is no text."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return _decoded(data, encoding), encoding, False
    if b"\0" in data:
        little = data[1::2].count(0) >= data[::2].count(0)
        encoding = "utf-16-le" if little else "utf-16-be"
        return _decoded(data, encoding), encoding, True
    try:
        return data.decode("utf-8"), "utf-8", False
    except UnicodeDecodeError:
        encoding = _guess(data)
    return data.decode(encoding), encoding, True


def _guess(data: bytes) -> str:
    """Chinese stands in pairs of high bytes; in the languages of Europe most are alone."""
    runs = [len(run) for run in _HIGH.findall(data)]
    paired = sum(run for run in runs if run > 1) > sum(runs) / 2
    for encoding in ("gb18030", "cp1252") if paired else ("cp1252",):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"  # takes every byte, and gives each back as it was


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError("it is not text, or damaged", hint="name a subtitle file") from error


def _newline(text: str) -> str:
    windows = text.count("\r\n")
    if windows * 2 > text.count("\n"):
        return "\r\n"
    return "\r" if "\r" in text and "\n" not in text else "\n"


def parse(text: str) -> Document:
    """The subtitles in `text`, its lines ended by `\\n`; DataError where there are none to read."""
    if text.lstrip().startswith("WEBVTT"):
        return Document(blocks.parse_vtt(text), VTT)
    if _SCRIPT.search(text):
        return Document(substation.parse(text), ASS)
    if not text.strip() or any(map(blocks.is_times, text.split("\n"))):
        return Document(blocks.parse_srt(text), SRT)
    return _foreign(text)


def _foreign(text: str) -> Document:
    """What pysubs2 reads besides: MicroDVD, MPL2, TMP, SAMI, TTML, Whisper's own."""
    from pysubs2 import SSAFile
    from pysubs2.exceptions import FormatAutodetectionError, UnknownFPSError

    try:
        file = SSAFile.from_string(text)
    except FormatAutodetectionError as error:
        hint = "SRT, WebVTT, ASS, SSA, MicroDVD, MPL2, TMP, SAMI and TTML can be read"
        raise DataError("no subtitles in it that pst can read", hint=hint) from error
    except UnknownFPSError as error:
        hint = "convert it to SRT first, with the film's frame rate"
        raise DataError("it counts frames but does not say how many a second", hint=hint) from error
    except (ValueError, LookupError, TypeError, NotImplementedError, ET.ParseError) as error:
        raise DataError(f"its subtitles cannot be read: {error}") from error
    name = str(file.format)
    precision = round(1000 / file.fps) + 1 if file.fps else _COARSE.get(name, 1)
    shown = [event for event in file if event.is_text]
    entries = tuple(
        Entry(Cue(event.start, event.end, lines), event.text)
        for event in shown
        if (lines := tuple(filter(None, map(clean, event.plaintext.split("\n")))))
    )
    notes = ("it says no ends, so they are guesses",) if name in _STARTS_ONLY else ()
    return Document(Body("", entries), Format(name, precision), notes=notes)
