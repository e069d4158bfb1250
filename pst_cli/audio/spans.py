"""A stretch of a file as samples, at the cost of the stretch where the format can be searched."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from pst_cli.audio.decoders import ContainerDecoder, SndfileDecoder
from pst_cli.audio.stream import BLOCK_SECONDS, open_audio
from pst_cli.console import display
from pst_cli.errors import AudioError
from pst_cli.types import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pst_cli.audio.stream import AudioStream
    from pst_cli.types import Samples


def read_span(path: Path, start: float = 0.0, end: float | None = None) -> Samples:
    """The sound from `start` to `end` (seconds; None: to the end) as mono float32 at 16 kHz.

    Stops without a word where the file does. What libsndfile reads (WAV, FLAC, Ogg) is searched;
    any other container is decoded from its beginning.

    Raises:
        UsageError: the path is missing or a folder.
        AudioError: it cannot be read, the stretch is empty, or begins past the end of the file.
    """
    if end is not None and round((end - start) * SAMPLE_RATE) < 1:
        hint = "let every end lie after its start, in seconds"
        raise AudioError(f"{display(path)}: {start:g} to {end:g} s is an empty stretch", hint=hint)
    with open_audio(path) as audio:
        skipped = _skip(audio, start)
        first = round((start - skipped) * SAMPLE_RATE)
        last = None if end is None else first + round((end - start) * SAMPLE_RATE)
        seconds = BLOCK_SECONDS if last is None else min(BLOCK_SECONDS, last / SAMPLE_RATE)
        parts = list(_cut(audio.blocks(seconds), first, last))
        if not parts:
            raise _past_the_end(audio, start, skipped + audio.position)
    return np.concatenate(parts)


def span_seconds(path: Path) -> float:
    """How long a file lasts, by its header where that is exact, else by decoding it.

    Raises:
        UsageError: the path is missing or a folder.
        AudioError: it cannot be read.
    """
    with open_audio(path) as audio:
        decoder = audio._decoder
        if audio.seconds and not (isinstance(decoder, ContainerDecoder) and not decoder._exact):
            return audio.seconds
        return sum(map(len, audio.blocks())) / SAMPLE_RATE


def _skip(audio: AudioStream, start: float) -> float:
    """Go to `start` if the format allows it; the seconds that will not be decoded."""
    decoder = audio._decoder
    if not isinstance(decoder, SndfileDecoder) or not start or not decoder._file.seekable():
        return 0.0
    rate = decoder._file.samplerate
    frame = round(start * rate)
    if frame >= decoder._file.frames:
        raise _past_the_end(audio, start, audio.seconds or 0.0)
    return float(decoder._file.seek(frame) / rate)


def _cut(blocks: Iterable[Samples], first: int, last: int | None) -> Iterator[Samples]:
    """What lies in [first, last) of consecutive blocks; reads none beyond."""
    done = 0
    for block in blocks:
        part = block[max(0, first - done) : None if last is None else last - done]
        done += len(block)
        if len(part):
            yield part
        if last is not None and done >= last:
            return


def _past_the_end(audio: AudioStream, start: float, seconds: float) -> AudioError:
    return AudioError(
        f"{audio.name} lasts {seconds:.2f} s: nothing of it is left at {start:g} s",
        hint=f"ffprobe {shlex.quote(audio.name)}",
    )
