"""Formats: what is written is what a player reads back, byte for byte."""

from __future__ import annotations

import html
import json
import math
import re
from dataclasses import replace
from itertools import pairwise

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.subtitles.cues import cues
from pst_cli.subtitles.formats import FORMATS, Meta, Writing, render, stream
from pst_cli.types import Cue, Segment

META = Meta(source="clip.wav", source_language="en", target_language="fr", model="base")
HOUR = 3_600_000  # ms

SEGMENTS = [
    Segment(0.0, 1.5, " Bonjour à tous. ", -0.25, 1.5, 0.01, 0.0, ()),
    Segment(
        59.9996, 62.0, "Nous sommes aujourd'hui à Paris, et il fait beau.", flags=("repetition",)
    ),
    Segment(62.0, 63.0, "a < b && c --> d\te"),
]

SRT = """\
1
00:00:00,000 --> 00:00:01,500
Bonjour à tous.

2
00:01:00,000 --> 00:01:02,000
Nous sommes aujourd'hui à Paris,
et il fait beau.

3
00:01:02,000 --> 00:01:03,000
a < b && c → d e

"""

VTT = """\
WEBVTT

00:00:00.000 --> 00:00:01.500
Bonjour à tous.

00:01:00.000 --> 00:01:02.000
Nous sommes aujourd'hui à Paris,
et il fait beau.

00:01:02.000 --> 00:01:03.000
a &lt; b &amp;&amp; c --&gt; d e

"""

ASS = """\
[Script Info]
WrapStyle: 0
ScaledBorderAndShadow: yes
Collisions: Normal
PlayResX: 1920
PlayResY: 1080
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, \
Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,60,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,3,0,2,\
96,96,54,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.00,0:00:01.50,Default,,0,0,0,,Bonjour à tous.
Dialogue: 0,0:01:00.00,0:01:02.00,Default,,0,0,0,,Nous sommes aujourd'hui à Paris,\\N\
et il fait beau.
Dialogue: 0,0:01:02.00,0:01:03.00,Default,,0,0,0,,a < b && c --> d e
"""

TXT = """\
Bonjour à tous.
Nous sommes aujourd'hui à Paris, et il fait beau.
a < b && c --> d e
"""

TSV = """\
start|end|text
0|1500|Bonjour à tous.
60000|62000|Nous sommes aujourd'hui à Paris, et il fait beau.
62000|63000|a < b && c --> d e
""".replace("|", "\t")

JSON = """\
{"source": "clip.wav", "language": {"from": "en", "to": "fr"}, "model": "base", "segments": [
{"start": 0.0, "end": 1.5, "text": " Bonjour à tous. ", "average_logprob": -0.25, \
"compression_ratio": 1.5, "no_speech_probability": 0.01, "temperature": 0.0, "flags": []}
]}
"""

LINES = st.text("abc éß中文，😀שלום<>&-i/{}\\", min_size=1, max_size=30).filter(str.strip)


def whole(name: str, segments: list[Segment]) -> str:
    return render(name, segments, cues(segments, "fr"), META)


def squeezed(text: str) -> str:
    return re.sub(" +", " ", text)  # as the writer does


def subtitles(name: str, *shown: Cue) -> str:
    return render(name, [], shown, META)


@st.composite
def timelines(draw: st.DrawFn, hours: int) -> list[Cue]:
    """Cues in order, up to `hours`, each holding one or two lines."""
    marks = draw(st.lists(st.integers(0, hours * HOUR - 1), unique=True, max_size=12).map(sorted))
    return [
        Cue(start, end, tuple(draw(st.lists(LINES.map(str.strip), min_size=1, max_size=2))))
        for start, end in zip(marks[::2], marks[1::2], strict=False)
    ]


@pytest.mark.parametrize(
    ("name", "golden"), [("srt", SRT), ("vtt", VTT), ("ass", ASS), ("txt", TXT), ("tsv", TSV)]
)
def test_a_document_reads_as_its_format_does(name: str, golden: str) -> None:
    assert whole(name, SEGMENTS) == golden


def test_json_holds_everything_known_about_a_segment() -> None:
    assert whole("json", SEGMENTS[:1]) == JSON


@given(timelines(hours=100))
def test_pysubs2_reads_back_every_srt_cue(shown: list[Cue]) -> None:
    read = pysubs2.SSAFile.from_string(subtitles("srt", *shown), "srt", keep_html_tags=True)
    texts = [cue.text.replace("-->", "→").replace("\n", "\\N") for cue in shown]
    assert [(e.start, e.end) for e in read] == [(cue.start, cue.end) for cue in shown]
    assert [squeezed(e.text) for e in read] == [squeezed(text) for text in texts]


@given(timelines(hours=200))
def test_pysubs2_reads_back_every_vtt_cue(shown: list[Cue]) -> None:
    read = pysubs2.SSAFile.from_string(subtitles("vtt", *shown), "vtt", keep_html_tags=True)
    texts = [cue.text.replace("\n", "\\N") for cue in shown]
    assert [(e.start, e.end) for e in read] == [(cue.start, cue.end) for cue in shown]
    assert [squeezed(html.unescape(e.text)) for e in read] == [squeezed(text) for text in texts]


@given(timelines(hours=9))
def test_pysubs2_reads_back_every_ass_cue_to_its_hundredth_of_a_second(shown: list[Cue]) -> None:
    plain = [replace(cue, lines=tuple(re.sub("[{}]", "x", x) for x in cue.lines)) for cue in shown]
    read = pysubs2.SSAFile.from_string(subtitles("ass", *plain), "ass")
    texts = [e.plaintext.replace("\u2060", "") for e in read]
    assert texts == [squeezed(cue.text) for cue in plain]
    assert all(e.start < e.end for e in read)
    assert all(a.end <= b.start for a, b in pairwise(read))
    for e, cue in zip(read, plain, strict=True):
        assert abs(e.start - cue.start) <= 5 + 10 * len(plain)
        assert e.end >= cue.end - 5


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("{\\an8} {x}", "\\{{}\\an8} \\{{}x}"),
        ("a\\Nb \\{c}", "a\\\u2060Nb \\\u2060\\{{}c}"),
        ("C:\\temp\\", "C:\\temp\\"),
    ],
)
def test_what_looks_like_a_command_is_only_text_in_ass(said: str, written: str) -> None:
    assert subtitles("ass", Cue(0, 10, (said,))).endswith(f",,{written}\n")


def test_ass_cues_shorter_than_its_clock_can_tell_still_last_and_follow_one_another() -> None:
    text = subtitles("ass", Cue(0, 2, ("a",)), Cue(2, 4, ("b",)), Cue(4, 3_600_000_000, ("c",)))
    times = re.findall(r"Dialogue: 0,(.*?),Default", text)
    assert times == ["0:00:00.00,0:00:00.01", "0:00:00.01,0:00:00.02", "0:00:00.02,1000:00:00.00"]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_mark_and_windows_line_ends_are_written_where_asked_for(name: str) -> None:
    text = render(name, SEGMENTS, cues(SEGMENTS, "fr"), META, Writing(bom=True, crlf=True))
    plain = whole(name, SEGMENTS)
    assert text.removeprefix("\ufeff") == plain.replace("\n", "\r\n")
    assert text.startswith("\ufeff") is (name != "json")


def test_cues_that_overlap_are_put_one_after_another() -> None:
    text = subtitles("vtt", Cue(0, 20, ("a",)), Cue(10, 15, ("b",)), Cue(10, 30, ("c",)))
    assert re.findall(r"00:00:00\.(\d+) --> 00:00:00\.(\d+)", text) == [
        ("000", "020"),
        ("020", "021"),
        ("021", "030"),
    ]


@given(timelines(hours=200), st.sampled_from(["srt", "vtt"]))
def test_only_timing_lines_hold_an_arrow_and_blocks_split_at_blank_lines(
    shown: list[Cue], name: str
) -> None:
    text = subtitles(name, *shown).removeprefix("WEBVTT\n\n")
    blocks = text.split("\n\n")[:-1]
    assert len(blocks) == len(shown)
    assert text.count("-->") == len(shown)


@pytest.mark.parametrize(("name", "times"), [("srt", ","), ("vtt", ".")])
def test_hours_beyond_99_are_neither_cut_nor_wrapped(name: str, times: str) -> None:
    text = subtitles(name, Cue(99 * HOUR, 123 * HOUR + 4, ("late",)))
    assert f"99:00:00{times}000 --> 123:00:00{times}004" in text


def test_blank_lines_inside_a_cue_are_left_out_and_the_counter_stays_whole() -> None:
    shown = [Cue(0, 1, ("a", " ", "b")), Cue(1, 2, ("",)), Cue(2, 3, ("c\n\nd",))]
    assert subtitles("srt", *shown) == (
        "1\n00:00:00,000 --> 00:00:00,001\na\nb\n\n2\n00:00:00,002 --> 00:00:00,003\nc d\n\n"
    )


@pytest.mark.parametrize("name", ["srt", "vtt", "ass"])
@pytest.mark.parametrize("times", [(-1, 5), (math.nan, 5), (0, math.nan), (5, 5), (7, 5)])
def test_a_cue_that_cannot_be_shown_is_refused(name: str, times: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"cannot stand at|must end after"):
        subtitles(name, Cue(*times, ("x",)))


@pytest.mark.parametrize("name", ["tsv", "json"])
@pytest.mark.parametrize("bad", [-0.5, math.nan, math.inf])
def test_a_segment_whose_time_is_no_place_in_the_file_is_refused(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match="cannot stand at"):
        render(name, [Segment(0, bad, "x")], [], META)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_stream_gives_the_first_cue_before_the_second_segment_but_one(name: str) -> None:
    read = []

    def decoding():
        for i in range(5):
            read.append(i)
            yield Segment(i, i + 1, f"Number {i}.")

    source = decoding()
    for chunk in stream(name, source, cues(source, "en"), META):
        if "Number 0" in chunk:
            break
    assert len(read) <= 2


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_nothing_said_is_still_a_valid_document(name: str) -> None:
    empty = whole(name, [])
    heads = {"srt": "", "vtt": "WEBVTT\n\n", "ass": ASS.partition("Dial")[0]}
    heads |= {"txt": "", "tsv": "start\tend\ttext\n"}
    assert empty == heads.get(name, empty)
    if name == "json":
        assert json.loads(empty)["segments"] == []


@given(st.text(), st.text(st.characters(), max_size=20))
def test_json_reads_back_and_always_encodes(source: str, said: str) -> None:
    meta = Meta(source + "\udcff", None, "fr", "base")
    text = render("json", [Segment(0.1, 2, said), Segment(2, 3, "\ud800")], [], meta)
    read = json.loads(text.encode("utf-8"))
    assert read["source"] == source + "\udcff"
    assert read["language"] == {"from": None, "to": "fr"}
    assert [segment["text"] for segment in read["segments"]] == [said, "\ud800"]


def test_json_writes_figures_that_are_no_number_as_null() -> None:
    text = render("json", [Segment(0, 1, "x", average_logprob=-math.inf)], [], META)
    assert json.loads(text)["segments"][0]["average_logprob"] is None
