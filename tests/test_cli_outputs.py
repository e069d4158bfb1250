"""Where results go: stdout is data, files are whole, names never collide."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pysubs2
import pytest
from beside import names
from checkpoints import HEARD, SENTENCE


@pytest.fixture
def translate(pst, talking_checkpoint, folder):
    def run(*arguments, to="en"):
        return pst("translate", "--to", to, "--model", talking_checkpoint, *arguments)

    return run


def test_stdout_is_the_text_and_nothing_else(translate, folder):
    done = translate("clip.wav")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")
    assert not names(folder)


def test_one_stderr_line_names_model_device_dtype_and_decoding(translate, talking_checkpoint):
    done = translate("clip.wav", "--device", "cpu", "--dtype", "float32")
    assert done.err == f"pst: model {talking_checkpoint}, device cpu, float32, plain, to en\n"


def test_a_processor_that_only_imitates_bfloat16_is_told_to_be_slow_at_it(translate, monkeypatch):
    monkeypatch.setattr("pst_cli.models.device.multiplies_bfloat16", lambda: False)
    done = translate("clip.wav", "--device", "cpu", "--dtype", "bfloat16")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")
    assert "--dtype float32 is faster" in done.err


def test_quiet_says_nothing_where_all_went_well(translate):
    done = translate("clip.wav", "--quiet", to="fr")
    assert (done.code, done.err) == (0, "")


def test_quiet_still_tells_errors(translate):
    Path("empty.wav").touch()
    done = translate("empty.wav", "-q")
    assert done.code == 1
    assert done.err.startswith("pst: error: empty.wav is empty")


def test_several_formats_lie_beside_the_input(translate, folder):
    done = translate("clip.wav", "--format", "txt,srt,vtt,tsv,json", to="fr")
    assert (done.code, done.out) == (0, "")
    assert names(folder) == {f"clip.fr.{name}" for name in ("txt", "srt", "vtt", "tsv", "json")}
    assert [cue.text for cue in pysubs2.load("clip.fr.srt")] == [SENTENCE]
    assert [cue.text for cue in pysubs2.load("clip.fr.vtt")] == [SENTENCE]


def test_json_is_valid_and_names_the_language_heard(translate):
    done = translate("clip.wav", "--format", "json", "--output", "-")
    said = json.loads(done.out)
    assert said["language"] == {"from": HEARD, "to": "en"}
    assert [segment["text"] for segment in said["segments"]] == [SENTENCE]


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "tsv", "json"])
def test_stdout_and_file_hold_the_same(translate, name):
    assert translate("clip.wav", "--format", name).code == 0
    shown = translate("clip.wav", "--format", name, "-o", "-")
    assert shown.out == Path(f"clip.en.{name}").read_text()


def test_output_names_the_file(translate, folder):
    assert translate("clip.wav", "-o", "here.txt").code == 0
    assert Path("here.txt").read_text() == f"{SENTENCE}\n"


def test_output_of_several_results_is_a_usage_error(translate, no_host):
    done = translate("clip.wav", "--format", "txt,srt", "-o", "here")
    assert done.code == 2
    assert "--output takes one input, one language and one format" in done.err


def test_the_recording_is_no_place_for_its_translation(translate, no_host):
    before = Path("clip.wav").read_bytes()
    Path("link.txt").symlink_to("clip.wav")
    for name in ("clip.wav", "link.txt"):
        done = translate("clip.wav", "--output", name)
        assert (done.code, done.out) == (2, "")
        assert f"{name} is to be read, and would be replaced" in done.err
    assert Path("clip.wav").read_bytes() == before


def test_an_output_that_is_a_folder_is_told_before_any_decoding(translate, no_host):
    Path("subs").mkdir()
    done = translate("clip.wav", "--output", "subs")
    assert done.code == 1
    assert "cannot write subs: a directory has that name" in done.err


def test_a_name_that_is_too_long_fails_its_file_alone(translate):
    """Also where results are looked for."""
    name = f"{'a' * 249}.wav"  # with .en.srt it is one letter too long
    shutil.copy("clip.wav", name)
    done = translate("clip.wav", name, "--format", "srt", "--skip-existing")
    assert done.code == 1
    assert "the name is too long" in done.err
    assert "Traceback" not in done.err
    assert Path("clip.en.srt").is_file()


def test_output_dir_keeps_the_folders_below_the_one_searched(translate, folder, speech):
    (folder / "in" / "deep").mkdir(parents=True)
    shutil.copy(speech, "in/one.wav")
    shutil.copy(speech, "in/deep/two.wav")
    assert translate("in", "--output-dir", "out").code == 0
    found = {str(path.relative_to("out")) for path in Path("out").rglob("*.txt")}
    assert found == {"one.en.txt", "deep/two.en.txt"}


def test_inputs_that_would_collide_are_told_apart(translate, folder, speech):
    shutil.copy(speech, "clip.mp3")  # told by content, whatever its suffix
    assert translate("clip.wav", "clip.mp3", "--format", "txt").code == 0
    assert {"clip.wav.en.txt", "clip.mp3.en.txt"} <= names(folder)


def test_skip_existing_does_only_what_is_left(translate, folder, speech):
    shutil.copy(speech, "other.wav")
    Path("clip.en.txt").write_text("kept\n")
    done = translate(".", "--skip-existing")
    assert done.code == 0
    assert "1 done, 1 skipped, 0 failed" in done.err
    assert Path("clip.en.txt").read_text() == "kept\n"
    assert Path("other.en.txt").read_text() == f"{SENTENCE}\n"


def test_skip_existing_loads_nothing_where_nothing_is_left(translate, no_host):
    Path("clip.en.txt").write_text("kept\n")
    assert translate("clip.wav", "--format", "txt", "--skip-existing").code == 0


def test_an_empty_result_is_done_again(translate):
    Path("clip.en.txt").touch()
    assert translate("clip.wav", "--format", "txt", "--skip-existing").code == 0
    assert Path("clip.en.txt").read_text() == f"{SENTENCE}\n"


def test_an_output_directory_that_cannot_be_is_told_before_any_decoding(translate, no_host):
    done = translate("clip.wav", "--output-dir", "clip.wav/out")
    assert done.code == 1
    assert "pst: error: cannot write clip.wav/out" in done.err
    assert "hint: " in done.err


def test_a_full_disk_fails_the_file_and_leaves_no_half_of_it(translate, folder, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Path("clip.en.txt").write_text("before\n")
    monkeypatch.setattr(os, "fsync", full)
    done = translate("clip.wav", "--format", "txt")
    assert done.code == 1
    assert "cannot write clip.en.txt: no space left on the disk" in done.err
    assert names(folder) == {"clip.en.txt"}
    assert Path("clip.en.txt").read_text() == "before\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_told_in_one_line(speech, talking_checkpoint):
    import subprocess
    import sys

    command = [sys.executable, "-m", "pst_cli", "translate", str(speech), "--to", "en"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*command, "--model", str(talking_checkpoint)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert "pst: error: cannot write to stdout: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_subtitle_writes_srt_beside_the_input(pst, talking_checkpoint, folder):
    done = pst("subtitle", "clip.wav", "--to", "en", "--model", talking_checkpoint)
    assert (done.code, done.out) == (0, "")
    assert names(folder) == {"clip.en.srt"}
    assert [cue.text for cue in pysubs2.load("clip.en.srt")] == [SENTENCE]
