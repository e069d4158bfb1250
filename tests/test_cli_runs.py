"""Runs over many windows: memory that does not suffice, and Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from checkpoints import SENTENCE

from pst_cli.models.host import Host
from pst_cli.translator import Translator

WINDOWS = 16


@pytest.fixture
def many(tmp_path, monkeypatch, speech):
    """A working directory with as many clips as it takes for the largest batch."""
    place = tmp_path / "many"
    place.mkdir()
    for number in range(WINDOWS):
        shutil.copy(speech, place / f"{number:02}.wav")
    monkeypatch.chdir(place)
    return place


def texts(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("*.en.txt"))]


def out_of_memory_above(rows, original, size):
    def limited(self, given, *others, **options):
        if size(given) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return original(self, given, *others, **options)

    return limited


@pytest.mark.parametrize("languages", [["--from", "de"], []])
def test_a_batch_that_does_not_fit_is_halved_and_that_is_said_once(
    pst, many, talking_checkpoint, monkeypatch, languages
):
    limited = out_of_memory_above(2, Translator.decode, len)
    monkeypatch.setattr(Translator, "decode", limited)
    done = pst("translate", ".", "--to", "en", "--model", talking_checkpoint, *languages)
    assert done.code == 0
    assert done.err.count("out of memory: going on with --batch-size 2") == 1
    assert "--batch-size 4" not in done.err
    assert texts(many) == [f"{SENTENCE}\n"] * WINDOWS


@pytest.mark.parametrize("languages", [["--from", "de"], []])
def test_an_encoder_that_does_not_fit_is_halved_too(
    pst, tmp_path, talking_checkpoint, monkeypatch, languages, speech
):
    sound, rate = soundfile.read(speech, dtype="float32")
    pause = np.zeros_like(sound)
    soundfile.write(tmp_path / "long.wav", np.concatenate([sound, pause] * 8), rate)
    monkeypatch.setattr(Host, "encode", out_of_memory_above(1, Host.encode, len))
    model = ("--model", talking_checkpoint)
    done = pst("translate", tmp_path / "long.wav", "--to", "en", *model, *languages)
    assert done.code == 0
    assert "out of memory: going on with --batch-size 1" in done.err
    assert done.out == f"{SENTENCE}\n" * 8


def test_a_single_window_that_does_not_fit_is_an_error_with_a_remedy(
    pst, speech, talking_checkpoint, monkeypatch
):
    monkeypatch.setattr(Translator, "decode", out_of_memory_above(0, Translator.decode, len))
    done = pst("translate", speech, "--to", "en", "--model", talking_checkpoint)
    assert (done.code, done.out) == (1, "")
    assert "pst: error: out of memory with a single window" in done.err
    assert "use a smaller --model" in done.err


def test_batches_of_any_size_give_the_same_text(pst, many, talking_checkpoint):
    for size in (1, 8):
        asked = ("--to", "en", "--model", talking_checkpoint, "--batch-size", size)
        done = pst("translate", "00.wav", "01.wav", *asked, "--output-dir", f"out{size}")
        assert done.code == 0
        assert texts(many / f"out{size}") == [f"{SENTENCE}\n"] * 2


def heeding_ctrl_c():
    """What a shell starts in the background ignores it, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to a child there")
def test_ctrl_c_keeps_finished_files_and_exits_130(many, speech, talking_checkpoint):
    for number in range(WINDOWS, 400):
        Path(f"{number:03}x.wav").hardlink_to("00.wav")
    command = [sys.executable, "-m", "pst_cli", "translate", ".", "--to", "en", "--batch-size", "1"]
    with subprocess.Popen(
        [*command, "--model", str(talking_checkpoint)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding_ctrl_c,
    ) as run:
        deadline = time.monotonic() + 60
        while not texts(many) and time.monotonic() < deadline:
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=30)[1]
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert 0 < len(texts(many)) < 400
    assert set(texts(many)) == {f"{SENTENCE}\n"}
    assert not list(many.glob(".pst-*"))
