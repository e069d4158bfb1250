"""Whether a text is in the language asked for: told by its script, else by py3langid."""

from __future__ import annotations

import re
from functools import cache
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pst_cli.types import LANGUAGES, UNSPACED

if TYPE_CHECKING:
    from collections.abc import Iterable

# Letters; below, one text in 15 is taken for another language, from there on one in 440 (of 15,000
# sentences of Tatoeba; py3langid 0.4 did better on them than lingua 2.1 and lid.176.ftz).
FEWEST = 12
HAN = re.compile("[\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# Letters of a sentence that `strays` asks about: of 1,309 pages of African Storybook in the six
# languages seven have one of 12 letters or more that is taken for another's, and none one of 20.
LONG = 20
LONG_HAN = 6  # Han characters that say about as much
SENTENCES = re.compile(  # what lies between two; a closing quotation mark belongs to the first
    r"(?<=[.!?…])\s+(?![»”])|(?<=[.!?…][\"“”’»])\s+|(?<=[.!?…]\s[»”])\s+"
    r"|(?<=[。！？])(?![。！？”’」]|$)|(?<=[。！？][”’」])(?!$)"
)
LATIN = re.compile("[A-Za-zªºÀ-ÖØ-öø-ɏḀ-ỿ]+")
ALPHABETIC = tuple(code for code in LANGUAGES if code != "zh")


def joined(texts: Iterable[str], language: str) -> str:
    """Texts that follow one another, as one."""
    return ("" if language in UNSPACED else " ").join(texts)


def share_in(texts: Iterable[str], language: str) -> float | None:
    """The share of `texts` in `language`, of those that can be told; None where none can."""
    told = [found for text in texts if (found := is_in(text, language)) is not None]
    return fmean(told) if told else None


def is_in(text: str, language: str) -> bool | None:
    """Whether `text` is in `language`, one of the six; None where it is too short to tell.

    Script needs a single letter: a text is Chinese where Han characters are half of all signs or
    more, a word in Latin letters being one sign, so that a name does no harm. Latin letters need
    `FEWEST`, and are then the likeliest of the other five languages.
    """
    words = LATIN.findall(text)
    han, latin = len(HAN.findall(text)), sum(map(len, words))
    strange = sum(map(str.isalpha, text)) - han - latin  # kana and Cyrillic, for instance
    if not text or han + latin + strange <= 0:
        return None
    if language == "zh" or han >= len(words) + strange:
        return language == "zh" and han >= len(words) + strange
    if latin <= strange:
        return False
    return None if latin < FEWEST else _likeliest(text) == language


def strays(text: str, language: str) -> bool:
    """Whether a whole sentence of `text` is in another language than `language`, one of the six.

    Short ones are not told: names, and what people shout, would be taken for anything.
    """
    return any(
        _is_long(sentence) and is_in(sentence, language) is False
        for sentence in SENTENCES.split(text)
    )


def signature() -> str:
    """How the share is made, in the manner of sacreBLEU's signatures."""
    from importlib.metadata import version

    return f"zh:han|least:{FEWEST} letters|version:py3langid-{version('py3langid')}"


def _is_long(sentence: str) -> bool:
    letters = sum(map(str.isalpha, sentence))
    return letters >= LONG or len(HAN.findall(sentence)) >= LONG_HAN


def _likeliest(text: str) -> str:
    return str(_identifier().classify(text)[0])


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_model_file(MODEL_FILE)
    found.set_languages(ALPHABETIC)
    return found
