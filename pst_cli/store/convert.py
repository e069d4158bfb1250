"""From a CTranslate2 directory to a landed transformers one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pst_cli.store import cards, layout, shelf, tensorfile, whispermap
from pst_cli.store.ct2file import Ct2File

if TYPE_CHECKING:
    from pathlib import Path

    from pst_cli.types import Progress

KEY_DIGITS = 16  # hex digits of the content hash in a key
HASHED = (layout.CT2_WEIGHTS, *layout.CT2_CARDS, "preprocessor_config.json")


def convert(source: Path, key: str, origin: shelf.Origin, progress: Progress) -> Path:
    """Write the Whisper in `source` as safetensors and land it; call it under the lock.

    float16 and float32 stay as they are; int8 becomes the float type of the other tensors.
    """
    with (
        shelf.workbench(f"{key}.converted") as work,
        Ct2File(source / layout.CT2_WEIGHTS) as file,
    ):
        tensors = whispermap.tensors(file)
        cards.write(source, work, whispermap.shape(file), tensors[0].dtype.name)
        tensorfile.write(
            work / layout.WEIGHTS,
            tensors,
            lambda done, total: progress("converting", done, total),
        )
        return shelf.land(work, key, origin)


def local(source: Path, progress: Progress, *, force: bool = False) -> Path:
    """The conversion of a user's own directory, made once for each content."""
    known = find(source)
    if known and not force:
        return shelf.check(known)
    key = content_key(source, progress)
    origin = shelf.Origin(str(source), "CTranslate2 directory", stamp=stamp(source))
    with shelf.lock(key, progress):
        if force or not shelf.holds(key):
            return convert(source, key, origin, progress)
        shelf.adopt(key, origin)
    return shelf.check(key)


def find(source: Path) -> str | None:
    """The key of an earlier conversion of `source`, told without reading it again."""
    now = stamp(source)
    for key, record in shelf.landed():
        if record.label == str(source) and record.stamp == now:
            return key
    return None


def stamp(source: Path) -> str:
    """Sizes and times of the files that count; it changes when one of them does."""
    stats = [(source / name).stat() for name in HASHED if (source / name).is_file()]
    return " ".join(f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats)


def content_key(source: Path, progress: Progress) -> str:
    """A key made of the content alone: a moved or copied directory is not converted again."""
    digest = hashlib.sha256()
    for name in HASHED:
        if (source / name).is_file():
            digest.update(f"{name}:{shelf.sha256(source / name, progress)}\n".encode())
    return f"{shelf.CONVERTED}{digest.hexdigest()[:KEY_DIGITS]}"
