"""How long a cue must, may and will stand; all times in ms since the file began."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pst_cli.subtitles.styles import Style

_SECOND = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """A cue that begins at `start`, whose words are said by `voice`."""

    start: float
    voice: float
    characters: float
    style: Style

    @property
    def reading(self) -> int:
        """How long it takes to read."""
        return math.ceil(_SECOND * self.characters / self.style.speed)

    @property
    def latest(self) -> float:
        """When it ends at the latest, whatever follows."""
        voice = max(self.start, self.voice)
        return min(self.start + self.style.longest, voice + self.style.linger)

    @property
    def read(self) -> float:
        """When it has stood long enough, as far as it may."""
        return min(self.start + max(self.style.shortest, self.reading), self.latest)

    def end(self, following: float) -> float:
        """When it ends, if the next one begins at `following`; at least 1 ms after its start.

        A gap below `chain` is closed, or widened where that would make the cue too long.
        """
        limit = max(self.start + 1, following - self.style.gap)
        wanted = max(self.read, min(self.voice, self.latest), self.start + 1)
        if wanted >= limit:
            return limit
        if following - wanted >= self.style.chain:
            return wanted
        if limit <= self.start + self.style.longest:
            return limit
        apart = following - self.style.chain
        return apart if apart >= self.read else wanted

    def lack(self, following: float) -> tuple[float, float]:
        """What it lacks of the shortest time and of the time to read it, as shares of either."""
        lasts = self.end(following) - self.start
        shortest, reading = self.style.shortest, self.reading
        return max(0.0, 1 - lasts / shortest), max(0.0, 1 - lasts / reading) if reading else 0.0
