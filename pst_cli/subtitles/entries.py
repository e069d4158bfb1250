"""What a subtitle file holds, so that it can be written again with nothing lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pst_cli.types import Cue


@dataclass(frozen=True, slots=True)
class Entry:
    """One cue as it is seen, and all that its file says of it besides."""

    cue: Cue  # times in ms, maybe wrong ones; lines without markup, none blank
    raw: str  # the text with its markup, lines apart as the format has it
    settings: str = ""  # what follows the times: a place on screen, a style
    layer: str = ""  # ASS: what comes before the times
    name: str = ""  # WebVTT: the line above the times
    notes: str = ""  # whole lines between the cue before and this one


@dataclass(frozen=True, slots=True)
class Body:
    """A file's cues, with what stands above the first and below the last."""

    head: str
    entries: tuple[Entry, ...]
    tail: str = ""
