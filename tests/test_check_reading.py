"""Reading subtitle files: any format, any encoding, nothing lost when they are written again."""

from __future__ import annotations

import codecs
import itertools
import re
import warnings
from pathlib import Path

import av
import pysubs2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pst_cli.errors import DataError
from pst_cli.subtitles.formats import Meta, Writing, render
from pst_cli.subtitles.reading import LARGEST, decode, parse, read
from pst_cli.subtitles.repair import repair
from pst_cli.subtitles.styles import NETFLIX, PLAIN
from pst_cli.types import Cue, Segment

META = Meta("clip.wav", "en", "fr", "base")
HOUR = 3_600_000  # ms
SAID = st.text("abc éß中文，😀שלום<>&-i/{}\\Nnh0123456789;", min_size=1, max_size=30)
LINES = SAID.map(str.strip).filter(lambda line: line and not line.isdecimal())

VTT = """\
WEBVTT - a title

STYLE
::cue { color: white }

NOTE one
of two lines

intro
00:01.000 --> 00:02.500 align:start position:10%
<v Roger>Hello &amp; <i>good-bye</i>

NOTE 2

01:00:00.000 --> 01:00:02.000
Late.

NOTE end
"""

ASS = """\
[Script Info]
; a comment
Title: A film
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,60

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:05.00,0:00:07.00,Default,Roger,0,0,0,,Second, {\\i1}yes{\\i0}\\Nthere\\hnow
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,not shown
Dialogue: 1,0:00:00.00,0:00:09.00,Sign,,0,0,0,,{\\pos(1,2)}EXIT
Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\an8}First

[Fonts]
fontname: x.ttf
"""


@st.composite
def timelines(draw: st.DrawFn, step: int) -> list[Cue]:
    """Cues in order, up to 200 hours, each holding one to three lines."""
    marks = draw(st.lists(st.integers(0, 200 * HOUR // step), unique=True, max_size=8).map(sorted))
    return [
        Cue(start * step, end * step, tuple(draw(st.lists(LINES, min_size=1, max_size=3))))
        for start, end in zip(marks[::2], marks[1::2], strict=False)
    ]


def squeezed(cue: Cue, arrow: str = "-->") -> Cue:
    """As the writers write it."""
    lines = tuple(" ".join(line.split()).replace("-->", arrow) for line in cue.lines)
    return Cue(cue.start, cue.end, lines)


def same_again(text: str) -> None:
    found = parse(text)
    assert found.text() == text


@given(timelines(step=1))
def test_webvtt_is_read_back_as_it_was_written(shown: list[Cue]) -> None:
    text = render("vtt", [], shown, META)
    assert parse(text).cues == [squeezed(cue) for cue in shown]
    same_again(text)


@given(timelines(step=10))
def test_substation_is_read_back_as_it_was_written(shown: list[Cue]) -> None:
    text = render("ass", [], shown, META)
    assert parse(text).cues == [squeezed(cue) for cue in shown]
    same_again(text)


@given(timelines(step=1))
def test_subrip_is_read_back_but_for_what_looks_like_tags(shown: list[Cue]) -> None:
    plain = [
        Cue(
            c.start,
            c.end,
            tuple(line.translate(dict.fromkeys(map(ord, "<{"), "x")) for line in c.lines),
        )
        for c in shown
    ]
    text = render("srt", [], plain, META)
    assert parse(text).cues == [squeezed(cue, "→") for cue in plain]
    same_again(text)


@pytest.mark.parametrize("text", [VTT, VTT.replace("\n\nNOTE end", "")])
def test_webvtt_keeps_notes_styles_names_and_places(text: str) -> None:
    long = text.replace("00:01.000 --> 00:02.500", "00:00:01.000 --> 00:00:02.500")
    assert parse(text).text().rstrip() == long.rstrip()
    assert [cue.lines for cue in parse(text).cues] == [("Hello & good-bye",), ("Late.",)]


def test_a_script_keeps_comments_signs_and_fonts() -> None:
    found = parse(ASS)
    assert [cue.lines for cue in found.cues] == [("First",), ("Second, yes", "there\u00a0now")]
    again = found.text()
    assert sorted(again.split("\n")) == sorted(ASS.split("\n"))
    assert again.index("{\\an8}First") < again.index("Second")


def test_a_script_with_a_line_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(DataError, match="a line of it cannot be read: Dialogue: 0,soon"):
        parse(ASS.replace("0,0:00:05.00", "0,soon"))


def test_subrip_needs_no_counters_and_loses_no_number_that_is_said() -> None:
    text = "00:00:01,000 --> 00:00:02,000\nSince\n1984\n\n00:00:03,5 -> 00:00:04,5\n42\n"
    assert [cue.lines for cue in parse(text).cues] == [("Since", "1984"), ("42",)]
    counted = "1\n00:00:01,000 --> 00:00:02,000\na\n2\n00:00:03,000 --> 00:00:04,000\n1984\n"
    assert [cue.lines for cue in parse(counted).cues] == [("a",), ("1984",)]


def test_subrip_keeps_what_a_blank_line_cuts_off() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000 X1:5\na\n\nb\n\n2\n00:00:03,000 --> 00:00:04,000\nc\n"
    first, _ = parse(text).body.entries
    assert (first.cue.lines, first.settings) == (("a", "b"), " X1:5")


@pytest.mark.parametrize(
    ("text", "cues", "precision"),
    [
        ("{1}{1}25.000\n{25}{50}Bonjour|tous\n", [Cue(1000, 2000, ("Bonjour", "tous"))], 41),
        ("[10][25] Bonjour|/tous\n", [Cue(1000, 2500, ("Bonjour", "tous"))], 100),
        ("00:00:01:Bonjour\n00:00:02:tous\n", [Cue(1000, 2000, ("Bonjour",))], 1000),
        (
            '<tt xmlns="http://www.w3.org/ns/ttml"><body><div>'
            '<p begin="1s" end="2.5s">Bonjour<br/>tous</p></div></body></tt>',
            [Cue(1000, 2500, ("Bonjour", "tous"))],
            1,
        ),
        (
            "<SAMI><BODY><SYNC Start=1000><P>Bonjour<SYNC Start=1500><P>&nbsp;</BODY></SAMI>",
            [Cue(1000, 1500, ("Bonjour",))],
            1,
        ),
    ],
    ids=["microdvd", "mpl2", "tmp", "ttml", "sami"],
)
def test_other_formats_are_read(text: str, cues: list[Cue], precision: int) -> None:
    found = parse(text)
    assert found.cues[: len(cues)] == cues
    assert found.format.precision == precision
    with pytest.raises(DataError, match="can be checked but not mended"):
        found.text()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Once upon a time", "no subtitles in it"),
        ("{25}{50}Bonjour\n", "it counts frames"),
        ('{"segments": []}', "no subtitles in it"),
        ('<tt xmlns="http://www.w3.org/ns/ttml"><body>', "cannot be read"),
    ],
)
def test_what_holds_no_subtitles_is_refused(text: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        parse(text)


def test_a_file_in_which_nothing_is_said_has_no_cues() -> None:
    for name in ("srt", "vtt", "ass"):
        assert parse(render(name, [], [], META)).cues == []


FRENCH = "Où êtes-vous ? Déjà là, à l'été ; ça va être très gai."
CHINESE = "我们从来没有想过这样的事情会发生。"


@pytest.mark.parametrize(
    ("data", "encoding", "guessed"),
    [
        (FRENCH.encode(), "utf-8", False),
        (codecs.BOM_UTF8 + FRENCH.encode(), "utf-8", False),
        (codecs.BOM_UTF16_LE + FRENCH.encode("utf-16-le"), "utf-16-le", False),
        (codecs.BOM_UTF16_BE + FRENCH.encode("utf-16-be"), "utf-16-be", False),
        (FRENCH.encode("utf-16-le"), "utf-16-le", True),
        (FRENCH.encode("cp1252"), "cp1252", True),
        (f"1 {CHINESE}".encode("gb18030"), "gb18030", True),
        (b"\x81 \x8d", "latin-1", True),
    ],
)
def test_encodings_are_told_or_guessed(data: bytes, encoding: str, guessed: bool) -> None:
    text, found, guess = decode(data)
    assert (found, guess) == (encoding, guessed)
    assert text.encode(found) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_text_that_gives_them_back_or_are_refused(data: bytes) -> None:
    try:
        text, encoding, _ = decode(data)
    except DataError:
        return
    assert text.encode(encoding) == data


@given(st.text("0123:,.-> \n\r\ufeffWEBVTaé[]{}<|/", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except DataError:
        return
    repair(found, NETFLIX)


def test_a_mark_and_line_ends_come_back(tmp_path: Path) -> None:
    path = tmp_path / "clip.fr.srt"
    text = render("srt", [], [Cue(0, 1000, ("é",))], META, Writing(bom=True, crlf=True))
    path.write_bytes(text.encode())
    found = read(path)
    assert (found.encoding, found.bom, found.newline) == ("utf-8", True, "\r\n")
    assert found.text() == text


def test_what_is_no_subtitle_file_is_refused(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    with film.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(DataError, match="too large"):
        read(film)
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none.srt")
    with pytest.raises(DataError, match="is a directory"):
        read(tmp_path)


HOSTILE = [
    Cue(0, 1, ("👨\u200d👩\u200d👧 <i>not a tag</i> {\\an8}", "C:\\New --> old & \u202eeil\u202c")),
    Cue(5, 1005, ("שלום, מה שלומך?", "\u200fאני \\h בסדר {גמור}.")),
    Cue(99 * HOUR + 59 * 60_000, 100 * HOUR, ("1984",)),
    Cue(102 * HOUR + 1, 102 * HOUR + 11, ("a\r\n\r\nb\u2028c", "", "  ", "\x00d")),
]


@pytest.mark.parametrize("name", ["vtt", "ass"])
@pytest.mark.parametrize("writing", [Writing(), Writing(bom=True, crlf=True)])
def test_a_hostile_file_is_read_back(name: str, writing: Writing, tmp_path: Path) -> None:
    path = tmp_path / f"clip.en.{name}"
    path.write_bytes(render(name, [], HOSTILE, META, writing).encode())
    found = read(path)
    assert [cue.lines for cue in found.cues] == [
        *(cue.lines for cue in HOSTILE[:3]),
        ("a b c", "d"),
    ]
    assert [cue.start for cue in found.cues][2:] == [
        99 * HOUR + 59 * 60_000,
        102 * HOUR + (name == "vtt"),
    ]
    assert repair(found, PLAIN) is found


@pytest.mark.parametrize("name", ["srt", "vtt", "ass"])
def test_a_hostile_file_opens_in_pysubs2(name: str) -> None:
    late = 50 * HOUR  # taken off: it reads no more than 99 hours
    shown = [
        Cue(c.start - late * (c.start > late), c.end - late * (c.end > late), c.lines)
        for c in HOSTILE
    ]
    text = render(name, [], shown, META)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pysubs2.SSAFile.from_string(text)
    assert found.format == name
    assert len(found) == len(shown)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("name", ["srt", "vtt", "ass"])
@pytest.mark.parametrize("writing", [Writing(), Writing(bom=True, crlf=True)])
def test_a_hostile_file_opens_in_ffmpeg(name: str, writing: Writing, tmp_path: Path) -> None:
    path = tmp_path / f"clip.en.{name}"
    path.write_bytes(render(name, [], HOSTILE, META, writing).encode())
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(subtitles=0) if packet.size]
        starts = [round(packet.pts * packet.time_base * 1000) for packet in packets]
        assert all(packet.decode() for packet in packets)
    assert [abs(a - cue.start) <= 5 for a, cue in zip(starts, HOSTILE, strict=True)] == [True] * 4


@given(LINES)
@example("{h")
@example("{N{n{{hn")
def test_a_reader_that_knows_no_escapes_loses_no_word_of_substation(line: str) -> None:
    (event,) = pysubs2.SSAFile.from_string(render("ass", [], [Cue(0, 10, (line,))], META), "ass")
    read, said = (re.sub(r"[{\\\s\u2060]", "", text) for text in (event.plaintext, line))
    assert read == said


def test_tables_give_back_times_and_texts() -> None:
    said = [Segment(0.0004, 1, "a\tb"), Segment(1, 1, "c"), Segment(1, 2, "d")]
    rows = [line.split("\t") for line in render("tsv", said, [], META).splitlines()]
    assert rows[1:] == [["0", "1000", "a b"], ["1000", "1001", "c"], ["1001", "2000", "d"]]


@pytest.mark.parametrize("text", ["{h", "{N{n{{hn", "\\{h}", "{\\an8}"])
def test_braces_in_speech_come_back_as_they_were(text: str) -> None:
    found = parse(render("ass", [], [Cue(0, 1000, (text,))], META))
    assert [cue.lines for cue in found.cues] == [(text,)]
