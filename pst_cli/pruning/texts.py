"""Real text to count tokens over: plain lines, manifests or tables, packed with xz or not."""

from __future__ import annotations

import lzma
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.data.manifest import BadLine, parse_line
from pst_cli.errors import DataError
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

PACKED = ".xz"
COLUMNS = {*LANGUAGES, "text", "sentence", "translation", "source", "target"}  # that hold text
ALTERNATIVES = " ||| "  # between texts in one cell


def read_texts(paths: Iterable[Path]) -> Iterator[str]:
    """Every text of `paths` that is not blank; a name tells what the file holds.

    .jsonl is a manifest, .tsv a table, all else has one text a line; .xz may follow. Raises
    DataError where a file cannot be read or a line of it makes no sense.
    """
    for path in paths:
        plain = path.with_suffix("") if path.suffix == PACKED else path
        read = {".jsonl": _manifest, ".tsv": _table}.get(plain.suffix, _lines)
        yield from filter(str.strip, read(path))


def _lines(path: Path) -> Iterator[str]:
    for number, line in enumerate(_raw(path), 1):
        try:
            yield line.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{display(path)}:{number}: not UTF-8", hint="save as UTF-8") from error


def _raw(path: Path) -> Iterator[bytes]:
    name = display(path)
    try:
        with lzma.open(path) if path.suffix == PACKED else path.open("rb") as file:
            yield from file
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{name} cannot be read: {reason}", hint="name text with --text") from error
    except (lzma.LZMAError, EOFError) as error:
        hint = f"test it with `xz -t {name}`"
        raise DataError(f"{name} is damaged: it does not unpack", hint=hint) from error


def _manifest(path: Path) -> Iterator[str]:
    for number, line in enumerate(_raw(path), 1):
        if not line.strip():
            continue
        found = parse_line(line, path.parent, f"{display(path)}:{number}")
        if isinstance(found, BadLine):
            raise DataError(f"{found.place}: {found.reason}", hint="pst data check names them all")
        yield from found.texts().values()


def _table(path: Path) -> Iterator[str]:
    """The columns that hold text, where the first line names some; all columns where not."""
    rows = (line.split("\t") for line in _lines(path))
    first = next(rows, [])
    named = [place for place, name in enumerate(first) if name in COLUMNS]
    if not named:
        yield from _cells(first)
    for row in rows:
        yield from _cells([row[place] for place in named if place < len(row)] if named else row)


def _cells(cells: Sequence[str]) -> Iterator[str]:
    for cell in cells:
        yield from cell.split(ALTERNATIVES)
