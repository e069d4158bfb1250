"""Where weights come from.

Every name resolves to a directory in transformers layout: config.json, generation_config.json,
preprocessor_config.json, tokenizer.json and model.safetensors (or shards with their index). Or it
is an adapter of pst's own: config.json, which names the host to resolve next, and its tensors.
Some adapters come with pst and are nowhere else.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.errors import PstError, StoreError
from pst_cli.paths import is_file
from pst_cli.store import convert, hub, layout, names, shelf, shipped, sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pst_cli.types import Progress

__all__ = [
    "Entry",
    "download",
    "entries",
    "has",
    "held",
    "path",
    "remove",
    "resolve",
    "verify",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of what there is; `path` is None for known weights that are not on this disk."""

    name: str
    path: Path | None
    size: int  # bytes on disk, 0 where absent
    source: str


def resolve(name: str, *, offline: bool = False, progress: Progress | None = None) -> Path:
    """A directory with the weights of `name`, fetched and converted where needed.

    `name` is a short name, a hub id (OWNER/NAME, OWNER/NAME@REVISION) or a local directory. With
    `offline` no network call is made. Raises `StoreError` where the weights cannot be had or are
    damaged, `UsageError` for a name that means nothing.
    """
    request = sources.Request(progress or _silent, offline=offline)
    return sources.obtain(names.parse(name), request)


def download(name: str, *, force: bool = False, progress: Progress | None = None) -> Path:
    """As `resolve`; with `force` fetched (or converted) anew, whatever is here already."""
    request = sources.Request(progress or _silent, force=force)
    return sources.obtain(names.parse(name), request)


def path(name: str) -> Path:
    """Where the weights of `name` are on this disk; fetches and converts nothing.

    Raises `StoreError` where they are not here or are damaged.
    """
    key = _key(name)
    if key and shelf.holds(key):
        return shelf.check(key)
    parsed = names.parse(name)
    if isinstance(parsed, names.ShippedName):
        return shipped.check(parsed.path)
    if isinstance(parsed, names.LocalName):
        if layout.tell(parsed.path) is not layout.Layout.CTRANSLATE2:
            layout.check(parsed.path)
            return parsed.path
    elif found := hub.cached(parsed):
        return found
    raise StoreError(f"no weights for {name} on this disk", hint=f"pst download {name}")


def entries() -> tuple[Entry, ...]:
    """The known names, what came with pst, then everything else in the store."""
    others = [key for key in shelf.landed_keys() if key not in names.KNOWN]
    return (
        *map(_known_entry, names.KNOWN),
        *map(_shipped_entry, shipped.names()),
        *map(_landed_entry, others),
    )


def held() -> tuple[str, ...]:
    """A name for each set of weights that pst answers for: what came with it, and the store's."""
    return (*shipped.names(), *shelf.landed_keys())


def has(name: str) -> bool:
    """Whether weights of `name` are on this disk, sound or not; makes no network call."""
    try:
        key = _key(name)
        if not (key and shelf.holds(key)):
            path(name)
    except PstError:
        return False
    return True


def verify(name: str | None = None, *, progress: Progress | None = None) -> tuple[StoreError, ...]:
    """Every damaged file of `name`, or of all that is `held`; reads every byte.

    A directory of the user's own has no recorded digests: there sizes and headers are checked,
    and in the hub's cache what its large files are named for.
    """
    asked = held() if name is None else (name,)
    return tuple(fault for one in asked for fault in _faults(one, progress or _silent))


def _faults(name: str, progress: Progress) -> Iterator[StoreError]:
    key = _key(name)
    if key and shelf.holds(key):
        yield from shelf.faults(key, progress)
    elif folder := shipped.find(name):
        yield from shipped.faults(folder, progress)
    else:
        yield from hub.faults(path(name), progress)


def remove(name: str) -> int:
    """Take `name`, or what a broken download left of it, out of the store; the bytes freed.

    Nothing outside the store is touched.
    """
    if shipped.find(name):
        raise StoreError(
            f"{name} is a part of pst and stays while pst is installed",
            hint="`pst models list` shows what is in the store",
        )
    key = _key(name)
    if not key or not (shelf.holds(key) or shelf.leftovers(key)):
        raise StoreError(
            f"{name} is not in the store {shelf.home()}", hint="`pst models list` shows what is"
        )
    with shelf.lock(key, _silent):
        left = shelf.leftovers(key)
        freed = sum(map(_size, [shelf.folder(key), *left]))
        shelf.discard(key)
        for leftover in left:
            shutil.rmtree(leftover, ignore_errors=True)
    return freed


def _key(name: str) -> str | None:
    """The folder of `name` in the store; None for what is not there or never converted."""
    if name in shelf.landed_keys():
        return name
    match names.parse(name):
        case names.HubName(key=key):
            return key
        case names.LocalName(path=own):
            return convert.find(own)
    return None


def _known_entry(name: str) -> Entry:
    if shelf.holds(name):
        return _landed_entry(name)
    parsed = names.parse(name)
    with contextlib.suppress(StoreError):
        if isinstance(parsed, names.HubName) and (found := hub.cached(parsed)):
            return Entry(name, found, _size(found), "the hub's local cache")
    return Entry(name, None, 0, "")


def _shipped_entry(name: str) -> Entry:
    folder = shipped.FOLDER / name
    return Entry(name, folder, _size(folder), shipped.SOURCE)


def _landed_entry(key: str) -> Entry:
    directory = shelf.folder(key)
    try:
        record = shelf.manifest(directory)
    except StoreError:
        return Entry(key, directory, _size(directory), "damaged")
    return Entry(record.label, directory, _size(directory), record.source)


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if is_file(file))


def _silent(what: str, done: int, total: int | None) -> None:
    """The progress of a caller that wants none."""
