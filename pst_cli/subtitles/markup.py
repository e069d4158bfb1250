"""Tells what of a cue's text is seen, and breaks its lines anew around the markup."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.subtitles.text import clean, is_chinese

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Markup:
    """How a format marks up text: `hidden` is not seen, `spelled` stands for another character."""

    hidden: str
    spelled: str = r"(?!)"
    line_break: str = "\n"


SUBRIP = Markup(r"(?i:</?(?:b|i|u|s|font)(?:[ =][^<>]*)?/?>)|\{\\[^{}]*\}")
WEBVTT = Markup(r"</?[^<>]*>", r"&(?:\w+|#\d+|#[xX][0-9a-fA-F]+);")
SUBSTATION = Markup(r"\{[^}]*\}\u2060?", r"\\[Nnh{}]|\\\u2060", "\\N")
PLAIN = Markup(r"(?!)")
_SPELLED = {"\\N": "\n", "\\n": "\n", "\\h": "\u00a0", "\\{": "{", "\\}": "}", "\\\u2060": "\\"}

_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_SHOWN = re.compile(r"(\s*)(\S)")
_TURN = re.compile(r"[-‐–—]")  # what a speaker's line begins with where two share a cue
_HANGUL = range(0xAC00, 0xD7A4)  # as wide as Chinese, but written with spaces


def seen(raw: str, markup: Markup) -> tuple[str, ...]:
    """The lines that a viewer sees, none blank."""
    text = "".join(shown for _, shown in _tokens(raw, markup))
    return tuple(filter(None, map(clean, text.split("\n"))))


def is_marked(raw: str, markup: Markup) -> bool:
    """Whether there is anything in `raw` that is not seen."""
    return any(not shown for _, shown in _tokens(raw, markup))


def turns(lines: Sequence[str]) -> list[str]:
    """The text of each speaker; all of it where no line after the first begins with a dash."""
    found: list[str] = []
    for line in lines:
        if found and not _TURN.match(line):
            found[-1] += _between(found[-1][-1], line[0]) + line
        else:
            found.append(line)
    return found


def relay(raw: str, markup: Markup, blocks: Iterable[Sequence[str]]) -> list[str]:
    """`raw` with its lines broken as in `blocks`, which hold its words; one text for each block.

    Markup keeps its place between the characters.
    """
    expected = _shown(blocks)
    space, character = next(expected, ("", ""))
    parts: list[list[str]] = [[]]
    gap: int | None = None  # where blanks stood in the last part
    for spelling, shown in _tokens(raw, markup):
        if shown and _BLANK.match(shown):
            gap = len(parts[-1]) if gap is None else gap
            continue
        if shown and shown == character:
            if space is None:
                parts.append([])
            elif space:
                place = len(parts[-1]) if gap is None else gap
                parts[-1].insert(place, space.replace("\n", markup.line_break))
            space, character = next(expected, ("", ""))
            gap = None
        parts[-1].append(spelling)
    return ["".join(part) for part in parts]


def _tokens(raw: str, markup: Markup) -> Iterator[tuple[str, str]]:
    """Each piece of `raw` with what is seen of it: "" for markup, else one character."""
    pattern = f"(?P<spelled>{markup.spelled})|(?P<hidden>{markup.hidden})|."
    for found in re.finditer(pattern, raw, re.DOTALL):
        if found["hidden"]:
            yield found[0], ""
            continue
        shown = _SPELLED.get(found[0]) or html.unescape(found[0]) if found["spelled"] else found[0]
        if len(shown) == 1:
            yield found[0], shown
        else:
            yield from ((character, character) for character in found[0])


def _shown(blocks: Iterable[Sequence[str]]) -> Iterator[tuple[str | None, str]]:
    """Each visible character after what stands before it; None where a further block begins."""
    space: str | None = ""
    for lines in blocks:
        for found in _SHOWN.finditer("\n".join(lines)):
            yield found[1] if space == "" else space, found[2]
            space = ""
        space = None


def _between(left: str, right: str) -> str:
    """What a line break stood for: nothing in Chinese, else a space."""
    chinese = all(is_chinese(c) and ord(c) not in _HANGUL for c in (left, right))
    return "" if chinese else " "
