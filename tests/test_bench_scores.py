"""Scores and references: sacreBLEU's own figures, and no score against the wrong text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from pst_cli.bench.references import read_references
from pst_cli.errors import UsageError
from pst_cli.evaluate import score

ENGLISH = (
    ["The cat sat on a mat.", "It rained all day long."],
    [
        "The cat sat on the mat.",
        "It rained the whole day.",
    ],
)
CHINESE = (
    ["证监会将研究各方面意见和建议", "汽车公司谈论自动驾驶"],
    [
        "证监会将研究各方面的意见和建议",
        "每一家汽车公司在高谈阔论自动驾驶的未来",
    ],
)


def test_english_is_scored_as_sacrebleu_does_by_default():
    said, references = ENGLISH
    found = score(said, references, "en")
    assert found.bleu == BLEU().corpus_score(said, [references]).score
    assert found.chrf == CHRF().corpus_score(said, [references]).score
    assert found.ter == TER().corpus_score(said, [references]).score
    assert "tok:13a" in found.signatures["bleu"]


def test_chinese_is_scored_by_characters():
    said, references = CHINESE
    found = score(said, references, "zh")
    by_character = BLEU(tokenize="zh").corpus_score(said, [references]).score
    assert found.bleu == by_character > 10
    assert found.bleu > BLEU().corpus_score(said, [references]).score
    ter = TER(normalized=True, asian_support=True)
    assert found.ter == ter.corpus_score(said, [references]).score < 100
    assert "tok:zh" in found.signatures["bleu"]
    assert "asian:yes" in found.signatures["ter"]


@pytest.mark.parametrize("references", [[], ["one"], ["one", "two", "three"]])
def test_counts_that_differ_are_refused(references):
    with pytest.raises(UsageError, match="cannot be scored"):
        score(["one", "two"], references, "en")


def manifest(folder, **entries):
    path = folder / "manifest.jsonl"
    lines = [json.dumps({"audio": f"audio/{name}.ogg"} | entry) for name, entry in entries.items()]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_a_manifest_is_matched_by_file_name_in_the_order_of_the_clips(tmp_path):
    path = manifest(
        tmp_path,
        a={"language": "de", "text": "Guten Tag", "translations": {"fr": "Bonjour"}},
        b={"language": "fr", "text": "Salut", "translations": {}},
    )
    clips = [Path("x/b.ogg"), Path("y/a.ogg")]
    assert read_references(path, clips, "fr") == ["Salut", "Bonjour"]


def test_files_of_one_name_are_matched_by_path_and_never_by_guess(tmp_path):
    lines = [
        {"audio": "de/1.ogg", "language": "de", "text": "Ja\u2028wohl"},
        {"audio": "en/1.ogg", "language": "en", "text": "Yes"},
        {"language": "en", "text": "Nobody said it"},
    ]
    path = tmp_path / "manifest.jsonl"
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    path.write_text(text, "utf-8")
    assert read_references(path, [tmp_path / "en" / "1.ogg"], "en") == ["Yes"]
    assert read_references(path, [tmp_path / "de" / "1.ogg"], "de") == ["Ja\u2028wohl"]
    with pytest.raises(UsageError, match=r"no en reference for 1\.ogg"):
        read_references(path, [tmp_path / "1.ogg"], "en")


def test_a_clip_without_a_reference_is_named(tmp_path):
    path = manifest(tmp_path, a={"language": "de", "text": "Guten Tag", "translations": {}})
    with pytest.raises(UsageError, match=r"no en reference for a\.ogg and 1 more"):
        read_references(path, [Path("a.ogg"), Path("c.ogg")], "en")
    assert read_references(path, [Path("a.ogg")], "de") == ["Guten Tag"]


def test_plain_text_has_one_line_a_clip(tmp_path):
    path = tmp_path / "refs.txt"
    path.write_text("one\ntwo \n", "utf-8")
    assert read_references(path, [Path("a"), Path("b")], "en") == ["one", "two"]
    with pytest.raises(UsageError, match="has 2 lines for 3 files"):
        read_references(path, [Path("a"), Path("b"), Path("c")], "en")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"audio": 3}\n', b"{broken\n"])
def test_references_that_cannot_be_read_are_refused(tmp_path, content):
    path = tmp_path / "refs"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="--refs"):
        read_references(path, [Path("a")], "en")


def test_missing_references_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--refs"):
        read_references(tmp_path / "none", [Path("a")], "en")


def test_a_whole_file_may_spell_out_how_long_it_is(tmp_path):
    path = manifest(tmp_path, a={"language": "en", "text": "One.", "start": 0, "end": 4.2})
    assert read_references(path, [Path("a.ogg")], "en") == ["One."]


def test_a_byte_order_mark_is_no_part_of_a_reference(tmp_path):
    path = tmp_path / "refs.txt"
    path.write_text("one\n", "utf-8-sig")
    assert read_references(path, [Path("a")], "en") == ["one"]
    path = manifest(tmp_path, a={"language": "en", "text": "one"})
    path.write_text(path.read_text("utf-8"), "utf-8-sig")
    assert read_references(path, [Path("a.ogg")], "en") == ["one"]


@pytest.mark.parametrize("entry", [{"text": None}, {"text": "One.", "start": 2.0, "end": 3.0}])
def test_what_is_said_of_a_part_and_what_nobody_wrote_are_no_references(tmp_path, entry):
    path = manifest(tmp_path, a={"language": "en"} | entry)
    with pytest.raises(UsageError, match=r"no en reference for a\.ogg"):
        read_references(path, [Path("a.ogg")], "en")
