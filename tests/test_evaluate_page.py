"""An evaluation as a page, and `pst evaluate --times --report` on a checkpoint made on the spot."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from checkpoints import SENTENCE
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.evaluate.page import Making, draw, page, put
from pst_cli.evaluate.report import Report, Row
from pst_cli.evaluate.times import Spread, Times

MAKING = Making(
    fingerprint="f00d",
    manifest="cafe",
    command="pst evaluate dev.jsonl",
    date="2026-01-02",
    version="9.9",
)
SETTING = {"dtype": "float32", "device": "cpu", "manifest": "dev.jsonl"}
PAIRS = st.dictionaries(
    st.sampled_from([("de", "en"), ("fr", "en"), ("en", "zh")]),
    st.lists(st.tuples(st.text(), st.text()), max_size=30),
)


def report(**changed) -> Report:
    row = Row("de", "en", 2, 10.0, 20.0, 30.0, {"bleu": "tok:13a"}, in_language=0.5)
    given = {"model": "base_m2m", "decoding": "plain", "rows": [row], "setting": SETTING}
    return Report(**given | changed)


@pytest.fixture
def run(pst, talking_checkpoint, speech, tmp_path):
    """Evaluate six German and two English utterances of 3 s, each a file of its own."""
    lines = []
    for number, language in enumerate(["de"] * 6 + ["en"] * 2):
        shutil.copy(speech, tmp_path / f"{number}.wav")
        texts = {"en": SENTENCE, "fr": f"Le parasite | parle, *{number}*."}
        given = {"audio": f"{number}.wav", "duration": 3.0, "language": language, "text": "Ja."}
        lines.append(json.dumps(given | {"translations": texts}))
    manifest = tmp_path / "dev.jsonl"
    manifest.write_text("\n".join(lines) + "\n")

    def evaluate(*arguments):
        model = ("--model", talking_checkpoint, "--dtype", "float32", "--to", "en,fr")
        return pst("evaluate", manifest, *model, *arguments)

    return evaluate


# The page


def test_the_page_says_what_was_evaluated_and_how():
    found = page(report(), MAKING, {})
    assert found.startswith("## Scores\n")
    for text in ("base\\_m2m", "f00d", "cafe", "2026-01-02", "pst 9.9", "tok:13a", "in_language"):
        assert text in found
    assert "```sh\npst evaluate dev.jsonl\n```" in found
    assert "| de-en | 2 | 10.0 | 20.0 | 30.0 | 50.0 |" in found
    assert "| mean X-EN | 2 | 10.0 | 20.0 | 30.0 | 50.0 |" in found


def test_what_was_not_measured_is_not_on_the_page():
    found = page(report(), MAKING, {("de", "en"): []})
    assert "### " not in found
    assert "WER" not in found


def test_times_have_a_line_each_way_and_no_figure_where_nothing_was_said():
    known, unknown = Spread(4, 0.25, 1.5, (0.5, 0.75)), Spread.of([])
    found = page(report(times=[Times("de", "en", 2, known, unknown)]), MAKING, {})
    assert "| de-en | true start | 4 | 0.25 | 1.50 | 50.0 | 75.0 |" in found
    assert "| de-en | segment | 0 | - | - | 0.0 | 0.0 |" in found


@given(st.text())
def test_a_sample_never_breaks_its_table(text):
    found = page(report(), MAKING, {("de", "en"): [(text, text)]})
    line = found.splitlines()[-1]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3
    assert found.count("#### de-en") == 1


@given(PAIRS, st.integers(0, 12))
def test_samples_are_the_same_each_time_and_follow_the_manifest(pairs, most):
    drawn = draw(pairs, most)
    assert drawn == draw(pairs, most)
    for direction, found in drawn.items():
        assert len(found) == min(most, len(pairs[direction]))
        rest = iter(pairs[direction])
        assert all(pair in rest for pair in found)


def test_what_is_drawn_does_not_hang_on_what_was_said():
    good, bad = [(f"good {i}", f"{i}") for i in range(99)], [("", f"{i}") for i in range(99)]
    drawn = [draw({("de", "en"): said}, 10)["de", "en"] for said in (good, bad)]
    assert [meant for _, meant in drawn[0]] == [meant for _, meant in drawn[1]]


# The command


def test_times_are_rows_beside_the_scores(run):
    shown = run("--json", "--times", 3)
    assert shown.code == 0, shown.err
    found = json.loads(shown.out)
    assert [(one["source"], one["target"]) for one in found["times"]] == [
        ("en", "en"),
        ("en", "fr"),
        ("de", "en"),
        ("de", "fr"),
    ]
    for one in found["times"]:
        assert one["starts"]["n"] == 2 or one["source"] == "de"
        assert one["starts"]["n"] >= 2 * one["clips"] > 0
        assert one["segments"]["n"] == one["clips"]  # it says one sentence, from 0 s on
        assert one["segments"]["within_1"] == 1
        assert one["starts"]["within_1"] == one["clips"] / one["starts"]["n"]
        assert one["segments"]["median"] < 1 < one["starts"]["p90"]
    assert json.loads(run("--json", "--times", 3).out)["times"] == found["times"]
    assert "times" not in json.loads(run("--json").out)


def test_times_are_in_the_table_too(run):
    shown = run("--times", 1, "--quiet")
    assert (shown.code, shown.err) == (0, "")
    for text in ("in lang. %", "true start", "median s", "within 0.3 s %"):
        assert text in shown.out


def test_utterances_too_few_for_a_clip_are_told(run):
    shown = run("--json", "--times", 1, "--limit", 1)
    assert shown.code == 0
    assert json.loads(shown.out)["times"] == []
    assert "times are not measured" in shown.err


def test_the_report_is_written_beside_unchanged_output(run, tmp_path):
    path, plain = tmp_path / "report.md", run("--json")
    shown = run("--json", "--report", path, "--samples", 2, "--times", 1)
    found, before = json.loads(shown.out), json.loads(plain.out)
    assert found["rows"] == before["rows"]
    text = path.read_text("utf-8")
    assert f"--report {path} --samples 2" in text
    assert text.count(f"| {SENTENCE} |\n") == 4 * 2  # two of each direction
    assert re.search(r"\| Le parasite \\\| parle, \\\*\d\\\*\. \| The parasite speaks", text)
    assert "### Times" in text
    assert re.search(r"fingerprint: [0-9a-f]{64}\n", text)
    assert not list(tmp_path.glob(".pst-*"))


def test_a_report_without_samples_has_none(run, tmp_path):
    assert run("--report", tmp_path / "report.md", "--samples", 0).code == 0
    assert "### Samples" not in (tmp_path / "report.md").read_text("utf-8")


def test_a_report_that_cannot_be_written_is_refused_before_the_work(run, tmp_path):
    (tmp_path / "file").write_text("")
    shown = run("--report", tmp_path / "file" / "report.md")
    assert (shown.code, shown.out) == (1, "")
    assert "cannot write" in shown.err
    assert "trained" not in shown.err


@given(before=st.text(), after=st.text("ab#\n "), pages=st.lists(st.text("cd|\n"), min_size=1))
def test_scores_of_a_card_are_replaced_and_nothing_else(before, after, pages):
    before = f"{before.replace('## Scores', '')}\n"
    card = f"{before}## Scores\n\nNone yet.\n\n## Limits\n{after}"
    for text in pages:
        page = f"## Scores\n\n{text}\n"
        card = put(page, card)
        assert card == f"{before}{page}\n## Limits\n{after}"


def test_scores_may_be_the_last_thing_on_a_card_and_follow_what_has_none():
    assert put("## Scores\n\nB\n", "# Card\n\n## Scores\n\nA\n") == "# Card\n\n## Scores\n\nB\n"
    assert put("## Scores\n\nB\n", "# My model\n") == "# My model\n\n## Scores\n\nB\n"
    assert put("## Scores\n\nB\n", "\n") == "## Scores\n\nB\n"
