"""When words are spoken: attention as transformers has it, paths and marks against slow oracles."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import SENTENCE
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from prunable import TEXTS, tokenizer, write_prunable
from test_host import END, NO_TIMES, SPECIAL, START, VOCABULARY, sound, tiny

from pst_cli.decoding.alignment import SMOOTHED, median_filter, path, token_times, voiced
from pst_cli.decoding.guards import Guards, Judged
from pst_cli.decoding.loop import Decoded
from pst_cli.decoding.marks import marks
from pst_cli.decoding.segments import segments
from pst_cli.models.alignment import alignment_heads, listening
from pst_cli.models.decoder import Decoder
from pst_cli.models.encoded import Encoded
from pst_cli.models.host import Host
from pst_cli.models.prompts import prompt
from pst_cli.pipeline import Job, Worker
from pst_cli.translator import Options, Translator
from pst_cli.types import SAMPLE_RATE, TIMESTAMP_SECONDS, Window

EVERY = ((0, 1), (2, 0), (2, 1))  # alignment heads of the tiny hosts
FIRST_TIME = NO_TIMES + 1


def lean(model):
    config = model.config
    heads = config.decoder_attention_heads
    return Decoder(model.model.decoder.state_dict(), config.decoder_layers, heads)


def window(seconds, speech=(), start=0.0):
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * SAMPLE_RATE))
    return Window(start, noise.astype(np.float32), tuple(speech))


# What the decoder listens to


@pytest.mark.parametrize("rows", [1, 3])
def test_weights_are_those_of_transformers_own_attention(rows):
    model = tiny(41, layers=3)
    model.set_attn_implementation("eager")
    tokens = torch.randint(0, VOCABULARY, (rows, 9), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = sound(model, rows, 41)
        encoded = model.model.encoder(features).last_hidden_state
        theirs = model(
            input_features=features, decoder_input_ids=tokens, output_attentions=True
        ).cross_attentions
        ours = list(listening(lean(model), tokens, encoded, EVERY))
    assert torch.allclose(ours[0], theirs[0][:, [1]], atol=1e-5)
    assert torch.allclose(ours[1], theirs[2], atol=1e-5)
    assert len(ours) == 2


def test_nothing_is_listened_to_behind_a_rows_own_sound():
    model = tiny(42, layers=3)
    tokens = torch.tensor([[START, 3, 4, 5]] * 2)
    with torch.inference_mode():
        encoded = torch.randn(2, 20, 16, generator=torch.Generator().manual_seed(1))
        mask = torch.arange(20) < torch.tensor([[20], [7]])
        together = list(listening(lean(model), tokens, encoded, EVERY, mask))
        alone = list(listening(lean(model), tokens[1:], encoded[1:, :7], EVERY))
    for both, one in zip(together, alone, strict=True):
        assert not both[1, ..., 7:].any()
        assert torch.allclose(both[1:, ..., :7], one, atol=1e-5)


def test_rows_that_share_a_window_listen_as_if_each_had_its_own():
    model = tiny(45, layers=3)
    tokens = torch.tensor([[START, 3, 4, 5], [START, 6, 7, 8], [START, 9, 3, 1]])
    with torch.inference_mode():
        encoded = torch.randn(2, 20, 16, generator=torch.Generator().manual_seed(3))
        mask = torch.arange(20) < torch.tensor([[20], [7]])
        shared = listening(lean(model), tokens, encoded, EVERY, mask, (1, 0, 1))
        own = [1, 0, 1]
        apart = listening(lean(model), tokens, encoded[own], EVERY, mask[own])
        for one, other in zip(shared, apart, strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_heads_that_nobody_chose_are_those_of_the_upper_half():
    assert alignment_heads([[1, 0], [1, 1]], 2, 2) == ((1, 0), (1, 1))
    upper = ((2, 0), (2, 1), (3, 0), (3, 1))
    assert alignment_heads(None, 4, 2) == alignment_heads([], 4, 2) == upper
    assert alignment_heads([[7, 0], [1, 5]], 4, 2) == upper, "heads that a pruned host lost"
    assert alignment_heads(None, 1, 2) == ((0, 0), (0, 1))


# The path through tokens and frames


def slow_path(gain):
    """Dynamic time warping as it is defined: its cost, and where each token begins."""
    tokens, frames = gain.shape
    cost = np.full((tokens + 1, frames + 1), np.inf)
    cost[0, 0] = 0
    for i, j in itertools.product(range(tokens), range(frames)):
        cost[i + 1, j + 1] = min(cost[i, j], cost[i, j + 1], cost[i + 1, j]) - gain[i, j]
    return -cost[-1, -1]


def gained(gain, starts):
    """The most that a path may gain which enters the rows of `gain` at `starts`."""
    total = 0.0
    ends = [*starts[1:], gain.shape[1]]
    for row, (first, end) in enumerate(zip(starts, ends, strict=True)):
        # A row is left from the frame before the next one's first, or from that frame itself.
        last = row == len(starts) - 1
        leaves = [gain[row, first:end].sum()] if end > first else []
        if not last and end < gain.shape[1]:
            leaves.append(gain[row, first : end + 1].sum())
        total += max(leaves)
    return total


GAINS = st.tuples(st.integers(1, 7), st.integers(1, 12)).flatmap(
    lambda shape: arrays.arrays(np.float64, shape, elements=st.integers(-9, 9).map(float))
)


@given(GAINS)
def test_the_path_gains_as_much_as_any(gain):
    starts = path(torch.from_numpy(gain))
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert len(starts) == len(gain)
    assert gained(gain, starts) == pytest.approx(slow_path(gain))


def test_a_path_of_the_longest_row_over_the_longest_window_follows_it():
    true = np.linspace(0, 1490, 448).astype(int)
    gain = torch.zeros(448, 1500)
    for row, (first, end) in enumerate(itertools.pairwise([*true, 1500])):
        gain[row, first:end] = 1
    assert path(gain) == true.tolist()


LEVELS = arrays.arrays(
    np.float32, st.tuples(st.just(2), st.integers(1, 30)), elements=st.floats(-9, 9, width=16)
)


@given(LEVELS)
def test_smoothing_takes_the_median_of_neighbours_and_mirrors_the_ends(values):
    side = SMOOTHED // 2
    found = median_filter(torch.from_numpy(values)).numpy()
    if values.shape[1] <= side:
        assert (found == values).all()
        return
    padded = np.pad(values, ((0, 0), (side, side)), mode="reflect")
    for row, place in np.ndindex(values.shape):
        assert found[row, place] == statistics.median(padded[row, place : place + SMOOTHED])


# Frames and silences


def test_frames_of_silence_and_of_padding_do_not_count():
    assert voiced(window(0.1)).tolist() == [0, 1, 2, 3, 4]
    spoken = window(0.5, [(20.045, 20.095), (20.305, 20.355)], start=20.0)
    assert voiced(spoken).tolist() == [2, 3, 4, 15, 16, 17]
    assert voiced(window(0.05, [(0.2, 0.3)])).tolist() == [0, 1, 2], "all where none is known"


def listened(gains):
    """A host that listens as written: (tokens, frames), one head."""
    weights = torch.tensor(gains, dtype=torch.float32)
    return lambda tokens: [weights[None, None].expand(len(tokens), -1, -1, -1)]


def test_a_word_on_both_sides_of_a_silence_is_spoken_where_it_peaks():
    seconds, speech = 60 * TIMESTAMP_SECONDS, [(0.0, 0.4), (0.8, 1.2)]
    gains = np.full((4, 60), 0.01)
    gains[1, 0:10] = 0.5  # the first word; after it comes nothing, then the silence
    gains[2, 12:20], gains[3, 12:20] = 0.05, 0.04  # a little of what follows before it
    gains[2, 42:50] = 0.5
    gains[3, 50:60] = 0.5  # the end
    row = Decoded((START,), [FIRST_TIME, 3, 4, FIRST_TIME + 60])
    (times,) = token_times([row], [window(seconds, speech)], listened(gains), SPECIAL, 96)
    assert times[0] == 0
    assert times[1] == pytest.approx(0.8)
    (times,) = token_times([row], [window(seconds)], listened(gains), SPECIAL, 96)
    assert 0.2 <= times[1] <= 0.4, "without voice detection nobody knows of the silence"


# Rows in company


def timed(model, heard, rows, windows):
    with torch.inference_mode():
        decoder = lean(model)
        return token_times(
            rows,
            windows,
            lambda tokens: listening(decoder, tokens, heard.host, EVERY, heard.mask),
            SPECIAL,
            96,
        )


@pytest.mark.parametrize("seed", range(6))
def test_a_row_is_timed_as_it_is_alone(seed):
    model, generator = tiny(43, layers=3), torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 40, (4,), generator=generator).tolist()
    heard, rows, windows = [], [], []
    for frames in lengths:
        states = torch.randn(1, frames, 16, generator=generator)
        count = int(torch.randint(0, 30, (), generator=generator))
        text = torch.randint(0, END, (count,), generator=generator).tolist()
        heard.append(Encoded(states, states))
        rows.append(Decoded((START,), [FIRST_TIME, *text, FIRST_TIME + 9]))
        windows.append(window(frames * TIMESTAMP_SECONDS))
    together = timed(model, Encoded.join(heard), rows, windows)
    for times, one, row, own in zip(together, heard, rows, windows, strict=True):
        assert times == timed(model, one, [row], [own])[0]
        assert len(times) == len(row.tokens) - 2 + 1
        assert list(times) == sorted(times)
        assert 0 <= times[0] <= times[-1] < own.seconds


def test_a_row_as_long_as_the_host_can_hold_is_timed():
    model = tiny(44, layers=3)
    states = torch.randn(1, 40, 16, generator=torch.Generator().manual_seed(2))
    row = Decoded((START,), [3] * 95)
    (times,) = timed(model, Encoded(states, states), [row], [window(0.8)])
    assert len(times) == 95


# Marks


LATIN = "\u2e80"  # and all that is written with blanks: Chinese characters come after it
SPELLED = tokenizer()
WRITTEN = st.lists(st.sampled_from([*" ".join(TEXTS).split(), "。", "“会议”", "🦜", "¿", " "]))


def spell(text):
    return SPELLED.encode(text, add_special_tokens=False).ids


def read(tokens):
    return SPELLED.decode(list(tokens))


def marked(text, times, span=(0.0, 1000.0)):
    return marks(spell(text), times, read, span)


def test_each_word_is_marked_at_its_first_token():
    text = " And so my fellow Americans"
    tokens = spell(text)
    times = [float(place) for place in range(len(tokens))]
    found = marked(text, times)
    stripped = text.strip()
    assert [stripped[place:].split()[0] for place, _ in found] == stripped.split()
    for place, time in found:
        assert len(read(tokens[: int(time)])) <= place + 1, "a token later than its word"
        assert read(tokens[int(time) :]).strip().startswith(stripped[place:])


def test_chinese_is_marked_at_characters_but_not_at_punctuation():
    text = "会议开始了，委员“会”。"
    tokens = spell(text)
    found = dict(marked(text, [float(place) for place in range(len(tokens))]))
    assert {text[place] for place in found} <= set("会议开始了委员“")
    assert 0 in found
    assert text.index("“") in found
    assert all(text[place] not in "，”。" for place in found)


def test_words_spoken_at_one_moment_share_a_mark():
    text = " And so my fellow"
    count = len(spell(text))
    assert marked(text, [1.0] * count) == ((0, 1.0),)
    assert marked(text, [1.0] * count, (2.0, 3.0)) == ((0, 2.0),)
    assert marked(text, [5.0] * count, (2.0, 3.0)) == ()
    assert marks(spell(text), [], read, (0.0, 9.0)) == ()


@settings(max_examples=60)
@given(WRITTEN, st.data())
def test_marks_rise_within_the_segment_and_stand_at_words(words, data):
    text = " ".join(words)
    steps = st.lists(st.floats(0, 2), min_size=len(spell(text)), max_size=len(spell(text)))
    times = list(itertools.accumulate(data.draw(steps)))
    start = data.draw(st.floats(0, 9))
    end = start + data.draw(st.floats(0.1, 20))
    found = marked(text, times, (start, end))
    stripped = text.strip()
    for (place, time), (after, later) in itertools.pairwise(found):
        assert place < after
        assert time < later
    for place, time in found:
        assert start <= time < end
        assert not stripped[place].isspace()
        before = stripped[place - 1 : place]
        assert before in ("", " ") or max(before, stripped[place]) > LATIN


def test_each_stretch_of_a_row_has_the_times_of_its_own_tokens():
    tokens = [FIRST_TIME, 1, 2, FIRST_TIME + 10, FIRST_TIME + 10, 3, FIRST_TIME + 20]
    judged = Judged(Decoded((START,), tokens), "", 0.0, 1.0, False, ())

    def text(tokens):
        return "".join(f" {token}" for token in tokens)

    at = window(0.4, start=7.0)
    plain, _ = segments(judged, at, SPECIAL, text)
    found, _ = segments(judged, at, SPECIAL, text, (0.0, 0.1, 0.3, 0.4))
    assert [one.text for one in found] == ["1 2", "3"]
    assert [one.marks for one in found] == [((0, 7.0), (2, 7.1)), ((0, 7.3),)]
    assert [replace(one, marks=()) for one in found] == plain


# The whole way


@pytest.fixture(scope="module")
def chatter(tmp_path_factory):
    """A random host with real merges, that says something else in each window."""
    folder = write_prunable(tmp_path_factory.mktemp("chatter") / "host")
    return Host.load(folder, "cpu", torch.float32)


def translated(host, windows, language="de", **options):
    """The segments of each window."""
    worker = Worker(Translator(host, Options(source=language, **options)))
    asked = tuple(prompt(host.tokens, host.ability, language, language))
    work = worker.heard([Job(Path("clip"), one, asked) for one in windows])
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value


COLD = Guards(temperatures=(0.0,))
HOT = Guards(temperatures=(0.0, 0.8))
WAYS = {"greedy": {}, "beams": {"beams": 3}, "own": {"context": "own"}, "alone": {"batch_size": 1}}


@pytest.mark.parametrize("way", [*WAYS, "again"])
def test_asking_for_marks_changes_neither_words_nor_times(chatter, way):
    options = {"guards": HOT if way == "again" else COLD, **WAYS.get(way, {})}
    windows = [window(seconds, start=seconds) for seconds in (0.9, 2.0)]
    plain = translated(chatter, windows, **options)
    found = translated(chatter, windows, align=True, **options)
    assert [[replace(one, marks=()) for one in some] for some in found] == plain
    every = [one for some in found for one in some]
    assert sum(len(one.marks) for one in every) > 0
    assert not any(one.marks for some in plain for one in some)
    for one in every:
        assert all(one.start <= time < one.end for _, time in one.marks)
        assert all(place < len(one.text) for place, _ in one.marks)


def test_a_host_that_declares_no_heads_listens_with_its_upper_half(talking_checkpoint):
    host = Host.load(talking_checkpoint, "cpu", torch.float32)
    host.alignment_heads = alignment_heads(None, 2, 2)
    (found,) = translated(host, [window(1.5)], align=True)
    assert [one.text for one in found] == [SENTENCE]
    assert {place for place, _ in found[0].marks} <= {0, 4, 13}
    assert found[0].marks


ONSETS = [("And", 0.33), ("so", 0.67), ("ask", 3.29), ("not", 4.01), ("what", 5.41)]
ONSETS += [("ask", 8.19), ("what", 8.63), ("you", 8.90)]


@pytest.mark.weights
def test_words_of_a_real_speech_are_marked_where_they_are_heard(clips):
    """`ONSETS`: where sound rises within 25 dB of the loudest 10 ms after 80 ms that were not.

    The eight of these that begin words: the others are inside words ("a-sk", "coun-try").
    """
    from pst_cli import store
    from pst_cli.audio.spans import read_span
    from pst_cli.vad import speech_windows

    host = Host.load(store.resolve("base"), "cpu", torch.float32)
    windows = list(speech_windows([read_span(clips / "jfk.flac")]))
    (found,) = translated(host, windows, "en", align=True)
    said = [(one.text[place:].split()[0], time) for one in found for place, time in one.marks]
    for word, true in ONSETS:
        assert min(abs(time - true) for heard, time in said if heard == word) < 0.3, (word, said)
