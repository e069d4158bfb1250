"""A stretch of a file is what cutting the whole file gives, whoever decodes it."""

from __future__ import annotations

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pst_cli.audio.decoders import SndfileDecoder
from pst_cli.audio.spans import read_span, span_seconds
from pst_cli.errors import AudioError, UsageError
from pst_cli.types import SAMPLE_RATE

SECONDS = 3.0  # s; of every file here
EDGE = SAMPLE_RATE // 50  # samples; what a resampler cannot know at a cut

PACKET = 576  # frames; what an MP3 holds at this rate


def noise(rate: int, channels: int = 1) -> np.ndarray:
    """Smooth enough that a resampler keeps it, of which no two stretches are alike."""
    rough = np.random.default_rng(7).normal(size=(round(SECONDS * rate), channels))
    smooth = np.apply_along_axis(np.convolve, 0, rough, np.hanning(rate // 1000), "same")
    return (0.3 * smooth / np.abs(smooth).max()).astype(np.float32)


def wave(path, rate: int = SAMPLE_RATE, channels: int = 1):
    soundfile.write(path, noise(rate, channels), rate)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return wave(tmp_path_factory.mktemp("plain") / "a.wav")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Sound that only FFmpeg reads, without loss."""
    path = tmp_path_factory.mktemp("film") / "a.mkv"
    encode(path, "matroska", "pcm_s16le", (noise(SAMPLE_RATE) * 32767).astype(np.int16))
    return path


def encode(path, kind: str, codec: str, frames: np.ndarray, **options: str) -> None:
    """Write frames, (frames, 1), as FFmpeg does."""
    form = "s16" if frames.dtype == np.int16 else "fltp"
    with av.open(str(path), "w", format=kind, options=options) as container:
        stream = container.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        for start in range(0, len(frames), PACKET):
            piece = np.ascontiguousarray(frames[start : start + PACKET].T)
            frame = av.AudioFrame.from_ndarray(piece, form, "mono")
            frame.rate, frame.pts = SAMPLE_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    size = min(len(one), len(other))
    assert abs(len(one) - len(other)) <= 1
    inner = slice(EDGE, size - EDGE)
    return bool(np.abs(one[inner] - other[inner]).max() < 1e-3)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 40_000), st.integers(1, 20_000))
def test_a_stretch_is_cut_to_the_sample(plain, film, first, size):
    start, end = first / SAMPLE_RATE, (first + size) / SAMPLE_RATE
    for path in (plain, film):
        whole = read_span(path)
        assert np.array_equal(read_span(path, start, end), whole[first : first + size])
        assert np.array_equal(read_span(path, start), whole[first:])


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff"])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 1)])
def test_other_rates_channels_and_codecs_give_the_same_moment(tmp_path, suffix, rate, channels):
    path = wave(tmp_path / f"a.{suffix}", rate, channels)
    whole = read_span(path)
    assert len(whole) == pytest.approx(SECONDS * SAMPLE_RATE, abs=1)
    assert whole.dtype == np.float32
    assert alike(read_span(path, 1.25, 2.5), whole[20_000:40_000])


def test_opus_is_found_by_its_time_too(clips):
    path = clips / "de-kerstin-0054.ogg"
    whole = read_span(path)
    part = read_span(path, 2.0, 3.0)
    middle = slice(SAMPLE_RATE // 4, SAMPLE_RATE // 2)  # lossy: it settles after a while
    there = whole[2 * SAMPLE_RATE : 3 * SAMPLE_RATE][middle]
    assert np.corrcoef(part[middle], there)[0, 1] > 0.99


def test_only_the_stretch_is_read(tmp_path, monkeypatch):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(60 * SAMPLE_RATE, np.float32), SAMPLE_RATE)
    read, pieces = [], SndfileDecoder.pieces

    def counted(self):
        for piece in pieces(self):
            read.append(len(piece.frames))
            yield piece

    monkeypatch.setattr(SndfileDecoder, "pieces", counted)
    assert len(read_span(path, 50.0, 51.0)) == SAMPLE_RATE
    assert sum(read) < 6 * SAMPLE_RATE


def test_a_stretch_that_outlives_its_file_stops_with_it(plain, film):
    for path in (plain, film):
        assert len(read_span(path, 2.0, 9.0)) == SAMPLE_RATE


@pytest.mark.parametrize("start", [SECONDS, 100.0])
def test_a_stretch_past_the_end_says_so(plain, film, start):
    for path in (plain, film):
        with pytest.raises(AudioError, match=r"lasts 3\.00 s: nothing of it is left at"):
            read_span(path, start, start + 1)


def test_an_empty_stretch_says_so(plain):
    for end in (1.0, 0.5, 1.00001):
        with pytest.raises(AudioError, match=r"a\.wav: 1 to .* s is an empty stretch"):
            read_span(plain, 1.0, end)


def test_files_that_are_missing_or_no_sound_fail_as_everywhere(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_span(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("no sound at all " * 99)
    for look in (read_span, span_seconds):
        with pytest.raises(AudioError, match="not a sound or video file"):
            look(tmp_path / "text.wav")


def test_the_length_is_the_header_s_or_else_is_decoded(plain, film, tmp_path):
    assert span_seconds(plain) == span_seconds(film) == SECONDS
    bare = tmp_path / "a.mp3"
    encode(bare, "mp3", "libmp3lame", noise(SAMPLE_RATE), write_xing="0")  # no count to trust
    assert span_seconds(bare) == pytest.approx(len(read_span(bare)) / SAMPLE_RATE)
    assert span_seconds(bare) == pytest.approx(SECONDS, abs=0.2)
