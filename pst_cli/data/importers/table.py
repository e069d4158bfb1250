"""Tab-separated text as corpora have it: a row is a line, a quotation mark is a letter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pst_cli.console import display
from pst_cli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

ESCAPED = re.compile(r"\\(.)")


class Row(NamedTuple):
    """One line by column; cells that a short line lacks are empty."""

    place: str  # "train.tsv:17"
    cells: Mapping[str, str]


def headed(path: Path, needed: Sequence[str]) -> Iterator[Row]:
    """The rows of a table whose first line names its columns.

    Raises:
        DataError: it cannot be read, or has not all of the columns `needed`.
    """
    lines = _lines(path)
    _, header = next(lines, ("", []))
    lacking = [name for name in needed if name not in header]
    if lacking:
        raise DataError(
            f"{display(path)} has no column {lacking[0]!r}",
            hint=f"its first line names: {', '.join(map(display, header)) or 'nothing'}",
        )
    for place, cells in lines:
        yield Row(place, dict.fromkeys(header, "") | dict(zip(header, cells, strict=False)))


def bare(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a table without a header; DataError as well where a row is too short."""
    for place, cells in _lines(path):
        if len(cells) < len(columns):
            hint = f"a line has {', '.join(columns)}"
            raise DataError(f"{place}: {len(cells)} columns, not {len(columns)}", hint=hint)
        yield Row(place, dict(zip(columns, cells, strict=False)))


def unquoted(text: str) -> str:
    """`text` without the marks that a spreadsheet's CSV puts around it, its own undoubled."""
    inner = text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return text


def unescaped(text: str) -> str:
    """`text` without the backslashes that pandas puts before marks where it may not quote."""
    return ESCAPED.sub(r"\1", text)


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each line that is not blank as (place, cells)."""
    name = display(path)
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{name}:{number}", [cell.strip() for cell in line.split("\t")]
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        hint = f"iconv -f latin1 -t utf-8 {name}"
        raise DataError(f"{name} is not UTF-8 text", hint=hint) from error
