"""Timestamps: from a row of tokens to stretches of text in time, and how much was consumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.types import TIMESTAMP_SECONDS, SpecialTokens

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Stretch:
    """Text tokens between two times, in seconds from the window's start."""

    start: float
    end: float
    tokens: tuple[int, ...]


def stretches(
    tokens: Sequence[int], special: SpecialTokens, seconds: float
) -> tuple[list[Stretch], float]:
    """Cut a row at its timestamp pairs; also how many seconds of the window it accounts for.

    `tokens` are what was emitted, the end token left out; `seconds` is the window's length. Text
    that the row leaves open (no closing timestamp) is accounted for up to the last pair only, so
    that the rest can be heard again in a window of its own (openai/whisper, transcribe.py) - unless
    nothing was closed at all: then it is all of the window.
    """
    found: list[Stretch] = []
    opened: float | None = None
    text: list[int] = []
    for token in tokens:
        if token < special.timestamp_begin:
            text.append(token)
            continue
        time = (token - special.timestamp_begin) * TIMESTAMP_SECONDS
        if opened is not None and text:
            found.append(Stretch(opened, time, tuple(text)))
            text = []
        opened = time
    if text and not found:
        found.append(Stretch(opened or 0.0, seconds, tuple(text)))
        return found, seconds
    closed_twice = len(tokens) > 1 and min(tokens[-2:]) >= special.timestamp_begin
    if text or closed_twice:
        return found, found[-1].end if found else seconds
    return found, seconds


def left_open(tokens: Sequence[int], special: SpecialTokens) -> tuple[int, ...]:
    """The text at the end of a row that no timestamp closes."""
    first = len(tokens)
    while first and tokens[first - 1] < special.timestamp_begin:
        first -= 1
    return tuple(tokens[first:])
