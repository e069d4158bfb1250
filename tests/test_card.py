"""A model card says what a run knows of itself, in the form that the hub reads."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.data.manifest import Utterance
from pst_cli.training.card import CardFacts, DataFacts, card, data_facts

DATA = DataFacts(
    name="train.jsonl",
    sha256="ab" * 32,
    utterances=1374,
    hours={"de-en": 1.5, "de-de": 1.5},
    source="me/parliament",
    license="CC0",
)
FACTS = CardFacts(
    title="A many-to-many base",
    kind="host",
    form="whole",
    base="base",
    base_sha256="cd" * 32,
    summary="It translates between six languages.",
    command="pst train host train.jsonl --model base",
    license="mit",
    data=(DATA,),
    losses={"st": 2.0, "mt": 1.0, "kl": 0.5},
    settings={"rate": 1e-4, "lora rank": 32},
    seed=7,
    steps=700,
    seconds=5400.0,
    machine={"processor": "a slow one", "accelerator": None},
    versions={"pst_cli": "0.1", "torch": "2.13"},
    metrics={"loss": 2.34567, "acceptance": 0.535},
    pictures=("loss.png",),
    limits=("It has heard two voices.",),
)


def facts(**changes):
    known = {name: getattr(FACTS, name) for name in FACTS.__dataclass_fields__}
    return CardFacts(**known | changes)


def front_matter(text):
    _, head, _ = text.split("---\n", 2)
    pairs = [line.split(": ", 1) for line in head.splitlines()]
    return {key: json.loads(value) for key, value in pairs}


def sections(text):
    return [line for line in text.splitlines() if line.startswith("## ")]


def test_the_front_matter_is_what_the_hub_knows():
    assert front_matter(card(FACTS)) == {
        "license": "mit",
        "language": ["en", "zh", "de", "es", "fr", "it"],
        "base_model": "openai/whisper-base",
        "base_model_relation": "finetune",
        "pipeline_tag": "automatic-speech-recognition",
        "library_name": "transformers",
        "tags": ["whisper", "speech-translation", "pst", "host"],
        "datasets": ["me/parliament"],
    }


def test_the_hub_itself_reads_the_front_matter():
    from huggingface_hub import ModelCard

    read = ModelCard(card(FACTS)).data
    assert read.base_model == "openai/whisper-base"
    assert read.license == "mit"
    assert read.datasets == ["me/parliament"]


def test_a_directory_of_ones_own_is_no_model_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "host").mkdir(parents=True)
    for base in (str(tmp_path / "runs" / "host"), "runs/host"):
        head = front_matter(card(facts(base=base)))
        assert "base_model" not in head
        assert "base_model_relation" not in head
    assert front_matter(card(facts(base="me/host@v1")))["base_model"] == "me/host"


def test_everything_that_a_run_knows_is_in_the_card():
    text = card(FACTS)
    assert text.count("# A many-to-many base") == 1
    for fact in (
        FACTS.command,
        DATA.sha256,
        FACTS.base_sha256,
        "| train.jsonl | training | 1,374 | me/parliament | CC0 |",
        "| train.jsonl | de-en | 1.50 |",
        "| kl | 0.5 |",
        "| rate | 0.0001 |",
        "| seed | 7 |",
        "| hours of training | 1.5 |",
        "| processor | a slow one |",
        "| torch | 2.13 |",
        "| acceptance | 0.535 |",
        "![loss.png](loss.png)",
        "- It has heard two voices.",
        "pst translate talk.wav --to de --model DIR",
        '"language": "de", "task": "transcribe"',
    ):
        assert fact in text
    assert "accelerator" not in text


def test_what_is_not_known_is_left_out():
    text = card(CardFacts(title="Bare", kind="student", form="whole", base="/somewhere"))
    assert sections(text) == ["## How to use it", "## Training", "## Scores"]
    assert "license" not in front_matter(text)
    assert "None" not in text.replace("None yet", "")


def test_what_began_from_an_adapter_lies_upon_that_ones_host():
    text = card(facts(form="adapter", base="mine", host="base", host_sha256="ef" * 32))
    assert front_matter(text)["base_model"] == "openai/whisper-base"
    assert f"It is an adapter for `base` (fingerprint `{'ef' * 32}`)" in text
    assert f"| began from | mine (fingerprint `{'cd' * 32}`) |" in text


@pytest.mark.parametrize(
    ("form", "kind", "said"),
    [
        ("adapter", "host", "once `pst export DIR --output WHOLE` has merged it"),
        ("drafter", "kvspn", "--model base --draft-model DIR"),
    ],
)
def test_how_to_use_it_depends_on_what_it_is(form, kind, said):
    text = card(facts(form=form, kind=kind))
    assert said in text
    assert FACTS.base_sha256 in text
    assert front_matter(text)["library_name"] == "pst"
    assert ("transformers import" in text) is (form == "adapter")


@given(st.text())
def test_no_text_breaks_a_table(text):
    made = card(facts(settings={"name": text}))
    (row,) = [line for line in made.splitlines() if line.startswith("| name |")]
    assert row.replace("\\|", "").count("|") == 3


def test_a_manifest_is_counted_by_direction(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("the manifest\n")
    sound = tmp_path / "a.wav"
    utterances = [
        Utterance(sound, "de", "Guten Tag", {"en": "Good day"}, duration=1800.0),
        Utterance(sound, "de", "", {"en": "Yes"}, duration=3600.0),
        Utterance(sound, "fr", "Oui", {}),
        Utterance(None, "de", "Nur Text", {"en": "Text alone"}, duration=None),
    ]
    found = data_facts(path, utterances, use="held out", license="CC0")
    assert found.utterances == 4
    assert dict(found.hours) == {"de-de": 0.5, "de-en": 1.5, "fr-fr": 0.0}
    assert found.sha256 == hashlib.sha256(b"the manifest\n").hexdigest()
    assert (found.name, found.use, found.license) == ("train.jsonl", "held out", "CC0")
