"""How well times hold: the arithmetic by hand, and the clips that are measured."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.data.manifest import Utterance
from pst_cli.evaluate.times import LONGEST, Spread, Timed, _timed, distances, end_to_end, times
from pst_cli.training.clips import Clip

MOMENTS = st.lists(st.floats(0, 30), max_size=8)


def utterances(count, language="de", seconds=4.0, speaker=None) -> list[Utterance]:
    return [
        Utterance(Path(f"/{language}{i}.wav"), language, "Hallo", {}, 0.0, None, seconds, speaker)
        for i in range(count)
    ]


def test_each_point_is_held_against_the_nearest_mark():
    assert distances([0.0, 5.0, 9.0], [0.25, 8.0]) == (0.25, 3.0, 1.0)
    assert distances([1.0], []) == (math.inf,)
    assert distances([], [1.0]) == ()


def test_a_clip_is_measured_both_ways_its_first_start_too():
    clip = Clip(tuple(utterances(3)), (0.5, 0.5, 0.5))  # they start at 0.5, 5.0 and 9.5 s
    found = _timed(clip, ("de", "fr"), [0.0, 5.25])
    assert found.starts == (0.5, 0.25, 4.25)
    assert found.segments == (0.5, 0.25)
    assert found.audio_seconds == 13.5


def test_a_clip_with_nothing_said_is_infinitely_off():
    found = _timed(Clip(tuple(utterances(2)), (0.5, 0.5)), ("de", "fr"), [])
    assert found.starts == (math.inf, math.inf)
    assert Spread.of(found.starts).document() == {
        "n": 2,
        "median": None,
        "p90": None,
        "within_0.3": 0,
        "within_1": 0,
    }
    assert Spread.of(found.segments).n == 0


def test_quantiles_and_shares_count_a_start_without_a_segment():
    spread = Spread.of([0.1, 0.3, 0.2, 1.0, math.inf])
    assert (spread.n, spread.median, spread.p90) == (5, 0.3, math.inf)
    assert spread.near == (0.6, 0.8)
    assert Spread.of([0.1 * i for i in range(1, 11)]).p90 == pytest.approx(0.9)


@given(MOMENTS, MOMENTS)
def test_a_share_grows_with_what_is_near_and_the_tail_is_no_less_than_the_median(true, found):
    spread = Spread.of(distances(true, found))
    assert 0 <= spread.near[0] <= spread.near[1] <= 1
    assert spread.median <= spread.p90


@given(MOMENTS)
def test_true_times_are_not_off_at_all(true):
    assert not any(distances(true, true))


def test_clips_of_a_direction_are_pooled():
    first = Timed(("fr", "en"), 10, (0.1, 0.5), (0.1,))
    second = Timed(("fr", "en"), 10, (0.2,), (0.2, 4.0))
    other = Timed(("en", "fr"), 10, (1.0,), (1.0,))
    found = times([first, second, other])
    assert [(one.source, one.target, one.clips) for one in found] == [
        ("en", "fr", 1),
        ("fr", "en", 2),
    ]
    assert (found[1].starts.n, found[1].starts.median) == (3, 0.2)
    assert (found[1].segments.n, found[1].segments.median) == (3, 0.2)


def test_the_clips_are_the_same_each_time_and_of_two_utterances_at_least():
    given = [*utterances(40), *utterances(40, "fr"), *utterances(3, "it", seconds=27.0)]
    clips = end_to_end(given, 4)
    assert clips == end_to_end(given, 4)
    assert [clip.language for clip in clips] == ["de"] * 4 + ["fr"] * 4
    assert all(clip.seconds <= LONGEST and len(clip.utterances) > 1 for clip in clips)


def test_voices_are_not_mixed_where_they_are_named():
    given = [*utterances(10, speaker="a"), *utterances(10, speaker="b")]
    for clip in end_to_end(given, 9):
        assert len({one.speaker for one in clip.utterances}) == 1
