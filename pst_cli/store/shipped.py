"""Adapters that come with pst, each in a folder of its package."""

from __future__ import annotations

import base64
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pst_cli.errors import StoreError
from pst_cli.store import layout, shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pst_cli.types import Progress

FOLDER = Path(__file__).parents[1] / "shipped"  # tests put another one here
PACKAGE = "pst_cli"
SOURCE = "in the package"
REMEDY = "install pst again, for this came with it"


def names() -> tuple[str, ...]:
    """What comes with this pst; nothing where its package was built without weights."""
    return tuple(sorted(path.name for path in FOLDER.glob("[!._]*/")))


def find(name: str) -> Path | None:
    """The folder of the adapter called `name`; None where there is none of that name."""
    return FOLDER / name if name in names() else None


def check(folder: Path) -> Path:
    """`folder`, its headers checked; raises `StoreError` where it is not whole."""
    try:
        layout.check(folder)
    except StoreError as error:
        raise StoreError(error.message, hint=REMEDY) from error
    return folder


def faults(folder: Path, progress: Progress) -> Iterator[StoreError]:
    """Each damaged file, held against the digests that the installer noted, where it did so.

    A checkout that pst runs from has none: there headers are checked.
    """
    try:
        check(folder)
    except StoreError as error:
        yield error
        return
    for path, sha256 in _digests(folder):
        if not path.is_file():
            yield StoreError(f"{path} is damaged: it is gone", hint=REMEDY)
        elif shelf.sha256(path, progress) != sha256:
            fault = "its sha256 is not the one it was installed with"
            yield StoreError(f"{path} is damaged: {fault}", hint=REMEDY)


def _digests(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files below `folder` that were installed, each with its sha256 in hex."""
    try:
        installed = metadata.files(PACKAGE) or ()
    except metadata.PackageNotFoundError:
        return
    for file in installed:
        path = Path(str(file.locate())).resolve()
        if path.is_relative_to(folder.resolve()) and file.hash and file.hash.mode == "sha256":
            digits = file.hash.value
            yield path, base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4)).hex()
