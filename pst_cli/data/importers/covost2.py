"""CoVoST 2: translations of Common Voice sentences, the sound lying in a Common Voice release.

Relied on: tables `covost_v2.<source>_<target>.tsv` as downloaded (path, translation, split), to be
joined by path with Common Voice's own `validated.tsv` (path, sentence, client_id); or
`covost_v2.<source>_<target>.<split>.tsv` (path, sentence, translation, client_id), which the script
of the corpus, get_covost_splits.py, makes of both. Both are written by pandas without quotation,
marks escaped by a backslash; train is "train" and "train_covost"; a translation that has the word
REMOVE was rejected. Chinese is zh-CN. Tables lie beside the clips, in the folder above, or in one
of their own.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pst_cli.console import display
from pst_cli.data.importers.commonvoice import LOCALES, clip_name, durations
from pst_cli.data.importers.table import headed, unescaped, unquoted
from pst_cli.data.manifest import Utterance
from pst_cli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

TABLE = re.compile(r"covost_v2\.([\w-]+)_([\w-]+?)(?:\.(\w+))?\.tsv")
SPLIT = "train"
REJECTED = "REMOVE"


class Table(NamedTuple):
    """One direction's table; `split` is None where it holds them all."""

    path: Path
    locale: str  # spoken
    target: str
    split: str | None


@dataclass(slots=True)
class Clip:
    """What all tables together say of one clip."""

    sentence: str
    speaker: str
    place: str
    translations: dict[str, str] = field(default_factory=dict)


def read(source: Path, split: str | None, languages: Collection[str]) -> Iterator[Utterance]:
    """Utterances with the translations of all tables below `source`; speech is one of them."""
    wanted = split or SPLIT
    tables = _tables(source, wanted)
    if not tables:
        hint = "put covost_v2.<source>_<target>.tsv there, as downloaded and unpacked"
        raise DataError(f"{display(source)} holds no CoVoST 2 table for {wanted}", hint=hint)
    for locale in dict.fromkeys(table.locale for table in tables):
        if not languages or LOCALES[locale] in languages:
            mine = [table for table in tables if table.locale == locale]
            yield from _language(source, mine, wanted)


def _tables(source: Path, split: str) -> list[Table]:
    """One table a direction: made for the split, else the one that holds all."""
    found: dict[tuple[str, str], Table] = {}
    for path in sorted([*source.glob("covost_v2.*.tsv"), *source.glob("*/covost_v2.*.tsv")]):
        match = TABLE.fullmatch(path.name)
        if not match or match[1] not in LOCALES or match[2] not in LOCALES:
            continue
        table = Table(path, match[1], LOCALES[match[2]], match[3])
        if table.split == split or (table.split is None and match.group(1, 2) not in found):
            found[match[1], match[2]] = table
    return list(found.values())


def _language(source: Path, tables: list[Table], split: str) -> Iterator[Utterance]:
    folder = _release(source, tables[0])
    seconds = durations(folder)
    found: dict[str, Clip] = {}
    spoken: dict[str, Clip] = {}
    for table in tables:
        if table.split is None and not spoken:
            spoken = _sentences(folder / "validated.tsv")
        _translations(table, split, spoken, found)
    clips = Path(os.path.abspath(folder / "clips"))  # noqa: PTH100, as links are kept
    for name, clip in found.items():
        yield Utterance(
            audio=clips / name,
            language=LOCALES[tables[0].locale],
            text=clip.sentence,
            translations=clip.translations,
            duration=seconds.get(name),
            speaker=clip.speaker or None,
            place=clip.place,
        )


def _release(source: Path, table: Table) -> Path:
    """The folder of a language in the Common Voice release."""
    near = table.path.parent
    places = [near, near / table.locale, source / table.locale, source]
    for folder in places:
        if (folder / "clips").is_dir():
            return folder
    raise DataError(
        f"{display(source)} holds no folder of clips in {table.locale}",
        hint=f"unpack Common Voice so that its sound lies in {display(places[2] / 'clips')}",
    )


def _sentences(path: Path) -> dict[str, Clip]:
    """What Common Voice says of each clip."""
    return {
        clip_name(row.cells["path"]): _clip(row.cells, row.place)
        for row in headed(path, ("client_id", "path", "sentence"))
    }


def _clip(cells: Mapping[str, str], place: str) -> Clip:
    return Clip(unquoted(unescaped(cells["sentence"])), cells["client_id"], place)


def _translations(
    table: Table, split: str, spoken: Mapping[str, Clip], found: dict[str, Clip]
) -> None:
    """Add to `found` what one table says of the clips of a split."""
    whole = table.split is None
    needed = ("split",) if whole else ("sentence", "client_id")
    for row in headed(table.path, ("path", "translation", *needed)):
        name = clip_name(row.cells["path"])
        if whole and (row.cells["split"].removesuffix("_covost") != split or name not in spoken):
            continue
        clip = found.setdefault(name, spoken[name] if whole else _clip(row.cells, row.place))
        text = unquoted(unescaped(row.cells["translation"]))
        if text and REJECTED not in text:
            clip.translations[table.target] = text
