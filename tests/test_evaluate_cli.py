"""`pst evaluate` as its users meet it, on checkpoints made on the spot."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile
from checkpoints import HEARD, SENTENCE, write_checkpoint

from pst_cli.decoding.guards import Judged
from pst_cli.models.host import Host
from pst_cli.translator import Translator

KEYS = ["model", "decoding", "rows", "means", "signatures"]


@pytest.fixture
def evaluate(pst, talking_checkpoint):
    from pst_cli import cli
    from pst_cli.commands import evaluate

    if "evaluate" not in {command.name for command in cli.app.registered_commands}:
        evaluate.register(cli.app)

    def run(*arguments, model=talking_checkpoint):
        return pst("evaluate", *arguments, "--model", model, "--dtype", "float32")

    return run


@pytest.fixture
def entry(speech, tmp_path):
    """A line of a manifest about the one voice there is; every call makes another utterance."""
    made = []

    def make(language, text, **translations):
        made.append(shutil.copy(speech, tmp_path / f"{len(made)}.wav"))
        given = {"audio": made[-1].name, "duration": 3.0, "language": language, "text": text}
        return given | {"translations": translations}

    return make


@pytest.fixture
def manifest(tmp_path):
    def write(*entries, name="manifest.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(one) + "\n" for one in entries), "utf-8")
        return path

    return write


@pytest.fixture
def three(manifest, entry):
    """Two German utterances and an English one: six directions at most."""
    return manifest(
        entry("de", "Der Parasit spricht.", en=SENTENCE, zh="寄生虫说话。"),
        entry("de", "Er spricht.", en="He speaks."),
        entry("en", SENTENCE, de="Der Parasit spricht."),
    )


@pytest.fixture
def decoded(monkeypatch):
    """How many rows each call of the decoder had."""
    calls, original = [], Translator.decode

    def counted(self, encoded, prompts, languages, **options):
        calls.append(len(prompts))
        return original(self, encoded, prompts, languages, **options)

    monkeypatch.setattr(Translator, "decode", counted)
    return calls


def document(outcome):
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_document_has_a_row_for_every_direction_with_a_reference(evaluate, three):
    found = document(evaluate(three, "--json"))
    assert list(found)[: len(KEYS)] == KEYS
    assert found["decoding"] == "plain"
    rows = {(row["source"], row["target"]): row for row in found["rows"]}
    assert list(rows) == [("en", "en"), ("en", "de"), ("de", "en"), ("de", "zh"), ("de", "de")]
    assert [row["n"] for row in rows.values()] == [1, 1, 2, 1, 2]
    assert rows["en", "en"]["bleu"] == pytest.approx(100)
    assert rows["en", "en"]["wer"] == rows["en", "en"]["cer"] == 0
    assert rows["de", "de"]["wer"] > 0
    assert "wer" not in rows["de", "en"]
    assert list(found["means"]) == ["X-EN", "EN-X", "X-X"]
    shared = ("bleu", "chrf", "ter", "in_language")
    assert found["means"]["X-EN"] == {key: rows["de", "en"][key] for key in shared}
    in_language = {pair: row["in_language"] for pair, row in rows.items()}
    assert in_language == {pair: float(pair[1] == "en") for pair in rows}
    assert "tok:13a" in found["signatures"]["bleu"]
    assert "tok:zh" in found["signatures"]["bleu:zh"]
    assert found["audio_seconds"] == pytest.approx(7 * 3, abs=0.1)
    assert found["rtf"] == pytest.approx(found["seconds"] / found["audio_seconds"])
    assert found["ms_per_token"] > 0


def test_the_table_is_all_there_is_on_stdout(evaluate, three):
    shown = evaluate(three)
    assert shown.code == 0, shown.err
    for word in ("de-zh", "mean X-EN", "BLEU", "chrF", "TER", "WER", "tok:13a", "100.0", "RTF"):
        assert word in shown.out
    assert "this host was not trained for en-de, de-zh" in shown.err
    assert not evaluate(three, "--quiet").err


def test_languages_and_the_number_of_utterances_can_be_narrowed(evaluate, three):
    found = document(evaluate(three, "--json", "--to", "en,zh", "--from", "de", "--limit", 1))
    assert [(row["target"], row["n"]) for row in found["rows"]] == [("en", 1), ("zh", 1)]


def test_the_text_is_what_translate_prints(evaluate, pst, three, talking_checkpoint, tmp_path):
    kept = tmp_path / "said.jsonl"
    document(evaluate(three, "--json", "--to", "en", "--hypotheses", kept))
    model = ("--model", talking_checkpoint, "--from", HEARD, "--no-vad")
    printed = pst("translate", tmp_path / "0.wav", "--to", "en", *model).out
    assert {line["hypothesis"] for line in lines(kept)[1:]} == {printed.strip()}


def test_an_utterance_is_heard_once_and_its_targets_share_batches(
    evaluate, three, decoded, monkeypatch
):
    heard, original = [], Host.encode
    monkeypatch.setattr(
        Host, "encode", lambda self, mel: heard.append(len(mel)) or original(self, mel)
    )
    document(evaluate(three, "--json", "--batch-size", 4))
    assert sum(heard) == 3
    assert decoded == [4, 3]


def test_a_long_utterance_is_cut_at_its_pauses_and_joined(evaluate, manifest, speech, tmp_path):
    sound, rate = soundfile.read(speech, dtype="float32")
    many = np.concatenate([sound, np.zeros_like(sound)] * 6)
    soundfile.write(tmp_path / "long.wav", many, rate)
    said = " ".join([SENTENCE] * 6)
    path = manifest(
        {"audio": "long.wav", "language": "de", "text": "", "translations": {"en": said}}
    )
    kept = tmp_path / "said.jsonl"
    found = document(evaluate(path, "--json", "--hypotheses", kept))
    assert lines(kept)[1]["hypothesis"] == said
    assert found["rows"][0]["ter"] == 0


def test_looking_wrong_is_decoded_again_unless_that_is_switched_off(evaluate, three, monkeypatch):
    heats, original = [], Translator._attempt

    def decoded(self, heard, prompts, attempt):
        heats.append(attempt.temperature)
        return original(self, heard, prompts, attempt)

    monkeypatch.setattr(Translator, "_attempt", decoded)
    monkeypatch.setattr(Judged, "passes", property(lambda self: False))
    given = (three, "--json", "--limit", 1, "--to", "en")
    assert not document(evaluate(*given, "--no-fallback"))["fallback"]
    assert heats == [0.0]
    assert document(evaluate(*given))["fallback"]
    assert max(heats) == 1.0


def test_lines_that_say_the_same_are_decoded_once_and_scored_each(
    evaluate, manifest, entry, decoded
):
    twice = entry("de", SENTENCE)
    shown = evaluate(manifest(twice, twice), "--json")
    assert document(shown)["rows"][0]["n"] == 2
    assert decoded == [1]
    assert "there already" not in shown.err


def test_drafts_change_nothing_but_the_name_of_the_decoding(evaluate, three, talking_checkpoint):
    plain = document(evaluate(three, "--json"))
    drafted = document(evaluate(three, "--json", "--draft-model", talking_checkpoint))
    assert drafted["decoding"] == "speculative"
    assert drafted["rows"] == plain["rows"]


# Going on


def test_a_rerun_says_only_what_is_missing_and_scores_the_same(evaluate, three, decoded, tmp_path):
    kept = tmp_path / "said.jsonl"
    document(evaluate(three, "--json", "--limit", 1, "--hypotheses", kept))
    assert sum(decoded) == 5
    decoded.clear()
    shown = evaluate(three, "--json", "--hypotheses", kept)
    assert sum(decoded) == 2
    assert "5 of 7 hypotheses are there already" in shown.err
    found, fresh = document(shown), document(evaluate(three, "--json"))
    assert [found[key] for key in KEYS] == [fresh[key] for key in KEYS]
    decoded.clear()
    assert document(evaluate(three, "--json", "--hypotheses", kept))["rows"] == fresh["rows"]
    assert not decoded


def test_ctrl_c_keeps_what_was_said(evaluate, three, tmp_path, monkeypatch):
    kept, original = tmp_path / "said.jsonl", Translator.decode
    calls = []

    def interrupted(self, encoded, prompts, languages, **options):
        calls.append(prompts)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return original(self, encoded, prompts, languages, **options)

    given = (three, "--json", "--batch-size", 1, "--hypotheses", kept)
    with monkeypatch.context() as patched:
        patched.setattr(Translator, "decode", interrupted)
        stopped = evaluate(*given)
    assert (stopped.code, stopped.out) == (130, "")
    assert len(lines(kept)) == 1 + 2
    document(evaluate(*given))
    assert len(lines(kept)) == 1 + 7


def test_a_record_lists_what_was_said_under_how_it_was_made(evaluate, three, tmp_path):
    kept = tmp_path / "said.jsonl"
    document(evaluate(three, "--json", "--hypotheses", kept))
    header, *said = lines(kept)
    assert header["decoding"] == "plain"
    assert header["dtype"] == "float32"
    assert len(header["manifest"]) == len(header["weights"]) == 64
    assert set(said[0]) == {"id", "source", "target", "hypothesis", "reference", "seconds"}
    assert len({(one["id"], one["target"]) for one in said}) == len(said) == 7


def test_a_record_of_other_options_is_refused(evaluate, three, tmp_path):
    kept = tmp_path / "said.jsonl"
    document(evaluate(three, "--json", "--limit", 1, "--hypotheses", kept))
    shown = evaluate(three, "--hypotheses", kept, "--beams", 2)
    assert (shown.code, shown.out) == (2, "")
    assert "was made with another beams: 1, now 2" in shown.err
    assert f"rm {kept}" in shown.err


def test_a_record_of_other_weights_is_refused(evaluate, three, tmp_path, talking_checkpoint):
    model, kept = tmp_path / "model", tmp_path / "said.jsonl"
    shutil.copytree(talking_checkpoint, model)
    document(evaluate(three, "--json", "--limit", 1, "--hypotheses", kept, model=model))
    shutil.rmtree(model)
    write_checkpoint(model)
    shown = evaluate(three, "--hypotheses", kept, model=model)
    assert shown.code == 2
    assert "another weights" in shown.err


# What cannot be done


def test_sound_that_cannot_be_read_is_told_and_the_rest_is_scored(
    evaluate, manifest, entry, tmp_path
):
    (tmp_path / "broken.wav").write_bytes(b"no sound at all")
    bad = {"language": "de", "text": "Hallo", "translations": {}}
    path = manifest(
        bad | {"audio": "broken.wav"}, bad | {"audio": "missing.wav"}, entry("de", SENTENCE)
    )
    shown = evaluate(path, "--json", "--quiet")
    assert shown.code == 1
    found = json.loads(shown.out)
    assert (found["failed"], found["rows"][0]["n"]) == (2, 1)
    for place in ("manifest.jsonl:1", "manifest.jsonl:2"):
        assert place in shown.err


def test_no_sound_that_can_be_read_is_an_error(evaluate, manifest):
    path = manifest({"audio": "missing.wav", "language": "de", "text": "Hallo"})
    shown = evaluate(path, "--json")
    assert (shown.code, shown.out) == (1, "")
    assert "nothing to score" in shown.err


def test_directions_beyond_the_host_are_told_and_left_out(evaluate, three, tmp_path):
    hearer = write_checkpoint(tmp_path / "hearer", talking=True, decoder_layers=1)
    shown = evaluate(three, "--json", model=hearer)
    assert [row["target"] for row in document(shown)["rows"]] == ["en", "de"]
    assert "never learnt to translate: left out en-de, de-en, de-zh" in shown.err
    refused = evaluate(three, "--to", "zh", model=hearer)
    assert (refused.code, refused.out) == (2, "")
    assert "never learnt to translate" in refused.err


def test_text_alone_is_left_out(evaluate, manifest, entry):
    text = {"language": "de", "text": "Hallo", "translations": {"en": "Hello"}}
    shown = evaluate(manifest(text, entry("en", SENTENCE)), "--json")
    assert len(document(shown)["rows"]) == 1
    assert "utterances without sound, left out: 1" in shown.err


@pytest.mark.parametrize(
    ("arguments", "code", "said", "hint"),
    [
        (("--to", "xx"), 2, "--to xx: not a language", "one or more of en"),
        (("--to", ","), 2, "--to names no language", "one or more of en"),
        (("--from", "en,yy"), 2, "--from yy: not a language", "one or more of en"),
        (("--to", "it"), 1, "no speech with a reference", "choose among them"),
        (("--decoding", "magic"), 2, "--decoding magic", "kvspn"),
        (("--decoding", "speculative"), 2, "needs a model that drafts", "--draft-model"),
        (("--top-k", 2, "--beams", 2), 2, "greedy decoding only", "leave out --beams"),
        (("--hypotheses", "."), 1, "cannot write .", "--hypotheses"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_a_hint(
    evaluate, three, arguments, code, said, hint
):
    shown = evaluate(three, *arguments)
    assert (shown.code, shown.out) == (code, "")
    assert said in shown.err
    assert hint in shown.err


def test_a_report_that_cannot_be_is_told_before_any_decoding(evaluate, three, tmp_path, no_host):
    shown = evaluate(three, "--report", tmp_path)
    assert (shown.code, shown.out) == (1, "")
    assert "a directory has that name" in shown.err
    before = three.read_bytes()
    shown = evaluate(three, "--report", three)
    assert (shown.code, shown.out) == (2, "")
    assert three.read_bytes() == before


def test_a_line_of_a_manifest_is_no_picture(evaluate, three):
    """Rich makes one of `:100:`."""
    three.write_text(three.read_text("utf-8") + "\n" * 96 + "{broken\n", "utf-8")
    assert "jsonl:100: " in evaluate(three).err


def test_a_manifest_that_is_not_there_is_one_line(evaluate, tmp_path):
    shown = evaluate(tmp_path / "none.jsonl")
    assert (shown.code, shown.out) == (1, "")
    assert "none.jsonl" in shown.err
