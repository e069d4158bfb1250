"""Sound cut into windows of at most 30 s, at pauses wherever there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pst_cli.types import SAMPLE_RATE, WINDOW_SECONDS, Window
from pst_cli.vad.options import VadOptions
from pst_cli.vad.regions import Region, RegionFinder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pst_cli.types import Samples

BATCH_CHUNKS = 312  # chunks that the network hears at once; 10 s
WINDOW = int(WINDOW_SECONDS * SAMPLE_RATE)  # samples
FRAME = SAMPLE_RATE // 50  # samples; 20 ms, over which loudness is measured
QUIET_SEARCH = 5 * SAMPLE_RATE  # samples at a window's end among which the quietest is sought
FULL_ENOUGH = 2 / 3  # of a window: from here on, a longer pause is a better place to cut


def speech_windows(
    blocks: Iterable[Samples], options: VadOptions | None = None
) -> Iterator[Window]:
    """The stretches of `blocks` (16 kHz mono) in which somebody speaks, with their sound.

    Windows are at most `max_seconds` long, in order and without overlap; a window's samples
    are the contiguous original ones, its `speech` the regions as detected, without padding.
    The size of the blocks makes no difference. Memory holds about a window and two batches.
    """
    from pst_cli.vad.silero import CHUNK, Silero

    options = options or VadOptions()
    silero, finder, packer = Silero(), RegionFinder(options, CHUNK), _Packer(options)
    tape = _Tape()
    for batch in _batches(blocks, BATCH_CHUNKS * CHUNK):
        tape.append(batch)
        for region in finder.feed(silero.hear(batch)):
            yield from packer.add(region, tape)
        yield from packer.settle(finder.horizon, tape)
        tape.forget(packer.needed_from(finder.horizon))
    for region in finder.finish(tape.end):
        yield from packer.add(region, tape)
    yield from packer.finish(tape)


def whole_windows(blocks: Iterable[Samples]) -> Iterator[Window]:
    """All of `blocks`, in windows that end at the quietest 20 ms of their last 5 s."""
    tape = _Tape()
    for batch in _batches(blocks, WINDOW):
        tape.append(batch)
        while tape.end - tape.start > WINDOW:
            yield _cut_whole(tape, tape.start + _quietest(tape.read(tape.start, WINDOW)))
    if tape.end > tape.start:
        yield _cut_whole(tape, tape.end)


def _cut_whole(tape: _Tape, end: int) -> Window:
    window = _window(tape, tape.start, end, [Region(tape.start, end)])
    tape.forget(end)
    return window


def _quietest(samples: Samples) -> int:
    """The middle of the quietest frame near the end, as an index; the last among equals."""
    tail = samples[-QUIET_SEARCH:].reshape(-1, FRAME)
    energies = np.square(tail, dtype=np.float64).sum(axis=1)
    frame = len(energies) - 1 - int(np.argmin(energies[::-1]))
    return len(samples) - QUIET_SEARCH + frame * FRAME + FRAME // 2


def _window(tape: _Tape, start: int, end: int, regions: list[Region]) -> Window:
    speech = tuple((r.start / SAMPLE_RATE, r.end / SAMPLE_RATE) for r in regions)
    return Window(start / SAMPLE_RATE, tape.read(start, end - start), speech)


class _Packer:
    """Regions on their way into windows."""

    def __init__(self, options: VadOptions) -> None:
        self._pad = int(options.pad * SAMPLE_RATE)
        self._max_gap = int(options.max_gap * SAMPLE_RATE)
        self._longest = int(options.max_seconds * SAMPLE_RATE)
        self._regions: list[Region] = []  # what the window to come holds so far
        self._floor = 0  # end of the last window

    def add(self, region: Region, tape: _Tape) -> Iterator[Window]:
        """Take the next region, after the windows that can take no more."""
        yield from self.settle(region.start, tape)
        while self._regions and self._span(region.end) > self._longest:
            yield self._emit(self._best_cut(region), tape, region)
        self._regions.append(region)

    def settle(self, horizon: int, tape: _Tape) -> Iterator[Window]:
        """The open window, if whatever begins at `horizon` or later is too far away for it."""
        patience = max(self._max_gap, 2 * self._pad)
        if self._regions and horizon - self._regions[-1].end > patience:
            yield from self.finish(tape)

    def finish(self, tape: _Tape) -> Iterator[Window]:
        if self._regions:
            yield self._emit(len(self._regions), tape, None)

    def needed_from(self, horizon: int) -> int:
        """The first sample that a window to come may hold."""
        first = self._regions[0].start if self._regions else horizon
        return max(self._floor, first - self._pad)

    def _span(self, end: int) -> int:
        return end + self._pad - (self._regions[0].start - self._pad)

    def _best_cut(self, after: Region) -> int:
        """How many regions to send: up to the longest pause once the window is well filled."""
        starts = [*(r.start for r in self._regions[1:]), after.start]
        gaps = [start - r.end for start, r in zip(starts, self._regions, strict=True)]
        filled = [self._span(r.end) >= FULL_ENOUGH * self._longest for r in self._regions]
        last = len(gaps) - 1
        return 1 + max(range(len(gaps)), key=lambda i: (filled[i] or i == last, gaps[i], i))

    def _emit(self, count: int, tape: _Tape, after: Region | None) -> Window:
        """A window of the first `count` regions; padding ends half-way to its neighbours."""
        sent, self._regions = self._regions[:count], self._regions[count:]
        following = self._regions[0] if self._regions else after
        start = max(self._floor, sent[0].start - self._pad)
        end = min(tape.end, sent[-1].end + self._pad)
        if following is not None:
            end = min(end, (sent[-1].end + following.start) // 2)
        self._floor = end
        return _window(tape, start, end, sent)


class _Tape:
    """The samples that may still be needed, addressed by their place in the file."""

    def __init__(self) -> None:
        self.start = 0
        self._samples: Samples = np.zeros(0, np.float32)

    @property
    def end(self) -> int:
        return self.start + len(self._samples)

    def append(self, samples: Samples) -> None:
        self._samples = np.concatenate([self._samples, samples])

    def read(self, start: int, count: int) -> Samples:
        """A copy, so that a window kept by its reader does not keep the tape alive."""
        return self._samples[start - self.start : start - self.start + count].copy()

    def forget(self, before: int) -> None:
        kept = max(before, self.start)
        self._samples = self._samples[kept - self.start :]
        self.start = kept


def _batches(blocks: Iterable[Samples], size: int) -> Iterator[Samples]:
    """The same samples, `size` at a time; the last batch is shorter and never empty."""
    held: Samples = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        whole = len(held) // size * size
        for start in range(0, whole, size):
            yield held[start : start + size]
        held = held[whole:]
    if len(held):
        yield held
