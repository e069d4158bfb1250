"""Bad and odd inputs: one clear line each, the right exit code, and nothing else is lost."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
from checkpoints import SENTENCE

from pst_cli.audio import stream

RATE = 16_000  # Hz
ODD_NAMES = ["two words.wav", "new\nline.wav", "[b]ra{ck}et%d.wav", "naïve.wav", "'quoted\".wav"]


@pytest.fixture
def translate(pst, talking_checkpoint):
    def run(*arguments):
        return pst("translate", "--to", "en", "--model", talking_checkpoint, *arguments)

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def one_error(said: str) -> str:
    """The only error line in what pst said, which holds no traceback."""
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if line.startswith("pst: error: ")]
    assert len(errors) == 1, said
    return errors[0]


def has_hint(said: str) -> bool:
    return any(line.startswith("  hint: ") for line in said.splitlines())


def video_without_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_missing_file_is_a_usage_error(translate, folder):
    done = translate("nowhere.wav")
    assert done.code == 2
    assert "nowhere.wav does not exist" in one_error(done.err)
    assert has_hint(done.err)
    assert done.out == ""


def test_a_dangling_link_is_said_to_be_one(translate, folder):
    Path("link.wav").symlink_to("gone.wav")
    done = translate("link.wav")
    assert done.code == 2
    assert "a link to a file that does not exist" in one_error(done.err)


def test_a_directory_without_sound_is_a_usage_error(translate, folder):
    Path("notes.txt").write_text("hello")
    done = translate(".")
    assert done.code == 2
    assert "holds no sound" in one_error(done.err)


def test_an_empty_file_fails(translate, folder):
    Path("empty.wav").touch()
    done = translate("empty.wav")
    assert done.code == 1
    assert "empty.wav is empty (0 bytes)" in one_error(done.err)
    assert done.out == ""


def test_a_text_file_named_wav_fails(translate, folder):
    Path("letter.wav").write_text("Dear Sir or Madam,\n" * 100)
    done = translate("letter.wav")
    assert done.code == 1
    assert "letter.wav" in one_error(done.err)
    assert has_hint(done.err)


def test_a_video_without_sound_fails(translate, folder):
    video_without_sound(folder / "mute.mp4")
    done = translate("mute.mp4")
    assert done.code == 1
    assert "mute.mp4" in one_error(done.err)
    assert "sound" in one_error(done.err)


def test_a_file_that_may_not_be_read_fails(translate, folder, speech, monkeypatch):
    shutil.copy(speech, "secret.wav")
    opened = Path.open

    def refuse(self, *args, **kwargs):
        if self.name == "secret.wav":
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)  # chmod would not bind root
    done = translate("secret.wav")
    assert done.code == 1
    assert "secret.wav cannot be read: Permission denied" in one_error(done.err)


def test_a_folder_that_cannot_be_listed_fails_and_stops_no_other(
    translate, folder, speech, monkeypatch
):
    Path("lost").mkdir()
    shutil.copy(speech, "a.wav")
    shutil.copy(speech, "b.wav")
    listed = os.scandir

    def refuse(path):
        if Path(path).name == "lost":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)  # chmod would not bind root
    monkeypatch.setattr(os, "listdir", refuse)
    done = translate(".")
    assert done.code == 1
    assert "lost cannot be listed: Permission denied" in one_error(done.err)
    assert {path.name for path in folder.glob("*.txt")} == {"a.en.txt", "b.en.txt"}


def test_a_file_on_a_bad_disk_fails_and_stops_no_other(translate, folder, speech, monkeypatch):
    shutil.copy(speech, "bad.wav")
    shutil.copy(speech, "good.wav")
    original = stream.open_source

    class Bad:
        def read(self, size):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        def close(self):
            pass

    def opened(path):
        return Bad() if Path(path).name == "bad.wav" else original(path)

    monkeypatch.setattr(stream, "open_source", opened)
    done = translate(".")
    assert done.code == 1
    assert "bad.wav cannot be read: Input/output error" in one_error(done.err)
    assert Path("good.en.txt").exists()


def test_a_truncated_mp3_gives_what_is_left_of_it(translate, folder, speech):
    sound, rate = soundfile.read(speech)
    soundfile.write("whole.mp3", sound, rate)
    data = Path("whole.mp3").read_bytes()
    Path("cut.mp3").write_bytes(data[: len(data) * 2 // 3])
    done = translate("cut.mp3")
    assert done.code == 0
    assert done.out == f"{SENTENCE}\n"
    assert "Traceback" not in done.err


def test_a_truncated_wav_is_noted(translate, folder, speech):
    data = speech.read_bytes()
    Path("cut.wav").write_bytes(data[: len(data) * 2 // 3])
    done = translate("cut.wav")
    assert done.code == 0
    assert done.out == f"{SENTENCE}\n"


@pytest.mark.parametrize("seconds", [0.05, 0.001])
def test_a_blink_of_sound_is_no_error_and_no_text(translate, folder, seconds):
    soundfile.write("blink.wav", np.full(max(1, round(seconds * RATE)), 0.1), RATE)
    done = translate("blink.wav")
    assert (done.code, done.out) == (0, "")


def test_a_blink_heard_without_vad_is_no_error(translate, folder):
    soundfile.write("blink.wav", np.full(round(0.05 * RATE), 0.1), RATE)
    assert translate("blink.wav", "--no-vad").code == 0


def test_ten_minutes_of_silence_give_no_text(translate, folder):
    soundfile.write("silence.flac", np.zeros(600 * RATE, np.int16), RATE)
    done = translate("silence.flac", "--format", "txt,srt,vtt,json")
    assert done.code == 0
    assert Path("silence.en.txt").read_text() == ""
    assert Path("silence.en.srt").read_text() == ""
    assert Path("silence.en.vtt").read_text() == "WEBVTT\n\n"


def test_samples_that_are_no_number_are_silence_and_are_noted(translate, folder, speech):
    sound, rate = soundfile.read(speech, dtype="float32")
    sound[1000:1100] = np.nan
    sound[2000] = np.inf  # in both channels
    soundfile.write("nan.wav", sound, rate, subtype="FLOAT")
    done = translate("nan.wav")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")
    assert "202 non-finite samples replaced by silence" in done.err


def test_clipped_samples_are_heard(translate, folder, speech):
    sound, rate = soundfile.read(speech, dtype="float32")
    soundfile.write("loud.wav", np.clip(20 * sound, -1, 1), rate)
    assert translate("loud.wav").out == f"{SENTENCE}\n"


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (96000, 2), (44100, 6)])
def test_any_rate_and_number_of_channels_is_heard(translate, folder, clips, rate, channels):
    import soxr

    sound, given = soundfile.read(clips / "jfk.flac", frames=132300, dtype="float32")
    mono = sound if sound.ndim == 1 else sound.mean(1)
    wave = soxr.resample(mono, given, rate)
    soundfile.write("odd.wav", np.repeat(wave[:, None], channels, axis=1), rate)
    assert translate("odd.wav").out == f"{SENTENCE}\n"


@pytest.mark.parametrize("name", [*ODD_NAMES, os.fsdecode(b"byte\xff.wav")], ids=ascii)
def test_any_name_works_and_names_its_result(translate, folder, speech, name):
    shutil.copy(speech, name)
    done = translate(name, "--format", "txt")
    assert done.code == 0
    assert Path(f"{Path(name).stem}.en.txt").read_text() == f"{SENTENCE}\n"
    assert len([line for line in done.err.splitlines() if "wrote" in line]) == 1


@pytest.mark.parametrize("arguments", [["./-dash.wav"], ["--", "-dash.wav"]])
def test_a_leading_dash_is_no_option_where_it_is_marked(translate, folder, speech, arguments):
    shutil.copy(speech, "-dash.wav")
    done = translate("--format", "txt", *arguments)
    assert done.code == 0
    assert Path("-dash.en.txt").read_text() == f"{SENTENCE}\n"


def test_an_odd_name_is_one_printable_line_in_an_error(translate, folder):
    Path("a\nb.wav").touch()
    done = translate("a\nb.wav")
    assert done.code == 1
    assert "a\\nb.wav is empty" in one_error(done.err)


def test_sound_comes_from_stdin(translate, folder, speech, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(speech.read_bytes()), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    done = translate("-")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")
    assert not list(folder.iterdir())


def test_an_empty_stdin_fails(translate, folder, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    done = translate("-")
    assert done.code == 1
    assert "stdin is empty" in one_error(done.err)


def test_a_terminal_as_stdin_is_a_usage_error_that_is_not_waited_for(translate, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    done = translate("-")
    assert "stdin is a terminal" in one_error(done.err)
    assert done.code != 0


def test_a_bad_file_never_stops_the_others(translate, folder, speech):
    shutil.copy(speech, "a.wav")
    Path("b.wav").touch()
    Path("c.wav").write_text("no sound")
    shutil.copy(speech, "d.wav")
    done = translate(".")
    assert done.code == 1
    assert {path.name for path in folder.glob("*.txt")} == {"a.en.txt", "d.en.txt"}
    assert done.err.count("pst: error: ") == 2
    assert "2 done, 0 skipped, 2 failed" in done.err


def test_json_of_a_file_that_failed_is_not_begun(translate, folder):
    Path("empty.wav").touch()
    done = translate("empty.wav", "--format", "json", "-o", "-")
    assert (done.code, done.out) == (1, "")
