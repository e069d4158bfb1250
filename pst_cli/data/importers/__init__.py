"""Corpora as they lie on disk, read into utterances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.data.importers import commonvoice, covost2, fleurs, tsv
from pst_cli.errors import DataError, UsageError
from pst_cli.paths import is_file, is_there

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from pst_cli.data.manifest import Utterance

    Importer: TypeAlias = Callable[[Path, str | None, Collection[str]], Iterator[Utterance]]
    """Reads (source, split or None for its usual one, languages or none for all)."""

LAYOUTS: Mapping[str, Importer] = {
    "covost2": covost2.read,
    "fleurs": fleurs.read,
    "commonvoice": commonvoice.read,
    "tsv": tsv.read,
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What was found, and how many utterances were left out as their sound is not there."""

    utterances: list[Utterance]
    missing: int


def import_corpus(
    layout: str, source: Path, split: str | None = None, languages: Collection[str] = ()
) -> Imported:
    """Read the corpus at `source`, spoken in `languages` (any, if none is named).

    Raises:
        UsageError: `source` does not exist.
        DataError: it is not laid out so, or none of its sound is there.
    """
    name = display(source)
    if not is_there(source):
        raise UsageError(f"{name} does not exist", hint=f"ls {display(source.parent)}")
    found, missing, lost = [], 0, ""
    for utterance in LAYOUTS[layout](source, split, languages):
        if utterance.audio is None or is_file(utterance.audio):
            found.append(utterance)
        else:
            missing, lost = missing + 1, display(utterance.audio)
    if not found and missing:
        hint = "unpack the sound where the corpus has it, then import again"
        raise DataError(f"{name}: none of {missing} sounds is there, not even {lost}", hint=hint)
    if not found:
        raise DataError(
            f"{name} holds no utterance that was asked for",
            hint="name another --split, or other languages with --language",
        )
    return Imported(found, missing)
