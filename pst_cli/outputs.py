"""Where results go: names that never collide, files that are either whole or absent."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import unicodedata
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ELSEWHERE = "Choose another directory with --output-dir."
_FREE = f"Free some space and run again. {_ELSEWHERE}"

_REASONS = {
    errno.ENOSPC: ("no space left on the disk", _FREE),
    errno.EDQUOT: ("the disk quota is used up", _FREE),
    errno.EACCES: ("permission denied", _ELSEWHERE),
    errno.EPERM: ("not permitted", _ELSEWHERE),
    errno.EROFS: ("the disk is read-only", _ELSEWHERE),
    errno.EISDIR: ("a directory has that name", f"Move it away. {_ELSEWHERE}"),
    errno.EEXIST: ("a file has that name", _ELSEWHERE),
    errno.ENOTDIR: ("part of the path is a file, not a directory", _ELSEWHERE),
    errno.ENOENT: ("the directory does not exist", f"Create it first. {_ELSEWHERE}"),
    errno.ENAMETOOLONG: ("the name is too long", "Give the input a shorter name."),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One input with the file that each format goes to."""

    source: Path
    outputs: Mapping[str, Path]


def plan(
    inputs: Sequence[Path],
    target: str,
    formats: Sequence[str],
    directory: Path | None = None,
    roots: Sequence[Path] = (),
) -> list[Job]:
    """Name the outputs: `clip.wav` to `clip.fr.srt`, beside the input or in `directory`.

    An input below one of `roots` (the directories that were searched) keeps its sub-directory
    inside `directory`. Inputs that would share a name keep their extension (`clip.mp3.fr.srt`);
    those that still do are numbered in the order given. An input given twice makes one job. No
    output is ever an input.
    """
    given: dict[Path, Path] = {}
    for source in inputs:
        given.setdefault(_real(source), source)
    sources = list(given.values())
    folders = [_folder(source, directory, roots) for source in sources]
    shared = Counter(
        _key(folder / source.stem) for folder, source in zip(folders, sources, strict=True)
    )
    taken = {_key(source) for source in sources}
    jobs = []
    for folder, source in zip(folders, sources, strict=True):
        names = _names(source, alone=shared[_key(folder / source.stem)] == 1)
        choices = ({f: folder / f"{name}.{target}.{f}" for f in formats} for name in names)
        outputs = next(c for c in choices if taken.isdisjoint(map(_key, c.values())))
        taken.update(map(_key, outputs.values()))
        jobs.append(Job(source, outputs))
    return jobs


def check_writable(directory: Path) -> None:
    """Create `directory` if need be and prove that a file can be made in it, or OutputError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = _temporary(directory)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _explained(directory, error) from error


def check_new(directory: Path) -> None:
    """UsageError where a directory that is to be made anew holds something already."""
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        hint = "name a directory that is new or empty"
        raise UsageError(f"--output {display(directory)}: there is something already", hint=hint)


@contextmanager
def landing(directory: Path) -> Iterator[Path]:
    """A hidden folder beside `directory` that becomes it in one rename, or vanishes.

    Raises OutputError where the disk refuses.
    """
    directory = _absolute(directory)
    work = directory.parent / f".{directory.name}.{secrets.token_hex(4)}"
    try:
        work.mkdir(parents=True)
        yield work
        if directory.is_dir():
            directory.rmdir()
        work.rename(directory)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = "make room there, or name another directory with --output"
        raise OutputError(f"cannot write {display(directory)}: {reason}", hint=hint) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_atomic(path: Path, text: str) -> None:
    """Write `text` as UTF-8 so that `path` holds all of it, or what it held before.

    Lone surrogates are written as backslash escapes. OutputError says why it failed.
    """
    data = text.encode("utf-8", "backslashreplace")
    temporary = _temporary(path.parent)
    try:
        _refuse_special(path)
        # Opened by ourselves, not by tempfile, whose files only the owner may read.
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _explained(path, error) from error
    finally:
        with suppress(OSError):  # gone after the replacement; never hide the first error
            temporary.unlink()


def _names(source: Path, *, alone: bool) -> Iterator[str]:
    """Names to try, best first."""
    if alone:
        yield source.stem
    yield source.name
    for number in count(2):
        yield f"{source.name}.{number}"


def _folder(source: Path, directory: Path | None, roots: Sequence[Path]) -> Path:
    if directory is None:
        return source.parent
    parent = _absolute(source.parent)
    for root in map(_absolute, roots):
        if parent.is_relative_to(root):
            return directory / parent.relative_to(root)
    return directory


def _absolute(path: Path) -> Path:
    """Without `..`, else `../a.wav` counts as below `.`; links kept, unlike Path.resolve."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _real(path: Path) -> Path:
    """The directory entry that `path` names; if that is a link, it is not followed."""
    return path.parent.resolve() / path.name


def _key(path: Path) -> str:
    """Equal for paths that some file system would take for one, as macOS does `A` and `a`."""
    return unicodedata.normalize("NFC", str(_real(path)).casefold())


def _temporary(directory: Path) -> Path:
    """A short name, so that it fits wherever the final one does."""
    return directory / f".pst-{secrets.token_hex(6)}.tmp"


def _refuse_special(path: Path) -> None:
    """Replacing a directory fails late and replacing a device succeeds; refuse both at once."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a directory")
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "is not a regular file")


def _explained(path: Path, error: OSError) -> OutputError:
    unknown = (error.strerror or type(error).__name__, _ELSEWHERE)
    reason, hint = _REASONS.get(error.errno or 0, unknown)
    return OutputError(f"cannot write {display(path)}: {reason}", hint=hint)
