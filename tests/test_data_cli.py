"""`pst data`: a table or a document on stdout, one line where training would fail."""

from __future__ import annotations

import json
import shutil

import pytest

from pst_cli.commands.data import LAYOUTS
from pst_cli.data import importers
from pst_cli.data.manifest import read_manifest


@pytest.fixture
def broken(tmp_path):
    """A manifest with a bad line and six missing sounds."""
    lines = [f'{{"audio": "{n}.wav", "language": "de", "text": "Wort {n}"}}' for n in range(6)]
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join([*lines, "{"]))
    return path


def test_sound_manifests_are_counted(pst, clips):
    done = pst("data", "check", clips / "manifest.jsonl")
    assert done.code == 0
    assert done.err == ""
    assert "0 errors" in done.out
    rows = [line.split() for line in done.out.splitlines()]
    assert any(row[:3] == ["de", "to", "de"] for row in rows)


def test_errors_are_told_by_kind_with_a_few_examples(pst, broken):
    done = pst("data", "check", broken)
    assert done.code == 1
    assert "error: bad-line (1): a line that is no utterance" in done.out
    assert "error: missing-audio (6): the sound is not there" in done.out
    assert f"{broken}:1: " in done.out
    assert "and 3 more; all of them with --json" in done.out
    assert done.err.splitlines() == [
        "pst: error: 7 errors: these manifests cannot be trained on as they are",
        f"  hint: see all of them with: pst data check --json {broken}",
    ]


def test_the_document_has_all_of_them(pst, broken):
    done = pst("data", "check", "--json", "--quick", broken)
    assert done.code == 1
    document = json.loads(done.out)
    assert len(document["findings"]) == document["errors"] == 7
    assert document["manifests"] == {str(broken): 6}


def test_a_manifest_named_twice_is_refused(pst, broken):
    done = pst("data", "check", broken, broken.parent / "." / broken.name)
    assert done.code == 2
    assert "is named twice" in done.err


def test_an_imported_corpus_passes_the_check(pst, clips, tmp_path):
    shutil.copy(clips / "de-kerstin-0007.ogg", tmp_path / "a.ogg")
    table = tmp_path / "table.tsv"
    table.write_text("audio\tlanguage\ttext\ten\na.ogg\tde\tUrsprünglich\tAt first\nb\tde\tx\ty\n")
    output = tmp_path / "made" / "train.jsonl"
    done = pst("data", "import", "tsv", table, "--output", output)
    assert (done.code, done.out) == (0, "")
    said = f"pst: 1 utterance written to {output}; 1 left out, as their sound is not there\n"
    assert done.err == said
    assert json.loads(output.read_text())["audio"] == "../a.ogg"
    assert read_manifest(output)[0].texts() == {"de": "Ursprünglich", "en": "At first"}
    assert pst("data", "check", output).code == 0


def test_a_table_is_no_place_for_its_manifest(pst, tmp_path):
    table = tmp_path / "table.tsv"
    table.write_text("audio\tlanguage\ttext\n", "utf-8")
    done = pst("data", "import", "tsv", table, "--output", table)
    assert done.code == 2
    assert table.read_text("utf-8").startswith("audio")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("librispeech",), "LAYOUT librispeech: no such choice"),
        (("tsv", "--language", "xx"), "--language xx: not a language pst knows"),
    ],
)
def test_what_cannot_be_imported_is_refused(pst, tmp_path, arguments, message):
    layout, *rest = arguments
    output = tmp_path / "train.jsonl"
    done = pst("data", "import", layout, tmp_path, "-o", output, *rest)
    assert done.code == 2
    assert message in done.err
    assert not output.exists()


def test_the_layouts_that_are_named_are_those_there_are():
    assert tuple(importers.LAYOUTS) == LAYOUTS
