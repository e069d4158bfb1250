"""Stacked cues: two languages by their times, no word of either lost, each within its limits."""

from __future__ import annotations

import itertools
import json

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.subtitles.bilingual import render_both
from pst_cli.subtitles.formats import FORMATS, Meta, Writing
from pst_cli.subtitles.pairs import Pair, Side, joined, stacked
from pst_cli.subtitles.styles import style_for
from pst_cli.subtitles.text import width
from pst_cli.types import Cue, Segment

META = Meta("clip.wav", "en", "de", "base")
WORDS = st.sampled_from(["yes,", "no.", "the", "house", "of", "man", "who", "says:", "42", "Donau"])
SAID = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0.2, 8), st.lists(WORDS, min_size=1, max_size=25)),
    max_size=12,
)


def segments(*said: tuple[float, float, str]) -> list[Segment]:
    return [Segment(start, end, text) for start, end, text in said]


def laid(said) -> list[Segment]:
    """Segments one after another: a pause, a length, words."""
    found, now = [], 0.0
    for pause, seconds, words in said:
        found.append(Segment(now + pause, now + pause + seconds, " ".join(words)))
        now += pause + seconds
    return found


def side(language: str, found: list[Segment], style: str = "plain") -> Side:
    return Side.of(found, language, style_for(style, language))


def pairs(upper: list[Segment], lower: list[Segment]) -> list[Pair]:
    return stacked(side("en", upper), side("de", lower))


def words(lines) -> list[str]:
    return [word for line in lines for word in line.split()]


def test_cues_that_stand_for_the_same_speech_are_stacked_at_the_translations_times():
    upper = segments((0.1, 2.0, "Good morning."), (3.0, 5.1, "How are you?"))
    lower = segments((0.0, 2.2, "Guten Morgen."), (2.9, 5.0, "Wie geht es dir?"))
    assert pairs(upper, lower) == [
        Pair(0, 2200, ("Good morning.",), ("Guten Morgen.",)),
        Pair(2900, 5000, ("How are you?",), ("Wie geht es dir?",)),
    ]


def test_two_cues_become_one_where_the_translation_has_one():
    upper = segments((0, 2, "Good morning."), (2, 4, "How are you?"))
    (pair,) = pairs(upper, segments((0, 4, "Guten Morgen, wie geht es dir?")))
    assert pair.texts == ("Good morning. How are you?", "Guten Morgen, wie geht es dir?")


def test_what_was_said_is_cut_where_the_translation_is():
    upper = segments((0, 4, "Good morning, how are you?"))
    lower = segments((0, 1.8, "Guten Morgen."), (1.8, 4, "Wie geht es dir?"))
    assert [pair.texts for pair in pairs(upper, lower)] == [
        ("Good morning,", "Guten Morgen."),
        ("how are you?", "Wie geht es dir?"),
    ]


def test_the_translation_is_cut_where_what_was_said_would_not_fit():
    upper = segments(
        (0, 3, "It is a very long way from here to the nearest village in the hills"),
        (3, 6, "and nobody whom we have met so far knows the road to the town at all."),
    )
    lower = segments((0, 6, "Es ist weit bis ins Dorf, und niemand kennt den Weg in die Stadt."))
    assert len(side("de", lower).cues) == 1
    first, second = pairs(upper, lower)
    assert (first.start, first.end, second.start, second.end) == (0, 3000, 3000, 6000)
    assert first.lower == ("Es ist weit bis ins Dorf,",)


def test_a_translation_that_flickers_is_joined_below_what_was_said():
    upper = [Cue(0, 5000, ("The first was horror, the second difference,", "the third curiosity."))]
    lower = [Cue(0, 3000, ("Erst kam der",)), Cue(3100, 3900, ("Schrecken,",))]
    lower.append(Cue(4000, 5000, ("dann die Neugier.",)))
    style = style_for("netflix", "de")
    (pair,) = stacked(Side(upper, "en", style), Side(lower, "de", style))
    assert (pair.start, pair.end) == (0, 5000)
    assert joined(pair.lower) == "Erst kam der Schrecken, dann die Neugier."


def test_what_only_one_language_says_stands_alone():
    upper = segments((0, 2, "Good morning."), (20, 22, "Applause."))
    lower = segments((0, 2, "Guten Morgen."), (40, 42, "Ende."))
    assert [pair.texts for pair in pairs(upper, lower)] == [
        ("Good morning.", "Guten Morgen."),
        ("Applause.", ""),
        ("", "Ende."),
    ]


def test_nothing_said_is_nothing_shown():
    assert pairs([], []) == []


def test_chinese_lines_are_joined_without_a_space():
    assert joined(("我们", "都 OK", "吗")) == "我们都 OK 吗"
    assert joined(("one", "two")) == "one two"


@given(SAID, SAID, st.sampled_from(["plain", "netflix", "bbc"]))
def test_no_word_is_lost_no_cue_overlaps_and_each_side_keeps_its_lines(above, below, style):
    upper, lower = side("en", laid(above), style), side("de", laid(below), style)
    found = stacked(upper, lower)
    assert words(line for pair in found for line in pair.upper) == words(
        line for cue in upper.cues for line in cue.lines
    )
    assert words(line for pair in found for line in pair.lower) == words(
        line for cue in lower.cues for line in cue.lines
    )
    for one, other in itertools.pairwise(found):
        assert one.start < one.end <= other.start
    for pair in found:
        assert pair.start < pair.end
        assert len(pair.cue.lines) > 0
        assert max(len(pair.upper), len(pair.lower)) <= upper.style.lines
        assert max(map(width, pair.cue.lines)) <= upper.style.columns


SPOKEN = segments((0, 2, "Good morning."), (3, 5, "Here --> there, <b>."))
SHOWN = segments((0, 2, "Guten Morgen."), (3, 5, "Von hier nach da."))


def shown(name: str, **how) -> str:
    return render_both(name, SPOKEN, SHOWN, META, "plain", **how)


@pytest.mark.parametrize("name", ["srt", "vtt", "ass"])
def test_subtitles_stack_both_languages(name):
    found = pysubs2.SSAFile.from_string(shown(name), format_=name)
    first, second = (cue.plaintext for cue in found)
    assert first == "Good morning.\nGuten Morgen."
    assert second.endswith("\nVon hier nach da.")


def test_text_gives_each_pair_two_lines_and_a_blank_one():
    assert shown("txt").split("\n\n")[0] == "Good morning.\nGuten Morgen."


def test_a_table_has_a_column_for_each_language():
    rows = [line.split("\t") for line in shown("tsv").splitlines()]
    assert rows[:2] == [
        ["start", "end", "en", "de"],
        ["0", "2000", "Good morning.", "Guten Morgen."],
    ]


def test_json_holds_the_translation_as_ever_and_the_transcript_beside_it():
    found = json.loads(shown("json"))
    assert [one["text"] for one in found["segments"]] == [one.text for one in SHOWN]
    assert [one["text"] for one in found["transcript"]] == [one.text for one in SPOKEN]
    assert found["language"] == {"from": "en", "to": "de"}
    assert json.loads(render_both("json", [], [], META, "plain"))["transcript"] == []


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_dressed_as_asked(name):
    text = shown(name, writing=Writing(bom=True, crlf=True))
    assert text.startswith("\ufeff") == (name != "json")
    assert text.count("\n") == text.count("\r\n") > 0


def test_a_cue_needs_a_time():
    assert Pair(0, 5, ("a",), ("b", "c")).cue == Cue(0, 5, ("a", "b", "c"))
