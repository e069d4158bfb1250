"""A plain table: the header names audio, language, text, and a language code for translations.

Further columns that are understood: start, end, duration (seconds), speaker, split. Sound is named
relative to the table; a row without it is text alone. Where there is no column for it, the language
is the one that was asked for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pst_cli.data.importers.table import headed
from pst_cli.data.manifest import BadLine, parse_record
from pst_cli.errors import DataError
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pst_cli.data.manifest import Utterance

WORDS = ("audio", "language", "text", "speaker")
TIMES = ("start", "end", "duration")


def read(source: Path, split: str | None, languages: Collection[str]) -> Iterator[Utterance]:
    """Utterances of a table; `split` keeps those whose column `split` says so."""
    folder = Path(os.path.abspath(source.parent))  # noqa: PTH100, as links are kept
    only = next(iter(languages)) if len(languages) == 1 else None
    needed = ("audio", "text", *(() if only else ("language",)), *(("split",) if split else ()))
    for row in headed(source, needed):
        if split and row.cells["split"] != split:
            continue
        utterance = parse_record(_record(row.cells, only), folder, row.place)
        if isinstance(utterance, BadLine):
            hint = "mend the line, or leave it out of the table"
            raise DataError(f"{utterance.place}: {utterance.reason}", hint=hint)
        if not languages or utterance.language in languages:
            yield utterance


def _record(cells: Mapping[str, str], language: str | None) -> dict[str, Any]:
    """What a line of a manifest would say; an empty cell says nothing."""
    told = {key: cells[key] for key in WORDS if cells.get(key)}
    times = {key: _number(cells[key]) for key in TIMES if cells.get(key)}
    translations = {code: cells[code] for code in LANGUAGES if cells.get(code)}
    own = told.get("language", language)
    return told | times | {"language": own, "translations": translations}


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell  # refused with its name by whoever reads the record
