"""Several targets and bilingual results: one hearing, a file for each, and what styles ask for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pysubs2
import pytest
import soundfile
from beside import names
from checkpoints import HEARD, SENTENCE

from pst_cli.commands import work
from pst_cli.translator import Translator


@pytest.fixture
def translate(pst, talking_checkpoint, folder):
    def run(*arguments, to="fr,de,zh", command="translate"):
        return pst(command, "--to", to, "--model", talking_checkpoint, *arguments)

    return run


@pytest.fixture
def counted(monkeypatch) -> dict[str, list[int]]:
    """How many windows were encoded, and rows decoded, a batch each; how many voted."""
    found: dict[str, list[int]] = {"encode": [], "decode": [], "language_scores": []}

    def count(name, size):
        original = getattr(Translator, name)

        def counting(self, *given, **options):
            found[name].append(size(given))
            return original(self, *given, **options)

        monkeypatch.setattr(Translator, name, counting)

    count("encode", lambda given: len(given[0]))
    count("decode", lambda given: len(given[1]))
    count("language_scores", lambda given: len(given[0]))
    return found


def several_windows(path: Path, count: int) -> None:
    sound, rate = soundfile.read("clip.wav", dtype="float32")
    pause = np.zeros_like(sound)
    soundfile.write(path, np.concatenate([sound, pause] * count), rate)


# Several targets

FORMS = ("srt", "json")


def test_each_language_gets_its_own_file(translate, folder):
    done = translate("clip.wav", "--format", "srt,json")
    assert done.code == 0
    assert names(folder) == {f"clip.{to}.{form}" for to in ("fr", "de", "zh") for form in FORMS}
    for to in ("fr", "de", "zh"):
        assert [cue.text for cue in pysubs2.load(f"clip.{to}.srt")] == [SENTENCE]
        assert json.loads(Path(f"clip.{to}.json").read_text())["language"]["to"] == to


def test_languages_are_told_and_written_in_the_order_given_each_once(translate):
    done = translate("clip.wav", "--format", "txt", to="zh,de,zh, fr")
    assert "plain, to zh, de, fr\n" in done.err
    wrote = [line.split()[-1] for line in done.err.splitlines() if "wrote" in line]
    assert wrote == ["clip.zh.txt", "clip.de.txt", "clip.fr.txt"]
    assert "not trained to translate de into zh, fr" in done.err


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_windows_are_encoded_once_and_a_batch_counts_rows(translate, counted, size):
    several_windows(Path("long.wav"), 6)
    assert translate("long.wav", "--format", "txt", "--batch-size", size).code == 0
    assert sum(counted["encode"]) == 6
    assert sum(counted["decode"]) == 3 * 6
    assert max(counted["decode"]) <= size
    assert sum(counted["language_scores"]) == 6
    assert max(counted["language_scores"]) <= size
    for to in ("fr", "de", "zh"):
        assert Path(f"long.{to}.txt").read_text() == f"{SENTENCE}\n" * 6


def test_a_long_file_is_written_before_the_next_is_opened(translate, monkeypatch):
    from pst_cli import files

    several_windows(Path("a.wav"), 9)
    opened, seen = files.open_audio, {}

    def open_audio(file, track):
        seen[file.name] = Path("a.fr.txt").exists()
        return opened(file, track)

    monkeypatch.setattr(files, "open_audio", open_audio)
    assert translate("a.wav", "clip.wav", "--format", "txt", to="fr").code == 0
    assert seen == {"a.wav": False, "clip.wav": True}


def test_what_is_left_of_a_window_is_heard_again_for_the_language_that_left_it(
    translate, counted, monkeypatch
):
    from pst_cli import pipeline
    from pst_cli.types import Window

    original, german = pipeline.segments, []

    def stopping_early(judged, window, special, *others):
        made, rest = original(judged, window, special, *others)
        if judged.decoded.prompt[1] == special.languages["de"] and not german:
            german.append(window)
            rest = Window(window.start + 1, window.samples[16_000:])
        return made, rest

    monkeypatch.setattr(pipeline, "segments", stopping_early)
    assert translate("clip.wav", "--format", "txt", "--from", "en").code == 0
    assert counted == {"encode": [1, 1], "decode": [3, 1], "language_scores": []}
    said = {to: Path(f"clip.{to}.txt").read_text() for to in ("fr", "de", "zh")}
    assert said == {"fr": f"{SENTENCE}\n", "de": f"{SENTENCE}\n" * 2, "zh": f"{SENTENCE}\n"}


def test_skip_existing_decodes_only_the_languages_that_are_missing(translate, counted):
    Path("clip.de.txt").write_text("kept\n")
    done = translate("clip.wav", "--format", "txt", "--skip-existing")
    assert done.code == 0
    assert counted["decode"] == [2]
    assert Path("clip.de.txt").read_text() == "kept\n"
    assert Path("clip.zh.txt").read_text() == f"{SENTENCE}\n"


def test_a_file_with_all_its_languages_is_skipped_and_counted_once(translate, folder, speech):
    shutil.copy(speech, "other.wav")
    for to in ("fr", "de", "zh"):
        Path(f"clip.{to}.txt").write_text("kept\n")
    done = translate(".", "--format", "txt", "--skip-existing")
    assert "1 done, 1 skipped, 0 failed" in done.err
    assert done.err.count("clip.wav") == 1


def test_a_result_that_cannot_be_written_stops_neither_its_fellows_nor_other_files(
    translate, folder, speech
):
    shutil.copy(speech, "other.wav")
    Path("empty.wav").touch()
    Path("clip.de.txt").mkdir()
    done = translate(".", "--format", "txt")
    assert done.code == 1
    assert "1 done, 0 skipped, 2 failed" in done.err
    assert "cannot write clip.de.txt: a directory has that name" in done.err
    for name in ("clip.fr.txt", "clip.zh.txt", "other.fr.txt", "other.de.txt", "other.zh.txt"):
        assert Path(name).read_text() == f"{SENTENCE}\n"


@pytest.mark.parametrize("given", [(), ("-o", "-"), ("-o", "here.txt")])
def test_several_languages_for_one_place_are_a_usage_error(translate, no_host, given):
    done = translate("clip.wav", *given)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("pst: error: ") == done.err.count("hint: ") == 1


def test_a_language_in_a_list_that_pst_does_not_know_is_refused(translate, no_host):
    done = translate("clip.wav", to="fr,klingon")
    assert done.code == 2
    assert "--to klingon: not a language pst knows" in done.err


def test_doubtful_segments_name_their_language_where_there_are_several(translate, monkeypatch):
    from dataclasses import replace

    from pst_cli import pipeline

    original = pipeline.segments

    def doubtful(judged, *others):
        return original(replace(judged, flags=("low-probability",)), *others)

    monkeypatch.setattr(pipeline, "segments", doubtful)
    assert "clip.wav at 0:00, to zh: " in translate("clip.wav", "--format", "txt").err
    assert "clip.wav at 0:00: " in translate("clip.wav", to="en").err


def test_what_is_not_in_the_language_asked_for_is_listed_and_a_transcript_is_not(
    translate, monkeypatch
):
    monkeypatch.setattr("pst_cli.language.LONG", len("Theparasitespeaks"))
    said = f"doubtful (other-language): clip.wav at 0:00: {SENTENCE}"
    assert said in translate("clip.wav", to="fr").err
    assert "doubtful" not in translate("clip.wav", to="en").err
    assert "doubtful" not in translate("clip.wav", "--from", "fr", to="fr").err


# Bilingual


def stacked(name: str) -> list[str]:
    return [cue.plaintext for cue in pysubs2.load(name)]


def test_a_bilingual_file_names_the_language_heard(translate, folder, counted):
    assert translate("clip.wav", "--bilingual", to="en,fr", command="subtitle").code == 0
    assert names(folder) == {f"clip.{HEARD}-en.srt", f"clip.{HEARD}-fr.srt"}
    assert stacked(f"clip.{HEARD}-en.srt") == [f"{SENTENCE}\n{SENTENCE}"]
    assert counted["decode"] == [3]


def test_a_bilingual_file_names_the_language_given(translate, folder):
    given = ("--from", "it", "--format", "vtt,tsv")
    assert translate("clip.wav", "--bilingual", *given, to="en").code == 0
    assert names(folder) == {"clip.it-en.vtt", "clip.it-en.tsv"}


def test_both_languages_go_to_stdout(translate):
    assert translate("clip.wav", "--bilingual", to="en").out == f"{SENTENCE}\n{SENTENCE}\n\n"
    said = json.loads(
        translate("clip.wav", "--bilingual", "--format", "json", "-o", "-", to="en").out
    )
    assert [one["text"] for one in said["transcript"]] == [SENTENCE]


def test_speech_that_is_in_the_target_already_stands_alone_and_that_is_said(translate, counted):
    done = translate("clip.wav", "--bilingual", to=HEARD, command="subtitle")
    assert f"clip.wav: the speech is in {HEARD} already" in done.err
    assert stacked(f"clip.{HEARD}-{HEARD}.srt") == [SENTENCE]
    assert counted["decode"] == [1]


def test_two_languages_that_are_one_are_a_usage_error(translate, no_host):
    done = translate("clip.wav", "--bilingual", "--from", "en", to="fr,en")
    assert done.code == 2
    assert "--bilingual: from en to en is one" in done.err


def test_silence_is_in_no_language(translate, folder):
    soundfile.write("clip.wav", np.zeros(16_000), 16_000)
    assert translate("clip.wav", "--bilingual", "--format", "vtt", to="en").code == 0
    assert names(folder) == {"clip.und-en.vtt"}


def test_skip_existing_takes_a_bilingual_file_in_whichever_language(translate, no_host):
    Path("clip.it-en.srt").write_text("kept\n")
    done = translate("clip.wav", "--bilingual", "--skip-existing", to="en", command="subtitle")
    assert done.code == 0


def test_one_bilingual_result_goes_to_the_file_named(translate, folder):
    assert translate("clip.wav", "--bilingual", "-o", "here.txt", to="en").code == 0
    assert Path("here.txt").read_text() == f"{SENTENCE}\n{SENTENCE}\n\n"


# What results look like


@pytest.mark.parametrize(
    ("command", "options", "style", "aligned"),
    [
        ("subtitle", (), "netflix", True),
        ("subtitle", ("--format", "txt,json"), "netflix", False),
        ("subtitle", ("--style", "plain"), "plain", False),
        ("translate", ("--format", "srt"), "plain", False),
        ("translate", ("--format", "txt,srt", "--style", "bbc"), "bbc", True),
        ("translate", ("--style", "ted"), "ted", False),
        ("translate", ("--style", "ted", "--bilingual"), "ted", True),
    ],
)
def test_words_are_timed_only_where_a_style_lays_cues_out(
    translate, monkeypatch, command, options, style, aligned
):
    asked, looks = [], []

    class Watched(Translator):
        def __init__(self, host, options, method):
            asked.append(options.align)
            super().__init__(host, options, method)

    original = work._look

    def look(request):
        looks.append(original(request))
        return looks[-1]

    monkeypatch.setattr(work, "Translator", Watched)
    monkeypatch.setattr(work, "_look", look)
    assert translate("clip.wav", *options, command=command, to="en").code == 0
    assert asked == [aligned]
    assert {one.style for one in looks} == {style}


def test_an_unknown_style_is_a_usage_error(translate, no_host):
    done = translate("clip.wav", "--style", "hulu", to="en")
    assert done.code == 2
    assert "--style hulu: no such choice" in done.err
    assert "netflix, bbc, ted, plain" in done.err


@pytest.mark.parametrize("where", ["file", "stdout"])
def test_windows_gets_its_mark_and_its_line_ends(translate, where):
    given = ("--format", "srt", "--bom", "--crlf", "-o", "-" if where == "stdout" else "it.srt")
    done = translate("clip.wav", *given, to="en")
    assert done.code == 0
    data = done.out.encode() if where == "stdout" else Path("it.srt").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf1\r\n")
    assert data.count(b"\n") == data.count(b"\r\n") == 4
