"""Weights and languages: what cannot work is refused before any decoding, with the remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkpoints import ENGLISH_VOCABULARY, SENTENCE, WIDTH, write_checkpoint

from pst_cli import files
from pst_cli.files import SMALL
from pst_cli.models.host import Host
from pst_cli.store import shelf


@pytest.fixture(scope="module")
def english_checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("english") / "checkpoint"
    return write_checkpoint(directory, talking=True, vocabulary=ENGLISH_VOCABULARY)


@pytest.fixture(scope="module")
def turbo_checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("turbo") / "checkpoint"
    return write_checkpoint(directory, talking=True, decoder_layers=1)


@pytest.fixture
def no_host(monkeypatch):
    def refuse(*args):
        raise AssertionError("the host was loaded")

    monkeypatch.setattr(Host, "load", refuse)


@pytest.fixture
def landed(tmp_path, pst, talking_checkpoint):
    """The talking checkpoint in the store, as `me/talking`."""
    key = "me--talking"
    work = shelf.partial("work")
    shutil.copytree(talking_checkpoint, work, ignore=lambda *_: {"origin", "saved"})
    return shelf.land(work, key, shelf.Origin("me/talking", "a test"))


def refusal(done) -> tuple[str, str]:
    """The one error line and its hint."""
    assert done.code == 2
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 2, done.err
    return lines[0].removeprefix("pst: error: "), lines[1].removeprefix("  hint: ")


@pytest.mark.parametrize("flag", ["--to", "--from"])
def test_a_language_pst_does_not_know_is_refused(pst, speech, no_host, flag):
    languages = ["--to", "en"] if flag == "--from" else []
    error, hint = refusal(pst("translate", speech, *languages, flag, "klingon"))
    assert error == f"{flag} klingon: not a language pst knows"
    assert hint.endswith("of en, zh, de, es, fr, it")


@pytest.mark.parametrize(
    "languages", [["--to", "fr"], ["--to", "en"], ["--to", "en", "--from", "de"]]
)
def test_english_only_weights_translate_nothing(
    pst, speech, english_checkpoint, no_host, languages
):
    done = pst("translate", speech, "--model", english_checkpoint, *languages)
    error, hint = refusal(done)
    assert "transcribes English only" in error
    assert "--model base" in hint


def test_english_only_weights_transcribe_english(pst, speech, english_checkpoint):
    done = pst("translate", speech, "--model", english_checkpoint, "--to", "en", "--from", "en")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")


def test_turbo_is_refused_for_translation(pst, speech, turbo_checkpoint, no_host):
    done = pst("translate", speech, "--model", turbo_checkpoint, "--to", "en", "--from", "de")
    error, hint = refusal(done)
    assert "never learnt to translate" in error
    assert "--model medium" in hint


def test_turbo_transcribes(pst, speech, turbo_checkpoint):
    done = pst("translate", speech, "--model", turbo_checkpoint, "--to", "de", "--from", "de")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")


@pytest.mark.parametrize("small", [SMALL, WIDTH])
def test_a_target_the_host_was_not_trained_for_is_noted(
    pst, speech, talking_checkpoint, monkeypatch, small
):
    monkeypatch.setattr(files, "SMALL", small)
    done = pst("translate", speech, "--model", talking_checkpoint, "--to", "fr", "--from", "de")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")
    assert "this host was not trained to translate de into fr" in done.err
    assert ("fr: --model small does it better" in done.err) == (small > WIDTH)


@pytest.mark.parametrize("languages", [["--to", "en"], ["--to", "de", "--from", "de"]])
def test_what_the_host_was_trained_for_is_not_noted(pst, speech, talking_checkpoint, languages):
    done = pst("translate", speech, "--model", talking_checkpoint, *languages)
    assert "not trained" not in done.err


def test_an_unknown_name_of_weights_names_those_near_it(pst, speech):
    error, hint = refusal(pst("translate", speech, "--to", "en", "--model", "smal"))
    assert "no weights are called 'smal'; near: small" in error
    assert hint == "pst download small"


def test_a_directory_without_weights_is_told(pst, speech, tmp_path):
    done = pst("translate", speech, "--to", "en", "--model", tmp_path)
    assert done.code == 1
    assert "holds no Whisper weights" in done.err


def test_a_device_that_is_not_there_is_a_usage_error(pst, speech, talking_checkpoint):
    asked = ("translate", speech, "--to", "en", "--model", talking_checkpoint)
    for name in ("toaster", "cuda:x", "cpu:", "cpu:1", "cuda:99"):
        assert f"--device {name}: " in refusal(pst(*asked, "--device", name))[0]


@pytest.mark.parametrize(
    "arguments",
    [["--dtype", "int3"], ["--format", "docx"], ["--format", ","], ["--batch-size", "0"]],
)
def test_a_value_that_is_none_of_the_choices_is_a_usage_error(
    pst, speech, talking_checkpoint, arguments, no_host
):
    done = pst("translate", speech, "--to", "en", "--model", talking_checkpoint, *arguments)
    assert done.code == 2
    assert arguments[0] in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("arguments", [[], ["translate"], ["translate", "x.wav"], ["frobnicate"]])
def test_an_incomplete_command_is_a_usage_error(pst, arguments):
    assert pst(*arguments).code == 2


def test_weights_from_the_store_translate_offline(pst, speech, landed):
    done = pst("translate", speech, "--to", "en", "--model", "me/talking", "--offline")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")


def test_a_hash_that_does_not_match_is_found_and_named(pst, landed):
    weights = landed / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    done = pst("models", "verify")
    assert done.code == 1
    assert f"{weights} is damaged: its sha256 is not the one it landed with" in done.err
    assert "pst download me/talking --force" in done.err


def test_truncated_weights_are_named_before_any_decoding(pst, speech, landed, no_host):
    weights = landed / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    done = pst("translate", speech, "--to", "en", "--model", "me/talking")
    assert done.code == 1
    assert f"{weights} is damaged" in done.err
    assert "pst download me/talking --force" in done.err


def test_offline_without_weights_names_the_command_that_fetches_them(
    pst, speech, monkeypatch, tmp_path
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    done = pst("translate", speech, "--to", "en", "--model", "small", "--offline")
    assert done.code == 1
    assert "no weights for small" in done.err
    assert "pst download small" in done.err


def test_an_unreachable_hub_costs_seconds(speech, tmp_path):
    places = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")}
    places |= {"PST_HOME": str(tmp_path / "home")}
    started = time.monotonic()
    command = [sys.executable, "-m", "pst_cli", "translate", str(speech), "--to", "en"]
    done = subprocess.run(
        [*command, "--model", "small"],
        capture_output=True,
        text=True,
        env=os.environ | places,
        timeout=100,
    )
    assert done.returncode == 1
    assert "pst: error: no weights for small" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 40


def test_debug_shows_where_the_error_of_a_file_arose(pst, folder, talking_checkpoint):
    Path("empty.wav").touch()
    for asked, shown in (((), False), (("--debug",), True)):
        done = pst("translate", "empty.wav", "--to", "en", "--model", talking_checkpoint, *asked)
        assert done.code == 1
        assert "pst: error: empty.wav is empty" in done.err
        assert ("Traceback" in done.err) is shown


def test_debug_shows_where_an_error_arose(pst, tmp_path):
    from pst_cli.errors import UsageError

    with pytest.raises(UsageError):
        pst("translate", tmp_path / "gone.wav", "--to", "en", "--debug")
