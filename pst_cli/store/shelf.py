"""The store's folder on disk: what lies on it, how things land on it whole.

`models/KEY/` is a landed set of weights with its manifest; `partial/` holds what is under way,
so that a killed download resumes, and the locks. Landing is one rename.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pst_cli.errors import StoreError
from pst_cli.paths import is_dir
from pst_cli.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pst_cli.types import Progress

MANIFEST = "pst.json"
CONVERTED = "ct2-"  # begins the key of what was converted from a directory of the user's
BLOCK = 1 << 20  # bytes read at once when hashing
WRITE_FAILURES = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "it is not writable",
    errno.EPERM: "it is not writable",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of that path is not a directory",
}


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One landed file as it was when it landed; `size` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where a landed set came from; `label` is the name by which it is asked for again.

    `stamp` tells whether a local directory is still the one that was converted.
    """

    label: str
    source: str
    revision: str
    files: tuple[FileRecord, ...]
    stamp: str = ""

    @property
    def size(self) -> int:
        return sum(record.size for record in self.files)


@dataclass(frozen=True, slots=True)
class Origin:
    """The part of a manifest that is known before landing."""

    label: str
    source: str
    revision: str = ""
    stamp: str = ""


def home() -> Path:
    """$PST_HOME, or the place the system keeps for data of programs."""
    if own := os.environ.get("PST_HOME"):
        return Path(own).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("pst"))


def folder(key: str) -> Path:
    """Where the landed set `key` lies."""
    return home() / "models" / key


def _models() -> Path:
    """Where all landed sets lie; `StoreError` where somebody else keeps them to himself."""
    models = home() / "models"
    if is_dir(models) and not os.access(models, os.R_OK | os.X_OK):
        hint = "have its owner let you read it, or set PST_HOME to another folder"
        raise StoreError(f"{models} may not be read", hint=hint)
    return models


def partial(key: str) -> Path:
    """A place for what is under way."""
    return home() / "partial" / key


def leftovers(key: str) -> tuple[Path, ...]:
    """What is under way of `key` in `partial`, or was left there: at a commit, or at some work."""
    of_key = re.compile(re.escape(key) + r"(@[^@.]+|\.(converted|unpacked|wheels|trash))")
    places = partial(key).parent
    readable = is_dir(places) and os.access(places, os.R_OK | os.X_OK)
    found = places.iterdir() if readable else ()
    return tuple(path for path in found if of_key.fullmatch(path.name) and is_dir(path))


def landed_keys() -> tuple[str, ...]:
    """The key of every landed set; what file managers leave behind is none."""
    models = _models()
    found = models.iterdir() if is_dir(models) else ()
    return tuple(sorted(p.name for p in found if is_dir(p) and not p.name.startswith(".")))


def landed() -> Iterator[tuple[str, Manifest]]:
    """Every landed set, as (key, manifest); one whose manifest is damaged is passed over."""
    for key in landed_keys():
        with contextlib.suppress(StoreError):
            yield key, manifest(folder(key))


def holds(key: str) -> bool:
    """Whether `key` has landed, sound or not."""
    return is_dir(_models() / key)


def manifest(directory: Path) -> Manifest:
    """The manifest of a landed directory; raises `StoreError` where it cannot be read."""
    try:
        fields = json.loads((directory / MANIFEST).read_bytes())
        fields["files"] = tuple(FileRecord(**record) for record in fields["files"])
        return Manifest(**fields)
    except (OSError, ValueError, TypeError, KeyError) as error:
        label = directory.name.replace("--", "/", 1)
        raise damage(directory / MANIFEST, "it cannot be read", label) from error


def check(key: str) -> Path:
    """The landed directory of `key`, its sizes and headers checked; raises `StoreError`."""
    directory = folder(key)
    record = manifest(directory)
    for file in record.files:
        fault = _size_fault(directory / file.name, file.size)
        if fault:
            raise damage(directory / file.name, fault, record.label)
    try:
        layout.check(directory)
    except StoreError as error:
        raise StoreError(error.message, hint=_remedy(record.label)) from error
    return directory


def faults(key: str, progress: Progress) -> Iterator[StoreError]:
    """Each damaged file of a landed set, every byte read."""
    directory = folder(key)
    try:
        record = manifest(directory)
    except StoreError as error:
        yield error
        return
    for file in record.files:
        path = directory / file.name
        fault = _size_fault(path, file.size)
        if not fault and sha256(path, progress) != file.sha256:
            fault = "its sha256 is not the one it landed with"
        if fault:
            yield damage(path, fault, record.label)


def damage(path: Path, fault: str, label: str) -> StoreError:
    """The error for a damaged file of the weights called `label`."""
    return StoreError(f"{path} is damaged: {fault}", hint=_remedy(label))


def _remedy(label: str) -> str:
    if label.startswith(CONVERTED) and "/" not in label:  # that is all that is known of it
        return f"pst models rm {label}"
    return f"pst download {label} --force"


def _size_fault(path: Path, expected: int) -> str:
    try:
        size = path.stat().st_size
    except OSError:
        return "it is gone"
    return "" if size == expected else f"{size} bytes instead of {expected}"


def sha256(path: Path, progress: Progress | None = None) -> str:
    """The digest of a file in hex; `progress` is told the bytes read.

    Raises StoreError where it may not be read.
    """
    digest, done = hashlib.sha256(), 0
    try:
        total = path.stat().st_size
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                done += len(block)
                if progress:
                    progress(f"checking {path.name}", done, total)
    except PermissionError as error:
        raise StoreError(f"{path} may not be read") from error
    return digest.hexdigest()


def land(work: Path, key: str, origin: Origin) -> Path:
    """Put the finished directory `work` on the shelf in one rename; call it under the lock."""
    layout.check(work)
    files = tuple(
        FileRecord(path.relative_to(work).as_posix(), path.stat().st_size, sha256(path))
        for path in sorted(work.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    )
    _write_manifest(work, Manifest(files=files, **asdict(origin)))
    target = folder(key)
    target.parent.mkdir(parents=True, exist_ok=True)
    discard(key)
    work.rename(target)
    return target


def adopt(key: str, origin: Origin) -> None:
    """Note a new origin for landed weights, as when a converted directory has moved."""
    files = manifest(folder(key)).files
    _write_manifest(folder(key), Manifest(files=files, **asdict(origin)))


def _write_manifest(directory: Path, record: Manifest) -> None:
    draft = directory / f"{MANIFEST}.new"
    draft.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    draft.replace(directory / MANIFEST)


def discard(key: str) -> None:
    """Take a landed set away; it is renamed first, so that nobody sees half of it."""
    if not holds(key):
        return
    trash = partial(f"{key}.trash")
    shutil.rmtree(trash, ignore_errors=True)
    trash.parent.mkdir(parents=True, exist_ok=True)
    folder(key).rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


@contextlib.contextmanager
def workbench(name: str) -> Iterator[Path]:
    """An empty directory for work that cannot resume; nothing of it stays behind."""
    path = partial(name)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def lock(key: str, progress: Progress) -> Iterator[None]:
    """Hold `key` against other processes; what the disk refuses becomes a `StoreError`."""
    from filelock import FileLock, Timeout

    with writing():
        path = partial(f"{key}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path)
        try:
            held.acquire(timeout=0)
        except Timeout:
            progress("waiting for another pst that fetches the same weights", 0, None)
            held.acquire()
        try:
            yield
        finally:
            held.release()


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Turn what the disk refuses into one clear line; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in WRITE_FAILURES:
            raise
        raise StoreError(
            f"cannot use {error.filename or home()}: {WRITE_FAILURES[error.errno]}",
            hint="make room there, or set PST_HOME to another folder, and run the command again",
        ) from error
