"""Weights from the hub: its cache on this disk, and its servers.

Files are streamed here, not with `hf_hub_download`: since huggingface_hub 2 that one downloads to
a name of its own for each process, deletes it on failure and so never resumes; and its retries
can hold an unreachable hub for minutes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pst_cli.errors import StoreError
from pst_cli.paths import is_there
from pst_cli.store import convert, layout, shelf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from huggingface_hub import HfApi

    from pst_cli.store.names import HubName
    from pst_cli.types import Progress

ANSWER_TIMEOUT = 5.0  # s, for the first question: is the hub there, and what does it hold
STALL_TIMEOUT = 15.0  # s without a byte before a download counts as broken
ATTEMPTS = 3  # of one file; each goes on where the last one stopped
REVISION_DIGITS = 12
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
TRUE = ("1", "ON", "YES", "TRUE")
BLOBS, SHA256 = "blobs", re.compile(r"[0-9a-f]{64}")
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub lists it; `sha256` is known for large files only."""

    name: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Remote:
    """What is fetched of one hub repository at one commit."""

    hub_id: str
    commit: str
    files: tuple[RemoteFile, ...]


def switched_off() -> str:
    """The variable of the user's environment that forbids calls to the hub; "" where none does."""
    return next(
        (name for name in OFFLINE_VARIABLES if os.environ.get(name, "").upper() in TRUE), ""
    )


def cached(name: HubName) -> Path | None:
    """The snapshot in the hub's own cache, where it is complete; no network."""
    for revision in _revisions(name):
        snapshot = _snapshot(name.hub_id, "config.json", revision)
        if snapshot and not layout.missing(snapshot):
            layout.check(snapshot)
            return snapshot
    return None


def cached_ct2(name: HubName) -> Path | None:
    """A CTranslate2 snapshot of the same weights in the hub's own cache; no network."""
    places = [(name.hub_id, revision) for revision in _revisions(name)]
    places += [(twin, "main") for twin in name.twins]
    for hub_id, revision in places:
        snapshot = _snapshot(hub_id, layout.CT2_WEIGHTS, revision)
        if snapshot and all((snapshot / card).is_file() for card in layout.CT2_CARDS):
            return snapshot
    return None


def faults(snapshot: Path, progress: Progress) -> Iterator[StoreError]:
    """Each damaged file of a snapshot in the hub's cache, which names large ones by their sha256.

    Of any other directory there is none to be told.
    """
    for file in sorted(snapshot.rglob("*")):
        blob = file.resolve()
        named = blob.parent.name == BLOBS and SHA256.fullmatch(blob.name)
        if named and not is_there(blob):
            yield StoreError(f"{file} is gone from {blob.parent}", hint="fetch it again")
        elif named and shelf.sha256(blob, progress) != blob.name:
            hint = f"rm {shlex.quote(str(file))} {shlex.quote(str(blob))}, and fetch it again"
            fault = "its sha256 is not the one that the hub listed"
            yield StoreError(f"{file} is damaged: {fault}", hint=hint)


def _revisions(name: HubName) -> tuple[str, ...]:
    if name.revision is None:
        return ("main",)
    return (name.revision, "main") if name.twins else (name.revision,)


def _snapshot(hub_id: str, file: str, revision: str) -> Path | None:
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with contextlib.suppress(HFValidationError):
        found = try_to_load_from_cache(
            hub_id, file, cache_dir=constants.HF_HUB_CACHE, revision=revision
        )
        return Path(found).parent if isinstance(found, str) else None
    return None


def fetch(name: HubName, progress: Progress) -> Path:
    """Download, check and land `name`; call it under its lock.

    Raises `StoreError` where the hub does not answer or may not be asked, has no such weights, or
    sends wrong bytes.
    """
    from huggingface_hub import HfApi

    if off := switched_off():
        raise StoreError(f"switched off by {off}", hint=f"unset {off}, and run this again")
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT", "").rstrip("/") or None)
    with _explained(api.endpoint):
        remote = _list(api, name)
        work = shelf.partial(f"{name.key}@{remote.commit[:REVISION_DIGITS]}")
        work.mkdir(parents=True, exist_ok=True)
        _require_space(work, remote)
        for file in remote.files:
            _fetch_file(api, remote, file, work, progress)
    origin = shelf.Origin(name.label, remote.hub_id, remote.commit)
    if layout.tell(work) is not layout.Layout.CTRANSLATE2:
        return shelf.land(work, name.key, origin)
    path = convert.convert(work, name.key, origin, progress)
    shutil.rmtree(work, ignore_errors=True)
    return path


def _list(api: HfApi, name: HubName) -> Remote:
    info = api.model_info(
        name.hub_id, revision=name.revision, files_metadata=True, timeout=ANSWER_TIMEOUT
    )
    listed = {
        sibling.rfilename: RemoteFile(
            sibling.rfilename, sibling.size, sibling.lfs.sha256 if sibling.lfs else None
        )
        for sibling in info.siblings or ()
    }
    chosen = tuple(listed[file] for file in choose(name.hub_id, tuple(listed)))
    return Remote(name.hub_id, info.sha or "main", chosen)


def choose(hub_id: str, files: Sequence[str]) -> tuple[str, ...]:
    """The files to fetch: small ones first, weights once and never as float32 duplicates.

    Raises `StoreError` where there are no weights, or what is needed beside them is missing.
    """
    weights: tuple[str, ...]
    needed: tuple[str, ...] = layout.CARDS
    wanted: tuple[str, ...] = (*layout.CARDS, *layout.FEATURES, *layout.EXTRAS)
    if layout.WEIGHTS in files:
        weights = (layout.WEIGHTS,)
    elif layout.INDEX in files:
        weights = (layout.INDEX, *sorted(file for file in files if SHARD.fullmatch(file)))
    elif layout.CT2_WEIGHTS in files:
        weights = (layout.CT2_WEIGHTS,)
        needed, wanted = layout.CT2_CARDS, (*layout.CT2_CARDS, layout.FEATURES[0])
    elif layout.ADAPTER in files:
        weights, needed, wanted = (layout.ADAPTER,), layout.ADAPTER_CARDS, layout.ADAPTER_CARDS
    else:
        raise StoreError(f"{hub_id} has no safetensors weights (pst does not open pickles)")
    if lacking := layout.lacking(needed, files.__contains__):
        raise StoreError(
            f"{hub_id} has no {' and no '.join(lacking)}",
            hint="fetch it yourself, put what the model that it was made from has of these beside "
            "it, and name that directory",
        )
    return (*(file for file in (*wanted, *layout.DRAFTERS) if file in files), *weights)


def _require_space(work: Path, remote: Remote) -> None:
    wanted = sum(file.size or 0 for file in remote.files)
    here = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    if wanted - here > shutil.disk_usage(work).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fetch_file(
    api: HfApi, remote: Remote, file: RemoteFile, work: Path, progress: Progress
) -> None:
    path = work / file.name
    path.parent.mkdir(exist_ok=True)
    if file.size is None or _length(path) > file.size:
        path.unlink(missing_ok=True)
    for attempt in range(ATTEMPTS):
        if path.exists() and _length(path) == file.size:
            break
        try:
            _stream(api, remote, file, path, progress)
            break
        except _transport_errors():
            if attempt == ATTEMPTS - 1:
                raise
    _check_arrived(path, file)


def _stream(api: HfApi, remote: Remote, file: RemoteFile, path: Path, progress: Progress) -> None:
    """Append what is missing of `file` to `path`."""
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        hf_raise_for_status,
    )

    url = hf_hub_url(remote.hub_id, file.name, revision=remote.commit, endpoint=api.endpoint)
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if done := _length(path):
        headers["Range"] = f"bytes={done}-"
    with get_session().stream("GET", url, headers=headers, timeout=STALL_TIMEOUT) as response:
        hf_raise_for_status(response)
        if response.status_code != 206:  # the server sends the whole file, asked or not
            done = 0
        with path.open("ab" if done else "wb") as out:
            for chunk in response.iter_bytes():  # no chunk size: it would hold back the last bytes
                out.write(chunk)
                done += len(chunk)
                progress(file.name, done, file.size)


def _check_arrived(path: Path, file: RemoteFile) -> None:
    if file.size is not None and _length(path) < file.size:
        raise StoreError(f"{file.name} stopped at {_length(path)} of {file.size} bytes")
    if _length(path) != (file.size or _length(path)) or (
        file.sha256 and shelf.sha256(path) != file.sha256
    ):
        path.unlink()
        raise StoreError(f"{file.name} arrived damaged: it is not what the hub lists")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _transport_errors() -> tuple[type[Exception], ...]:
    """What a broken connection raises: the base class of the hub's own HTTP errors, and ours.

    Asked of huggingface_hub, whose HTTP library changed its name between versions.
    """
    from huggingface_hub.errors import HfHubHTTPError

    library = (base for base in HfHubHTTPError.__bases__ if base is not OSError)
    return (*library, ConnectionError, TimeoutError)


@contextlib.contextmanager
def _explained(endpoint: str) -> Iterator[None]:
    """Turn the library's errors into one line; what the disk refuses passes."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise StoreError("gated: accept its terms there, then `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise StoreError(f"{endpoint} has no such model that you may read") from error
    except RevisionNotFoundError as error:
        raise StoreError(f"{endpoint} has no such revision of it") from error
    except HFValidationError as error:
        raise StoreError("not a hub id") from error
    except HfHubHTTPError as error:
        raise StoreError(f"{endpoint} answered {error.response.status_code}") from error
    except _transport_errors() as error:
        raise StoreError(f"{endpoint} cannot be reached ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
