"""What can be told of a text without knowing its language: script, size, sameness."""

from __future__ import annotations

import re

HAN = re.compile("[㐀-䶿一-鿿豈-\ufaff\U00020000-\U0003ffff]")
LATIN = re.compile("[A-Za-zªºÀ-ÖØ-öø-ɏḀ-ỿＡ-Ｚａ-ｚ]")
LETTER = re.compile(r"[^\W\d_]")
NO_WORD = re.compile(r"[\W_]+")

HAN_WEIGHT = 3  # letters; about what a Chinese character says in the five other languages
LOAN = 8  # Latin letters; fewer may be all of a Chinese text ("OK", "DVD", "iPhone")


def wrong_script(language: str, text: str) -> str | None:
    """Why `text` cannot be in `language`, or None."""
    letters, latin = len(LETTER.findall(text)), len(LATIN.findall(text))
    if language == "zh":
        foreign = letters >= LOAN and not HAN.search(text)
        return "no Chinese character" if foreign else None
    others = letters - latin
    return f"{others} of {letters} letters are not Latin" if others > latin else None


def size(text: str) -> int:
    """How much `text` says, in letters."""
    stripped = text.strip()
    return len(stripped) + (HAN_WEIGHT - 1) * len(HAN.findall(stripped))


def normalised(text: str) -> str:
    """The same for texts that differ in case, spaces or punctuation alone."""
    return NO_WORD.sub("", text.casefold())
