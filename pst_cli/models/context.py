"""How much sound a host is given at once: each window padded to 30 s, or at its own length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pst_cli.errors import ModelError
from pst_cli.models.adapter import CONFIG, read_json
from pst_cli.types import WINDOW_SECONDS, Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Context = Literal["own", "full"]
CONTEXTS: tuple[Context, ...] = ("own", "full")

TAIL = 0.2  # s of silence behind a window's sound at least, so that its last word is heard to end
# s; own lengths are rounded up to it. Windows of one length are encoded together, and with whole
# seconds they meet; half a second of silence more costs an 11 s clip a twentieth. Training rounds
# the states that it stores to whole seconds, too.
STEP = 1.0
# s; what a host that was taught 30 s alone is given at least: stock base loops on 1 s of sound
# padded to 2, and from 10 s on its error rates are those of 30 s or a point above.
LEAST = 10.0


def taught_context(path: Path) -> Context:
    """What the host in `path` was taught, as its config.json declares: "pst": {"context": "own"}.

    "full" where it says nothing, as Whisper itself; ModelError where it says something unknown.
    """
    declared: object = (read_json(path / CONFIG).get("pst") or {}).get("context", "full")
    for known in CONTEXTS:
        if declared == known:
            return known
    raise ModelError(f"{path} was made by another pst: its context is {declared}")


def padded_seconds(seconds: float, context: Context, taught: Context = "own") -> float:
    """What a window of `seconds` is padded to for a host that was `taught` this or that."""
    if context == "full":
        return WINDOW_SECONDS
    own = math.ceil((seconds + TAIL) / STEP) * STEP
    return min(own if taught == "own" else max(own, LEAST), WINDOW_SECONDS)


def padded_alike(
    windows: Sequence[Window], context: Context, taught: Context = "own"
) -> dict[float, list[int]]:
    """The windows that are padded to the same length, by index, under that length in seconds."""
    found: dict[float, list[int]] = {}
    for index, window in enumerate(windows):
        found.setdefault(padded_seconds(window.seconds, context, taught), []).append(index)
    return found
