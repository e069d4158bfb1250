"""What an evaluation is made of: tasks, error rates, means, and a record that survives."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.data.manifest import Utterance
from pst_cli.errors import DataError, OutputError, UsageError
from pst_cli.evaluate.recognition import error_rates, normalised
from pst_cli.evaluate.record import Hypothesis, Record
from pst_cli.evaluate.report import Report, Row, rows
from pst_cli.evaluate.tasks import Choice, choose_tasks, directions, named, split_able
from pst_cli.models.prompts import Ability
from pst_cli.types import LANGUAGES

HEADER = {"manifest": "abc", "model": "base", "beams": 1, "pst": "1"}


def utterance(
    language="de", text="Hallo", sound: str | None = "a.wav", **translations
) -> Utterance:
    return Utterance(sound and Path("/") / sound, language, text, translations)


# Tasks


def test_every_reference_is_a_direction_the_transcript_too():
    tasks = choose_tasks([utterance(en="hello", zh="你好"), utterance("en", "hello")], Choice())
    assert named(directions(tasks)) == ["en-en", "de-en", "de-zh", "de-de"]


def test_languages_are_chosen_on_either_side():
    utterances = [utterance(en="hello", fr="salut"), utterance("fr", "salut", en="hello")]
    tasks = choose_tasks(utterances, Choice(targets=("en", "fr"), sources=("de",)))
    assert named(directions(tasks)) == ["de-en", "de-fr"]


def test_the_limit_counts_utterances_of_each_language_that_can_be_scored():
    mute, untold = utterance(en="hello", sound=None), utterance(text="")
    utterances = [mute, untold, *[utterance(en=f"hello {i}") for i in range(3)], utterance("fr")]
    tasks = choose_tasks(utterances, Choice(targets=("en", "fr"), limit=2))
    assert [task.references for task in tasks] == [
        {"en": "hello 0"},
        {"en": "hello 1"},
        {"fr": "Hallo"},
    ]


def test_nothing_to_score_is_refused_with_what_there_is():
    with pytest.raises(DataError, match="no speech with a reference") as refused:
        choose_tasks([utterance(en="hello")], Choice(targets=("it",)))
    assert "de-en, de-de" in refused.value.hint
    with pytest.raises(DataError) as refused:
        choose_tasks([utterance(sound=None)], Choice())
    assert '"audio"' in refused.value.hint


def test_directions_that_a_host_cannot_do_are_left_out():
    tasks = choose_tasks([utterance(en="hello"), utterance("en", "hello", de="Hallo")], Choice())
    kept, refused = split_able(tasks, Ability.TRANSCRIBE, "turbo")
    assert named(refused) == ["en-de", "de-en"]
    assert named(directions(kept)) == ["en-en", "de-de"]
    kept, refused = split_able(tasks, Ability.ENGLISH_ONLY, "base.en")
    assert [task.utterance.language for task in kept] == ["en"]
    assert split_able(tasks, Ability.STOCK, "base") == (tasks, [])


def test_a_host_that_can_do_none_of_it_is_refused():
    tasks = choose_tasks([utterance(text="", en="hello")], Choice())
    with pytest.raises(UsageError, match="never learnt to translate"):
        split_able(tasks, Ability.TRANSCRIBE, "turbo")


# Error rates


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Well-known,  isn’t it?", "en", "well known isn t it"),
        ("ＡＢＣ　１２", "en", "abc 12"),
        ("5 € + 3 %", "de", "5 3"),
        ("Straße, ÄÖÜ!", "de", "straße äöü"),
        ("今天， 天气 很好。", "zh", "今天天气很好"),
        ("...", "en", ""),
    ],
)
def test_text_is_normalised_before_it_is_compared(text, language, expected):
    assert normalised(text, language) == expected


@given(st.text(), st.sampled_from(list(LANGUAGES)))
def test_no_punctuation_and_no_loose_blank_survives(text, language):
    found = normalised(text, language)
    assert not {unicodedata.category(c)[0] for c in found} & {"P", "S"}
    assert found == ("" if language == "zh" else " ").join(found.split())


def test_words_and_characters_are_counted_over_all_pairs_together():
    words, characters = error_rates(["A cat, sat!", "no"], ["a cat sat", "yes"], "en")
    assert words == pytest.approx(100 / 4)
    assert characters == pytest.approx(100 * 3 / 12)


def test_chinese_has_no_word_error_rate():
    assert error_rates(["今天 下雨"], ["今天下雪。"], "zh") == (None, pytest.approx(25))


def test_references_without_a_word_are_left_out():
    assert error_rates(["noise", "yes"], ["...", "yes"], "en") == (0, 0)
    assert error_rates(["noise"], ["?"], "en") == (None, None)


# Means


def row(source, target, bleu, n=1) -> Row:
    names = {"bleu": f"to {target}"}
    return Row(source, target, n, bleu, 2 * bleu, 3 * bleu, names)


def test_means_weigh_directions_alike_and_leave_transcripts_out():
    found = [
        row("de", "en", 10, n=99),
        row("fr", "en", 20),
        row("en", "en", 90),
        row("de", "fr", 5),
    ]
    means = Report(model="base", decoding="plain", rows=found).means
    assert means == {
        "X-EN": {"bleu": 15, "chrf": 30, "ter": 45, "in_language": None},
        "X-X": {"bleu": 5, "chrf": 10, "ter": 15, "in_language": None},
    }


def test_signatures_tell_chinese_apart():
    found = [row("de", "en", 1), row("en", "zh", 1)]
    report = Report(model="base", decoding="plain", rows=found)
    assert report.signatures == {"bleu": "to en", "bleu:zh": "to zh"}


def test_what_was_not_said_is_not_scored():
    first, second = utterance(en="the cat sat on a mat"), utterance(en="never read", text="Nie")
    tasks = choose_tasks([first, second], Choice())
    found = rows(tasks, {(first.id, "en"): "the cat sat on a mat"})
    assert [(one.source, one.target, one.n) for one in found] == [("de", "en", 1)]
    assert found[0].bleu == pytest.approx(100)


# The record

HYPOTHESES = st.lists(
    st.builds(
        Hypothesis,
        id=st.uuids().map(str),
        source=st.just("de"),
        target=st.sampled_from(list(LANGUAGES)),
        hypothesis=st.text(st.characters()),
        reference=st.text(),
        seconds=st.floats(0, 100),
    ),
    max_size=5,
    unique_by=lambda one: one.key,
)


@given(HYPOTHESES, st.data())
def test_a_record_cut_anywhere_goes_on_from_its_last_whole_line(tmp_path_factory, said, data):
    path = tmp_path_factory.mktemp("record") / "said.jsonl"
    with Record(path, HEADER) as record:
        for one in said:
            record.add(one)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    kept = max(path.read_bytes().count(b"\n") - 1, 0)
    with Record(path, HEADER) as record:
        assert list(record.found.values()) == said[:kept]
        for one in said[kept:]:
            record.add(one)
    assert path.read_bytes() == whole


def test_without_a_file_a_record_is_memory_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Record(None, {}) as record:
        record.add(Hypothesis("1", "de", "en", "hello", "hello", 0.1))
        assert ("1", "en") in record.found
    assert not list(tmp_path.iterdir())


def test_a_record_made_otherwise_is_refused_and_says_what_differs(tmp_path):
    path = tmp_path / "said.jsonl"
    Record(path, HEADER).__exit__(None, None, None)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="beams: 1, now 5, version of pst: 1, now 2") as refused:
        Record(path, HEADER | {"beams": 5, "pst": "2"})
    assert f"rm {path}" in refused.value.hint
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"notes\n", b"notes", b'{"audio": "a.wav"}\n', b"\xff\n[]\n"])
def test_a_file_that_is_no_record_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="holds something else"):
        Record(path, HEADER)
    assert path.read_bytes() == content


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "said.jsonl"
    path.write_text(json.dumps(HEADER) + '\n{"id": 3}\n')
    with pytest.raises(DataError, match=r"said\.jsonl:2"):
        Record(path, HEADER)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk at hand")
def test_a_full_disk_is_an_error_that_can_be_explained(tmp_path):
    full = pytest.raises(OutputError, match=r"cannot write .*: No space left")
    with full, Record(tmp_path / "said.jsonl", HEADER) as record:
        record._file = Path("/dev/full").open("ab")  # noqa: SIM115
        record.add(Hypothesis("1", "de", "en", "hello", "hello", 0.1))
    with pytest.raises(OutputError, match="cannot write /dev/full"):
        Record(Path("/dev/full"), HEADER)
