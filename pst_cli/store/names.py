"""What the name of a set of weights denotes."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pst_cli.errors import StoreError, UsageError
from pst_cli.paths import is_dir
from pst_cli.store import shipped

HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?:@([A-Za-z0-9][\w./-]*))?")


@dataclass(frozen=True, slots=True)
class Known:
    """A short name; `twins` are hub ids that hold the same weights in CTranslate2 layout."""

    name: str
    hub_id: str
    revision: str
    twins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HubName:
    """Weights that have a home on the hub; `key` is their folder in pst's own store."""

    label: str
    key: str
    hub_id: str
    revision: str | None = None
    twins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShippedName:
    """An adapter that came with pst."""

    label: str
    path: Path


@dataclass(frozen=True, slots=True)
class LocalName:
    """A directory of the user's own."""

    label: str
    path: Path


Name = HubName | ShippedName | LocalName

KNOWN = {
    known.name: known
    for known in (
        Known(
            "tiny",
            "openai/whisper-tiny",
            "169d4a4341b33bc18d8881c4b69c2e104e1cc0af",
            ("Systran/faster-whisper-tiny",),
        ),
        Known(
            "base",
            "openai/whisper-base",
            "e37978b90ca9030d5170a5c07aadb050351a65bb",
            ("Systran/faster-whisper-base",),
        ),
        Known(
            "small",
            "openai/whisper-small",
            "973afd24965f72e36ca33b3055d56a652f456b4d",
            ("Systran/faster-whisper-small",),
        ),
        Known(
            "medium",
            "openai/whisper-medium",
            "abdf7c39ab9d0397620ccaea8974cc764cd0953e",
            ("Systran/faster-whisper-medium",),
        ),
        Known(
            "large-v3",
            "openai/whisper-large-v3",
            "06f233fe06e710322aca913c1bc4249a0d71fce1",
            ("Systran/faster-whisper-large-v3",),
        ),
        Known(
            "turbo",
            "openai/whisper-large-v3-turbo",
            "41f01f3fe87f28c78e2fbf8b568835947dd65ed9",
            (
                "Systran/faster-whisper-turbo",
                "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
            ),
        ),
    )
}


def parse(name: str) -> Name:
    """What `name` means: a short name, a shipped one, a directory, or a hub id, in that order.

    Raises `UsageError` for a name that can be none of them and `StoreError` for a path that is
    not there.
    """
    if name in KNOWN:
        return _from_known(KNOWN[name])
    if folder := shipped.find(name):
        return ShippedName(name, folder)
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - pathlib's breaks off at unknown users
    if is_dir(path):
        return LocalName(label=name, path=path.resolve())
    if _looks_like_path(name):
        raise StoreError(
            f"no directory of weights at {name}", hint="`pst models list` shows the known names"
        )
    if match := HUB_ID.fullmatch(name):
        return _from_hub_id(name, f"{match[1]}/{match[2]}", match[3])
    raise _unknown(name)


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~", "\\")) or name.endswith(("/", "\\")) or name == ""


def _from_known(known: Known) -> HubName:
    return HubName(known.name, known.name, known.hub_id, known.revision, known.twins)


def _from_hub_id(label: str, hub_id: str, revision: str | None) -> HubName:
    for known in KNOWN.values():
        if known.hub_id == hub_id and revision in (None, known.revision):
            return _from_known(known)
    key = hub_id.replace("/", "--") + (f"@{revision.replace('/', '--')}" if revision else "")
    return HubName(label, key, hub_id, revision)


def _unknown(name: str) -> UsageError:
    bare = name.lower().removeprefix("whisper-")
    names = (*KNOWN, *shipped.names())
    near = difflib.get_close_matches(bare, names, n=3, cutoff=0.5)
    near += [known for known in names if bare and known.startswith(bare) and known not in near]
    if near:
        return UsageError(
            f"no weights are called {name!r}; near: {', '.join(near)}",
            hint=f"pst download {near[0]}",
        )
    return UsageError(
        f"no weights are called {name!r}",
        hint="`pst models list` shows the known names; a hub id is OWNER/NAME",
    )
