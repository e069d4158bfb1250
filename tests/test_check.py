"""Checking and mending: what breaks a house style is told, and mended without touching a word."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.subtitles.checks import Violation, check, style_of
from pst_cli.subtitles.reading import SRT, Document, languages_of, parse
from pst_cli.subtitles.repair import repair
from pst_cli.subtitles.styles import NETFLIX, PLAIN, STYLES, style_for
from pst_cli.types import Cue

WORDS = st.lists(st.sampled_from(["Oui", "nous", "aujourd'hui,", "merci.", "–", "我们", "从来，"]))
MARKED = st.sampled_from(["{}", "<i>{}</i>", "{{\\an8}}{}", "- {}\n- oui", "{}\n{}"])
TIMES = st.integers(0, 60_000)


def told(*cues: Cue, style=NETFLIX, precision: int = 1) -> list[tuple[int, str]]:
    return [(one.cue, one.kind) for one in check(cues, style, precision)]


def document(*timed: tuple[int, int, str]) -> Document:
    """An SRT file without counters, times in ms."""
    return parse("".join(f"{clock(a)} --> {clock(b)}\n{text}\n\n" for a, b, text in timed))


def clock(moment: int) -> str:
    return f"00:{moment // 60_000:02}:{moment // 1000 % 60:02},{moment % 1000:03}"


def times(found: Document) -> list[tuple[int, int]]:
    return [(cue.start, cue.end) for cue in found.cues]


def words(found: Document) -> str:
    return "".join("".join(cue.text.split()) for cue in found.cues)


@pytest.mark.parametrize(
    ("cue", "kind"),
    [
        (Cue(0, 1000, ("a" * 18,)), "speed"),
        (Cue(0, 9000, ("x",)), "longest"),
        (Cue(0, 800, ("x",)), "shortest"),
        (Cue(0, 7000, ("w" * 43,)), "columns"),
        (Cue(0, 7000, ("a", "b", "c")), "lines"),
        (Cue(5, 5, ("x",)), "times"),
        (Cue(0, 1000, ()), "empty"),
    ],
)
def test_what_one_cue_breaks_is_told(cue: Cue, kind: str) -> None:
    assert told(cue) == [(1, kind)]


@pytest.mark.parametrize(
    ("start", "kind"),
    [(500, "order"), (1900, "overlap"), (2040, "gap"), (2300, "chain")],
)
def test_what_two_cues_break_is_told_of_the_second(start: int, kind: str) -> None:
    assert told(Cue(1000, 2000, ("a",)), Cue(start, start + 1000, ("b",))) == [(2, kind)]


@pytest.mark.parametrize("start", [2083, 2084, 2085, 2500, 3000])
def test_two_frames_or_half_a_second_between_cues_is_right(start: int) -> None:
    assert not told(Cue(1000, 2000, ("a",)), Cue(start, start + 1000, ("b",)))


def test_a_gap_that_can_only_be_closed_by_a_cue_too_long_may_stay() -> None:
    assert not told(Cue(0, 6900, ("a",)), Cue(7200, 8200, ("b",)))


def test_a_cue_is_held_against_the_one_that_ends_last() -> None:
    cues = [Cue(0, 6000, ("a",)), Cue(1000, 2000, ("b",)), Cue(3000, 4000, ("c",))]
    assert told(*cues) == [(2, "overlap"), (3, "overlap")]


def test_the_plain_style_asks_only_for_what_a_file_must_keep() -> None:
    assert not told(Cue(0, 1, ("a" * 42,)), Cue(1, 90_000, ("b",)), style=PLAIN)
    assert told(Cue(0, 2, ("a",)), Cue(1, 1, ("b",)), style=PLAIN) == [(2, "overlap"), (2, "times")]


def test_a_coarse_clock_is_forgiven_what_it_cannot_tell() -> None:
    cues = Cue(0, 2010, ("a",)), Cue(2090, 3000, ("b",))
    assert told(*cues) == [(2, "gap")]
    assert not told(*cues, precision=10)


def test_markup_is_not_read_and_chinese_is_read_slower() -> None:
    (cue,) = parse("00:00 --> 00:01\n{\\an8}<i>12345678901234567</i>\n").cues
    assert not told(cue)
    chinese = Cue(0, 1000, ("我们从来没有想过这样",))
    assert told(chinese, style=style_for("netflix", "zh")) == [(1, "speed")]
    assert not told(chinese)


def test_a_violation_tells_value_and_limit() -> None:
    (found,) = check([Cue(0, 1000, ("a" * 20,))], NETFLIX)
    assert found == Violation(1, 0, 1000, "speed", 20.0, 17)
    assert found.told() == "20.0 characters a second (17)"


def test_two_languages_in_a_cue_may_take_twice_the_lines() -> None:
    both = style_of("netflix", ("en", "zh"))
    assert (both.lines, both.columns, both.speed) == (4, 42, 20 + 9)
    assert style_of("netflix", ()) == NETFLIX


@pytest.mark.parametrize(
    ("name", "languages"),
    [
        ("clip.fr.srt", ("fr",)),
        ("clip.en-zh.srt", ("en", "zh")),
        ("Film.2019.ger.forced.ass", ("de",)),
        ("clip.es-419.vtt", ("es",)),
        ("clip.zh-Hans.srt", ("zh",)),
        ("clip.srt", ()),
        ("fr.srt", ()),
        ("clip.pt-it.srt", ()),
        ("clip.fr.default.SDH.srt", ("fr",)),
        ("La.Casa.de.Papel.S01E01.srt", ()),
        ("The.IT.Crowd.S01E01.srt", ()),
        ("The.IT.Crowd.S01E01.en.srt", ("en",)),
    ],
)
def test_the_language_stands_in_the_name(name: str, languages: tuple[str, ...]) -> None:
    assert languages_of(name) == languages


def test_a_file_without_a_fault_is_left_as_it_is() -> None:
    whole = document((0, 2000, "Bonjour."), (3000, 5000, "Bonsoir."))
    assert repair(whole, NETFLIX) is whole


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # an overlap: the first ends earlier, as it can still be read
        ([(0, 3000), (2000, 4000)], [(0, 1916), (2000, 4000)]),
        # an overlap: the first would flash by, so that the second begins later
        ([(0, 3000), (300, 4000)], [(0, 834), (918, 4000)]),
        # at the same time: they share it
        ([(0, 4000), (0, 4000)], [(0, 834), (918, 4000)]),
        # out of order
        ([(3000, 4000), (0, 2000)], [(0, 2000), (3000, 4000)]),
        # a gap of 300 ms is closed, one too small is widened
        ([(0, 2000), (2300, 4000)], [(0, 2216), (2300, 4000)]),
        ([(0, 2000), (2010, 4000)], [(0, 1926), (2010, 4000)]),
        # too short: it stands on into silence, if there is some
        ([(0, 500), (3000, 4000)], [(0, 834), (3000, 4000)]),
        ([(0, 500), (700, 4000)], [(0, 616), (700, 4000)]),
        # too long, with nothing to cut
        ([(0, 9000), (12_000, 13_000)], [(0, 7000), (12_000, 13_000)]),
    ],
)
def test_times_are_mended(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> None:
    assert times(repair(document(*((*time, "Oui.") for time in before)), NETFLIX)) == after


def test_text_too_fast_to_read_stands_on_for_two_seconds_at_most() -> None:
    mended = repair(document((0, 2000, "a" * 40), (5000, 7000, "b" * 80)), NETFLIX)
    assert times(mended) == [(0, 2353), (5000, 9000)]
    assert [one.kind for one in check(mended.cues, NETFLIX)] == ["columns", "speed"]


def test_lines_are_broken_anew_around_their_markup() -> None:
    text = "{\\an8}<i>Nous sommes aujourd'hui à Paris, et</i> il fait très beau, <b>mais froid</b>."
    (entry,) = repair(document((0, 6000, text)), NETFLIX, ["fr"]).body.entries
    assert entry.raw == (
        "{\\an8}<i>Nous sommes aujourd'hui à Paris,\net</i> il fait très beau, <b>mais froid</b>."
    )


def test_three_lines_become_two_and_chinese_gains_no_space() -> None:
    mended = repair(document((0, 6000, "one\ntwo\nthree")), NETFLIX, ["en"])
    assert mended.cues[0].lines == ("one two three",)
    mended = repair(document((0, 6000, "我们从来\n没有想过\n这样的事")), NETFLIX, ["zh"])
    assert mended.cues[0].text == "我们从来没有想过这样的事"


def test_two_speakers_keep_a_line_each() -> None:
    mended = repair(document((0, 6000, "- Where\nare you?\n- Here.")), NETFLIX, ["en"])
    assert mended.cues[0].lines == ("- Where are you?", "- Here.")


def test_a_cue_too_long_is_cut_where_a_sentence_ends() -> None:
    text = "The cat sat on the mat and looked at me.\nThen it walked away without a sound."
    mended = repair(document((0, 10_000, text)), NETFLIX, ["en"])
    assert [cue.text for cue in mended.cues] == text.split("\n")
    assert not list(check(mended.cues, NETFLIX))


def test_what_has_no_time_to_be_cut_stays_whole() -> None:
    text = ("word " * 40).strip()
    mended = repair(document((0, 1800, text)), NETFLIX, ["en"])
    assert [cue.lines for cue in mended.cues] == [(text,)]


def test_what_is_too_fast_anyway_is_cut_so_that_it_fits_the_screen() -> None:
    text = ("word " * 40).strip()
    mended = repair(document((0, 6000, text)), NETFLIX, ["en"])
    assert {one.kind for one in check(mended.cues, NETFLIX)} == {"speed"}
    assert words(mended) == text.replace(" ", "")


def test_cues_without_text_are_left_out() -> None:
    mended = repair(document((0, 1000, "<i></i>"), (2000, 3000, "Oui.")), NETFLIX)
    assert [cue.text for cue in mended.cues] == ["Oui."]


def test_two_languages_are_never_run_together() -> None:
    mended = repair(document((0, 500, "Yes\nOui\nJa\nSì\nSí")), style_of("netflix", ["en", "fr"]))
    assert mended.cues[0].lines != ("Yes", "Oui", "Ja", "Sì", "Sí")
    both = ["en", "fr"]
    kept = repair(document((0, 500, "Yes\nOui\nJa\nSì\nSí")), style_of("netflix", both), both)
    assert kept.cues[0].lines == ("Yes", "Oui", "Ja", "Sì", "Sí")


@given(
    st.lists(st.tuples(TIMES, TIMES, WORDS.map(" ".join), MARKED), max_size=8),
    st.sampled_from(sorted(STYLES)),
    st.sampled_from(["fr", "zh", "en"]),
    st.sampled_from([1, 10]),
)
def test_mending_keeps_every_word_and_every_tag_and_no_cue_overlaps(
    timed: list[tuple[int, int, str, str]], name: str, language: str, step: int
) -> None:
    style = style_for(name, language)
    rough = document(
        *((a // step * step, b // step * step, m.format(t, t)) for a, b, t, m in timed)
    )
    rough = replace(rough, format=replace(SRT, precision=step))
    mended = repair(rough, style, [language])
    in_order = sorted(rough.cues, key=lambda cue: max(0, cue.start))
    assert words(mended) == "".join("".join(cue.text.split()) for cue in in_order)
    tags = [sorted(re.findall(r"<[^>]*>|\{[^}]*\}", d.text())) for d in (rough, mended)]
    empty = [e.raw for e in rough.body.entries if not e.cue.lines]
    lost = sorted(tag for raw in empty for tag in re.findall(r"<[^>]*>|\{[^}]*\}", raw))
    assert tags[0] == sorted(tags[1] + lost)
    assert all(cue.start < cue.end for cue in mended.cues)
    assert all(before.end <= after.start for before, after in pairwise(mended.cues))
    assert all(moment % step == 0 for time in times(mended) for moment in time)
    fatal = {"order", "overlap", "times", "empty", "longest"}
    assert fatal.isdisjoint(one.kind for one in check(mended.cues, style, step))
    assert parse(mended.text()).cues == mended.cues
