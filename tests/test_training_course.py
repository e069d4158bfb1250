"""Courses: the same batches in every run, whoever shares them; rows as tensors; what is heard."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sounds
import taught
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pst_cli.data.manifest import write_manifest
from pst_cli.errors import DataError, TrainingError
from pst_cli.models.features import LogMel
from pst_cli.models.forced import Heard
from pst_cli.training.clips import single
from pst_cli.training.collate import IGNORED, Batch, collate, spec_augment, totals
from pst_cli.training.course import Course, Epoch, Part, in_order
from pst_cli.training.ears import CONTEXTS, Fresh, Whole, context_seconds
from pst_cli.training.examples import Direction, Example, Spoken
from pst_cli.training.fit import Fit, Settings
from pst_cli.training.lessons.host import HostLesson
from pst_cli.training.materials import fixed_clips, read_both
from pst_cli.training.plan import Balanced
from pst_cli.types import WINDOW_SECONDS

PAD = 0
TIME = 1000


# Rows as tensors

ROWS = st.builds(
    lambda given_, said, source, heard, own: Example(
        tuple(range(1, given_ + 1)) + tuple(said),
        given_,
        tuple(source),
        taught.DIRECTION,
        taught.HEARD if heard else None,
        own,
    ),
    st.integers(1, 4),
    st.lists(st.integers(1, TIME + 50), min_size=1, max_size=8),
    st.lists(st.integers(1, TIME - 1), max_size=5),
    st.booleans(),
    st.booleans(),
)
BATCHES = st.lists(ROWS, min_size=1, max_size=6)


@given(rows=BATCHES)
def test_a_label_is_the_next_token_after_the_prompt_and_never_padding(rows):
    batch = collate(rows, totals(rows, TIME), None, PAD)
    for row, example in enumerate(rows):
        tokens, labels = batch.tokens[row].tolist(), batch.labels[row].tolist()
        assert tuple(tokens[: len(example.tokens)]) == example.tokens
        assert set(tokens[len(example.tokens) :]) <= {PAD}
        for at, label in enumerate(labels):
            inside = example.given <= at + 1 < len(example.tokens)
            assert label == (example.tokens[at + 1] if inside else IGNORED)


@given(rows=BATCHES)
def test_totals_are_the_labels_that_rows_have(rows):
    whole = totals(rows, TIME)
    batch = collate(rows, whole, None, PAD)
    taught_, words = batch.labels != IGNORED, (batch.labels != IGNORED) & (batch.labels < TIME)
    heard = torch.tensor([one.clip is not None for one in rows])
    assert whole.said == taught_[heard].sum()
    assert whole.read == words[batch.readable].sum()
    assert whole.both == words[batch.readable & heard].sum()


@given(rows=BATCHES)
def test_rows_of_unknown_words_cannot_be_read(rows):
    batch = collate(rows, totals(rows, TIME), None, PAD)
    assert batch.readable.tolist() == [bool(one.source) for one in rows]
    assert batch.own.tolist() == [one.own for one in rows]
    for row, example in enumerate(rows):
        if example.source:
            assert tuple(batch.source[row][batch.source_mask[row]].tolist()) == example.source
    assert batch.source_mask.any(1).all()  # attention to nothing would be no number


def test_a_batch_says_whether_it_is_heard():
    rows = [taught.spoken(5)]
    whole = totals(rows, TIME)
    assert collate(rows, whole, torch.zeros(1, 80, 10), PAD).spoken
    assert collate(rows, whole, Heard(torch.zeros(1, 5, 16)), PAD).spoken
    assert not collate(rows, whole, None, PAD).spoken
    moved = collate(rows, whole, Heard(torch.zeros(1, 5, 16).half()), PAD).to(torch.device("cpu"))
    assert moved.heard.states.dtype == torch.float32


# Epochs


@dataclass(frozen=True, slots=True)
class Whispers:
    """Ears that hear which example it is, how long it is padded to, and its row's seed."""

    def context(self, examples, seed):
        return max(one.tokens[1] for one in examples) + len(seed)

    def listen(self, examples, seconds, seeds):
        heard = [
            [one.tokens[1], seconds, random.Random(seed).random()]
            for one, seed in zip(examples, seeds, strict=True)
        ]
        return torch.tensor(heard)[:, None]


ITEMS = [
    Spoken(replace(taught.HEARD, gaps=(number / 10,)), ("de", "fr")[number % 2])
    for number in range(14)
]


def spell(item, rng):
    number = ITEMS.index(item)
    words = range(2 + number % 3)
    source = (7,) if number % 2 else ()
    return Example(
        (1, 100 + number, *words, rng.randrange(50, 60), TIME), 2, source, item.direction, item.clip
    )


@dataclass(frozen=True)
class Text:
    number: int
    direction: Direction = taught.DIRECTION


def spell_text(item):
    return Example((2, 200 + item.number, 3), 2, (8, 9), item.direction)


def course(**fields):
    given_ = {
        "source": Balanced(ITEMS, 0.5), "spell": spell, "ears": Whispers(), "size": 6, "micro": 2,
        "timestamp_begin": TIME, "pad": PAD, "seed": 3,
    }  # fmt: skip
    return Course(**{**given_, **fields})


def rows(groups: list[Batch]):
    """Every row: what is fed, taught, and heard of it."""
    found = []
    for group in groups:
        for row in range(len(group.tokens)):
            tokens = tuple(token for token in group.tokens[row].tolist() if token != PAD)
            labels = tuple(label for label in group.labels[row].tolist() if label != IGNORED)
            heard = () if group.log_mel is None else tuple(group.log_mel[row].flatten().tolist())
            found.append((tokens, labels, heard))
    return sorted(found)


@pytest.mark.parametrize(("world", "micro"), [(1, 1), (1, 6), (2, 2), (3, 1), (3, 4)])
@pytest.mark.parametrize("texts_each", [0, 1, 4])
def test_processes_together_learn_the_rows_that_one_would(world, micro, texts_each):
    texts = Balanced([Text(number) for number in range(5)], 1.0)
    fields = {"texts": texts, "spell_text": spell_text, "texts_each": texts_each}
    alone = Epoch(course(**fields), 4, Part())
    shared = [Epoch(course(micro=micro, **fields), 4, Part(rank, world)) for rank in range(world)]
    for index in range(len(alone)):
        one, several = alone[index], [epoch[index] for epoch in shared]
        assert rows(one) == rows([group for groups in several for group in groups])
        assert {g.totals for g in one} == {g.totals for groups in several for g in groups}
        assert all(len(group.tokens) <= micro for groups in several for group in groups)
        said = sum(int((g.labels != IGNORED).sum()) for g in one if g.spoken)
        assert one[0].totals.said == said
        for groups in several:
            assert sorted(groups, key=lambda group: not group.spoken) == groups


def test_an_epoch_is_the_same_whenever_it_is_made_and_another_number_is_another():
    first, again, other = (Epoch(course(), number, Part()) for number in (4, 4, 5))
    assert [rows(first[i]) for i in range(3)] == [rows(again[i]) for i in range(3)]
    assert [rows(first[i]) for i in range(3)] != [rows(other[i]) for i in range(3)]
    reseeded = Epoch(course(seed=8), 4, Part())
    assert [rows(first[i]) for i in range(3)] != [rows(reseeded[i]) for i in range(3)]


def test_rows_of_a_batch_are_altered_each_in_its_own_way():
    (group,) = Epoch(course(micro=6), 0, Part())[0]
    assert len({row[0, 2].item() for row in group.log_mel}) == 6


def test_what_is_drawn_for_the_words_of_a_row_says_nothing_of_its_sound():
    """Else the rows that are spelled without times would be those that never get noise."""
    drawn = []

    def note(item, rng):
        drawn.append(rng.random())
        return spell(item, rng)

    (group,) = Epoch(course(micro=6, spell=note), 0, Part())[0]
    assert not {round(one, 5) for one in drawn} & {
        round(row[0, 2].item(), 5) for row in group.log_mel
    }


def test_texts_are_gone_through_before_they_come_again():
    texts = Balanced([Text(number) for number in range(5)], 1.0)
    epoch = Epoch(course(texts=texts, spell_text=spell_text, texts_each=4), 0, Part())
    read = [
        int(token)
        for index in range(3)
        for group in epoch[index]
        if not group.spoken
        for token in group.tokens[:, 1]
    ]
    assert sorted(read[:5]) == [200, 201, 202, 203, 204]
    assert read[5:10] == read[:5]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_held_out_set_is_gone_through_once_even_where_the_last_batch_is_small(world):
    parts = [list(in_order(course(size=4), ITEMS[:9], Part(rank, world))) for rank in range(world)]
    assert {len(groups) for groups in parts} == {3}
    assert all(group for groups in parts for group in groups)  # each takes part in every sum
    taught_ = [
        row for groups in parts for group in groups for row in rows(group) if row[1]
    ]  # a row without labels counts for nothing
    assert sorted(row[0][1] for row in taught_) == [100 + number for number in range(9)]


def test_a_course_without_anything_to_say_is_refused():
    with pytest.raises(DataError, match="no utterance has any text") as caught:
        Epoch(course(source=Balanced([])), 0, Part())
    assert "pst data check" in caught.value.hint


# What is heard


@given(longest=st.floats(0.01, 30.0), context=st.sampled_from(CONTEXTS), seed=st.integers(0, 999))
def test_a_context_holds_the_longest_row_in_whole_frames_of_a_window(longest, context, seed):
    seconds = context_seconds(longest, context, random.Random(seed))
    assert longest - 1e-9 <= seconds <= WINDOW_SECONDS
    assert seconds / 0.02 == pytest.approx(round(seconds / 0.02), abs=1e-6)
    if context == "full":
        assert seconds == WINDOW_SECONDS
    if context == "own":
        assert seconds < longest + 0.02 + 1e-9 or seconds == WINDOW_SECONDS


def test_a_random_context_is_full_for_about_one_batch_in_ten():
    drawn = [context_seconds(5.0, "random", random.Random(seed)) for seed in range(400)]
    assert 20 < sum(seconds == WINDOW_SECONDS for seconds in drawn) < 65
    assert min(drawn) >= 5.0
    assert len(set(drawn)) > 60


@pytest.fixture(scope="module")
def log_mel():
    return LogMel(80)


def test_a_spectrogram_has_two_frames_for_every_twentieth_of_a_millisecond(log_mel, tmp_path):
    sound = single(sounds.utterances(tmp_path, [0.5])[0]).sound()
    assert log_mel([sound, sound], 0.62).shape == (2, 80, 62)
    assert log_mel([sound], 0.3).shape == (1, 80, 30)
    assert log_mel([sound]).shape == (1, 80, 3000)


def test_the_whole_is_measured_whatever_a_batch_is_heard_for(log_mel, tmp_path):
    clip = single(sounds.utterances(tmp_path, [0.4])[0])
    example = Example((1, 2, 3), 2, (), taught.DIRECTION, clip)
    ears = Whole(log_mel, "own")
    assert 0.4 <= ears.context([example], "a") < 0.43
    heard = ears.listen([example], 0.4, ["a"])
    torch.testing.assert_close(heard, Fresh(log_mel).listen([example], WINDOW_SECONDS, ["a"]))


def test_random_alterations_go_by_row_and_not_by_process(log_mel, tmp_path):
    clips = [single(one) for one in sounds.utterances(tmp_path, [0.4, 0.3, 0.5, 0.2])]
    examples = [
        Example((1, 2, number), 2, (), taught.DIRECTION, clip) for number, clip in enumerate(clips)
    ]
    ears, seeds = Fresh(log_mel, "random", noisy=0.5, masked=True), ["a", "b", "c", "d"]
    seconds = ears.context(examples, "seed")
    whole = ears.listen(examples, seconds, seeds)
    for rank in range(2):
        mine = ears.listen(examples[rank::2], seconds, seeds[rank::2])
        assert torch.equal(mine, whole[rank::2])
    plain = Fresh(log_mel, "random").listen(examples, seconds, seeds)
    assert not torch.equal(whole, plain)
    assert not torch.equal(whole, ears.listen(examples, seconds, ["e", "f", "g", "h"]))


def test_a_sound_that_is_gone_or_damaged_ends_a_run_with_its_line(log_mel, tmp_path):
    (one,) = sounds.utterances(tmp_path, [0.4])
    example = Example((1, 2, 3), 2, (), taught.DIRECTION, single(one))
    for spoil in (lambda: one.audio.write_bytes(b"nothing"), one.audio.unlink):
        spoil()
        with pytest.raises(TrainingError, match=r"train\.jsonl:1: .*levels\.wav") as caught:
            Fresh(log_mel).listen([example], 1.0, ["a"])
        assert "pst data check" in caught.value.hint


@given(bands=st.integers(3, 80), frames=st.integers(1, 300), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_spec_augment_hides_whole_bands_and_stretches_within_its_bounds(bands, frames, seed):
    rng = random.Random(seed)
    clean = torch.rand(bands, frames) + torch.arange(frames)
    masked = spec_augment(clean, rng)
    hidden = masked != clean
    assert torch.isclose(masked[hidden], clean.mean()).all()
    rows_, columns = hidden.all(1), hidden.all(0)
    assert (hidden == (rows_[:, None] | columns)).all() or not hidden.any()
    if frames > 1:
        assert rows_.sum() <= 2 * (bands // 3) or columns.all()
        assert columns.sum() <= 2 * (frames // 10) or rows_.all()


# Materials


def manifest(folder: Path, name: str, utterances) -> Path:
    path = folder / name
    write_manifest(path, utterances)
    return path


def test_what_is_learnt_from_is_told_apart_from_what_is_held_out(tmp_path):
    every = sounds.utterances(tmp_path, [0.3, 0.4, 0.5, 0.6])
    text = replace(every[0], audio=None, start=0.0, end=None, duration=None, text="Read me.")
    train = manifest(tmp_path, "train.jsonl", [*every[:2], text])
    learnt, held = read_both([train], [manifest(tmp_path, "dev.jsonl", every[2:])])
    assert [one.duration for one in learnt.spoken] == pytest.approx([0.3, 0.4])
    assert [one.text for one in learnt.texts] == ["Read me."]
    assert len(held.spoken) == 2
    assert [len(one.facts) for one in (learnt, held)] == [1, 1]
    both = manifest(tmp_path, "both.jsonl", every[1:3])
    with pytest.raises(DataError, match=r"1 held-out utterances .*both\.jsonl:1"):
        read_both([train], [both])


def test_a_manifest_without_sound_is_nothing_to_learn_from(tmp_path):
    (one,) = sounds.utterances(tmp_path, [0.3])
    text = replace(one, audio=None, start=0.0, end=None, duration=None)
    with pytest.raises(DataError, match="no utterance of at most 30 s"):
        read_both([manifest(tmp_path, "train.jsonl", [text])], [])


def test_fixed_clips_are_of_one_speaker_and_language_and_the_same_for_one_seed(tmp_path):
    every = sounds.utterances(tmp_path, [0.3] * 24)
    every = [
        replace(one, speaker=("a", "b", None)[at % 3], language=("en", "fr")[at % 2])
        for at, one in enumerate(every)
    ]
    clips = fixed_clips(every, 2.0)
    assert sorted(one.start for clip in clips for one in clip.utterances) == [
        one.start for one in every
    ]
    assert all(len({(u.speaker, u.language) for u in clip.utterances}) == 1 for clip in clips)
    assert all(clip.speed == 1.0 for clip in clips)
    assert max(len(clip.utterances) for clip in clips) > 1
    assert [clip.key for clip in clips] == [clip.key for clip in fixed_clips(every, 2.0)]
    backwards = fixed_clips(every[::-1], 2.0)
    assert sum(len(clip.utterances) for clip in backwards) == len(every)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sound_that_a_worker_cannot_read_is_told_as_one_that_the_run_itself_cannot(
    workers, tmp_path
):
    lesson = HostLesson(taught.host(), None, TIME)
    lost = course(ears=Fresh(LogMel(80)), spell=spell, size=2)
    fit = Fit(lesson, lost, Settings(1, workers=workers, device="cpu"), tmp_path)
    with pytest.raises(TrainingError, match=r"^: .*/nowhere/a\.wav[^\n]*$") as caught:
        fit.run()
    assert "pst data check" in caught.value.hint
