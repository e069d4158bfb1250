"""Where weights come from.

Every name resolves to a directory in transformers layout: config.json, generation_config.json,
preprocessor_config.json, tokenizer.json and model.safetensors (or shards with their index). Or it
is an adapter of pst's own: config.json, which names the host to resolve next, and its tensors.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.errors import StoreError
from pst_cli.store import convert, hub, layout, names, shelf, sources

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pst_cli.types import Progress

__all__ = ["Entry", "download", "entries", "path", "remove", "resolve", "verify"]


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
    if isinstance(parsed, names.LocalName):
        if layout.tell(parsed.path) is not layout.Layout.CTRANSLATE2:
            layout.check(parsed.path)
            return parsed.path
    elif found := hub.cached(parsed):
        return found
    raise StoreError(f"no weights for {name} on this disk", hint=f"pst download {name}")


def entries() -> tuple[Entry, ...]:
    """The known names, then everything else in the store."""
    others = [key for key in shelf.landed_keys() if key not in names.KNOWN]
    return tuple(_known_entry(name) for name in names.KNOWN) + tuple(map(_landed_entry, others))


def verify(name: str | None = None, *, progress: Progress | None = None) -> tuple[StoreError, ...]:
    """Every damaged file of `name`, or of the whole store; reads every byte.

    Weights outside the store have no recorded digests: there sizes and headers are checked.
    """
    keys: Sequence[str | None] = shelf.landed_keys() if name is None else (_key(name),)
    found: list[StoreError] = []
    for key in keys:
        if key and shelf.holds(key):
            found += shelf.faults(key, progress or _silent)
        elif name is not None:
            path(name)
    return tuple(found)


def remove(name: str) -> int:
    """Take `name` out of the store; the bytes freed. Nothing outside the store is touched."""
    key = _key(name)
    if not key or not shelf.holds(key):
        raise StoreError(
            f"{name} is not in the store {shelf.home()}", hint="`pst models list` shows what is"
        )
    freed = _size(shelf.folder(key))
    with shelf.lock(key, _silent):
        shelf.discard(key)
        for leftover in shelf.partial(key).parent.glob(f"{key}[@.]*/"):
            shutil.rmtree(leftover, ignore_errors=True)
    return freed


def _key(name: str) -> str | None:
    """The folder of `name` in the store; None for a directory that was never converted."""
    if name in shelf.landed_keys():
        return name
    parsed = names.parse(name)
    return parsed.key if isinstance(parsed, names.HubName) else convert.find(parsed.path)


def _known_entry(name: str) -> Entry:
    if shelf.holds(name):
        return _landed_entry(name)
    parsed = names.parse(name)
    with contextlib.suppress(StoreError):
        if isinstance(parsed, names.HubName) and (found := hub.cached(parsed)):
            return Entry(name, found, _size(found), "the hub's local cache")
    return Entry(name, None, 0, "")


def _landed_entry(key: str) -> Entry:
    directory = shelf.folder(key)
    try:
        record = shelf.manifest(directory)
    except StoreError:
        return Entry(key, directory, _size(directory), "damaged")
    return Entry(record.label, directory, _size(directory), record.source)


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _silent(what: str, done: int, total: int | None) -> None:
    """The progress of a caller that wants none."""
