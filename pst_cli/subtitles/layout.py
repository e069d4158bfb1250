"""Lays a text out as cues by its length alone, whenever it is said."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pst_cli.subtitles.cutting import cut
from pst_cli.subtitles.spoken import spoken
from pst_cli.types import Segment

if TYPE_CHECKING:
    from pst_cli.subtitles.styles import Style


def layout(text: str, style: Style, language: str = "") -> list[tuple[str, ...]]:
    """The lines of each cue that `text` needs; words and their order never change.

    No line is wider than `style.columns`, save one that holds a single wider word. A language
    that is not known has its lines broken by punctuation and length.
    """
    timeless = replace(
        style, speed=math.inf, shortest=1, longest=math.inf, gap=0, chain=0, delay=0, join=0
    )
    run = spoken(Segment(0.0, 0.0, text), language, style.columns)
    return [shown.cue.lines for shown in cut(run, timeless, 0, math.inf)] if run else []
