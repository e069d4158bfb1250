"""What things are called, in many languages: single words, which sentences have too few of."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from pst_cli.console import display
from pst_cli.corpus.packages import LOCALES, SOURCE, matching, missing
from pst_cli.errors import DataError
from pst_cli.types import LANGUAGES, SENTENCE_ENDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PICTURES = (range(0x1F300, 0x1F700), range(0x1F900, 0x1FB00))  # the others are arrows, letters, ...


def read_stamps(pattern: Path, package: str = "") -> Iterator[dict[str, str]]:
    """What the pictures of Tux Paint show, in each language that it is said in.

    pattern: a path with wildcards, to texts: a line of English, and others as LOCALE.utf8=TEXT.
    package: of Debian, that has them, if one does.

    Raises:
        DataError: there are none, or one cannot be read.
    """
    paths = matching(pattern)
    if not paths:
        raise missing("stamps", pattern, package)
    for path in paths:
        try:
            source, *others = path.read_text("utf-8").splitlines() or [""]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{display(path)} cannot be read as a stamp: {error}") from error
        said = {SOURCE: source}
        for line in others:
            name, _, text = line.partition(".utf8=")
            if code := LOCALES.get(name):
                said[code] = text
        yield _sentences(said)


def read_annotations(pattern: Path, package: str = "") -> Iterator[dict[str, str]]:
    """What pictographs (emoji) are called in each language, by Unicode's CLDR.

    pattern: a path with wildcards, LANGUAGE.xml in the end, in the form of LDML (UTS 35, part 7).
    package: of Debian, that has them, if one does.

    Raises:
        DataError: there are none, or one cannot be read.
    """
    names: dict[str, dict[str, str]] = defaultdict(dict)
    for path in matching(pattern):
        if path.stem in LANGUAGES:
            try:
                root = ElementTree.parse(path).getroot()
            except (OSError, ElementTree.ParseError) as error:
                raise DataError(f"{display(path)} cannot be read as LDML: {error}") from error
            for one in root.iterfind(".//annotation[@type='tts']"):
                picture = one.get("cp", "")
                if any(ord(first) in some for first in picture[:1] for some in PICTURES):
                    names[picture][path.stem] = one.text or ""
    if not names:
        raise missing("annotations", pattern, package)
    yield from map(_sentences, names.values())


def _sentences(names: dict[str, str]) -> dict[str, str]:
    """Names as sentences of one word or a few, which is how a transcript has them."""
    return {code: _sentence(code, name.strip()) for code, name in names.items() if name.strip()}


def _sentence(language: str, name: str) -> str:
    stop = "" if name[-1] in SENTENCE_ENDS else "。" if language == "zh" else "."
    return name[0].upper() + name[1:] + stop
