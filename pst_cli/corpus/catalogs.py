"""Message catalogs of translated programs (gettext's .mo), read as sets of sentences.

Games tell stories in many languages, one message in each catalog of a program at a time.
"""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from gettext import GNUTranslations
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.corpus.packages import LOCALES, SOURCE, matching, missing
from pst_cli.errors import DataError
from pst_cli.language import SENTENCES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CONTEXT = "\4"  # parts a message from what tells it from another; see gettext's manual
CODE = re.compile(r"[<>$%{}\[\]|=@#_*\\]")  # markup, variables, keys: not what anybody says
WORDS = 3  # of a message; below, it is a label
ODD = 2.0  # a sentence that is so much longer than its message lets expect says something else


def read_catalogs(pattern: Path, package: str = "") -> Iterator[dict[str, str]]:
    """The sentences of all catalogs that `pattern` finds, with their translations.

    pattern: a path with wildcards, LOCALE/LC_MESSAGES/DOMAIN.mo in the end.
    package: of Debian, that has them, if one does.

    A message goes sentence by sentence, into each language that has as many of them as English.

    Raises:
        DataError: nothing is found, or it is no catalog.
    """
    messages: dict[str, dict[str, str]] = defaultdict(dict)
    for path in matching(pattern):
        if code := LOCALES.get(path.parent.parent.name):
            for message, translation in _catalog(path).items():
                messages[message].setdefault(code, translation)
    if not messages:
        raise missing("message catalogs", pattern, package)
    for message, translations in messages.items():
        yield from _sentences(message, translations)


def _catalog(path: Path) -> dict[str, str]:
    """What is said in a catalog, by what it is said for; plurals left out."""
    try:
        with path.open("rb") as file:
            entries: Mapping[object, str] = vars(GNUTranslations(file))["_catalog"]
    except (OSError, ValueError, LookupError, struct.error) as error:
        raise DataError(f"{display(path)} cannot be read as a message catalog: {error}") from error
    return {
        plain: said
        for message, translation in entries.items()
        if isinstance(message, str) and (plain := _plain(message)) and (said := _plain(translation))
    }


def _plain(message: str) -> str:
    """A message as it is read aloud, on one line; nothing where it is no plain text."""
    text = " ".join(message.rpartition(CONTEXT)[2].split())
    return "" if CODE.search(text) else text


def _sentences(message: str, translations: Mapping[str, str]) -> Iterator[dict[str, str]]:
    if len(message.split()) < WORDS:
        return
    said = SENTENCES.split(message)
    parts = [{SOURCE: one} for one in said]
    for code, text in translations.items():
        if text != message and len(others := SENTENCES.split(text)) == len(said):
            scale = len(text) / len(message)
            for part, one, other in zip(parts, said, others, strict=True):
                if 1 / ODD < len(other) / len(one) / scale < ODD:
                    part[code] = other
    yield from parts
