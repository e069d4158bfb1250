"""Where results go: names that never collide, files that are either whole or absent."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import unicodedata
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.errors import OutputError, UsageError
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_REASONS = {  # what is wrong, and what may help, where another place is not all there is
    errno.ENOSPC: ("no space left on the disk", "Free some space and run again. "),
    errno.EDQUOT: ("the disk quota is used up", "Free some space and run again. "),
    errno.EACCES: ("permission denied", ""),
    errno.EPERM: ("not permitted", ""),
    errno.EROFS: ("the disk is read-only", ""),
    errno.EISDIR: ("a directory has that name", "Move it away. "),
    errno.EEXIST: ("a file has that name", ""),
    errno.ENOTDIR: ("part of the path is a file, not a directory", ""),
    errno.ENOENT: ("the directory does not exist", "Create it first. "),
    errno.ENAMETOOLONG: ("the name is too long", "Give the input a shorter name. "),
}


OUTPUT, FOLDER = (
    "--output",
    "--output-dir",
)  # what names the place of results, if nothing else is told
UNKNOWN = "und"  # ISO 639: a language that is not known, as where nothing was said


@dataclass(frozen=True, slots=True)
class Version:
    """What a result is in: a language, or that with the language spoken above it."""

    target: str
    spoken: str | None = None

    @property
    def label(self) -> str:
        """As names of files hold it."""
        return self.target if self.spoken is None else f"{self.spoken}-{self.target}"


def versions(targets: Sequence[str], spoken: str | None, *, bilingual: bool) -> list[Version]:
    """The versions to plan for; a language that is yet to be heard may be any."""
    if not bilingual:
        return [Version(target) for target in targets]
    may_be = (spoken,) if spoken else (*LANGUAGES, UNKNOWN)
    return [Version(target, one) for target in targets for one in may_be]


@dataclass(frozen=True, slots=True)
class Job:
    """One version of one input, with the file that each format goes to.

    Versions with one target are alternatives: the language spoken says which of them is written.
    """

    source: Path
    version: Version
    outputs: Mapping[str, Path]


def plan(
    inputs: Sequence[Path],
    wanted: Sequence[Version],
    formats: Sequence[str],
    directory: Path | None = None,
    roots: Sequence[Path] = (),
) -> list[Job]:
    """Name the outputs: `clip.wav` to `clip.fr.srt`, beside the input or in `directory`.

    An input below one of `roots` (the directories that were searched) keeps its sub-directory
    inside `directory`. Inputs that would share a name keep their extension (`clip.mp3.fr.srt`);
    those that still do are numbered in the order given. An input given twice counts once. No
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
        choices = ([_job(source, folder, name, one, formats) for one in wanted] for name in names)
        made = next(choice for choice in choices if taken.isdisjoint(_keys(choice)))
        taken.update(_keys(made))
        jobs += made
    return jobs


def _job(source: Path, folder: Path, name: str, version: Version, formats: Sequence[str]) -> Job:
    outputs = {form: folder / f"{name}.{version.label}.{form}" for form in formats}
    return Job(source, version, outputs)


def _keys(jobs: Iterable[Job]) -> set[str]:
    return {_key(path) for job in jobs for path in job.outputs.values()}


def check_writable(directory: Path, flag: str = OUTPUT) -> None:
    """Create `directory` if need be and prove that a file can be made in it, or OutputError.

    `flag` is the option that names another, here and below.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = _temporary(directory)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _explained(directory, error, flag) from error


def check_result(path: Path, *inputs: Path, flag: str = OUTPUT) -> None:
    """Prove that `path` can be written, as `write_atomic` would.

    Raises:
        UsageError: it is one of `inputs`.
        OutputError: it is no regular file, or its directory takes none.
    """
    if any(_same(path, one) for one in inputs):
        hint = "name another file for the result"
        raise UsageError(f"{display(path)} is to be read, and would be replaced", hint=hint)
    check_writable(_behind(path).parent, flag)
    try:
        _refuse_special(path)
    except OSError as error:
        raise _explained(path, error, flag) from error


def _behind(path: Path) -> Path:
    """What a link leads to; any other path as it is."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114


def _same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def check_new(directory: Path) -> None:
    """Look whether a directory is yet to be made, or empty.

    Raises:
        UsageError: it holds something.
        OutputError: it may not be looked at.
    """
    try:
        new = not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))
    except OSError as error:
        raise _explained(directory, error, OUTPUT) from error
    if not new:
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


def write_atomic(path: Path, text: str, encoding: str = "utf-8", flag: str = OUTPUT) -> None:
    """Write `text` so that `path` holds all of it, or what it held before.

    A link stays one, and who may read a file stays too. What `encoding` does not have is written
    as backslash escapes. OutputError says why it failed.
    """
    data, real = text.encode(encoding, "backslashreplace"), _behind(path)
    temporary = _temporary(real.parent)
    try:
        _refuse_special(real)
        # Opened by ourselves, not by tempfile, whose files only the owner may read.
        with temporary.open("xb") as file:
            if real.exists():
                temporary.chmod(stat.S_IMODE(real.stat().st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(real)
    except OSError as error:
        raise _explained(path, error, flag) from error
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


def _explained(path: Path, error: OSError, flag: str) -> OutputError:
    unknown = (error.strerror or type(error).__name__, "")
    reason, remedy = _REASONS.get(error.errno or 0, unknown)
    hint = f"{remedy}Choose another place with {flag}."
    return OutputError(f"cannot write {display(path)}: {reason}", hint=hint)
