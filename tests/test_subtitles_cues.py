"""Cues: the words survive, the times are sane, the lines break where a reader would pause."""

from __future__ import annotations

import math
import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.errors import UsageError
from pst_cli.subtitles.cues import cues
from pst_cli.subtitles.styles import Style, style_for
from pst_cli.subtitles.text import clean, width
from pst_cli.types import Cue, Segment

WORDS = st.text(
    "abcdefghijklmnopqrstuvwxyzéßñABC0123456789,.!?'«»“”()<>&-", min_size=1, max_size=14
)
SENTENCES = st.lists(WORDS, min_size=1, max_size=60).map(" ".join)
HANZI = st.text("我们从来没有想过这样的事情会发生", min_size=1, max_size=9)
CLAUSES = st.builds("".join, st.tuples(HANZI, st.sampled_from("，。！？、”》…")))
CHINESE = st.lists(CLAUSES, min_size=1, max_size=15).map("".join)
ANYTHING = st.text(max_size=200)
SECONDS = st.floats(0, 200 * 3600)
SEGMENTS = st.lists(
    st.builds(Segment, SECONDS, SECONDS, st.one_of(SENTENCES, ANYTHING)), max_size=8
)


def cut(text: str, language: str = "en", end: float = 10.0, **limits: int) -> list[Cue]:
    style = Style(name="own", **limits) if limits else None
    return list(cues([Segment(0.0, end, text)], language, style))


def lines(text: str, language: str = "en") -> list[str]:
    return [line for cue in cut(text, language) for line in cue.lines]


@given(SENTENCES)
def test_joining_the_lines_gives_back_the_words(text: str) -> None:
    assert " ".join(lines(text)) == text


@given(CHINESE)
def test_joining_chinese_lines_gives_back_the_characters(text: str) -> None:
    assert "".join(lines(text, "zh")) == text


@given(ANYTHING, st.sampled_from(["en", "zh"]))
def test_no_text_whatever_loses_a_visible_character(text: str, language: str) -> None:
    kept = "".join("".join(lines(text, language)).split())
    assert kept == "".join(clean(text).split())


@given(SENTENCES)
def test_lines_stay_within_the_limits_when_every_word_fits(text: str) -> None:
    for cue in cut(text):
        assert 1 <= len(cue.lines) <= 2
        assert all(width(line) <= 42 for line in cue.lines)


@given(CHINESE)
def test_chinese_lines_are_at_most_sixteen_full_width_characters(text: str) -> None:
    assert all(width(line) <= 32 for line in lines(text, "zh"))


@given(CHINESE)
def test_no_chinese_line_starts_with_closing_punctuation(text: str) -> None:
    assert not [line for line in lines(text, "zh") if line[0] in "，。！？、”》…"]


@given(SEGMENTS)
def test_times_rise_without_overlap_and_every_cue_lasts(segments: list[Segment]) -> None:
    found = list(cues(segments, "en"))
    assert all(cue.start < cue.end for cue in found)
    assert all(before.end <= after.start for before, after in pairwise(found))


@given(SEGMENTS)
def test_no_line_is_blank_or_holds_a_control_character(segments: list[Segment]) -> None:
    for cue in cues(segments, "en"):
        assert cue.lines
        for line in cue.lines:
            assert line == line.strip()
            assert line
            assert not [c for c in line if unicodedata.category(c) in ("Cc", "Zl", "Zp")]


def test_a_short_text_is_one_line() -> None:
    assert cut("Hello there.") == [Cue(0, 10_000, ("Hello there.",))]


def test_a_line_breaks_after_punctuation_before_it_balances() -> None:
    assert lines("When I saw him again, he had already left the house.") == [
        "When I saw him again,",
        "he had already left the house.",
    ]


def test_without_punctuation_the_lines_are_balanced_with_the_longer_below() -> None:
    assert lines("I was going to the store to buy some milk and then I saw him") == [
        "I was going to the store",
        "to buy some milk and then I saw him",
    ]


def test_a_long_text_becomes_cues_at_the_ends_of_sentences() -> None:
    found = cut(
        "The cat sat on the mat and it looked at me. "
        "Then it walked away without a sound. Nobody ever saw it again."
    )
    assert [cue.text.replace("\n", " ") for cue in found] == [
        "The cat sat on the mat and it looked at me.",
        "Then it walked away without a sound. Nobody ever saw it again.",
    ]


def test_a_long_sentence_becomes_cues_at_a_comma() -> None:
    found = cut(
        "He looked at me for a while as if he knew what I was going to say, "
        "and then he walked away from the house without making any sound."
    )
    assert found[0].text.replace("\n", " ").endswith("going to say,")
    assert len(found) == 2


def test_a_chinese_text_breaks_at_its_punctuation() -> None:
    assert lines("我从来没有想过这样的事情会发生，但是今天它真的发生了。", "zh") == [
        "我从来没有想过这样的事情会发生，",
        "但是今天它真的发生了。",
    ]


def test_a_latin_word_in_chinese_is_never_cut() -> None:
    assert lines("我们在今年使用OpenAI的Whisper模型进行语音识别和翻译工作", "zh") == [
        "我们在今年使用OpenAI的Whisper",
        "模型进行语音识别和翻译工作",
    ]


@pytest.mark.parametrize("mark", ["——", "々", "·", "》", "%"])
def test_no_chinese_line_starts_with_a_mark_that_belongs_to_what_it_follows(mark: str) -> None:
    found = cut(f"人人{mark}人", "zh", columns=4, lines=1)
    assert not [cue for cue in found if cue.text[0] in mark]


def test_punctuation_set_off_by_a_space_stays_with_its_word() -> None:
    text = (
        "Je ne sais vraiment pas si tout cela te va ? « Non », répondit-elle en souriant doucement."
    )
    for space in (" ", "\u00a0", "\u202f"):
        found = lines(text.replace(" ?", space + "?").replace("« ", "«" + space), "fr")
        assert not [line for line in found if line[0] in "?»" or line[-1] in "«"]
        assert f"va{space}?" in " ".join(found)


def test_a_word_wider_than_a_line_stands_alone_and_whole() -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitänsmütze"
    assert lines(f"{word} ist ein Wort.", "de") == [word, "ist ein Wort."]


def test_time_is_shared_in_proportion_to_width() -> None:
    found = cut("aaaa. bbbbbbbbbbbb.", columns=13, lines=1, end=18.0)
    assert found == [Cue(0, 5_000, ("aaaa.",)), Cue(5_000, 18_000, ("bbbbbbbbbbbb.",))]


def test_an_early_start_clips_the_end_before_it() -> None:
    found = list(cues([Segment(0, 3.2, "One."), Segment(3, 5, "Two.")], "en"))
    assert found == [Cue(0, 3_000, ("One.",)), Cue(3_000, 5_000, ("Two.",))]


def test_segments_without_length_still_last_a_millisecond_each() -> None:
    found = list(cues([Segment(1, 1, "One."), Segment(1, 1, "Two."), Segment(1, 0, "3.")], "en"))
    assert [(cue.start, cue.end) for cue in found] == [(1000, 1001), (1001, 1002), (1002, 1003)]


def test_times_round_to_the_nearest_millisecond() -> None:
    assert cut("Hi.", end=59.9996)[0].end == 60_000


@pytest.mark.parametrize("bad", [-0.5, math.nan, math.inf])
def test_a_time_that_is_no_place_in_the_file_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="cannot stand at"):
        list(cues([Segment(0, bad, "Hi.")], "en"))


@pytest.mark.parametrize("nothing", ["", "  \n\t", "\x00\x1f", "\u200b", "\u00a0", "\u202b \u202c"])
def test_a_text_of_which_nothing_would_be_seen_makes_no_cue(nothing: str) -> None:
    assert cut(nothing) == []


def test_blanks_and_control_characters_become_single_spaces() -> None:
    assert lines(" one\r\ntwo\tthree\x07\u2028four ") == ["one two three four"]


def test_width_counts_what_is_seen() -> None:
    seen = {
        "abc": 3,
        "中文，": 6,
        "e\u0301": 1,
        "😀": 2,
        "👍🏽": 2,
        "👨\u200d👩\u200d👧": 2,
        "שלום": 4,
    }
    assert {text: width(text) for text in seen} == seen


def test_emoji_are_never_torn_apart() -> None:
    family = "👨\u200d👩\u200d👧"
    found = lines(" ".join([family + "👍🏽"] * 30), "zh")
    assert len(found) > 2
    assert all(re.fullmatch(rf"({family}👍🏽 ?)+", line) for line in found)


def test_right_to_left_text_keeps_its_logical_order_and_marks() -> None:
    text = "\u200fשלום עולם, מה שלומך היום? אני מקווה שהכול בסדר גמור אצלך."
    assert " ".join(lines(text)) == text


def test_a_cue_comes_out_as_soon_as_the_next_has_begun() -> None:
    seen = []

    def decoding():
        for i in range(5):
            seen.append(i)
            yield Segment(i, i + 1, f"Number {i}.")

    assert next(cues(decoding(), "en")).text == "Number 0."
    assert seen == [0, 1]


def test_chinese_has_narrower_lines_than_the_rest() -> None:
    assert style_for("plain", "zh").columns == 32
    assert style_for("plain", "fr").columns == 42


@pytest.mark.parametrize("bad", [{"columns": 1}, {"lines": 0}])
def test_limits_that_hold_nothing_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Style(name="own", **bad)
