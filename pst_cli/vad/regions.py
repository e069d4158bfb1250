"""Stretches of speech, found in a stream of probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pst_cli.types import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pst_cli.vad.options import VadOptions

LATER_PART = 1 / 3  # of the longest region: where a region without a pause may be cut


class Region(NamedTuple):
    """Where a voice was heard; samples from the start of the file."""

    start: int
    end: int


class RegionFinder:
    """Silero's own hysteresis (`get_speech_timestamps`), one probability at a time.

    A region begins at a chunk of at least `threshold` and ends where the probability fell
    below `release` and did not come back to `threshold` for `min_silence`.
    """

    def __init__(self, options: VadOptions, chunk: int) -> None:
        self._options = options
        self._chunk = chunk  # samples a probability speaks for
        self._min_speech = options.min_speech * SAMPLE_RATE
        self._min_silence = options.min_silence * SAMPLE_RATE
        self._longest = int((options.max_seconds - 2 * options.pad) * SAMPLE_RATE) // chunk * chunk
        self._now = 0  # start of the next chunk
        self._start: int | None = None  # of the open region
        self._quiet: int | None = None  # where the open region may turn out to have ended
        self._heard: list[float] = []  # the open region's probabilities

    @property
    def horizon(self) -> int:
        """No region still to come starts before this sample."""
        return self._now if self._start is None else self._start

    def feed(self, probabilities: Iterable[float]) -> Iterator[Region]:
        for probability in probabilities:
            yield from self._step(probability)

    def finish(self, total: int) -> Iterator[Region]:
        """The region that is open where the file ends, at sample `total`."""
        if self._start is not None:
            yield from self._close(min(total, self._now))

    def _step(self, probability: float) -> Iterator[Region]:
        if self._start is None:
            if probability >= self._options.threshold:
                self._open(self._now)
        elif self._now + self._chunk - self._start > self._longest:
            yield self._cut(self._start)
        if self._start is not None:
            self._heard.append(probability)
            yield from self._listen_for_quiet(probability)
        self._now += self._chunk

    def _listen_for_quiet(self, probability: float) -> Iterator[Region]:
        if probability >= self._options.threshold:
            self._quiet = None
        elif probability < self._options.release:
            if self._quiet is None:
                self._quiet = self._now
            if self._now - self._quiet >= self._min_silence:
                yield from self._close(self._quiet)

    def _open(self, start: int) -> None:
        self._start, self._quiet, self._heard = start, None, []

    def _close(self, end: int) -> Iterator[Region]:
        if self._start is not None and end - self._start > self._min_speech:
            yield Region(self._start, end)
        self._start = self._quiet = None

    def _cut(self, start: int) -> Region:
        """End the open region in its least speech-like chunk, and open the next one there."""
        earliest = int(len(self._heard) * (1 - LATER_PART))
        least = min(range(earliest, len(self._heard)), key=lambda i: (self._heard[i], -i))
        middle = self._now - (len(self._heard) - least) * self._chunk + self._chunk // 2
        self._start = middle
        self._heard = self._heard[least:]
        return Region(start, middle)
