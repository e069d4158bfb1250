"""Labels: a model says what a manifest has no text for, and what is not to be trusted stays out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from checkpoints import SENTENCE, write_checkpoint
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.corpus.labels import amiss, labelled, lacking, trusted
from pst_cli.data.manifest import Utterance, read_manifest, write_manifest
from pst_cli.decoding.guards import REPETITION, Judged
from pst_cli.errors import DataError, UsageError
from pst_cli.evaluate.tasks import directions, named, narrowed
from pst_cli.models.host import Host
from pst_cli.models.prompts import Ability
from pst_cli.translator import Translator
from pst_cli.types import LANGUAGES

TEXTS = {
    "en": "The parasite speaks slowly.",
    "de": "Der Parasit spricht langsam.",
    "fr": "Le parasite parle lentement.",
    "zh": "寄生虫慢慢地说话。",
}


def utterance(language="de", text="Hallo", sound: str | None = "a.wav", **translations):
    return Utterance(sound and Path("/") / sound, language, text, translations)


def asked(tasks):
    return [(task.utterance.text, list(task.references)) for task in tasks]


# What is asked for


def test_asked_for_is_what_has_sound_and_no_text():
    many = [
        utterance(text="all", en="hello", fr="salut"),
        utterance(text="some", fr=" "),
        utterance(text="mute", sound=None),
        utterance(text=""),
    ]
    found = lacking(many, ("en", "fr", "de"))
    assert asked(found) == [("some", ["en", "fr"]), ("", ["en", "fr", "de"])]


def test_lines_that_say_the_same_are_asked_for_once():
    found = lacking([utterance(fr="salut"), utterance(), utterance()], ("en", "fr"))
    assert asked(found) == [("Hallo", ["en"]), ("Hallo", ["fr"])]


def test_nothing_to_ask_for_is_refused():
    with pytest.raises(DataError, match="lacks text in en") as refused:
        lacking([utterance(en="hello"), utterance(sound=None)], ("en",))
    assert "pst data check" in refused.value.hint


def test_a_model_is_trusted_with_what_it_learnt():
    tasks = lacking([utterance(), utterance("en", text="")], ("en", "fr"))
    assert trusted(tasks, Ability.MANY_TO_MANY, "many") == (tasks, [], [])
    kept, refused, wild = trusted(tasks, Ability.STOCK, "small")
    assert (named(directions(kept)), refused) == (["en-en", "de-en"], [])
    assert named(wild) == ["en-fr", "de-fr"]
    kept, refused, wild = trusted(tasks, Ability.TRANSCRIBE, "turbo")
    assert (named(directions(kept)), wild) == (["en-en"], [])
    assert named(refused) == ["en-fr", "de-en", "de-fr"]


def test_a_model_that_learnt_none_of_it_is_refused():
    with pytest.raises(UsageError, match="small was not trained for de-fr"):
        trusted(lacking([utterance()], ("fr",)), Ability.STOCK, "small")


# What may be learnt


@pytest.mark.parametrize("target", TEXTS)
def test_a_text_is_fit_in_its_own_language_alone(target):
    assert [code for code, text in TEXTS.items() if amiss(target, text) is None] == [target]


@pytest.mark.parametrize(
    ("target", "text", "why"),
    [
        ("en", "", "without a word"),
        ("de", "... !", "without a word"),
        ("zh", "我學過漢語。", "another language or script"),
        ("fr", "Да", "another language or script"),
    ],
)
def test_what_is_amiss_is_told(target, text, why):
    assert why in amiss(target, text)


@given(
    st.lists(
        st.builds(
            utterance,
            st.sampled_from(list(TEXTS)),
            st.sampled_from(["", "Hallo"]),
            st.sampled_from(["a.wav", "b.wav"]),
            en=st.sampled_from(["", "hello"]),
        ),
        min_size=1,
    ),
    st.lists(st.sampled_from(list(TEXTS)), min_size=1, unique=True),
    st.dictionaries(
        st.tuples(st.integers(0, 9), st.sampled_from(list(TEXTS))),
        st.sampled_from([*TEXTS.values(), ""]),
    ),
)
def test_no_text_of_people_is_changed_and_every_other_is_marked(many, targets, drawn):
    texts = {(many[place % len(many)].id, to): text for (place, to), text in drawn.items()}
    try:
        tasks = lacking(many, targets)
    except DataError:
        return
    found = labelled(many, tasks, texts, "small")
    for before, after in zip(many, found.utterances, strict=True):
        added = after.texts().keys() - before.texts().keys()
        assert before.texts().items() <= after.texts().items()
        assert after.labelled == dict.fromkeys(added, "small")
        assert added <= set(targets)
        assert all(after.texts()[to] == TEXTS[to] for to in added)
    assert found.given == sum(len(one.labelled) for one in found.utterances)


def test_what_was_not_asked_for_is_not_added():
    one = utterance()
    tasks = narrowed(lacking([one], ("en", "fr")), lambda _, target: target == "en")
    said = {(one.id, code): text for code, text in TEXTS.items()}
    assert labelled([one], tasks, said, "small").utterances[0].texts().keys() == {"de", "en"}


# The manifest


@given(st.dictionaries(st.sampled_from(list(LANGUAGES)), st.text()))
def test_who_said_it_is_written_and_read_back(tmp_path_factory, models):
    path = tmp_path_factory.mktemp("labels") / "train.jsonl"
    write_manifest(path, [replace(utterance(), labelled=models)])
    [found] = read_manifest(path)
    assert found.labelled == models
    assert ("labelled" in json.loads(path.read_text("utf-8"))) == bool(models)


@pytest.mark.parametrize("own", [True, "yes", {"en": 3}])
def test_a_key_of_that_name_that_is_somebody_elses_does_no_harm(tmp_path, own):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"language": "de", "text": "Tag", "labelled": own}))
    assert read_manifest(path)[0].labelled == {}


# The command


@pytest.fixture
def label(pst, talking_checkpoint, tmp_path):
    def run(manifest, *arguments, model=talking_checkpoint):
        output = ("--output", tmp_path / "out" / "labelled.jsonl")
        return pst("data", "label", manifest, *output, "--model", model, *arguments)

    return run


@pytest.fixture
def manifest(speech, tmp_path):
    """Two German utterances, one of them untold; an English one; one of text alone."""
    for name in ("a", "b", "c"):
        shutil.copy(speech, tmp_path / f"{name}.wav")
    here = {"de": ("a.wav", "Der Parasit spricht."), "en": ("c.wav", "The parasite speaks.")}
    lines = [
        {"audio": sound, "language": code, "text": text, "story": "0001"}
        for code, (sound, text) in here.items()
    ]
    lines.insert(1, {"audio": "b.wav", "language": "de", "text": "", "speaker": "kerstin"})
    lines.append({"language": "de", "text": "Nur Text."})
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def doubt(monkeypatch):
    """Let the guards doubt the rows whose places in their batch are named."""
    original = Translator.decode

    def spoil(*places, **changes):
        def decode(self, encoded, prompts, languages, **options):
            rows = enumerate(original(self, encoded, prompts, languages, **options))
            return [replace(one, **changes) if row in places else one for row, one in rows]

        monkeypatch.setattr(Translator, "decode", decode)

    return spoil


def written(tmp_path):
    return read_manifest(tmp_path / "out" / "labelled.jsonl")


def test_what_is_missing_is_said_by_the_model_and_marked(label, pst, manifest, tmp_path):
    shown = label(manifest, "--to", "en,de")
    assert (shown.code, shown.out) == (0, "")
    told, untold, english, text = written(tmp_path)
    assert (told.text, told.translations) == ("Der Parasit spricht.", {"en": SENTENCE})
    assert (untold.text, untold.translations) == ("", {"en": SENTENCE})
    assert told.labelled == untold.labelled == {"en": "checkpoint"}
    assert (english.translations, english.labelled) == ({}, {})
    assert (text.text, text.audio, untold.speaker) == ("Nur Text.", None, "kerstin")
    assert told.audio == tmp_path / "a.wav"
    assert "not trained for en-de: left out" in shown.err
    assert "2 texts added" in shown.err
    assert "left out: 1 in another language or script" in shown.err
    checked = pst("data", "check", tmp_path / "out" / "labelled.jsonl")
    assert checked.code == 0


def test_a_transcript_goes_where_transcripts_are(label, speech, tmp_path):
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps({"audio": str(speech), "language": "en", "text": ""}))
    assert label(path, "--to", "en", "--quiet").err == ""
    [found] = written(tmp_path)
    assert (found.text, found.translations) == (SENTENCE, {})
    assert found.labelled == {"en": "checkpoint"}


@pytest.mark.parametrize("changes", [{"flags": (REPETITION,)}, {"silent": True}])
def test_what_guards_doubt_is_left_out_and_counted(label, manifest, tmp_path, doubt, changes):
    doubt(0, **changes)
    shown = label(manifest, "--to", "en")
    assert [sorted(one.labelled) for one in written(tmp_path)] == [[], ["en"], [], []]
    assert "1 text added" in shown.err
    assert "left out: 1 doubtful or without a word" in shown.err


def test_what_is_doubted_is_not_said_again_by_chance(label, manifest, monkeypatch):
    heats, original = [], Translator._attempt

    def decoded(self, heard, prompts, attempt):
        heats.append(attempt.temperature)
        return original(self, heard, prompts, attempt)

    monkeypatch.setattr(Translator, "_attempt", decoded)
    monkeypatch.setattr(Judged, "passes", property(lambda self: False))
    assert label(manifest, "--to", "en").code == 0
    assert set(heats) == {0.0}


def test_doubt_of_a_part_is_doubt_of_the_whole(label, speech, tmp_path, doubt):
    sound, rate = soundfile.read(speech, dtype="float32")
    many = np.concatenate([sound, np.zeros_like(sound)] * 6)
    soundfile.write(tmp_path / "long.wav", many, rate)
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps({"audio": "long.wav", "language": "de", "text": "Lang."}))
    assert label(path, "--to", "en").code == 0
    assert written(tmp_path)[0].translations["en"].startswith(f"{SENTENCE} {SENTENCE}")
    shutil.rmtree(tmp_path / "out")
    doubt(1, flags=(REPETITION,))
    assert "0 texts added" in label(path, "--to", "en").err


def test_sound_is_heard_once_for_all_languages(label, manifest, tmp_path, monkeypatch):
    heard, original = [], Host.encode
    monkeypatch.setattr(
        Host, "encode", lambda self, mel: heard.append(len(mel)) or original(self, mel)
    )
    assert label(manifest, "--to", "en,de").code == 0
    assert sum(heard) == 2


def test_a_run_that_was_stopped_goes_on(label, manifest, tmp_path, monkeypatch):
    calls, original = [], Translator.decode

    def interrupted(self, encoded, prompts, languages, **options):
        calls.append(prompts)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, encoded, prompts, languages, **options)

    monkeypatch.setattr(Translator, "decode", interrupted)
    given = (manifest, "--to", "en", "--batch-size", 1)
    assert label(*given).code == 130
    assert not (tmp_path / "out" / "labelled.jsonl").exists()
    shown = label(*given)
    assert shown.code == 0
    assert "1 of 2 hypotheses are there already" in shown.err
    assert len(calls) == 3
    assert sum(len(one.labelled) for one in written(tmp_path)) == 2


def test_what_was_said_in_another_way_is_not_gone_on_from(label, pst, manifest, tmp_path):
    assert label(manifest, "--to", "en").code == 0
    kept = tmp_path / "out" / "labelled.hypotheses.jsonl"
    refused = label(manifest, "--to", "en", "--beams", 2)
    assert refused.code == 2
    assert f"--hypotheses {kept} was made with another beams: 1, now 2" in refused.err
    assert label(manifest, "--to", "en", "--beams", 2, "--hypotheses", tmp_path / "two").code == 0


def test_sound_that_cannot_be_read_is_told_and_stays_as_it_was(label, manifest, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    shown = label(manifest, "--to", "en", "--quiet")
    assert shown.code == 1
    assert "manifest.jsonl:1" in shown.err
    assert [sorted(one.labelled) for one in written(tmp_path)] == [[], ["en"], [], []]


def test_what_a_model_cannot_do_is_told(label, manifest, tmp_path):
    hearer = write_checkpoint(tmp_path / "hearer", talking=True, decoder_layers=1)
    shown = label(manifest, "--to", "en", model=hearer)
    assert shown.code == 2
    assert "never learnt to translate" in shown.err
    assert not (tmp_path / "out" / "labelled.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said", "hint"),
    [
        (("--to", "xx"), 2, "--to xx: not a language", "one or more of en"),
        (("--to", ","), 2, "--to names no language", "one or more of en"),
        (("--to", "it"), 2, "was not trained for", "--to en"),
        (("--to", "en", "--output", "manifest.jsonl"), 2, "needed as it is", "another"),
        (("--to", "en", "--output", "."), 2, "is a folder", "name a file"),
        (("--to", "en", "--hypotheses", "manifest.jsonl"), 2, "holds something else", "not there"),
    ],
)
def test_what_cannot_be_labelled_is_refused_with_a_hint(
    label, manifest, monkeypatch, arguments, code, said, hint
):
    monkeypatch.chdir(manifest.parent)
    before = manifest.read_bytes()
    shown = label(manifest, *arguments)
    assert (shown.code, shown.out) == (code, "")
    assert said in shown.err
    assert hint in shown.err
    assert manifest.read_bytes() == before
