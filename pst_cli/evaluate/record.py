"""The file of hypotheses: a header, then a line for each as it comes; a rerun goes on from it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from pst_cli.console import display
from pst_cli.errors import DataError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

Header: TypeAlias = "Mapping[str, str | int | float | bool | None]"
Key = tuple[str, str]  # id of an utterance, target language

WORDS = {  # of the header, where its own are not how people say it
    "manifest": "manifest (its SHA-256)",
    "weights": "weights (their hash)",
    "pst": "version of pst",
}
DIGEST_SHOWN = 8  # hex digits
UNTOLD = {"context": "full"}  # what headers did not tell before there was a choice


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a host said of one utterance in one language; `seconds` is what that took."""

    id: str
    source: str
    target: str
    hypothesis: str
    reference: str
    seconds: float

    @property
    def key(self) -> Key:
        return self.id, self.target


class Record:
    """Hypotheses by key; on disk too, line by line, where a file is named.

    Use it in a `with` statement. Raises UsageError where the file was made otherwise, DataError
    where it is damaged, OutputError where it cannot be written.
    """

    def __init__(self, path: Path | None, header: Header) -> None:
        self.path = path
        self.found: dict[Key, Hypothesis] = {}
        self._file = None if path is None else self._open(path, header)

    @property
    def texts(self) -> dict[Key, str]:
        """What was said, alone."""
        return {key: one.hypothesis for key, one in self.found.items()}

    def add(self, hypothesis: Hypothesis) -> None:
        self.found[hypothesis.key] = hypothesis
        if self._file is not None:
            self._write(self._file, asdict(hypothesis))

    def _open(self, path: Path, header: Header) -> IO[bytes]:
        try:
            data = path.read_bytes() if path.is_file() else b""
            whole = data[: data.rfind(b"\n") + 1]  # a kill tears the last line
            if whole:
                self._read(path, whole, header)
            elif not _line(header).startswith(data):
                raise _foreign(path)
            file = path.open("ab")
            file.truncate(len(whole))
        except OSError as error:
            raise self._unwritable(error) from error
        if not whole:
            self._write(file, header)
        return file

    def _read(self, path: Path, data: bytes, header: Header) -> None:
        first, *lines = data.splitlines()
        _check(path, first, header)
        for number, line in enumerate(lines, 2):
            try:
                known = Hypothesis(**json.loads(line))
            except (ValueError, TypeError) as error:
                hint = "delete that line, and the file goes on to serve"
                raise DataError(f"{display(path)}:{number}: no hypothesis", hint=hint) from error
            self.found[known.key] = known

    def _write(self, file: IO[bytes], record: Mapping[str, Any]) -> None:
        try:
            file.write(_line(record))
            file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OutputError:
        assert self.path is not None
        hint = "what it holds already is kept: run again, or name another with --hypotheses"
        return OutputError(f"cannot write {display(self.path)}: {error.strerror}", hint=hint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # what a full disk did not take was told already
                self._file.close()


def digest(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _check(path: Path, line: bytes, header: Header) -> None:
    """Refuse a file that was made otherwise, saying what differs."""
    try:
        old = json.loads(line)
    except ValueError:
        old = None
    if not isinstance(old, dict) or "pst" not in old or "manifest" not in old:
        raise _foreign(path)
    old = {key: word for key, word in UNTOLD.items() if key in header} | old
    keys = [*header, *(key for key in old if key not in header)]
    differing = [key for key in keys if old.get(key) != header.get(key)]
    if differing:
        told = ", ".join(_difference(key, old.get(key), header.get(key)) for key in differing)
        raise UsageError(
            f"--hypotheses {display(path)} was made with another {told}",
            hint=f"name another file, or begin anew with: rm {shlex.quote(os.fspath(path))}",
        )


def _difference(key: str, old: object, own: object) -> str:
    name = WORDS.get(key, key.replace("_", " "))
    short = DIGEST_SHOWN if key in ("manifest", "weights") else None
    return f"{name}: {str(old)[:short]}, now {str(own)[:short]}"


def _foreign(path: Path) -> UsageError:
    hint = "name a file that is not there yet"
    return UsageError(f"--hypotheses {display(path)} holds something else", hint=hint)
