"""One file's sound as mono float blocks at 16 kHz, in constant memory."""

from __future__ import annotations

import shlex
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import soxr

from pst_cli.audio.decoders import open_decoder
from pst_cli.audio.finding import STDIN
from pst_cli.audio.problems import not_sound, unreadable
from pst_cli.audio.source import open_source
from pst_cli.console import display
from pst_cli.errors import AudioError
from pst_cli.types import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from pst_cli.audio.decoders import Decoder, Piece
    from pst_cli.types import Samples

BLOCK_SECONDS = 10.0  # s
LOWEST_RATE = 1000  # Hz; a header that says less is damaged
WILD = 1e9  # full scales; no sound is this loud, and float32 sums of it soon overflow
LOUD = 8.0  # full scales (18 dB over); more is integers stored as floats, not a hot mix


def open_audio(source: str | Path, track: int | None = None) -> AudioStream:
    """Open a sound or video file, a pipe, or "-" (stdin), for one reading.

    `track` is one of its sound tracks, from 1; None: the one it marks as default, else the first.

    Raises:
        UsageError: the path is missing or a folder, or stdin is a terminal.
        AudioError: it may not be read, is empty, is not sound, or has no such sound track.
    """
    name = "stdin" if str(source) == STDIN else display(source)
    file = open_source(source)
    try:
        return AudioStream(name, file, open_decoder(file, name, track))
    except OSError as error:  # a bad sector, or a share that is gone
        file.close()
        raise unreadable(name, error) from error
    except BaseException:
        file.close()
        raise


class AudioStream:
    """An open file; use it in a `with` statement.

    `seconds` is the duration the container declares, or None; `position` how far `blocks` has
    read, in seconds; `notes` are the things noticed so far, complete once `blocks` has run out.
    `choice` says which of several sound tracks this is, None where there was none to choose.
    """

    def __init__(self, name: str, file: BinaryIO, decoder: Decoder) -> None:
        self.name = name
        self._file = file
        self._decoder = decoder
        self.position = 0.0
        self._wild = 0
        self._peak = 0.0
        self._notes: list[str] = []

    @property
    def seconds(self) -> float | None:
        return self._decoder.seconds

    @property
    def choice(self) -> str | None:
        return self._decoder.choice

    @property
    def notes(self) -> list[str]:
        return [*self._decoder.notes, *self._notes]

    def blocks(self, seconds: float = BLOCK_SECONDS) -> Iterator[Samples]:
        """The sound, `seconds` at a time (the last block is shorter); can be run once.

        Samples beyond [-1, 1] are passed on: a lossy codec or a resampler overshoots a loud
        mix by a little, float files may hold more, and clipping would add the distortion that
        nobody has heard yet. Samples that are no number are silence instead.

        Raises:
            AudioError: nothing could be decoded.
        """
        for block in _reblock(self._mono_16k(), round(seconds * SAMPLE_RATE)):
            self.position += len(block) / SAMPLE_RATE
            yield block
        if not self.position:
            raise self._nothing()
        self._note_samples()

    def _mono_16k(self) -> Iterator[Samples]:
        for rate, pieces in groupby(self._decoder.pieces(), key=attrgetter("rate")):
            if rate < LOWEST_RATE:
                raise AudioError(
                    f"{self.name} says it has {rate} samples a second: it is damaged",
                    hint=f"ffprobe {shlex.quote(self.name)}",
                )
            yield from resample(map(self._mono, pieces), rate)

    def _mono(self, piece: Piece) -> Samples:
        """The mean of the channels, (frames, channels) -> (frames,)."""
        frames = piece.frames
        level = np.abs(frames)
        wild = ~(level < WILD)  # also true of NaN, for which every comparison is false
        if wild.any():
            self._wild += int(wild.sum())
            frames = np.where(wild, np.float32(0), frames)
            level = np.abs(frames)
        self._peak = max(self._peak, float(level.max(initial=0)))
        mono: Samples = frames.mean(axis=1, dtype=np.float32)
        return mono

    def _nothing(self) -> AudioError:
        if self._decoder.notes or self.seconds:
            return not_sound(self.name)
        return AudioError(
            f"{self.name} holds no sound (0 samples)", hint=f"ffprobe {shlex.quote(self.name)}"
        )

    def _note_samples(self) -> None:
        if self._wild:
            self._notes.append(f"{self._wild} non-finite samples replaced by silence")
        if self._peak > LOUD:
            self._notes.append(
                f"samples reach {self._peak:.0f} times full scale: they seem to be integers "
                "stored as floats"
            )

    def close(self) -> None:
        self._decoder.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def resample(pieces: Iterable[Samples], rate: int) -> Iterator[Samples]:
    """Mono pieces at `rate` Hz as mono pieces at `SAMPLE_RATE`; the cuts leave no trace."""
    if rate == SAMPLE_RATE:
        yield from pieces
        return
    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, num_channels=1, dtype="float32")
    for piece in pieces:
        yield resampler.resample_chunk(piece)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _reblock(pieces: Iterable[Samples], size: int) -> Iterator[Samples]:
    """The same samples in blocks of `size`, the last one shorter and never empty."""
    held: list[Samples] = []
    for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) >= size:
            joined = np.concatenate(held)
            whole = len(joined) // size * size
            for start in range(0, whole, size):
                yield joined[start : start + size]
            held = [joined[whole:]]
    rest = np.concatenate(held) if held else np.zeros(0, np.float32)
    if len(rest):
        yield rest
