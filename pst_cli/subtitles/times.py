"""Subtitle time: whole milliseconds since the file began."""

from __future__ import annotations

import math


def milliseconds(seconds: float) -> int:
    """`seconds` to the nearest millisecond; ValueError if negative, infinite or not a number."""
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"a subtitle cannot stand at {seconds} s")
    return round(seconds * 1000)


def clock(moment: int, point: str) -> str:
    """`moment` in ms as `HH:MM:SS` + `point` + `mmm`; hours grow beyond 99 rather than wrap.

    ValueError if it is negative or not a number.
    """
    if not moment >= 0:  # so written, a NaN that slipped past the types is refused too
        raise ValueError(f"a subtitle cannot stand at {moment} ms")
    rest, fraction = divmod(moment, 1000)
    rest, seconds = divmod(rest, 60)
    hours, minutes = divmod(rest, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{fraction:03d}"
