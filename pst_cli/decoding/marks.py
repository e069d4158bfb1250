"""Marks: when the words of a segment are spoken, by their places in its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from unicodedata import category, east_asian_width

Span = tuple[float, float]
Text = Callable[[Sequence[int]], str]

DIGITS = 3  # of seconds; frames are 20 ms
UNFINISHED = "\ufffd"  # what the first bytes of a character are decoded to
NEVER_FIRST = frozenset({"Pe", "Pf", "Po", "Pd", "Lm", "Mn", "Me", "Cf"})
NEVER_LAST = frozenset({"Ps", "Pi", "Cf"})


def marks(
    tokens: Sequence[int], times: Sequence[float], text: Text, span: Span
) -> tuple[tuple[int, float], ...]:
    """Where words begin in the stripped text of `tokens`, and when: (characters, file seconds).

    `times` has one for each token, never falling; () where it has none. Places and times rise.
    A word from before `span` is said at its start. One without a token or a moment of its own has
    no mark, nor has one from the span's end on.
    """
    start, end = span
    found: list[tuple[int, float]] = []
    for place, time in _words(tokens, times, text):
        time = max(round(time, DIGITS), start)
        if time < end and (not found or time > found[-1][1]):
            found.append((place, time))
    return tuple(found)


def _words(
    tokens: Sequence[int], times: Sequence[float], text: Text
) -> Iterator[tuple[int, float]]:
    """Each word that begins in a run of tokens of its own, and that run's time."""
    runs = list(_characters(tokens, times, text)) if times else []
    said = "".join(run for run, _ in runs)
    place, lead = 0, len(said) - len(said.lstrip())
    for run, time in runs:
        begun = [index for index in range(place, place + len(run)) if _begins(said, index)]
        place += len(run)
        if begun:
            yield begun[0] - lead, time


def _characters(
    tokens: Sequence[int], times: Sequence[float], text: Text
) -> Iterator[tuple[str, float]]:
    """Runs of tokens that are whole characters, each with its first one's time."""
    first = 0
    for last in range(1, len(tokens) + 1):
        run = text(tokens[first:last])
        if last == len(tokens) or not run.endswith(UNFINISHED):
            yield run, times[first]
            first = last


def _begins(text: str, place: int) -> bool:
    """Whether a word begins at `place`: after a blank, or at a Chinese character."""
    left, right = text[place - 1 : place], text[place]
    if not left or left.isspace():
        return not right.isspace()
    if not (_is_cjk(left) or _is_cjk(right)):
        return False
    return not right.isspace() and _may_part(left, right)


def _may_part(left: str, right: str) -> bool:
    return category(left) not in NEVER_LAST and category(right) not in NEVER_FIRST


def _is_cjk(character: str) -> bool:
    """Ideographs, kana and full-width punctuation."""
    return east_asian_width(character) in "WF" and category(character)[0] in "LP"
