"""A manifest: what is written is read back, and a bad line is named with its reason."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pst_cli.data.manifest import BadLine, Utterance, read_manifest, scan, write_manifest
from pst_cli.errors import DataError, OutputError
from pst_cli.types import LANGUAGES

seconds = st.floats(0, 1e6)
codes = st.sampled_from([*LANGUAGES, "pt"])
names = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=20)


@st.composite
def utterances(draw) -> Utterance:
    start = draw(seconds)
    end = draw(st.none() | st.floats(start, 2e6, exclude_min=True))
    whole = draw(seconds) if not start else None  # of a stretch it would tell the end
    sound = draw(names.filter(lambda name: name not in (".", "..")))
    return Utterance(
        audio=Path("/data/clips", sound),
        language=draw(st.sampled_from(list(LANGUAGES))),
        text=draw(st.text()),
        translations=draw(st.dictionaries(codes, st.text())),
        start=start,
        end=end,
        duration=whole if end is None else end - start,
        speaker=draw(st.none() | st.text(min_size=1)),
    )


@pytest.fixture
def manifest(tmp_path):
    """Write records or raw lines to a file; its path."""

    def write(*lines: dict | str) -> Path:
        path = tmp_path / "train.jsonl"
        text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(text), "utf-8")
        return path

    return write


def record(**changes) -> dict:
    return {"audio": "a.wav", "language": "de", "text": "Guten Tag"} | changes


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(utterances(), min_size=1, max_size=4))
def test_what_is_written_is_read_back(tmp_path, many):
    path = tmp_path / "train.jsonl"
    write_manifest(path, many)
    assert read_manifest(path) == many


def test_the_clips_of_the_tests_are_read(clips):
    found = read_manifest(clips / "manifest.jsonl")
    assert len(found) == 13
    assert found[0].audio == clips / "jfk.flac"
    assert found[0].texts() == {"en": found[0].text}
    assert found[0].duration == 11.0
    assert found[0].place == f"{clips / 'manifest.jsonl'}:1"


def test_sound_is_named_relative_to_the_manifest(tmp_path):
    spoken = Utterance(tmp_path / "clips" / "a.wav", "de", "Tag", {})
    write_manifest(tmp_path / "train.jsonl", [spoken])
    assert json.loads((tmp_path / "train.jsonl").read_text())["audio"] == "clips/a.wav"


def test_the_id_outlives_a_move_and_tells_utterances_apart(tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "train.jsonl"
        lines = [record(), record(start=1.0), record(end=2.0), record(text="Tag"), record()]
        path.write_text("\n".join(map(json.dumps, lines)))
    here, there = (read_manifest(tmp_path / name / "train.jsonl") for name in ("here", "there"))
    assert [one.id for one in here] == [one.id for one in there]
    assert here[0].id == here[-1].id
    assert len({one.id for one in here}) == 4
    assert all(len(one.id) == 16 for one in here)


def test_texts_are_those_that_can_be_trained_its_own_first():
    spoken = Utterance(None, "de", "Tag", {"en": "day", "pt": "dia", "fr": " ", "de": "Nacht"})
    assert list(spoken.texts().items()) == [("de", "Tag"), ("en", "day")]
    assert replace(spoken, text="").texts() == {"en": "day"}


def test_a_stretch_knows_its_duration(manifest):
    timed, stated, unknown = read_manifest(
        manifest(record(start=1.5, end=4.0), record(duration=3), record())
    )
    assert (timed.duration, stated.duration, unknown.duration) == (2.5, 3.0, None)


def test_a_start_and_a_duration_are_a_stretch(manifest):
    [one] = read_manifest(manifest(record(start=5, duration=3)))
    assert (one.start, one.end, one.duration) == (5.0, 8.0, 3.0)


def test_texts_alone_are_told_apart_by_what_they_mean(manifest):
    lines = [{"language": "de", "translations": {"en": text}} for text in ("day", "night")]
    one, other = read_manifest(manifest(*lines))
    assert one.id != other.id


def test_text_alone_needs_no_sound(manifest):
    [written] = read_manifest(manifest({"language": "de", "text": "Tag"}))
    assert written.audio is None


def test_unknown_keys_blank_lines_and_a_byte_order_mark_do_no_harm(manifest):
    path = manifest("﻿" + json.dumps(record(story="0001")), "", record(text="line\u2028end"))
    assert [one.text for one in read_manifest(path)] == ["Guten Tag", "line\u2028end"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON: .* at character 2"),
        ("[1]", "not a JSON object"),
        (record(language="xx"), '"language" is "xx", not one of en, zh, de'),
        ({"audio": "a.wav", "text": "Tag"}, '"language" is "", not one of'),
        (record(text=3), '"text" is not a string'),
        (record(audio=["a"]), '"audio" is not a string'),
        (record(start="1"), '"start" is not a number'),
        (record(end=True), '"end" is not a number'),
        (record(duration=float("nan")), '"duration" is nan, which is no time'),
        (record(start=-1), '"start" is -1, which is no time'),
        (record(start=2, end=2), '"end" is 2 s, not after "start" at 2 s'),
        (record(translations=["x"]), '"translations" is not an object'),
        (record(translations={"fr": 1}), 'the translation into "fr" is not a string'),
        ({"language": "de", "text": " "}, 'neither "audio" nor any text'),
    ],
)
def test_a_bad_line_is_named_with_its_reason(manifest, line, reason):
    path = manifest(record(), line)
    with pytest.raises(DataError, match=rf"train\.jsonl:2: {reason}") as told:
        read_manifest(path)
    assert "pst data check" in told.value.hint
    assert [type(found) for found in scan(path)] == [Utterance, BadLine]


def test_bytes_that_are_no_text_are_a_bad_line_too(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"text": "\xff"}')
    with pytest.raises(DataError, match=r":1: not UTF-8 at byte 11"):
        read_manifest(path)


def test_a_number_too_big_for_any_clock_is_a_bad_line(manifest):
    path = manifest('{"audio": "a", "language": "de", "end": 1' + "0" * 400 + "}")
    assert [type(found) for found in scan(path)] == [BadLine]


def test_an_empty_or_missing_manifest_is_one_clear_line(tmp_path, manifest):
    with pytest.raises(DataError, match="holds no utterance"):
        read_manifest(manifest(""))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_manifest(tmp_path / "none.jsonl")


def test_names_that_are_not_utf_8_survive(tmp_path):
    spoken = Utterance(tmp_path / os.fsdecode(b"caf\xe9.wav"), "fr", "caf", {})
    write_manifest(tmp_path / "train.jsonl", [spoken])
    assert read_manifest(tmp_path / "train.jsonl") == [spoken]


def test_a_manifest_that_fails_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("old")

    def broken():
        yield Utterance(None, "de", "Tag", {})
        raise DataError("enough")

    with pytest.raises(DataError, match="enough"):
        write_manifest(path, broken())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_folder_of_a_manifest_is_made(tmp_path):
    path = tmp_path / "new" / "train.jsonl"
    write_manifest(path, [Utterance(None, "de", "Tag", {})])
    assert len(read_manifest(path)) == 1


@pytest.mark.parametrize("path", ["file/train.jsonl", "folder", "/dev/null"])
def test_what_cannot_be_written_is_told(tmp_path, path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*: (not a regular|File exists)"):
        write_manifest(tmp_path / path, [])
    assert {entry.name for entry in tmp_path.iterdir()} == {"file", "folder"}
