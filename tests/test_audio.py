"""Any file becomes mono 16 kHz blocks, or an error that says why not."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pst_cli.audio import decoders, find_audio, open_audio, stream
from pst_cli.audio.decoders import GAP_SECONDS, ContainerDecoder, _Clock, open_decoder
from pst_cli.audio.source import open_source
from pst_cli.audio.spans import span_seconds
from pst_cli.audio.stream import _reblock, resample
from pst_cli.errors import AudioError, PstError, UsageError
from pst_cli.types import SAMPLE_RATE

TONE = 440.0  # Hz
ODD_NAMES = ["two words.mp4", "-dash.mp4", "new\nline.mp4", "[b]ra{ck}et%d.mp4", "naïve.mp4"]


def tone(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    wave = 0.4 * np.sin(2 * np.pi * TONE * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave.astype(np.float32)[:, None], channels, axis=1)


def write_video(
    path: Path,
    codec: str | None,
    *,
    fast: bool = False,
    pictures: bool = True,
    late: float = 0.0,
    seconds: float = 3.0,
) -> Path:
    kind = {".mkv": "matroska", ".webm": "webm"}.get(path.suffix, "mp4")
    options = {"movflags": "faststart"} if fast and kind == "mp4" else {}
    with av.open(str(path), "w", format=kind, options=options) as container:
        sound = container.add_stream(codec, rate=48000, layout="mono") if codec else None
        if pictures:
            write_pictures(container, "libvpx" if kind == "webm" else "mpeg4")
        if sound:
            write_sound(container, sound, tone(seconds, 48000), late)
    return path


def write_pictures(container, codec: str) -> None:
    stream = container.add_stream(codec, rate=10, width=64, height=64, pix_fmt="yuv420p")
    for index in range(30):
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        frame.pts = index
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_sound(container, stream, wave: np.ndarray, late: float) -> None:
    stream.codec_context.open(strict=False)
    size = stream.codec_context.frame_size
    wanted = stream.codec_context.format.name
    for start in range(0, len(wave), size):
        piece = wave[start : start + size].T
        if wanted == "s16":
            piece = (piece * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), wanted, "mono")
        frame.rate = stream.codec_context.sample_rate
        frame.pts = start + round(late * frame.rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def read(source: str | Path, seconds: float = 10.0) -> np.ndarray:
    with open_audio(source) as stream:
        return np.concatenate(list(stream.blocks(seconds)))


def read_with_notes(source: str | Path) -> tuple[np.ndarray, str]:
    with open_audio(source) as stream:
        samples = np.concatenate(list(stream.blocks()))
        return samples, "; ".join(stream.notes)


def loudest_frequency(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * SAMPLE_RATE / len(samples))


def half(path: Path) -> Path:
    cut = path.with_stem(path.stem + "-half")
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return cut


# Formats


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_rate_and_channels_change_neither_duration_nor_pitch(tmp_path, rate, channels):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(3, rate, channels), rate)
    samples, notes = read_with_notes(path)
    assert len(samples) == 3 * SAMPLE_RATE
    assert loudest_frequency(samples) == pytest.approx(TONE, abs=1)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() == pytest.approx(0.4, abs=0.02)
    assert not notes


@pytest.mark.parametrize(
    ("suffix", "rate", "subtype"),
    [("wav", 44100, "FLOAT"), ("wav", 44100, "PCM_24"), ("flac", 44100, None),
     ("ogg", 44100, None), ("opus", 48000, "OPUS"), ("mp3", 44100, None), ("aiff", 22050, None),
     ("caf", 44100, None), ("au", 8000, "ULAW")],
)  # fmt: skip
def test_sound_formats_are_read(tmp_path, suffix, rate, subtype):
    path = tmp_path / f"a.{suffix}"
    container = {"opus": "OGG"}.get(suffix)
    soundfile.write(path, tone(3, rate), rate, subtype=subtype, format=container)
    samples, notes = read_with_notes(path)
    assert len(samples) / SAMPLE_RATE == pytest.approx(3, abs=0.1)
    assert loudest_frequency(samples) == pytest.approx(TONE, abs=1)
    assert not notes


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "aac"), ("a.m4a", "aac"), ("a.mkv", "aac"), ("a.webm", "libopus")],
)
def test_the_sound_track_of_a_video_is_read(tmp_path, name, codec):
    path = write_video(tmp_path / name, codec, pictures=not name.endswith("m4a"))
    with open_audio(path) as stream:
        assert stream.seconds == pytest.approx(3, abs=0.1)
        samples = np.concatenate(list(stream.blocks()))
    assert len(samples) / SAMPLE_RATE == pytest.approx(3, abs=0.1)
    assert loudest_frequency(samples) == pytest.approx(TONE, abs=1)
    assert not stream.notes


def test_a_sound_track_that_starts_late_starts_late(tmp_path):
    samples, notes = read_with_notes(write_video(tmp_path / "a.mkv", "aac", late=1.0))
    heard = np.flatnonzero(np.abs(samples) > 0.2)[0] / SAMPLE_RATE
    assert heard == pytest.approx(1.0, abs=0.05)
    assert "missing sound replaced by silence" in notes


def test_a_clock_that_jumps_by_hours_is_not_filled_with_hours_of_silence():
    clock = _Clock(0.0)
    frame = SimpleNamespace(pts=10 * 3600, time_base=1, sample_rate=8000)
    assert list(clock.gap_before(frame, 1)) == []
    frame.pts += 60
    assert sum(map(len, clock.gap_before(frame, 1))) == 60 * 8000
    assert clock.filled == pytest.approx(60)
    assert GAP_SECONDS < 60


def test_the_real_flac_reads_whole(clips):
    with open_audio(clips / "jfk.flac") as stream:
        assert stream.seconds == 11.0
        assert sum(map(len, stream.blocks())) == 11 * SAMPLE_RATE


def test_a_wrong_suffix_does_not_matter(tmp_path):
    path = tmp_path / "a.raw"
    soundfile.write(path, tone(1, 16000), 16000, format="FLAC")
    assert len(read(path)) == SAMPLE_RATE


def test_the_loudest_float_samples_are_left_unclipped(tmp_path):
    soundfile.write(tmp_path / "a.wav", 3 * tone(1, 16000), 16000, subtype="FLOAT")
    samples, notes = read_with_notes(tmp_path / "a.wav")
    assert samples.max() == pytest.approx(1.2, abs=0.01)
    assert not notes


def test_integers_stored_as_floats_are_noticed(tmp_path):
    soundfile.write(tmp_path / "a.wav", 32768 * tone(1, 16000), 16000, subtype="FLOAT")
    assert "integers stored as floats" in read_with_notes(tmp_path / "a.wav")[1]


def test_samples_that_are_no_number_become_silence(tmp_path):
    wave = tone(2, 44100, 2)
    wave[1000, 0], wave[2000, 1], wave[3000, 0] = np.nan, np.inf, 1e38
    soundfile.write(tmp_path / "a.wav", wave, 44100, subtype="FLOAT")
    samples, notes = read_with_notes(tmp_path / "a.wav")
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() < 0.6
    assert notes == "3 non-finite samples replaced by silence"


# Blocks


@pytest.fixture(scope="module")
def stereo_wav(tmp_path_factory):
    path = tmp_path_factory.mktemp("audio") / "stereo.wav"
    noise = np.random.default_rng(1).normal(0, 0.1, (44100 * 4, 2))
    soundfile.write(path, noise, 44100)
    return path


@settings(max_examples=20, deadline=None)
@given(seconds=st.floats(0.01, 20))
def test_the_block_size_makes_no_difference(stereo_wav, seconds):
    assert np.array_equal(read(stereo_wav, seconds), read(stereo_wav, 100))


@given(sizes=st.lists(st.integers(0, 50), max_size=30), size=st.integers(1, 70))
def test_blocks_are_full_but_for_the_last_and_lose_nothing(sizes, size):
    samples = np.arange(sum(sizes), dtype=np.float32)
    blocks = list(_reblock(np.split(samples, np.cumsum(sizes)[:-1]) if sizes else [], size))
    assert all(len(block) == size for block in blocks[:-1])
    assert all(0 < len(block) <= size for block in blocks)
    assert np.array_equal(np.concatenate([*blocks, np.zeros(0, np.float32)]), samples)


@settings(max_examples=25, deadline=None)
@given(rate=st.sampled_from([8000, 22050, 44100, 48000]), size=st.integers(200, 9000))
def test_cuts_before_the_resampler_leave_no_trace(rate, size):
    wave = np.random.default_rng(2).normal(0, 0.1, rate).astype(np.float32)
    whole = np.concatenate(list(resample([wave], rate)))
    cut = np.concatenate(list(resample(np.split(wave, range(size, rate, size)), rate)))
    assert len(whole) == SAMPLE_RATE
    np.testing.assert_allclose(cut, whole, atol=1e-5)


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "long.wav"
    minute = tone(60, 8000)
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(20):
            file.write(minute)
    tracemalloc.start()
    with open_audio(path) as stream:
        total = sum(map(len, stream.blocks()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 20 * 60 * SAMPLE_RATE  # 77 MB as float32
    assert peak < 8e6


# Damage


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_a_truncated_sound_file_gives_what_it_has_and_says_so(tmp_path, suffix, capfd):
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(3).normal(0, 0.1, 44100 * 8)
    soundfile.write(path, noise, 44100)
    samples, notes = read_with_notes(half(path))
    assert 2 < len(samples) / SAMPLE_RATE < 6
    assert "it seems truncated" in notes
    assert "of 8.0 s" in notes
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac")])
def test_a_truncated_video_gives_what_it_has_and_says_so(tmp_path, name, codec, capfd):
    whole = write_video(tmp_path / name, codec, fast=True, pictures=False, seconds=8.0)
    samples, notes = read_with_notes(half(whole))
    assert 2 < len(samples) / SAMPLE_RATE < 6
    assert "it seems truncated" in notes
    assert capfd.readouterr().err == ""


def write_channels(path: Path, layout: str, channels: int) -> Path:
    """Half a second in so many channels, each a step louder than the one before."""
    with av.open(str(path), "w", format="mov") as file:
        stream = file.add_stream("pcm_f32le", rate=16000, layout=layout)
        packed = np.tile(0.01 * np.arange(channels, dtype=np.float32), (1, 8000))
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.rate = 16000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize(("layout", "channels"), [("7.1", 8), ("7.1.4", 12), ("hexadecagonal", 16)])
def test_more_channels_than_planes_are_heard(tmp_path, layout, channels):
    code = (  # in a process of its own: it used to be killed
        "import sys; from pst_cli.audio import open_audio\n"
        "with open_audio(sys.argv[1]) as sound: print(*[b.mean() for b in sound.blocks()])"
    )
    path = write_channels(tmp_path / "a.mov", layout, channels)
    shown = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
    assert float(shown.stdout) == pytest.approx(0.005 * (channels - 1), rel=1e-3)


def test_flac_that_was_piped_is_heard_to_its_end(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(5, 16000), 16000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    assert data[:4] == b"fLaC"
    data[21] &= 0xF0  # the header's count of samples, 36 bits from here on: not known
    data[22:26] = bytes(4)
    path.write_bytes(data)
    samples, notes = read_with_notes(path)
    assert len(samples) == 5 * SAMPLE_RATE
    assert not notes
    assert span_seconds(path) == pytest.approx(5.0)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_files_laid_end_to_end_are_heard_to_the_end(tmp_path, subtype):
    path, parts = tmp_path / "a.ogg", [tmp_path / "1.ogg", tmp_path / "2.ogg"]
    for part in parts:  # each with a serial number of its own
        soundfile.write(part, tone(3, 48000), 48000, format="OGG", subtype=subtype)
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    samples, notes = read_with_notes(path)
    assert len(samples) / SAMPLE_RATE == pytest.approx(6, abs=0.1)
    assert not notes


@pytest.mark.parametrize("size", [0, 36])
def test_the_wav_of_a_recorder_that_was_cut_off_is_heard(tmp_path, size):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(2, 16000), 16000)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[4:8], data[place : place + 4] = size.to_bytes(4, "little"), bytes(4)
    path.write_bytes(data)
    samples, notes = read_with_notes(path)
    assert len(samples) == 2 * SAMPLE_RATE
    assert not notes


def test_a_wav_written_to_a_pipe_is_not_called_truncated(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(2, 16000), 16000)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = b"\xff" * 4  # ffmpeg cannot seek back in a pipe
    path.write_bytes(data)
    samples, notes = read_with_notes(path)
    assert len(samples) == 2 * SAMPLE_RATE
    assert not notes


@pytest.mark.parametrize("size", [0x7FFF_F000, 0xFFFF_FFFF])
def test_a_piped_wav_longer_than_it_could_declare_is_heard_to_its_end(tmp_path, size):
    """Sparse: five hours and ten, of which libsndfile knows the 2 or 4 GiB that are declared."""
    path, rate, hours = tmp_path / "a.wav", 44_100, 5 if size < 0x8000_0000 else 10
    soundfile.write(path, np.zeros((rate, 2)), rate, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(place + 4 + hours * 3600 * rate * 4)
    with open_source(path) as file:
        decoder = open_decoder(file, "a.wav")
        assert isinstance(decoder, ContainerDecoder)
        assert decoder.seconds is None or decoder.seconds == pytest.approx(hours * 3600, rel=1e-3)
        decoder.close()


def test_a_piped_wav_is_read_past_what_it_declares(tmp_path, monkeypatch):
    monkeypatch.setattr(decoders, "UNKNOWN_BYTES", 16_000)
    monkeypatch.setattr(decoders, "MORE_BYTES", 1000)
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(2, 16000), 16000)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = (16_000).to_bytes(4, "little")
    path.write_bytes(data)
    samples, notes = read_with_notes(path)
    assert len(samples) == pytest.approx(2 * SAMPLE_RATE, abs=16)
    assert not notes


@pytest.mark.parametrize("suffix", [".mp3", ".mkv"])
def test_a_disk_that_fails_half_way_is_told_in_one_line(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a{suffix}"
    if suffix == ".mkv":
        write_video(path, "aac", pictures=False)
    else:
        soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 480_000), 16_000)
    limit = path.stat().st_size // 2

    class Failing(io.FileIO):
        def read(self, size=-1):
            if self.tell() > limit:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    monkeypatch.setattr(stream, "open_source", lambda source: Failing(source))
    assert problem(path) == f"{path} cannot be read: Input/output error"


def problem(source: str | Path, kind: type[PstError] = AudioError) -> str:
    with pytest.raises(kind) as caught:
        read(source)
    assert caught.value.hint
    return caught.value.message


def test_text_called_wav_is_refused(tmp_path):
    (tmp_path / "a.wav").write_text("no sound at all\n" * 500)
    assert "a.wav is not a sound or video file" in problem(tmp_path / "a.wav")


def test_random_bytes_called_mp3_are_refused(tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"\xff\xfb" + np.random.default_rng(4).bytes(3000))
    assert "a.mp3" in problem(tmp_path / "a.mp3")


def test_an_mp4_cut_before_its_index_is_refused(tmp_path):
    problem(half(write_video(tmp_path / "a.mp4", "aac", pictures=False)))


def test_a_playlist_does_not_lead_to_other_files(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(1, 16000), 16000)
    (tmp_path / "a.mp3").write_text(f"ffconcat version 1.0\nfile {tmp_path}/a.flac\n")
    problem(tmp_path / "a.mp3")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    assert "is empty (0 bytes)" in problem(tmp_path / "a.wav")


def test_a_file_of_no_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16000)
    assert "holds no sound" in problem(tmp_path / "a.wav")


def test_a_video_without_sound_is_refused(tmp_path):
    assert "a.mp4 has no sound track" in problem(write_video(tmp_path / "a.mp4", None))


def test_a_missing_file_is_refused(tmp_path):
    assert "does not exist" in problem(tmp_path / "a.wav", UsageError)
    assert "does not exist" in problem(tmp_path / "a\0.wav", UsageError)


def test_a_name_that_is_too_long_is_refused(tmp_path):
    path = tmp_path / f"{'a' * 300}.wav"
    assert "cannot be read: File name too long" in problem(path)
    with pytest.raises(AudioError, match="cannot be read"):
        find_audio([path])


def test_a_file_in_a_folder_that_may_not_be_searched_is_refused(tmp_path, monkeypatch):
    def barred(path, **_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.stat", barred)  # root may search any
    with pytest.raises(AudioError, match=r"a\.wav cannot be read: Permission denied"):
        find_audio([tmp_path / "a.wav"])


def test_a_dangling_link_is_refused(tmp_path):
    (tmp_path / "a.wav").symlink_to("gone.wav")
    assert "is a link to a file that does not exist" in problem(tmp_path / "a.wav", UsageError)


def test_a_folder_is_refused(tmp_path):
    assert "is a folder" in problem(tmp_path, UsageError)


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.wav").write_bytes(b"x")

    def refuse(*args, **kwargs):  # root, who often runs tests, may read anything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "a.wav cannot be read: Permission denied" in problem(tmp_path / "a.wav")


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc here")
def test_a_refused_file_is_closed_again(tmp_path):
    (tmp_path / "a.wav").write_text("no sound\n" * 500)
    before = open_descriptors()
    for _ in range(5):
        problem(tmp_path / "a.wav")
    assert open_descriptors() == before


# Names


@pytest.mark.parametrize("name", [*ODD_NAMES, os.fsdecode(b"\xff.mp4")])
@pytest.mark.parametrize("kind", ["video", "sound"])
def test_odd_names_are_read(tmp_path, monkeypatch, name, kind):
    plain = tmp_path / "plain.mp4"
    if kind == "video":
        write_video(plain, "aac", pictures=False)
    else:
        soundfile.write(plain, tone(3, 16000), 16000, format="WAV")
    plain.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read(name)) / SAMPLE_RATE == pytest.approx(3, abs=0.1)


def test_odd_names_are_printable_in_errors(tmp_path):
    path = tmp_path / os.fsdecode(b"a\n\xff.wav")
    path.write_text("no sound\n" * 500)
    assert r"a\n\xff.wav" in problem(path)


# Stdin and pipes


SECONDS_OF_STDIN = "from pst_cli.audio import open_audio as o\nwith o('-') as s: " \
    "print(sum(map(len, s.blocks())) / 16000)"  # fmt: skip


def test_an_mp4_with_its_index_at_the_end_is_read_from_stdin(tmp_path):
    path = write_video(tmp_path / "a.mp4", "aac")
    result = subprocess.run(
        [sys.executable, "-c", SECONDS_OF_STDIN], input=path.read_bytes(), capture_output=True,
        check=True,
    )  # fmt: skip
    assert float(result.stdout) == pytest.approx(3, abs=0.1)


def give_stdin(monkeypatch, data: bytes, *, terminal: bool = False) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: terminal)
    monkeypatch.setattr(sys, "stdin", stdin)


def test_empty_stdin_is_refused(monkeypatch):
    give_stdin(monkeypatch, b"")
    assert problem("-") == "stdin is empty (0 bytes)"


def test_a_terminal_is_refused(monkeypatch):
    give_stdin(monkeypatch, b"", terminal=True)
    assert "stdin is a terminal" in problem("-", UsageError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_read(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(1, 16000), 16000)
    os.mkfifo(tmp_path / "pipe")
    command = f"exec cat '{tmp_path}/a.flac' > '{tmp_path}/pipe'"
    with subprocess.Popen(["sh", "-c", command]):
        assert len(read(tmp_path / "pipe")) == SAMPLE_RATE


# Finding files


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_folder_stands_for_the_sound_and_video_below_it_in_order(tmp_path):
    make_files(tmp_path, "b.MP3", "a/c.mkv", "a/b.wav", "z.txt", ".hidden.wav", ".git/x.wav")
    found = [path.relative_to(tmp_path).as_posix() for path in find_audio([tmp_path])]
    assert found == ["a/b.wav", "a/c.mkv", "b.MP3"]


def test_named_files_are_taken_whatever_their_suffix_and_once(tmp_path):
    make_files(tmp_path, "speech.txt", ".hidden.wav", "a.wav")
    named = [tmp_path / "speech.txt", tmp_path / ".hidden.wav", tmp_path / "a.wav"]
    assert find_audio([*named, tmp_path]) == named


def test_stdin_is_passed_on():
    assert find_audio(["-"]) == [Path("-")]


def test_a_folder_without_sound_is_refused_by_name(tmp_path):
    make_files(tmp_path, "empty/notes.txt")
    with pytest.raises(UsageError, match="empty holds no sound or video file"):
        find_audio([tmp_path / "empty"])


def test_a_missing_path_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.wav does not exist"):
        find_audio([tmp_path / "gone.wav"])


def test_importing_audio_loads_neither_torch_nor_ffmpeg():
    code = "import pst_cli.audio, sys; print('torch' in sys.modules, 'av' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout.split() == [b"False", b"False"]
