"""FLEURS: the same sentences read aloud in many languages, joined by their number.

Relied on: `<config>/{train,dev,test}.tsv` without a header, with the columns id, file name, raw
transcription, transcription (lower case, no punctuation), phonemes, samples at 16 kHz, gender; the
sound in `<config>/audio/<split>/`, or one level less where it was unpacked by hand. Several people
read one sentence. No speaker is named. A sentence is in the same split in all languages; one that
is not stays without that translation, so that no test text gets into training.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.data.importers.table import bare, unquoted
from pst_cli.data.manifest import Utterance
from pst_cli.errors import DataError
from pst_cli.types import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pst_cli.data.importers.table import Row

CONFIGS = {
    "en_us": "en",
    "cmn_hans_cn": "zh",
    "de_de": "de",
    "es_419": "es",
    "fr_fr": "fr",
    "it_it": "it",
}
COLUMNS = ("id", "file", "text", "plain", "phonemes", "samples", "gender")
SPLIT = "train"
SPLITS = {"validation": "dev"}  # the names that data sets hubs use: those of the files


def read(source: Path, split: str | None, languages: Collection[str]) -> Iterator[Utterance]:
    """Utterances of all languages there, each with the text of the others."""
    wanted = SPLITS.get(split or SPLIT, split or SPLIT)
    root = source / "data" if (source / "data").is_dir() else source
    tables = {
        language: path
        for config, language in CONFIGS.items()
        if (path := root / config / f"{wanted}.tsv").is_file()
    }
    if not tables:
        raise DataError(
            f"{display(source)} holds no {wanted}.tsv in a folder that FLEURS would have",
            hint=f"name the folder above one or more of {', '.join(CONFIGS)}",
        )
    rows = {language: list(bare(path, COLUMNS)) for language, path in tables.items()}
    texts = {
        language: {row.cells["id"]: unquoted(row.cells["text"]) for row in mine}
        for language, mine in rows.items()
    }
    for language, mine in rows.items():
        if not languages or language in languages:
            sound = _sound(tables[language].parent, wanted)
            for row in mine:
                yield _utterance(row, language, sound, texts)


def _sound(folder: Path, split: str) -> Path:
    places = [folder / "audio" / split, folder / split, folder / "audio"]
    found = next((place for place in places if place.is_dir()), places[0])
    return Path(os.path.abspath(found))  # noqa: PTH100, as links are kept


def _utterance(
    row: Row, language: str, sound: Path, texts: Mapping[str, Mapping[str, str]]
) -> Utterance:
    number, samples = row.cells["id"], row.cells["samples"]
    return Utterance(
        audio=sound / row.cells["file"],
        language=language,
        text=texts[language][number],
        translations={
            other: known[number]
            for other, known in texts.items()
            if other != language and number in known
        },
        duration=int(samples) / SAMPLE_RATE if samples.isdecimal() else None,
        place=row.place,
    )
