"""Material: clips, the rows spelled from them, and how they are shared out over batches."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import sounds
from hypothesis import given, settings
from hypothesis import strategies as st
from prunable import write_prunable

from pst_cli.audio.perturb import add_noise, change_speed, lay_out
from pst_cli.data.manifest import Utterance
from pst_cli.errors import DataError, UsageError
from pst_cli.models.prompts import Ability
from pst_cli.training.clips import GAP, Clip, joined, measured, single
from pst_cli.training.examples import (
    Direction,
    Spoken,
    Written,
    balanced,
    renderings,
    spell_spoken,
    spell_written,
    translations,
)
from pst_cli.training.materials import Materials, fixed_clips
from pst_cli.training.opening import open_model
from pst_cli.training.plan import Mixed, Mixing, Several, batches, drawn_apart, share
from pst_cli.training.recipes.common import follows_reference
from pst_cli.training.recipes.host import HostPlan, frequent, reader
from pst_cli.types import SAMPLE_RATE, WINDOW_SECONDS
from pst_cli.weights import Checkpoint

EDGE = 0.006  # s; what resampling blurs at a boundary
EASE = 1e-6  # s; of adding up
LONG = 9999  # tokens; more than any row here


def said(seconds, number=0, **fields):
    given = {"language": "en", "text": f"word {number}", "translations": {"de": f"Wort {number}"}}
    return Utterance(
        Path(f"/nowhere/{number}.wav"), duration=seconds, place=f"a.jsonl:{number}",
        **{**given, **fields},
    )  # fmt: skip


LENGTHS = st.lists(st.floats(0.05, 30.0), min_size=1, max_size=12)
SPEEDS = st.sampled_from([(1.0,), (0.9, 1.0, 1.1), (0.9,), (1.1,)])


# Clips


@given(lengths=LENGTHS, longest=st.floats(1.0, 30.0), speeds=SPEEDS, seed=st.integers(0, 99))
@settings(deadline=None)
def test_clips_hold_every_utterance_in_order_within_a_window(lengths, longest, speeds, seed):
    every = [said(length, number) for number, length in enumerate(lengths)]
    clips = list(joined(every, longest, speeds, random.Random(seed)))
    assert [one for clip in clips for one in clip.utterances] == every
    for clip in clips:
        assert clip.seconds <= WINDOW_SECONDS + EASE
        assert len(clip.utterances) == 1 or clip.seconds <= longest + EASE
        assert clip.speed in (*speeds, 1.0)
        assert all(GAP[0] <= gap <= GAP[1] for gap in clip.gaps[1:])
        assert clip.gaps[0] == 0.0 or GAP[0] <= clip.gaps[0] <= GAP[1]


@given(lengths=LENGTHS, longest=st.floats(1.0, 30.0), speeds=SPEEDS, seed=st.integers(0, 99))
@settings(deadline=None)
def test_spans_are_in_order_inside_the_clip_and_as_long_as_what_is_said(
    lengths, longest, speeds, seed
):
    every = [said(length, number) for number, length in enumerate(lengths)]
    for clip in joined(every, longest, speeds, random.Random(seed)):
        position = 0.0
        for (start, end), one, gap in zip(clip.spans(), clip.utterances, clip.gaps, strict=True):
            assert start - position == pytest.approx(gap / clip.speed)
            assert end - start == pytest.approx(one.duration / clip.speed)
            position = end
        assert position == pytest.approx(clip.seconds)


@pytest.fixture(scope="module")
def levels(tmp_path_factory):
    return sounds.utterances(tmp_path_factory.mktemp("levels"), [0.3, 0.55, 0.21, 0.4])


@given(
    order=st.permutations(range(4)),
    gaps=st.lists(st.floats(*GAP), min_size=4, max_size=4),
    speed=st.sampled_from([0.9, 1.0, 1.1]),
)
@settings(max_examples=25, deadline=None)
def test_spans_are_where_the_sound_really_is(levels, order, gaps, speed):
    clip = Clip(tuple(levels[number] for number in order), tuple(gaps), speed)
    heard = clip.sound()
    assert heard.dtype == np.float32
    assert len(heard) / SAMPLE_RATE == pytest.approx(clip.seconds, abs=EDGE)
    times = np.arange(len(heard)) / SAMPLE_RATE
    expected, clear = np.zeros_like(heard), np.ones(len(heard), bool)
    for number, (start, end) in zip(order, clip.spans(), strict=True):
        expected[(times >= start) & (times < end)] = sounds.level(number)
        for edge in (start, end):
            clear &= np.abs(times - edge) > EDGE
    np.testing.assert_allclose(heard[clear], expected[clear], atol=2e-3)


@given(wrong=st.floats(-0.05, 0.05))
@settings(max_examples=10, deadline=None)
def test_durations_that_a_manifest_has_rounded_make_no_span_drift(levels, wrong):
    clip = Clip(tuple(replace(one, duration=one.duration + wrong) for one in levels), (0.2,) * 4)
    heard = clip.sound()
    assert len(heard) / SAMPLE_RATE == pytest.approx(clip.seconds, abs=1e-3)
    for number, (start, _) in enumerate(clip.spans()):
        first = round(start * SAMPLE_RATE)
        assert not heard[first - 1000 : first - 8].any()
        assert heard[first + 8 : first + 1000] == pytest.approx(sounds.level(number), abs=1e-4)


def test_a_single_utterance_that_would_grow_beyond_the_window_keeps_its_speed():
    assert single(said(29.0), 0.9).speed == 1.0
    assert single(said(26.0), 0.9).speed == 0.9
    assert single(said(30.0), 1.1).speed == 1.1


def test_light_weights_are_drawn_by_too():
    """As those of a large corpus are, with `--balance 0`."""
    rng, weights = random.Random(0), [1e-4] * 5 + [2e-4]
    found = Counter(drawn_apart("abcdef", weights, 1, rng)[0] for _ in range(7_000))
    assert found.keys() == set("abcdef")
    assert all(abs(found[name] - 1_000) < 150 for name in "abcde")
    assert abs(found["f"] - 2_000) < 200


def test_a_clip_is_known_by_what_is_heard():
    one, two = said(1.0, 1), said(2.0, 2)
    clip = Clip((one, two), (0.0, 0.5))
    assert clip.key == Clip((replace(one, text="other"), two), (0.0, 0.5)).key
    others = [
        Clip((two, one), (0.0, 0.5)),
        Clip((one, replace(two, duration=2.5)), (0.0, 0.5)),  # it is cut there
        Clip((one, two), (0.0, 0.6)),
        Clip((one, two), (0.0, 0.5), 1.1),
        Clip((one, replace(two, start=0.1)), (0.0, 0.5)),
        Clip((one,), (0.0,)),
    ]
    assert len({clip.key, *(other.key for other in others)}) == 1 + len(others)


def test_a_clip_has_the_texts_that_all_its_utterances_have():
    one = said(1.0, 1, translations={"de": "eins", "fr": "un"})
    two = said(1.0, 2, translations={"fr": "deux", "de": ""})
    clip = Clip((one, two), (0.0, 0.1))
    assert clip.texts() == {"en": ("word 1", "word 2"), "fr": ("un", "deux")}
    assert {spoken.target for spoken in renderings([clip])} == {"en", "fr"}


def test_what_one_utterance_lacks_costs_no_other_its_languages():
    every = [said(3.0, number) for number in range(40)]
    every += [said(3.0, number, translations={}) for number in range(40, 50)]
    every += [said(3.0, number, text="", translations={}) for number in range(50, 52)]
    clips = fixed_clips(every, 28.0)
    assert Counter(one for clip in clips for one in clip.utterances) == Counter(every)
    taught = [clip.utterances for clip in clips if "de" in clip.texts()]
    assert sum(map(len, taught)) == 40
    assert max(map(len, taught)) > 2


def test_utterances_are_measured_and_those_no_window_can_hold_left_out(levels):
    unknown = replace(levels[0], start=1.0, end=None, duration=None)
    found = measured([unknown, said(30.5), said(30.0), said(0.0), replace(said(1.0), audio=None)])
    assert [one.duration for one in found] == [pytest.approx(0.46), 30.0]


def test_a_sound_that_cannot_be_measured_is_named_by_its_line(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    for name in ("a.wav", "gone.wav"):
        with pytest.raises(DataError, match=r"a\.jsonl:0: .*wav"):
            measured([replace(said(None), audio=tmp_path / name)])


# Altered sound


@given(seed=st.integers(0, 9), decibels=st.floats(0, 30), scale=st.floats(0.01, 1.0))
@settings(max_examples=20, deadline=None)
def test_noise_lies_as_far_below_the_sound_as_was_asked(seed, decibels, scale):
    rng = np.random.default_rng(1)
    clean = (scale * rng.standard_normal(4000)).astype(np.float32)
    noise = add_noise(clean, decibels, seed).astype(np.float64) - clean
    found = 10 * np.log10(np.mean(clean.astype(np.float64) ** 2) / np.mean(noise**2))
    assert found == pytest.approx(decibels, abs=0.05)
    assert np.array_equal(add_noise(clean, decibels, seed), add_noise(clean, decibels, seed))


def test_silence_stays_silent():
    assert not add_noise(np.zeros(100, np.float32), 10.0, 0).any()


def test_faster_sound_is_shorter_and_higher():
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 440 * times).astype(np.float32)
    fast = change_speed(tone, 1.1)
    assert len(fast) == pytest.approx(SAMPLE_RATE / 1.1, abs=2)
    peak = np.abs(np.fft.rfft(fast)).argmax() * SAMPLE_RATE / len(fast)
    assert peak == pytest.approx(484, abs=2)
    assert change_speed(tone, 1.0) is tone


def test_pieces_are_laid_out_after_their_gaps():
    pieces = [np.ones(3, np.float32), np.full(2, 2, np.float32)]
    laid = lay_out(pieces, [0.0, 2 / SAMPLE_RATE])
    assert laid.tolist() == [1, 1, 1, 0, 0, 2, 2]


# Rows


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    path = write_prunable(tmp_path_factory.mktemp("spelling") / "checkpoint")
    return open_model(Checkpoint(path, path), Ability.MANY_TO_MANY)


def spelled(opened, tokens):
    return opened.speller._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)


def test_a_clip_is_spelled_between_the_times_of_its_utterances(opened):
    one = said(1.0, 1, text="The country asks.", translations={"zh": "会议开始了，", "fr": "La"})
    two = said(2.0, 2, text="Ask what. ", translations={"zh": "委员会", "fr": "Les questions"})
    clip, tokens = Clip((one, two), (0.5, 0.3), 1.0), opened.speller.tokens
    row = spell_spoken(Spoken(clip, "zh"), opened.speller, LONG, times=True)
    assert row.tokens[:3] == (tokens.start, tokens.languages["zh"], tokens.transcribe)
    assert row.given == 3
    assert row.tokens[-1] == tokens.end
    times = [t - tokens.timestamp_begin for t in row.tokens if t >= tokens.timestamp_begin]
    assert [round(time * 0.02, 2) for time in times] == [0.5, 1.5, 1.8, 3.8]
    words = [token for token in row.tokens if token < tokens.end]
    assert spelled(opened, words) == "会议开始了，委员会"
    assert spelled(opened, row.source) == " The country asks. Ask what."
    assert row.direction == Direction("en", "zh")
    assert row.clip is clip
    assert not row.own


def test_without_times_the_prompt_says_so_and_texts_flow(opened):
    one, two = (said(1.0, 1, translations={"fr": text}) for text in ("La séance.", "Les questions"))
    clip = Clip((one, two), (0.0, 0.3))
    row = spell_spoken(Spoken(clip, "fr"), opened.speller, LONG, times=False)
    assert row.tokens[row.given - 1] == opened.speller.tokens.no_timestamps
    assert max(row.tokens[row.given :]) < opened.speller.tokens.timestamp_begin
    assert spelled(opened, row.tokens[row.given : -1]) == " La séance. Les questions"


def test_a_row_that_is_cut_has_no_end_and_one_of_unknown_words_no_source(opened):
    one = said(1.0, 1, text="", translations={"de": "Die Sitzung ist eröffnet"})
    spoken = Spoken(single(one), "de")
    whole = spell_spoken(spoken, opened.speller, LONG, times=True)
    assert whole.source == ()
    exact = spell_spoken(spoken, opened.speller, len(whole.tokens), times=True)
    assert exact == whole
    cut = spell_spoken(spoken, opened.speller, len(whole.tokens) - 1, times=True)
    assert cut.tokens == whole.tokens[:-1]


def test_texts_alone_are_spelled_without_times(opened):
    row = spell_written(
        Written("La séance", "Die Sitzung", Direction("fr", "de")), opened.speller, LONG
    )
    tokens = opened.speller.tokens
    assert row.tokens[: row.given] == (
        tokens.start, tokens.languages["de"], tokens.transcribe, tokens.no_timestamps,
    )  # fmt: skip
    assert spelled(opened, row.tokens[row.given : -1]) == " Die Sitzung"
    assert spelled(opened, row.source) == " La séance"
    assert row.clip is None


def test_texts_without_a_reader_are_refused(opened):
    assert reader(opened, HostPlan(text_layers=0)) is None
    with pytest.raises(UsageError, match="--texts needs a text encoder") as caught:
        reader(opened, HostPlan(text_layers=0, texts_each=2))
    assert caught.value.hint == "add --text-layers 1"


def test_texts_are_translated_every_way_but_into_themselves():
    one = said(1.0, translations={"de": "eins", "fr": "un"})
    ways = {written.direction for written in translations([one])}
    assert len(ways) == 6
    assert all(source != target for source, target in ways)


@given(seconds=st.floats(-5, 40))
def test_a_time_is_the_nearest_that_a_window_has(opened, seconds):
    place = opened.speller.time(seconds) - opened.speller.tokens.timestamp_begin
    assert 0 <= place <= 1500
    assert abs(place * 0.02 - min(max(seconds, 0), 30)) <= 0.01 + EASE


# Shares


@dataclass(frozen=True, order=True)
class Item:
    direction: Direction
    number: int


COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def items(counts):
    ways = [Direction("en", target) for target in ("de", "en", "es", "fr", "it")]
    return [
        Item(way, number)
        for way, count in zip(ways, counts, strict=False)
        for number in range(count)
    ]


@given(counts=COUNTS, power=st.floats(0, 1), seed=st.integers(0, 99))
def test_directions_share_as_their_counts_to_a_power(counts, power, seed):
    drawn = balanced(items(counts), power, random.Random(seed))
    shares = Counter(item.direction for item in drawn)
    whole = sum(count**power for count in counts)
    for (_, share_), count in zip(sorted(shares.items()), counts, strict=True):
        assert share_ == max(1, round(sum(counts) * count**power / whole))


@given(counts=COUNTS, power=st.floats(0, 1), seed=st.integers(0, 99))
def test_no_item_is_drawn_again_before_all_of_its_direction_were(counts, power, seed):
    drawn = Counter(balanced(items(counts), power, random.Random(seed)))
    for way in {item.direction for item in drawn}:
        times = [drawn[item] for item in items(counts) if item.direction == way]
        assert max(times) - min(times) <= 1


@given(counts=COUNTS, seed=st.integers(0, 99))
def test_a_power_of_one_leaves_everything_as_it_is(counts, seed):
    every = items(counts)
    assert sorted(balanced(every, 1.0, random.Random(seed))) == every


@given(count=st.integers(0, 200), size=st.integers(1, 9), seed=st.text(max_size=3))
def test_batches_hold_every_item_in_exact_sizes_the_same_for_one_seed(count, size, seed):
    every = list(range(count))
    lengths = [float(item * 7 % 11) for item in every]
    found = batches(every, lengths, size, seed)
    assert all(len(batch) == size for batch in found)
    assert len(found) == -(-count // size)
    counts = Counter(item for batch in found for item in batch)
    assert sorted(counts) == every
    assert sum(counts.values()) - count < size
    assert found == batches(every, lengths, size, seed)


def test_rows_of_a_batch_are_about_as_long():
    rng = random.Random(0)
    lengths = [rng.uniform(1, 30) for _ in range(640)]
    found = batches(lengths, lengths, 10, "a")
    assert max(max(batch) - min(batch) for batch in found) < 5.0
    assert found != batches(lengths, lengths, 10, "b")


@given(count=st.integers(0, 30), world=st.integers(1, 5), micro=st.integers(1, 9))
def test_processes_share_the_rows_of_a_batch_out(count, world, micro):
    rows = list(range(count))
    groups = [group for rank in range(world) for group in share(rows, rank, world, micro)]
    assert sorted(row for group in groups for row in group) == rows
    assert all(0 < len(group) <= micro for group in groups)
    sizes = [sum(map(len, share(rows, rank, world, micro))) for rank in range(world)]
    assert max(sizes) - min(sizes) <= 1


@given(joined_=st.floats(0, 1), speeds=SPEEDS, seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_an_epoch_is_mixed_of_single_and_joined_clips_in_each_direction(joined_, speeds, seed):
    every = [said(1.0 + number % 7, number) for number in range(30)]
    every += [said(2.0, 100 + number, language="fr", translations={}) for number in range(10)]
    mixed = Mixed(every, Mixing(power=1.0, joined=joined_, longest=20.0, speeds=speeds))
    found = mixed.epoch(random.Random(seed))
    assert found == mixed.epoch(random.Random(seed))
    heard = Counter((one.direction, u) for one in found for u in one.clip.utterances)
    expected = Counter((spoken.direction, spoken.clip.utterances[0])
                       for spoken in renderings(map(single, every)))  # fmt: skip
    assert heard == expected
    assert all(one.target in one.clip.texts() for one in found)
    if joined_ == 0.0:
        assert all(len(one.clip.utterances) == 1 for one in found)
    if joined_ == 1.0:
        assert len(found) < len(expected)


@given(
    targets=st.integers(1, 4),
    joined_=st.floats(0, 1),
    size=st.integers(1, 9),
    seed=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None)
def test_clips_are_put_into_several_languages_side_by_side(targets, joined_, size, seed):
    others = {code: code for code in ("de", "es", "it")}
    every = [said(1.0 + number % 7, number, translations=others) for number in range(20)]
    every += [said(2.0, 100 + number, language="fr", translations={}) for number in range(10)]
    several = Several(every, Mixing(joined=joined_, longest=20.0, targets=targets))
    found = several.epoch(random.Random(seed))
    assert found == several.epoch(random.Random(seed))
    runs = [list(run) for _, run in groupby(found, key=lambda one: id(one.clip))]
    heard = Counter(one for run in runs for one in run[0].clip.utterances)
    assert heard == Counter(every)
    for run in runs:
        wanted = {one.target for one in run}
        assert len(wanted) == len(run) == min(targets, len(run[0].clip.texts()))
        assert wanted <= set(run[0].clip.texts())
    lengths = [one.clip.seconds for one in found]
    for batch in batches(found, lengths, size, "a", lambda one: id(one.clip)):
        assert len(batch) == size
    whole = batches(found, lengths, len(found), "a", lambda one: id(one.clip))
    again = [list(run) for _, run in groupby(whole[0], key=lambda one: id(one.clip))]
    assert len(again) == len(runs)


def test_rare_directions_are_asked_for_more_often():
    every = [said(2.0, number, translations={"de": "a"}) for number in range(300)]
    every += [said(2.0, 500 + number, translations={"de": "a", "it": "b"}) for number in range(100)]
    asked = Counter(
        one.target
        for one in Several(every, Mixing(power=0.0, joined=0.0)).epoch(random.Random(0))
        if "it" in one.clip.texts()
    )
    assert asked["it"] > 1.5 * max(asked["en"], asked["de"])


def test_the_most_frequent_words_of_all_texts_are_compared_with_the_end_and_all_times(opened):
    often, once = "La séance", "Die Sitzung"
    spoken = [said(1.0, n, text=often, language="fr", translations={}) for n in range(3)]
    texts = [Utterance(None, "de", once, {})]
    learnt, tokens = Materials(spoken, texts, [], []), opened.speller.tokens
    words = set(opened.speller.words(often, "fr"))
    found = frequent(opened, learnt, len(words))
    always = {tokens.end, *range(tokens.timestamp_begin, opened.config.vocab_size)}
    assert set(found.tolist()) == words | always
    others = set(opened.speller.words(once, "de"))
    assert set(frequent(opened, learnt, 1000).tolist()) == words | others | always
    for every in (0, opened.config.vocab_size):
        assert frequent(opened, learnt, every) is None


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_what_references_teach_is_a_share_and_the_same_wherever_the_files_lie(share):
    def drawn(folder: str) -> list[bool]:
        files = (Path(folder) / f"{number}.wav" for number in range(1000))
        heard = (single(Utterance(file, "en", "x", {}, duration=1.0)) for file in files)
        return [follows_reference(Spoken(clip, "en"), share) for clip in heard]

    assert drawn("/here") == drawn("/there")
    assert sum(drawn("/here")) / 1000 == pytest.approx(share, abs=0.05)
    textless = single(Utterance(Path("a.wav"), "en", "", {}, duration=1.0))
    assert not follows_reference(Spoken(textless, "en"), 1.0)
