"""Shared fixtures: real clips, checkpoints made on the spot, and pst as its users meet it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
from hypothesis import HealthCheck, settings

CLIPS = Path(__file__).parent / "clips"

# Tiny tensors gain nothing from threads and, on a busy machine, wait for them. Before torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says something of the machine and its neighbours, nothing of pst.
settings.register_profile("pst", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pst")


@pytest.fixture(autouse=True)
def settled_anew():
    """Accelerate settles precision once a process, which is one run; here many share a process."""
    yield
    if state := sys.modules.get("accelerate.state"):
        state.AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def clips() -> Path:
    return CLIPS


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """A random Whisper of width 16 with the real vocabulary, in transformers' layout."""
    from checkpoints import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="session")
def talking_checkpoint(tmp_path_factory) -> Path:
    """One that says checkpoints.SENTENCE in every window and hears German."""
    from checkpoints import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("talking") / "checkpoint", talking=True)


@pytest.fixture(scope="session")
def speech(tmp_path_factory) -> Path:
    """Three seconds of a real voice as a WAV file: one window."""
    sound, rate = soundfile.read(CLIPS / "jfk.flac", frames=3 * 44100, dtype="int16")
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    soundfile.write(path, sound[: 3 * rate], rate)
    return path


@dataclass(frozen=True)
class Outcome:
    """What a run of pst left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def pst(monkeypatch, capsys, tmp_path):
    """Run pst in this process, as `pst ARGUMENTS...`, with an empty store of its own."""
    from pst_cli import cli

    monkeypatch.setenv("PST_HOME", str(tmp_path / "pst-home"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["pst", *map(str, arguments)])
        capsys.readouterr()
        try:
            code = cli.main() or 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch, speech) -> Path:
    """A working directory that holds clip.wav."""
    place = tmp_path / "place"
    place.mkdir()
    shutil.copy(speech, place / "clip.wav")
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def no_host(monkeypatch):
    """The host may not be loaded."""

    def refuse(*args):
        raise AssertionError("the host was loaded")

    monkeypatch.setattr("pst_cli.models.host.Host.load", refuse)
