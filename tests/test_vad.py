"""Speech is found in real clips, and nothing is found where nobody speaks."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import soxr
import torch
from conftest import CLIPS
from hypothesis import given, settings
from hypothesis import strategies as st

from pst_cli.errors import UsageError
from pst_cli.types import SAMPLE_RATE, WINDOW_SECONDS
from pst_cli.vad import VadOptions, speech_windows, whole_windows
from pst_cli.vad.regions import Region, RegionFinder
from pst_cli.vad.silero import CHUNK, Silero
from pst_cli.vad.windows import WINDOW

ROWS = [json.loads(line) for line in (CLIPS / "manifest.jsonl").read_text("utf-8").splitlines()]
CLEAN = [row["audio"] for row in ROWS if row["language"] == "de"]  # studio-like: exact truth
MINUTE = 60 * SAMPLE_RATE


def load(name: str) -> np.ndarray:
    samples, rate = soundfile.read(CLIPS / name, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return soxr.resample(mono, rate, SAMPLE_RATE).astype(np.float32)


def audible(samples: np.ndarray) -> np.ndarray:
    """The clip from its first to its last 10 ms frame within 30 dB of its loudest."""
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    level = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-10)
    loud = np.flatnonzero(level > level.max() - 30)
    return samples[loud[0] * 160 : (loud[-1] + 1) * 160]


def hush(seconds: float, seed: int = 0) -> np.ndarray:
    size = round(seconds * SAMPLE_RATE)
    return np.random.default_rng(seed).normal(0, 3e-4, size).astype(np.float32)


class Joined(NamedTuple):
    samples: np.ndarray
    spans: list[tuple[float, float]]  # s, where each clip lies
    names: list[str]


def join(names: list[str], pauses: list[float]) -> Joined:
    parts, spans, now = [], [], 0.0
    for index, (name, pause) in enumerate(zip(names, pauses, strict=True)):
        clip = audible(load(name))
        parts += [hush(pause, index), clip]
        start = now + round(pause * SAMPLE_RATE) / SAMPLE_RATE
        now = start + len(clip) / SAMPLE_RATE
        spans.append((start, now))
    return Joined(np.concatenate([*parts, hush(1)]), spans, names)


def in_blocks(samples: np.ndarray, size: int):
    return (samples[start : start + size] for start in range(0, len(samples), size))


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """The oracle runs chunk by chunk, which many threads only slow down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def talk() -> Joined:
    names = [row["audio"] for row in ROWS] + CLEAN
    pauses = np.random.default_rng(6).uniform(0.6, 4, len(names)).tolist()
    return join(names, pauses)


@pytest.fixture(scope="module")
def talk_windows(talk):
    return list(speech_windows([talk.samples]))


# Real speech


def test_windows_are_short_ordered_and_apart(talk_windows):
    assert len(talk_windows) > 3
    assert all(0 < window.seconds <= WINDOW_SECONDS for window in talk_windows)
    for before, after in pairwise(talk_windows):
        assert before.end <= after.start + 1e-9


def test_no_clip_is_cut_although_some_begin_with_noise(talk, talk_windows):
    edges = [edge for window in talk_windows for edge in (window.start, window.end)]
    for start, end in talk.spans:
        assert not [edge for edge in edges if start + 0.8 < edge < end - 0.2]
        assert any(w.start <= (start + end) / 2 <= w.end for w in talk_windows)


def test_clean_clips_lie_within_one_window_from_end_to_end(talk, talk_windows):
    clean = [span for span, name in zip(talk.spans, talk.names, strict=True) if name in CLEAN]
    for start, end in clean:
        assert any(w.start <= start and end <= w.end for w in talk_windows)


def test_a_window_holds_the_original_samples(talk, talk_windows):
    for window in talk_windows:
        start = round(window.start * SAMPLE_RATE)
        assert np.array_equal(window.samples, talk.samples[start : start + len(window.samples)])


def test_speech_is_in_order_and_inside_its_window(talk_windows):
    for window in talk_windows:
        edges = [edge for region in window.speech for edge in region]
        assert edges == sorted(edges)
        assert window.start <= edges[0]
        assert edges[-1] <= window.end


def test_regions_match_clean_clips_closely():
    spoken = join(CLEAN, [2.5] * len(CLEAN))
    windows = list(speech_windows([spoken.samples], VadOptions(max_gap=1.0)))
    found = [(window.speech[0][0], window.speech[-1][1]) for window in windows]
    np.testing.assert_allclose(found, spoken.spans, atol=0.15)


def test_pauses_shorter_than_the_gap_are_run_through():
    spoken = join(CLEAN[:3], [1.0] * 3)
    assert len(list(speech_windows([spoken.samples]))) == 1
    assert len(list(speech_windows([spoken.samples], VadOptions(max_gap=0.7)))) == 3


@pytest.mark.parametrize("name", [row["audio"] for row in ROWS])
def test_each_clip_alone_is_found(name):
    samples = load(name)
    windows = list(speech_windows([samples]))
    speech = sum(end - start for window in windows for start, end in window.speech)
    assert speech > 0.5 * len(audible(samples)) / SAMPLE_RATE


def test_a_bare_word_is_found():
    word = audible(load("de-kerstin-0512.ogg"))[: int(0.3 * SAMPLE_RATE)]
    assert len(list(speech_windows([word]))) == 1


@settings(max_examples=6, deadline=None)
@given(size=st.integers(1000, 400_000))
def test_the_size_of_the_blocks_makes_no_difference(talk, talk_windows, size):
    again = list(speech_windows(in_blocks(talk.samples, size)))
    assert [(w.start, w.end, w.speech) for w in again] == [
        (w.start, w.end, w.speech) for w in talk_windows
    ]


def test_speech_without_a_pause_is_cut_late_and_loses_nothing():
    talk = np.tile(audible(load("de-kerstin-0007.ogg")), 12)
    windows = list(speech_windows([talk]))
    assert all(window.seconds <= WINDOW_SECONDS for window in windows)
    assert all(window.seconds >= 18 for window in windows[:-1])
    for before, after in pairwise(windows):
        assert after.start - before.end < 0.1


# No speech


def noises() -> dict[str, np.ndarray]:
    random, time = np.random.default_rng(7), np.arange(20 * SAMPLE_RATE) / SAMPLE_RATE
    notes = 220 * 2 ** (random.integers(0, 15, 80) / 12)
    pitch = np.repeat(notes, SAMPLE_RATE // 4)
    return {
        "digital silence": np.zeros_like(time),
        "faint hiss": random.normal(0, 1e-3, len(time)),
        "loud hiss": random.normal(0, 0.1, len(time)),
        "rumble": np.cumsum(random.normal(0, 1e-3, len(time))),
        "mains hum": 0.1 * np.sin(2 * np.pi * 50 * time),
        "a tone": 0.3 * np.sin(2 * np.pi * 440 * time),
        "a chord": sum(0.1 * np.sin(2 * np.pi * f * time) for f in (220, 277, 330, 440)),
        "a melody": 0.3 * np.sin(2 * np.pi * pitch * time) * np.exp(-6 * (time % 0.25)),
        "clicks": 0.8 * (random.random(len(time)) < 1e-4),
    }


@pytest.mark.parametrize("name", noises())
def test_nobody_speaks_in(name):
    assert not list(speech_windows([noises()[name].astype(np.float32)]))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, SAMPLE_RATE // 20])
def test_a_snippet_yields_nothing(size):
    assert not list(speech_windows([hush(1)[:size]]))


def test_no_blocks_yield_nothing():
    assert not list(speech_windows([]))
    assert not list(whole_windows([]))


def test_silence_is_heard_in_constant_memory():
    minute = np.zeros(MINUTE, np.float32)
    tracemalloc.start()
    assert not list(speech_windows(minute for _ in range(10)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6  # three minutes: the block given, its copy, and the batch


# The parts


def test_many_chunks_at_once_are_heard_as_silero_hears_them_singly(talk):
    import silero_vad

    samples = talk.samples[: 8 * SAMPLE_RATE // CHUNK * CHUNK]
    oracle = silero_vad.load_silero_vad()
    singly = [oracle(torch.from_numpy(c), SAMPLE_RATE).item() for c in in_blocks(samples, CHUNK)]
    silero = Silero()
    together = [p for part in in_blocks(samples, 100 * CHUNK) for p in silero.hear(part)]
    np.testing.assert_allclose(together, singly, atol=1e-4)


probabilities = st.lists(
    st.tuples(st.sampled_from([0.0, 0.3, 0.34, 0.4, 0.5, 0.9]), st.integers(1, 12)), max_size=40
).map(lambda runs: [p for p, count in runs for _ in range(count)])


def find(heard: list[float], options: VadOptions) -> list[Region]:
    finder = RegionFinder(options, CHUNK)
    return [*finder.feed(heard), *finder.finish(len(heard) * CHUNK)]


@given(heard=probabilities)
def test_regions_are_those_of_silero_itself(heard):
    from silero_vad import get_speech_timestamps_from_probs as oracle

    expected = oracle(
        heard, threshold=0.5, neg_threshold=0.35, min_speech_duration_ms=100,
        min_silence_duration_ms=300, speech_pad_ms=0,
    )  # fmt: skip
    found = find(heard, VadOptions())
    assert [r._asdict() for r in found] == expected


@given(heard=probabilities)
def test_long_regions_are_cut_but_lose_nothing(heard):
    options = VadOptions(max_seconds=1.6, pad=0.3, min_speech=0)
    cut = find(heard, options)
    assert all(region.end - region.start <= SAMPLE_RATE for region in cut)
    covered = {s for r in cut for s in range(r.start // 256, r.end // 256)}
    for region in find(heard, VadOptions(min_speech=0)):
        loud = range(region.start // CHUNK, region.end // CHUNK)
        spoken = [i for i in loud if heard[i] >= 0.5]
        assert all({2 * i, 2 * i + 1} <= covered for i in spoken)


def test_a_long_region_is_cut_where_it_is_least_like_speech():
    heard = [0.9] * 1000
    heard[700] = 0.6
    first, second = find(heard, VadOptions())
    assert first.end == second.start == 700 * CHUNK + CHUNK // 2


def test_hearing_leaves_the_thread_count_alone_and_the_loader_that_swallows_ctrl_c():
    code = (
        "import sys, numpy, torch; torch.set_num_threads(2); "
        "from pst_cli.vad.silero import Silero; Silero().hear(numpy.zeros(512, 'float32')); "
        "print(torch.get_num_threads(), 'silero_vad' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout.split() == [b"2", b"False"]


def test_files_share_the_network_but_not_what_they_heard():
    first, second = Silero(), Silero()
    assert first._network is second._network
    noise = np.random.default_rng(3).normal(0, 0.1, 20 * CHUNK).astype(np.float32)
    expected = first.hear(noise)
    assert first.hear(noise) != expected  # it goes on from what it heard
    assert second.hear(noise) == expected


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": 1.5}, {"release": 0.6}, {"pad": -1.0}, {"max_gap": -1.0}, {"max_seconds": 31.0},
     {"max_seconds": 0.5}],
)  # fmt: skip
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        VadOptions(**wrong)


# Without voice detection


def test_whole_windows_hold_every_sample_once(talk):
    windows = list(whole_windows(in_blocks(talk.samples, 12345)))
    assert np.array_equal(np.concatenate([w.samples for w in windows]), talk.samples)
    assert all(len(window.samples) <= WINDOW for window in windows)
    for window in windows:
        assert window.speech[0] == pytest.approx((window.start, window.end))


def test_a_whole_window_ends_where_it_is_quietest():
    sound = np.full(40 * SAMPLE_RATE, 0.5, np.float32)
    sound[27 * SAMPLE_RATE : 27 * SAMPLE_RATE + 320] = 0
    first, second = whole_windows([sound])
    assert first.end == second.start == pytest.approx(27.01)


@pytest.mark.parametrize("size", [1, 800, WINDOW])
def test_what_fits_into_one_whole_window_stays_whole(size):
    (window,) = whole_windows([np.ones(size, np.float32)])
    assert len(window.samples) == size


@settings(max_examples=10, deadline=None)
@given(size=st.integers(1000, 900_000))
def test_the_size_of_the_blocks_makes_no_difference_to_whole_windows(talk, size):
    once = [(w.start, w.end) for w in whole_windows([talk.samples])]
    assert [(w.start, w.end) for w in whole_windows(in_blocks(talk.samples, size))] == once
