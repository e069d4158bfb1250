"""The open, seekable file behind a name, a pipe or stdin."""

from __future__ import annotations

import shlex
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pst_cli.audio.finding import STDIN, require_present
from pst_cli.audio.problems import unreadable
from pst_cli.console import display
from pst_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

COPY_BYTES = 1 << 20  # bytes held at once while a pipe is spooled to disk


def open_source(source: str | Path) -> BinaryIO:
    """An unbuffered binary file at its start, which the caller closes.

    Unbuffered, since libsndfile reads the descriptor and FFmpeg the object: a buffer would set
    them apart. A file is opened here rather than by those libraries so that any name works:
    leading dashes, newlines, bytes that are not UTF-8. What cannot seek (stdin, a FIFO, a
    process substitution) is first copied to a temporary file, because an MP4 may keep its
    index at the end.

    Raises:
        UsageError: the path is missing or a folder, or stdin is a terminal.
        AudioError: it is empty, or may not be read, or is a folder that cannot be listed.
    """
    if str(source) == STDIN:
        return _spool(_open_stdin(), "stdin")
    path = Path(source)
    require_present(path)
    return _open_path(path)


def _open_path(path: Path) -> BinaryIO:
    name = display(path)
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        _listed(path)
        raise UsageError(f"{name} is a folder, not a file", hint=f"ls {shlex.quote(name)}")
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise AudioError(f"{name} is empty (0 bytes)", hint=f"ls -l {shlex.quote(name)}")
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise unreadable(name, error) from error
    if stat.S_ISREG(status.st_mode):
        return file
    with file:
        return _spool(file, name)


def _listed(folder: Path) -> None:
    """Raises AudioError where `folder` cannot be listed: so it stands among files to be heard."""
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        name = display(folder)
        raise AudioError(
            f"{name} cannot be listed: {error.strerror}", hint=f"ls -ld {shlex.quote(name)}"
        ) from error


def _open_stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "stdin is a terminal, not sound",
            hint="name a file, or pipe one in: ffmpeg -i FILE -f wav - | pst ... -",
        )
    return sys.stdin.buffer


def _spool(pipe: BinaryIO, name: str) -> BinaryIO:
    file: BinaryIO = tempfile.TemporaryFile(prefix="pst-", buffering=0)  # noqa: SIM115
    try:
        shutil.copyfileobj(pipe, _Whole(file.write), COPY_BYTES)
        if not file.tell():
            raise AudioError(f"{name} is empty (0 bytes)", hint="check the command before the pipe")
    except OSError as error:
        file.close()
        raise AudioError(
            f"{name} cannot be copied to a temporary file: {error.strerror}",
            hint=f"df -h {display(tempfile.gettempdir())}",
        ) from error
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


class _Whole:
    """Writes all it is given: an unbuffered file may take only a part of it at a time."""

    def __init__(self, write: Callable[[memoryview], int]) -> None:
        self._write = write

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._write(view) :]
