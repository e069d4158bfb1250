"""Labels from text: a text translator puts what a manifest says into another language."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from marian import LONGEST, WORDS, write_translator
from transformers import AutoTokenizer, MarianMTModel

from pst_cli.corpus.interpreted import doubtful, put, translatable
from pst_cli.data.manifest import Utterance, read_manifest
from pst_cli.errors import DataError, ModelError
from pst_cli.models.device import Place
from pst_cli.models.text_translator import TextTranslator

FRENCH = "Le parasite parle lentement aujourd'hui."
HERE = Place("cpu", torch.float32)


def utterance(language="en", text="hello", sound="a.wav", **translations):
    return Utterance(Path("/") / sound, language, text, translations)


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return write_translator(tmp_path_factory.mktemp("translator") / "en-fr", FRENCH)


@pytest.fixture(scope="module")
def random(tmp_path_factory):
    return write_translator(tmp_path_factory.mktemp("random") / "model")


# The translator


@settings(max_examples=25)
@given(texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1))
def test_together_they_say_what_transformers_says_of_each_alone(random, texts):
    tokenizer, model = AutoTokenizer.from_pretrained(random), MarianMTModel.from_pretrained(random)
    alone = []
    for text in texts:
        read = tokenizer(text, return_tensors="pt")
        room = min(2 * read["input_ids"].shape[1] + 10, LONGEST - 1)
        found = model.generate(**read, num_beams=1, max_new_tokens=room, max_length=None)
        alone.append(tokenizer.decode(found[0], skip_special_tokens=True).split())
    together = [one.split() for one in TextTranslator(str(random), HERE).translated(texts)]
    for one, other in zip(together, alone, strict=True):
        assert one[: len(other)] == other  # those of longer company may go on for longer


def test_what_is_too_long_to_be_read_is_nothing(translator):
    given = ["w1", " ".join(["w1"] * LONGEST), "w2"]
    assert TextTranslator(str(translator), HERE).translated(given) == [FRENCH, "", FRENCH]


def test_capitals_are_read_as_small_letters(random):
    read = TextTranslator(str(random), HERE)
    small, capitals, both = read.translated(["W7 w8 w9 w10", "W7 W8 W9 W10", "x W8 W9 W10"])
    assert capitals == small != both  # with a small letter among them they may be names


def test_what_is_no_translator_is_refused(talking_checkpoint, tmp_path):
    for name, why in ((talking_checkpoint, "whisper, not marian"), (tmp_path, "config")):
        with pytest.raises(ModelError, match="is no text translator") as refused:
            TextTranslator(str(name), HERE, offline=True)
        assert why in refused.value.message
        assert "opus-mt-en-fr" in refused.value.hint


# What it is given


def test_put_is_what_has_text_and_no_translation():
    many = [
        utterance(text="said"),
        utterance("de", "Hallo", en="translated"),
        utterance(text="done", fr="salut"),
        utterance("fr", "spoken", en="hello"),
        utterance("de", "nothing"),
    ]

    def found(**how):
        return [task.utterance.texts()["en"] for task in translatable(many, "en", "fr", **how)]

    assert found(replace=False) == ["said", "translated"]
    assert found(replace=True) == ["said", "translated", "done"]


@pytest.mark.parametrize(("replace", "why"), [(False, "and none in fr"), (True, "text in en$")])
def test_nothing_to_put_is_refused(replace, why):
    with pytest.raises(DataError, match=why):
        translatable([utterance("fr", "salut", en="hello")], "en", "fr", replace=replace)


def test_what_several_say_is_put_once_and_the_longest_first():
    seen: list[list[str]] = []

    def translate(texts):
        seen.append(list(texts))
        return [f"un {text}" for text in texts]

    many = [utterance(text=text, sound=f"{i}.wav") for i, text in enumerate(["bb", "a", "bb"])]
    tasks = translatable(many, "en", "fr", replace=False)
    said = [one.hypothesis for one in put(tasks, "en", translate, 1)]
    assert seen == [["bb"], ["a"]]
    assert [(one.id, one.hypothesis) for one in said] == [
        (many[0].id, "un bb"),
        (many[2].id, "un bb"),
        (many[1].id, "un a"),
    ]


@pytest.mark.parametrize(
    ("text", "label", "doubt"),
    [
        ("Good morning to you all.", "Bonjour à vous tous.", False),
        ("你好，世界，早上好。", "Hello, world, good morning.", False),
        ("Good morning.", "Bonjour à vous tous, et à tous ceux qui nous entendent ici.", True),
        ("What a long sentence that is, of very many words indeed.", "Ah.", True),
        ("You filthy ones, die so that I may raise you." * 3, "sales " * 60, True),
    ],
)
def test_what_repeats_itself_or_is_out_of_proportion_is_doubtful(text, label, doubt):
    assert doubtful(text, label) is doubt


# The command


@pytest.fixture
def manifest(tmp_path):
    lines = [
        {"audio": "a.wav", "language": "en", "text": "THE PARASITE SPEAKS SLOWLY TODAY"},
        {
            "audio": "b.wav",
            "language": "de",
            "text": "Der Parasit spricht heute langsam.",
            "translations": {"en": "The parasite speaks slowly today.", "fr": "Il parle."},
        },
        {"language": "fr", "text": "Il parle.", "translations": {"en": "It speaks."}},
    ]
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def translate(pst, translator, tmp_path):
    def run(manifest, *arguments, model=translator):
        named = ("--translator", model, "--output", tmp_path / "out.jsonl")
        return pst("data", "translate", manifest, *named, "--from", "en", "--to", "fr", *arguments)

    return run


def written(tmp_path):
    return read_manifest(tmp_path / "out.jsonl")


def test_a_model_puts_what_nobody_translated_and_is_named(translate, manifest, tmp_path):
    shown = translate(manifest)
    assert (shown.code, shown.out) == (0, "")
    assert "1 text added" in shown.err
    said, translated, spoken = written(tmp_path)
    assert (said.translations, said.labelled) == ({"fr": FRENCH}, {"fr": "en-fr"})
    assert (translated.translations["fr"], translated.labelled) == ("Il parle.", {})
    assert (spoken.text, spoken.labelled) == ("Il parle.", {})


def test_translations_give_way_where_that_is_asked_for(translate, manifest, tmp_path):
    assert "2 texts added" in translate(manifest, "--replace").err
    said, translated, spoken = written(tmp_path)
    for one in (said, translated):
        assert (one.texts()["fr"], one.labelled) == (FRENCH, {"fr": "en-fr"})
    assert translated.translations["en"] == "The parasite speaks slowly today."
    assert (spoken.text, spoken.labelled) == ("Il parle.", {})


def test_where_it_says_nothing_fit_people_keep_the_word(translate, manifest, tmp_path):
    german = write_translator(tmp_path / "en-de", "Der Parasit spricht heute sehr langsam mit uns.")
    shown = translate(manifest, "--replace", "--quiet", model=german)
    assert (shown.code, shown.err) == (0, "")
    assert [one.labelled for one in written(tmp_path)] == [{}, {}, {}]
    assert written(tmp_path)[1].translations["fr"] == "Il parle."


def test_a_run_that_was_stopped_goes_on(translate, manifest, tmp_path, monkeypatch):
    calls, original = [], TextTranslator.translated

    def interrupted(self, texts):
        calls.append(texts)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, texts)

    monkeypatch.setattr(TextTranslator, "translated", interrupted)
    given = (manifest, "--replace", "--batch-size", 1)
    assert translate(*given).code == 130
    shown = translate(*given)
    assert "1 of 2 hypotheses are there already" in shown.err
    assert (shown.code, len(calls)) == (0, 3)
    refused = translate(manifest, "--beams", 2)
    assert refused.code == 2
    assert "was made with another" in refused.err


def test_other_weights_of_that_name_do_not_go_on(translate, manifest, monkeypatch):
    assert translate(manifest).code == 0
    monkeypatch.setattr(TextTranslator, "fingerprint", "another")
    refused = translate(manifest)
    assert refused.code == 2
    assert "was made with another" in refused.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--to", "en"), 2, "--from en --to en: nothing to do"),
        (("--to", "xx"), 2, "--to xx: not a language"),
        (("--from", "zh"), 1, "nothing with text in zh"),
        (("--translator", "no-such-model", "--offline"), 1, "is no text translator"),
        (("--hypotheses", "out.jsonl", "--output", "out.jsonl"), 2, "needed as it is"),
    ],
)
def test_what_is_asked_for_wrongly_is_told(translate, manifest, tmp_path, arguments, code, said):
    shown = translate(manifest, *arguments)
    assert shown.code == code
    assert said in shown.err
    assert "hint: " in shown.err
    assert not (tmp_path / "out.jsonl").exists()
