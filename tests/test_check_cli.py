"""`pst check`: a line for each violation on stdout, talk on stderr, true exit codes."""

from __future__ import annotations

import json

import pytest

GOOD = "1\n00:00:01,000 --> 00:00:03,000\nBonjour à tous.\n\n"
BAD = (
    GOOD + "2\n00:00:02,900 --> 00:00:05,000\n<i>Nous sommes</i> à Paris.\n\n"
    "3\n01:02:03,004 --> 01:02:04,004\nAujourd'hui il fait beau.\n\n"
)
LEFT = "3: 01:02:03,004: 25.0 characters a second (17)\n"


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "film.fr.srt"
    path.write_text(BAD)
    return path


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "clip.fr.srt"
    path.write_text(GOOD)
    return path


def test_a_file_without_a_fault_passes(pst, good):
    done = pst("check", good)
    assert (done.code, done.out) == (0, "")
    assert done.err == "pst: 1 file, 1 cue: no violation\n"


def test_each_violation_is_a_line_and_the_sum_is_talk(pst, bad, good):
    done = pst("check", bad, good)
    assert done.code == 1
    assert done.out.splitlines() == [
        f"{bad}:2: 00:00:02,900: begins 0.100 s before the cue before it ends",
        f"{bad}:{LEFT[:-1]}",
    ]
    assert done.err == ("pst: 2 files, 4 cues: 2 violations (1 overlapping, 1 too fast to read)\n")


def test_quiet_leaves_the_violations(pst, bad):
    done = pst("check", "--quiet", bad)
    assert (done.code, done.err) == (1, "")
    assert len(done.out.splitlines()) == 2


def test_the_style_decides(pst, bad):
    assert pst("check", "--style", "plain", bad).out.count("\n") == 1
    done = pst("check", "--style", "disney", bad)
    assert done.code == 2
    assert "one of netflix, bbc, ted, plain" in done.err


def test_a_language_that_is_not_told_is_said(pst, tmp_path):
    path = tmp_path / "clip.srt"
    path.write_text("00:01 --> 00:02\n我们从来没有想过这样\n")
    done = pst("check", path)
    assert done.code == 0
    assert "its name tells no language: limits are those of Latin script (--language)" in done.err
    assert pst("check", "--language", "zh", path).code == 1
    assert pst("check", "--language", "xx", path).code == 2


def test_the_document_has_what_the_lines_say(pst, bad):
    done = pst("check", "--json", bad)
    assert done.code == 1
    (file,) = json.loads(done.out)["files"]
    assert file["violations"].pop() == {
        "cue": 3,
        "start": 3723.004,
        "end": 3724.004,
        "kind": "speed",
        "value": 25.0,
        "limit": 17,
    }
    assert file["violations"].pop()["kind"] == "overlap"
    assert file == {
        "file": str(bad),
        "language": "fr",
        "style": "netflix",
        "cues": 3,
        "violations": [],
        "repaired": {},
    }


def test_fixing_mends_in_place(pst, bad):
    done = pst("check", "--fix", bad)
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == [
        f"pst: {bad}: mended 1 overlapping, 1 too fast to read",
        "pst: 1 file, 3 cues: no violation",
    ]
    assert bad.read_text() == BAD.replace("03,000", "02,816").replace("04,004", "04,475")
    assert pst("check", bad).code == 0


def test_fixing_tells_what_is_left_and_counts_what_is_mended(pst, bad):
    bad.write_text(BAD.replace("beau.", f"beau et{' très' * 6} chaud."))
    done = pst("check", "--fix", "--json", bad)
    assert done.code == 1
    assert done.err.splitlines() == [
        f"pst: {bad}: mended 1 overlapping, 1 of too wide lines; left: 1 too fast to read",
        "pst: 1 file, 3 cues: 1 violation (1 too fast to read)",
    ]
    (file,) = json.loads(done.out)["files"]
    assert file["repaired"] == {"overlap": 1, "columns": 1}
    assert [(one["kind"], one["value"]) for one in file["violations"]] == [("speed", 21.0)]


def test_a_file_without_a_fault_is_not_touched(pst, good, tmp_path):
    good.write_bytes(GOOD.replace("\n", "\r\n").replace("1\r", "7\r").encode("utf-16"))
    before = good.read_bytes()
    assert pst("check", "--fix", good, "--output-dir", tmp_path / "out").code == 0
    assert good.read_bytes() == before
    assert not list((tmp_path / "out").iterdir())


def test_fixing_keeps_encoding_mark_and_line_ends(pst, bad):
    bad.write_bytes(BAD.replace("\n", "\r\n").encode("cp1252"))
    done = pst("check", "--fix", bad)
    assert f"{bad}: its encoding is a guess: cp1252" in done.err
    assert "à Paris.\r\n\r\n3\r\n".encode("cp1252") in bad.read_bytes()


def test_fixed_files_may_go_elsewhere(pst, bad, tmp_path):
    assert pst("check", "--fix", "--output-dir", tmp_path / "out", bad).code == 0
    assert bad.read_text() == BAD
    assert pst("check", tmp_path / "out" / bad.name).code == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / bad.name).write_text(BAD)
    done = pst(
        "check", "--fix", "--output-dir", tmp_path / "out", bad, tmp_path / "other" / bad.name
    )
    assert done.code == 2
    assert "two files are named film.fr.srt" in done.err
    assert pst("check", "--output-dir", tmp_path, bad).code == 2


def test_a_format_that_is_only_read_is_said_and_left(pst, tmp_path):
    path = tmp_path / "film.fr.sub"
    path.write_text("{1}{1}25\n{25}{30}Bonjour\n")
    done = pst("check", "--fix", path)
    assert done.code == 1
    assert "microdvd can be checked but not mended: convert it to SRT" in done.err
    assert path.read_text() == "{1}{1}25\n{25}{30}Bonjour\n"


def test_a_file_that_cannot_be_read_stops_no_other(pst, bad, good, tmp_path):
    done = pst("check", tmp_path / "none.srt", good)
    assert done.code == 1
    assert (
        done.err.splitlines()[0]
        == f"pst: error: {tmp_path / 'none.srt'}: no such file or directory"
    )
    assert "1 file, 1 cue: no violation" in done.err
