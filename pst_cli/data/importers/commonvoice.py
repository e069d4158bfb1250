"""Mozilla Common Voice: a folder a language, with tables of sentences and a folder of clips.

Relied on, as releases 1 to 21 have it: `<locale>/{train,dev,test,validated,...}.tsv` with a header
that has client_id, path, sentence, and from release 2 on `locale`; sound in `<locale>/clips/`, MP3;
from release 14 on `clip_durations.tsv` with the clip and its milliseconds. A sentence may carry
the quotation marks of CSV.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.data.importers.table import headed, unquoted
from pst_cli.data.manifest import Utterance
from pst_cli.errors import DataError
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LOCALES = {code: code for code in LANGUAGES} | {"zh-CN": "zh"}
SPLIT = "train"


def read(source: Path, split: str | None, languages: Collection[str]) -> Iterator[Utterance]:
    """Utterances of a release, or of one language's folder in it; the split is a table's name."""
    table = f"{split or SPLIT}.tsv"
    folders = [source] if (source / "clips").is_dir() else sorted(source.glob("*"))
    tables = {
        folder / table: LOCALES[folder.resolve().name]
        for folder in folders
        if folder.resolve().name in LOCALES and (folder / table).is_file()
    }
    if not tables:
        known = ", ".join(LOCALES)
        raise DataError(
            f"{display(source)} holds no {table} in a folder of a language pst knows",
            hint=f"name the folder above that of the language, which is one of {known}",
        )
    for path, language in tables.items():
        if not languages or language in languages:
            yield from _table(path, language)


def _table(path: Path, language: str) -> Iterator[Utterance]:
    clips = Path(os.path.abspath(path.parent / "clips"))  # noqa: PTH100, as links are kept
    seconds = durations(path.parent)
    for row in headed(path, ("client_id", "path", "sentence")):
        name = clip_name(row.cells["path"])
        yield Utterance(
            audio=clips / name,
            language=language,
            text=unquoted(row.cells["sentence"]),
            translations={},
            duration=seconds.get(name),
            speaker=row.cells["client_id"] or None,
            place=row.place,
        )


def clip_name(path: str) -> str:
    """The file of a clip: the first releases left the suffix out."""
    return path if Path(path).suffix else f"{path}.mp3"


def durations(folder: Path) -> dict[str, float]:
    """Seconds by clip, where the release tells them."""
    path = folder / "clip_durations.tsv"
    if not path.is_file():
        return {}
    found = {}
    for row in headed(path, ("clip",)):
        *_, milliseconds = row.cells.values()
        if milliseconds.isdecimal():
            found[row.cells["clip"]] = int(milliseconds) / 1000
    return found
