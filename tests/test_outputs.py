"""Outputs: names never collide, files are whole or absent, failures are explained."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.errors import OutputError
from pst_cli.outputs import (
    UNKNOWN,
    Version,
    check_result,
    check_writable,
    plan,
    versions,
    write_atomic,
)
from pst_cli.types import LANGUAGES

NAMES = st.sampled_from(
    ["a", "a.wav", "a.mp3", "A.wav", "a.mp3.wav", "a.wav.2", "a.fr.srt", "a.mp3.fr.srt", "-b.wav"]
)
FRENCH = [Version("fr")]
INPUTS = st.lists(st.builds(lambda d, n: Path(d, n), st.sampled_from(["x", "y", "x/y"]), NAMES))


def named(*inputs: str | Path, **options: object) -> list[str]:
    jobs = plan([Path(i) for i in inputs], FRENCH, ["srt"], **options)
    return [str(job.outputs["srt"]) for job in jobs]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_an_output_stands_beside_its_input_and_names_its_language() -> None:
    assert named("talks/clip.wav") == ["talks/clip.fr.srt"]


def test_an_output_goes_to_the_directory_asked_for() -> None:
    assert named("talks/clip.wav", directory=Path("out")) == ["out/clip.fr.srt"]


def test_every_format_gets_a_file() -> None:
    (job,) = plan([Path("clip.wav")], [Version("de")], ["srt", "json"])
    assert job.source == Path("clip.wav")
    assert job.outputs == {"srt": Path("clip.de.srt"), "json": Path("clip.de.json")}


def test_every_language_gets_a_file_in_the_order_given() -> None:
    jobs = plan([Path("clip.wav")], versions(["zh", "de"], "en", bilingual=False), ["srt"])
    assert [str(job.outputs["srt"]) for job in jobs] == ["clip.zh.srt", "clip.de.srt"]


def test_a_bilingual_name_holds_both_languages() -> None:
    (job,) = plan([Path("clip.wav")], versions(["fr"], "en", bilingual=True), ["srt"])
    assert job.outputs == {"srt": Path("clip.en-fr.srt")}


def test_a_language_yet_to_be_heard_may_be_any_or_none() -> None:
    may_be = versions(["fr"], None, bilingual=True)
    assert {one.spoken for one in may_be} == {*LANGUAGES, UNKNOWN}
    assert {one.target for one in may_be} == {"fr"}


def test_the_versions_of_an_input_share_one_name() -> None:
    inputs = [Path("a.wav"), Path("a.en-fr.srt")]
    jobs = plan(inputs, versions(["fr"], None, bilingual=True), ["srt"])
    first = [job.outputs["srt"].name for job in jobs if job.source == inputs[0]]
    assert all(name.startswith("a.wav.") for name in first)


def test_inputs_that_share_a_stem_keep_their_extensions() -> None:
    assert named("a.mp3", "b.wav", "a.wav") == ["a.mp3.fr.srt", "b.fr.srt", "a.wav.fr.srt"]


def test_inputs_that_share_a_name_are_numbered_in_the_order_given() -> None:
    assert named("x/a.wav", "y/a.wav", directory=Path("out")) == [
        "out/a.wav.fr.srt",
        "out/a.wav.2.fr.srt",
    ]


def test_inputs_from_a_searched_directory_keep_their_sub_directories() -> None:
    found = named("in/x/a.wav", "in/y/a.wav", "b.wav", directory=Path("out"), roots=[Path("in")])
    assert found == ["out/x/a.fr.srt", "out/y/a.fr.srt", "out/b.fr.srt"]


def test_an_input_above_the_searched_directory_never_leaves_the_output_directory() -> None:
    assert named("../a.wav", directory=Path("out"), roots=[Path()]) == ["out/a.fr.srt"]


def test_names_that_differ_only_in_case_are_told_apart() -> None:
    assert named("a.wav", "A.wav") == ["a.wav.fr.srt", "A.wav.2.fr.srt"]


def test_an_input_given_twice_makes_one_job() -> None:
    assert named("x/a.wav", "x/../x/a.wav") == ["x/a.fr.srt"]


def test_an_output_never_lands_on_an_input() -> None:
    assert named("a.wav", "a.fr.srt") == ["a.wav.fr.srt", "a.fr.fr.srt"]


@given(INPUTS, st.sampled_from([None, Path("x"), Path("out")]), st.booleans(), st.booleans())
def test_no_two_outputs_are_one_file_and_none_is_an_input(
    inputs: list[Path], directory: Path | None, mirror: bool, bilingual: bool
) -> None:
    wanted = versions(["fr", "de"], None, bilingual=bilingual)
    jobs = plan(inputs, wanted, ["srt", "vtt"], directory, [Path("x")] if mirror else [])
    outputs = [str(path).lower() for job in jobs for path in job.outputs.values()]
    assert len(set(outputs)) == len(outputs) == 2 * len(wanted) * len(set(inputs))
    assert not set(outputs) & {str(path).lower() for path in inputs}


@pytest.mark.parametrize("name", [b"\xff.wav", b"two\nlines.wav", b"-rf.wav", "日本.wav".encode()])
def test_names_of_any_bytes_are_planned_and_written(tmp_path: Path, name: bytes) -> None:
    (job,) = plan([tmp_path / os.fsdecode(name)], FRENCH, ["srt"])
    write_atomic(job.outputs["srt"], "said")
    assert names(tmp_path) == [os.fsdecode(name.replace(b".wav", b".fr.srt"))]


def test_writing_replaces_what_was_there_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    write_atomic(path, "old and long")
    write_atomic(path, "né\n中\udcff")
    assert path.read_bytes() == "né\n中\\udcff".encode()
    assert names(tmp_path) == ["a.srt"]


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write_atomic(tmp_path / "ours", "")
    (tmp_path / "other").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_failed_write_keeps_the_old_file_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    path = tmp_path / "a.srt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=reason) as caught:
        write_atomic(path, "new")
    assert caught.value.hint
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.srt"]


def test_ctrl_c_while_writing_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.srt", "new")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("directory", "a directory has that name"),
        ("n" * 300, "the name is too long"),
        ("missing/a.srt", "the directory does not exist"),
        ("file/a.srt", "part of the path is a file"),
    ],
)
def test_a_place_that_cannot_be_written_is_explained_in_one_line(
    tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=reason) as caught:
        write_atomic(tmp_path / name, "x")
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert names(tmp_path) == ["directory", "file"]


def test_a_link_stays_one_and_who_may_read_a_file_stays_too(tmp_path: Path) -> None:
    real, link = tmp_path / "nas" / "real.srt", tmp_path / "link.srt"
    real.parent.mkdir()
    real.write_text("before")
    real.chmod(0o600)
    link.symlink_to(real)
    check_result(link)
    write_atomic(link, "after")
    assert link.is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("after", 0o600)
    assert names(real.parent) == ["real.srt"]


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="cannot write"):
        write_atomic(tmp_path / "pipe", "x")
    assert (tmp_path / "pipe").is_fifo()


def test_checking_a_directory_creates_it_and_leaves_it_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep")
    assert names(tmp_path / "new" / "deep") == []


def test_checking_a_file_that_stands_for_a_directory_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file has that name") as caught:
        check_writable(tmp_path / "file")
    assert caught.value.hint == "Choose another place with --output."
    with pytest.raises(OutputError) as caught:
        check_writable(tmp_path / "file", "--output-dir")
    assert caught.value.hint == "Choose another place with --output-dir."


def test_checking_a_directory_without_permission_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", denied)
    with pytest.raises(OutputError, match="permission denied"):
        check_writable(tmp_path)
