"""House styles: what a cue may hold and how long it may stand, by the language of its text."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pst_cli.errors import UsageError

FRAME = 1000 / 24  # ms; the frame rate that Netflix's timing is told in


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What one cue may hold and how long it may stand; times are whole milliseconds."""

    name: str
    columns: int = 42  # of display width in a line; a Chinese character takes two
    lines: int = 2
    speed: float = math.inf  # characters a second that can be read; spaces count, breaks do not
    wide: bool = False  # whether characters are full-width ones, and narrow ones count half
    shortest: int = 1
    longest: float = math.inf
    gap: int = 0  # between two cues, at least
    chain: int = 0  # a gap below this is closed to `gap`
    linger: float = math.inf  # how long text may stand after the voice, to be read
    delay: int = 0  # how far behind its voice a cue may begin, where the one before is still read
    join: int = 0  # a silence up to this may stand inside a cue; at 0 every segment stands alone

    def __post_init__(self) -> None:
        if self.columns < 2 or self.lines < 1:
            raise UsageError(
                f"a cue cannot be {self.columns} columns wide and {self.lines} lines high"
            )


_DELAY = 800  # ms; our own choice: a viewer forgives text that comes so late, not text cut short
_JOIN = 500  # ms; a longer silence is heard as a pause

NETFLIX = Style(
    name="netflix",
    speed=17,
    shortest=math.ceil(20 * FRAME),  # 5/6 s
    longest=7000,
    gap=math.ceil(2 * FRAME),
    chain=500,  # half a second, 12 frames
    linger=2000,  # Netflix asks for 500; but text that cannot be read in time is the worse fault
    delay=584,  # 14 frames; longer delays would tempt to cut where it reads worse
    join=_JOIN,
)
BBC = Style(
    name="bbc",
    columns=37,
    speed=15,
    shortest=1000,
    longest=7000,
    linger=1500,
    delay=_DELAY,
    join=_JOIN,
)
TED = Style(name="ted", speed=21, shortest=1000, longest=7000, delay=_DELAY, join=_JOIN)
PLAIN = Style(name="plain")
STYLES = {style.name: style for style in (NETFLIX, BBC, TED, PLAIN)}

_CHINESE_COLUMNS = 2 * 16  # Netflix: 16 characters, each two columns wide
_CHINESE_SPEED = 9.0  # Netflix: characters a second
_ENGLISH_SPEED = 20.0  # Netflix: adults, in English alone


def style_for(name: str, language: str) -> Style:
    """The style called `name` for text in `language`; UsageError for a name that there is not."""
    if name not in STYLES:
        raise UsageError(f"no style called {name}", hint=f"one of {', '.join(STYLES)}")
    style = STYLES[name]
    if language == "zh":
        speed = min(style.speed, _CHINESE_SPEED) if math.isfinite(style.speed) else style.speed
        return replace(style, columns=_CHINESE_COLUMNS, speed=speed, wide=True)
    if style is NETFLIX and language == "en":
        return replace(style, speed=_ENGLISH_SPEED)
    return style
