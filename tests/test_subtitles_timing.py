"""Cues in time: long enough to be read, never early, never over one another, no word lost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pst_cli.subtitles.checks import check
from pst_cli.subtitles.cues import cues
from pst_cli.subtitles.cutting import Cutter, Way, cut
from pst_cli.subtitles.spoken import Spoken, spoken
from pst_cli.subtitles.styles import BBC, NETFLIX, PLAIN, TED, Style, style_for
from pst_cli.subtitles.text import reading, width
from pst_cli.types import Cue, Segment

STYLES = ["netflix", "bbc", "ted"]
WORD = st.text("abcdefgho", min_size=1, max_size=9)
SENTENCE = st.builds(
    lambda words, end: " ".join(words) + end,
    st.lists(WORD, min_size=1, max_size=30),
    st.sampled_from([".", ",", "?", ""]),
)
ANY_SEGMENTS = st.lists(
    st.builds(Segment, st.floats(0, 90), st.floats(0, 90), SENTENCE | st.text(max_size=60)),
    max_size=12,
)


def duration(cue: Cue) -> float:
    """Seconds that a cue stands."""
    return (cue.end - cue.start) / 1000


def reading_speed(cue: Cue) -> float:
    """Characters a second; infinite for a cue that does not last."""
    seconds = duration(cue)
    return reading(cue.lines, wide=False) / seconds if seconds > 0 else math.inf


@st.composite
def speech(draw: st.DrawFn, pace: float, most: int = 12) -> list[Segment]:
    """Segments one after another, at most `pace` characters a second, some with marks."""
    found, now = [], 0.0
    for text in draw(st.lists(SENTENCE, min_size=1, max_size=most)):
        start = now + draw(st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.5, 4.0]))
        now = start + max(1.2, len(text) / draw(st.floats(pace / 2, pace)))
        found.append(Segment(start, now, text, marks=draw(marks(start, now, text))))
    return found


def marks(start: float, end: float, text: str) -> st.SearchStrategy[tuple[tuple[int, float], ...]]:
    places = [i for i in range(1, len(text)) if text[i - 1] == " "]
    even = tuple((i, start + (end - start) * i / len(text)) for i in places)
    return st.sampled_from([(), even])


def shown(*segments: Segment, style: Style = NETFLIX, language: str = "fr") -> list[Cue]:
    return list(cues(segments, language, style))


def said(segments: list[Segment]) -> list[str]:
    return " ".join(segment.text for segment in segments).split()


def broken(found: list[Cue], style: Style) -> list[str]:
    """What a cue breaks of a style, told apart from the checks that `pst check` makes."""
    wrong = ["gap" for one, two in pairwise(found) if not one.end + style.gap <= two.start]
    wrong += [
        "chain"
        for one, two in pairwise(found)
        if style.gap < two.start - one.end < style.chain
        and two.start - style.gap - one.start <= style.longest
    ]
    for cue in found:
        wrong += ["longest"] * (cue.end - cue.start > style.longest)
        wrong += ["shortest"] * (cue.end - cue.start < style.shortest)
        wrong += ["speed"] * (reading_speed(cue) > style.speed)
        wrong += ["lines"] * (len(cue.lines) > style.lines)
        wrong += ["columns"] * any(width(line) > style.columns for line in cue.lines)
    return wrong


@given(ANY_SEGMENTS, st.sampled_from(STYLES))
def test_whatever_the_times_words_stay_and_cues_follow_one_another(
    segments: list[Segment], name: str
) -> None:
    style = style_for(name, "fr")
    found = list(cues(segments, "fr", style))
    texts = "".join("".join(cue.lines) for cue in found)
    plain = "".join("".join(cue.lines) for cue in cues(segments, "fr"))
    assert "".join(texts.split()) == "".join(plain.split())
    assert all(cue.start < cue.end for cue in found)
    assert all(one.end + style.gap <= two.start for one, two in pairwise(found))
    for cue in found:
        assert 1 <= len(cue.lines) <= style.lines
        assert all(width(line) <= style.columns or " " not in line for line in cue.lines)


@given(speech(pace=9), st.sampled_from(STYLES))
def test_slow_speech_breaks_no_limit(segments: list[Segment], name: str) -> None:
    style = style_for(name, "fr")
    assert broken(list(cues(segments, "fr", style)), style) == []


@given(speech(pace=40), st.sampled_from(STYLES))
def test_words_keep_their_order_however_dense_the_speech(
    segments: list[Segment], name: str
) -> None:
    found = list(cues(segments, "fr", style_for(name, "fr")))
    assert " ".join(line for cue in found for line in cue.lines).split() == said(segments)
    kinds = set(broken(found, style_for(name, "fr")))
    assert kinds <= {"speed", "shortest"}


@given(speech(pace=30))
def test_no_cue_begins_before_its_words_nor_long_after(segments: list[Segment]) -> None:
    tagged = [
        replace(one, text=" ".join(f"{i}{word}" for word in one.text.split()), marks=())
        for i, one in enumerate(segments)
    ]
    for cue in cues(tagged, "fr", replace(NETFLIX, columns=200)):
        number = int("".join(c for c in cue.text.split()[0] if c.isdigit()))
        assert cue.start >= round(tagged[number].start * 1000)
        assert cue.start <= tagged[number].end * 1000 + NETFLIX.delay + 1


@st.composite
def runs(draw: st.DrawFn) -> list[Spoken]:
    text = " ".join(draw(st.lists(WORD, min_size=1, max_size=7)))
    start, lasts = draw(st.floats(0, 2)), draw(st.floats(0.1, 6))
    return spoken(Segment(start, start + lasts, text), "fr", 12)


@settings(max_examples=60)
@given(runs(), st.floats(0, 1000), st.sampled_from([300.0, 4000.0, float("inf")]))
def test_no_way_to_cut_is_cheaper_than_the_one_taken(
    run: list[Spoken], floor: float, silence: float
) -> None:
    style = replace(NETFLIX, columns=12)
    cutter = Cutter(run, style, run[-1].end + silence)

    def ways(way: Way) -> Iterator[Way]:
        if way.first == len(run):
            yield way
            return
        for end in range(way.first + 1, cutter.text.reach(style.lines)[way.first] + 1):
            for further in cutter.past(way, end, cutter.price(way.first, end)):
                yield from ways(further)

    best = min(way.cost for way in ways(Way(0, max(floor, run[0].start))))
    assert cutter.best(floor).cost == pytest.approx(best, rel=0.02)


def test_text_lingers_into_silence_to_be_read() -> None:
    (cue,) = shown(Segment(1, 2, "This takes more than a second."))
    assert duration(cue) == pytest.approx(30 / 17, abs=0.001)
    (cue,) = shown(Segment(1, 2, "This takes more than three seconds, "
                                 "and that is more than it may."))  # fmt: skip
    assert (cue.start, cue.end) == (1000, 4000)  # no longer than two seconds past the voice
    (cue,) = shown(Segment(1, 2, "This takes more than a second."), style=TED)
    assert duration(cue) == pytest.approx(30 / 21, abs=0.001)


def test_text_lingers_only_as_long_as_it_must() -> None:
    (cue,) = shown(Segment(1, 1.3, "Oui."), style=BBC)
    assert (cue.start, cue.end) == (1000, 2000)


def test_small_gaps_are_closed_and_others_left() -> None:
    first, second, third = shown(
        Segment(0, 3, "Voici une première phrase assez longue pour elle."),
        Segment(3.4, 6.4, "Voici une deuxième phrase assez longue pour elle."),
        Segment(7.0, 9.9, "Voici une troisième phrase assez longue pour elle."),
    )
    assert second.start - first.end == NETFLIX.gap
    assert (second.start, second.end, third.start) == (3400, 6400, 7000)


def test_short_segments_share_a_cue() -> None:
    (cue,) = shown(Segment(0, 0.6, "Oui."), Segment(0.8, 1.3, "Non."), Segment(1.4, 2.2, "Enfin."))
    assert cue == Cue(0, 2200, ("Oui. Non. Enfin.",))


def test_short_segments_stay_apart_where_silence_lies_between() -> None:
    found = shown(Segment(0, 0.6, "Oui."), Segment(1.8, 2.4, "Non."))
    assert [cue.text for cue in found] == ["Oui.", "Non."]
    assert [cue.start for cue in found] == [0, 1800]


def test_a_cue_waits_for_the_one_before_it_to_be_read() -> None:
    dense = "Il a parlé si vite que personne dans la salle ne l'a compris."
    first, second = shown(Segment(0, 3.3, dense), Segment(3.3, 9, "Puis il est parti."), style=BBC)
    assert reading_speed(first) <= BBC.speed
    assert 3300 < second.start <= 3300 + BBC.delay


def test_what_is_too_dense_to_be_read_is_shown_all_the_same() -> None:
    text = "Beaucoup de mots en une seule seconde, et personne ne peut lire tout cela à temps."
    found = shown(Segment(0, 1, text), Segment(1, 5, "Et ensuite un peu de calme pour finir."))
    assert " ".join(line for cue in found for line in cue.lines).startswith(text)
    assert reading_speed(found[0]) > NETFLIX.speed


def test_a_segment_longer_than_a_cue_may_stand_is_cut_up() -> None:
    text = "Un jour je suis parti, un autre je suis revenu."
    found = shown(Segment(0, 12, text))
    assert [cue.text for cue in found] == ["Un jour je suis parti,", "un autre je suis revenu."]
    assert all(cue.end - cue.start <= NETFLIX.longest for cue in found)


def test_one_word_held_for_long_is_taken_down_in_time() -> None:
    assert shown(Segment(0, 20, "Encore.")) == [Cue(0, 7000, ("Encore.",))]


def test_marks_say_when_an_inner_cue_begins() -> None:
    first = "The first of these two sentences is said very slowly by him."
    text = f"{first} The second one, however, is said in a moment by her."
    marked = Segment(0, 10, text, marks=((len(first) + 1, 7.0),))
    assert [cue.start for cue in shown(marked, language="en")] == [0, 7000]
    assert [cue.start for cue in shown(replace(marked, marks=()), language="en")] != [0, 7000]


def test_marks_count_the_characters_that_cleaning_takes_away() -> None:
    text = "  One two three,\n\n four five six  "
    place = text.index("four")
    marked = Segment(0, 10, text, marks=((place, 8.0),))
    found = shown(marked, style=replace(PLAIN, columns=15, lines=1), language="en")
    assert [(cue.start, cue.text) for cue in found] == [
        (0, "One two three,"),
        (8000, "four five six"),
    ]


def test_a_pause_that_marks_reveal_ends_a_cue() -> None:
    text = "He waited at the door of the house and nobody came"
    marked = Segment(0, 6, text, marks=((text.index("house"), 1.8), (text.index("and"), 4.5)))
    first, second = shown(marked, language="en")
    assert first.text.endswith("house")
    assert first.end < 4000
    assert second.start == 4500


@pytest.mark.parametrize("bad", [((99, 2.0),), ((5, 0.0),), ((5, 11.0),), ((0, 1.0), (0, 1.0))])
def test_marks_outside_the_segment_are_passed_over(bad: tuple[tuple[int, float], ...]) -> None:
    segment = Segment(1, 9, "Some words are said here, and some more there.")
    assert shown(replace(segment, marks=bad)) == shown(segment)


def test_chinese_is_read_by_the_character() -> None:
    style = style_for("netflix", "zh")
    (cue,) = shown(Segment(0, 1, "我们从来没有想过这件事。"), style=style, language="zh")
    assert duration(cue) == pytest.approx(12 / 9, abs=0.001)


def test_reading_speed_counts_what_is_seen() -> None:
    assert reading_speed(Cue(0, 2000, ("e\u0301te\u0301", "ici"))) == 3
    assert reading_speed(Cue(0, 1000, ("中文，",))) == 3
    assert reading_speed(Cue(5, 5, ("x",))) == float("inf")


def test_cues_come_out_after_a_silence() -> None:
    read: list[int] = []

    def decoding() -> Iterator[Segment]:
        for i in range(6):
            read.append(i)
            pause = 5 if i >= 3 else 0
            yield Segment(i * 3 + pause, i * 3 + 2.9 + pause, f"Voici donc la phrase numéro {i}.")

    assert "numéro 0" in next(cues(decoding(), "fr", NETFLIX)).text
    assert read == [0, 1, 2, 3]


def test_without_a_silence_cues_come_half_a_minute_behind() -> None:
    read: list[int] = []

    def decoding() -> Iterator[Segment]:
        for i in range(100):
            read.append(i)
            yield Segment(i * 3, i * 3 + 3, f"Voici la phrase qui porte le numéro {i}.")

    found = cues(decoding(), "fr", NETFLIX)
    first = next(found)
    assert "numéro 0" in first.text
    assert len(read) <= 13
    whole = [first, *found]
    assert broken(whole, NETFLIX) == []
    assert " ".join(cue.text for cue in whole).count("numéro") == 100


def test_a_style_whose_segments_stand_alone_shows_them_so() -> None:
    found = shown(
        Segment(0, 0.2, "Oui."), Segment(0.2, 0.4, "Non."), style=style_for("plain", "fr")
    )
    assert found == [Cue(0, 200, ("Oui.",)), Cue(200, 400, ("Non.",))]


def test_empty_segments_are_no_neighbours() -> None:
    found = shown(Segment(0, 2, "Bonjour à tous."), Segment(2, 2.4, " "), Segment(9, 11, "Fin."))
    assert [cue.text for cue in found] == ["Bonjour à tous.", "Fin."]


def test_cutting_says_when_what_follows_may_begin() -> None:
    run = spoken(Segment(0, 1, "Bonjour."), "fr", 42)
    assert cut(run, NETFLIX, 0, 1100)[-1].following == 1100


def test_a_cue_begins_with_the_voice_where_that_is_later_than_the_segment():
    told = Segment(1.0, 4.0, "Ask what you can do.", marks=((0, 2.25), (4, 2.5)))
    (cue,) = cues([told], "en", style_for("netflix", "en"))
    assert cue.start == 2250


def test_latin_letters_in_chinese_count_half_of_a_character_each() -> None:
    chinese, english = style_for("netflix", "zh"), "After half an hour, they reached the fig."
    (cue,) = cues([Segment(0, 1, english)], "zh", chinese)
    assert cue.end == math.ceil(1000 * len(english) / 2 / 9)
    assert not list(check([cue], chinese))
    (cue,) = cues([Segment(0, 1, "半个小时之后，他们到了。")], "zh", chinese)
    assert cue.end == math.ceil(1000 * 12 / 9)
