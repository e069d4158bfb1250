"""Sound as stored, in whichever library knows the format."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

import numpy as np
import soundfile

from pst_cli.audio.problems import early_end, not_sound, unreadable
from pst_cli.audio.tracks import choose_track, listed
from pst_cli.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pst_cli.types import Samples

READ_FRAMES = 1 << 16  # frames read at once; 1.4 s at 44.1 kHz
SNIFF_BYTES = 1 << 16
UNKNOWN_BYTES = 0x7FFF_0000  # a WAV writer that cannot seek back declares about 2 or 4 GiB
MORE_BYTES = 1 << 20  # beyond what is declared; no other chunk is as long, so sound goes on
ENDLESS = 1 << 62  # frames; libsndfile's word for a length that no header gives is 2^63 - 1
CHAINED = "Junk after the last page"  # what libsndfile makes of a second Ogg stream

SLACK_SECONDS = 0.5  # s; how far a declared duration may be off without a word: codec padding
GAP_SECONDS = 0.1  # s; timestamps jitter by a packet (about 0.02 s); more is missing sound
LONGEST_GAP_SECONDS = 3600.0  # s; a longer jump is a clock that was set, not missing sound

GUESSED_DURATIONS = frozenset({"aac", "ac3", "eac3", "mpeg", "mpegts"})
"""FFmpeg formats without a declared duration: what it gives is guessed from the bit rate."""


class Piece(NamedTuple):
    """Consecutive frames as stored."""

    rate: int  # Hz; it may change inside a stream
    frames: Samples  # (frames, channels)


class Decoder(Protocol):
    """One open file; `seconds` is what the container says, `notes` fills while it is read.

    `choice` tells which of several sound tracks was taken where nobody said which to take.
    """

    seconds: float | None
    choice: str | None
    notes: list[str]

    def pieces(self) -> Iterator[Piece]: ...

    def close(self) -> None: ...


def open_decoder(file: BinaryIO, name: str, track: int | None = None) -> Decoder:
    """The decoder for what `file` holds, told by content; names and suffixes say nothing.

    `track` is one of its sound tracks, from 1; None: the one it marks as default, else the first.

    Raises:
        AudioError: neither library knows the format, or it has no such sound track.
    """
    head = file.read(SNIFF_BYTES)
    file.seek(0)
    exact, endless = not _is_mpeg_audio(head) or _has_frame_count(head), False
    if not _is_mpeg_audio(head) and track in (None, 1):  # libsndfile knows of one track only
        try:
            decoder = SndfileDecoder(file, name)
        except soundfile.LibsndfileError:
            file.seek(0)
        else:
            if decoder.knows_its_end:
                return decoder
            exact, endless = False, decoder.goes_on
            decoder.close()
            file.seek(0)
    return ContainerDecoder(file, name, exact=exact, track=track, endless=endless)


def _is_mpeg_audio(head: bytes) -> bool:
    """Whether FFmpeg is to read it: libsndfile's MP3 reader writes its own words to stderr."""
    return head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


def _has_frame_count(head: bytes) -> bool:
    """Whether an MP3 declares its length; else FFmpeg guesses it from the first bit rate."""
    return b"Xing" in head or b"Info" in head


class SndfileDecoder:
    """WAV, FLAC, Ogg, AIFF and the like."""

    choice: str | None = None

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._source, self._name = file, name
        self._file: Any = soundfile.SoundFile(file.fileno(), closefd=False)
        self.seconds: float | None = self._file.frames / self._file.samplerate
        self.notes: list[str] = []

    @property
    def knows_its_end(self) -> bool:
        """Whether libsndfile finds all of it.

        It does not in FLAC that was piped, in Ogg files laid end to end, in the WAV of a
        recorder that was cut off, and in a piped one that `goes_on`.
        """
        found = 0 < self._file.frames < ENDLESS and CHAINED not in self._file.extra_info
        return found and not self.goes_on

    @property
    def goes_on(self) -> bool:
        """Whether a WAV that was piped is longer than the 2 or 4 GiB that it had to declare."""
        declared = re.search(r"^data : (\d+)$", self._file.extra_info, re.MULTILINE)
        if not declared or int(declared[1]) < UNKNOWN_BYTES:
            return False
        return os.fstat(self._source.fileno()).st_size > int(declared[1]) + MORE_BYTES

    def pieces(self) -> Iterator[Piece]:
        rate, done = self._file.samplerate, 0.0  # s
        while True:
            try:
                frames = self._file.read(READ_FRAMES, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:  # a damaged or missing end: keep what came before it
                for piece in self._what_others_read(done):
                    done += len(piece.frames) / piece.rate
                    yield piece
                break
            if not len(frames):
                break
            done += len(frames) / rate
            yield Piece(rate, frames)
        self._note_early_end(done)

    def _what_others_read(self, seconds: float) -> Iterator[Piece]:
        """FFmpeg's reading from `seconds` on: libsndfile breaks off in some whole Opus files."""
        if self._file.format != "OGG":
            return
        self._source.seek(0)
        other, position = ContainerDecoder(self._source, self._name, exact=False), 0.0
        for rate, frames in other.pieces():
            skipped = min(len(frames), max(0, round((seconds - position) * rate)))
            position += len(frames) / rate
            if skipped < len(frames):
                yield Piece(rate, frames[skipped:])
        self.notes += other.notes
        other.close()

    def _note_early_end(self, seconds: float) -> None:
        declared = self._declared_seconds()
        if seconds < declared:
            self.notes.append(early_end(seconds, declared))

    def _declared_seconds(self) -> float:
        """The length the header gives, where libsndfile has quietly put the file's own."""
        sizes = re.search(r"data : (\d+) \(should be (\d+)\)", self._file.extra_info)
        declared = float(self.seconds or 0)
        if not sizes or int(sizes[1]) >= UNKNOWN_BYTES or not int(sizes[2]):
            return declared
        return max(declared, declared * int(sizes[1]) / int(sizes[2]))

    def close(self) -> None:
        self._file.close()


class ContainerDecoder:
    """One sound track of a video, or of any other container that FFmpeg knows."""

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        *,
        exact: bool,
        track: int | None = None,
        endless: bool = False,
    ) -> None:
        """`exact`: what is declared is no guess; `endless`: sound goes on past a declared size."""
        import av

        self.notes: list[str] = []
        self._name = name
        try:
            # Only `file` itself may be read: no playlist may lead to other files or the network.
            options = {"protocol_whitelist": "pipe"} | ({"ignore_length": "1"} if endless else {})
            self._container: Any = av.open(file, options=options, metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            raise not_sound(name) from error
        tracks = list(self._container.streams.audio)
        try:
            self._track = choose_track(tracks, track, name)
        except AudioError:
            self._container.close()
            raise
        self.choice = _told(self._track, tracks) if track is None and len(tracks) > 1 else None
        self._exact = exact and self._container.format.name not in GUESSED_DURATIONS
        self.seconds = None if endless else self._find_seconds()
        self._damaged = 0
        self._filled = 0.0

    def _find_seconds(self) -> float | None:
        import av

        if self._track.duration is not None:
            return float(self._track.duration * self._track.time_base)
        if self._container.duration is not None:
            return float(self._container.duration / av.time_base)
        return None

    def pieces(self) -> Iterator[Piece]:
        """Frames with silence where the timestamps skip, so that times stay the video's own."""
        clock = _Clock(self._start_seconds())
        for frame in self._frames():
            rate, samples = frame.sample_rate, _floats(frame)
            for silence in clock.gap_before(frame, samples.shape[1]):
                yield Piece(rate, silence)
            clock.advance(len(samples) / rate)
            yield Piece(rate, samples)
        self._note_what_happened(clock)

    def _start_seconds(self) -> float:
        """When the container itself begins: players show this as 0:00."""
        import av

        return float((self._container.start_time or 0) / av.time_base)

    def _frames(self) -> Iterator[Any]:
        import av

        packets = self._container.demux(self._track)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError):  # the end, or a damaged or missing one
                return
            except OSError as error:
                raise unreadable(self._name, error) from error
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self._damaged += 1

    def _note_what_happened(self, clock: _Clock) -> None:
        if clock.filled:
            self.notes.append(f"{clock.filled:.1f} s of missing sound replaced by silence")
        if self._damaged:
            self.notes.append(f"damaged packets skipped: {self._damaged}")
        if self._exact and self.seconds and clock.done < self.seconds - SLACK_SECONDS:
            self.notes.append(early_end(clock.done, self.seconds))

    def close(self) -> None:
        self._container.close()


class _Clock:
    """How much sound has come, held against the time each frame claims for itself."""

    def __init__(self, start: float) -> None:
        self._start = start
        self.done = 0.0  # s
        self.filled = 0.0  # s

    def advance(self, seconds: float) -> None:
        self.done += seconds

    def gap_before(self, frame: Any, channels: int) -> Iterator[Samples]:
        """Silence, (frames, channels), in pieces that keep memory constant."""
        if frame.pts is None:
            return
        gap = float(frame.pts * frame.time_base) - self._start - self.done
        if gap > LONGEST_GAP_SECONDS:
            self._start += gap
        elif gap > GAP_SECONDS:
            yield from _silence(round(gap * frame.sample_rate), channels)
            self.filled += gap
            self.advance(gap)


def _told(track: Any, tracks: Sequence[Any]) -> str:
    place = tracks.index(track) + 1
    every = f"{len(tracks)}: {listed(tracks)}"
    return f"hearing sound track {place} of {every}; --track chooses another"


def _silence(frames: int, channels: int) -> Iterator[Samples]:
    for done in range(0, frames, READ_FRAMES):
        yield np.zeros((min(READ_FRAMES, frames - done), channels), np.float32)


def _floats(frame: Any) -> Samples:
    """A frame of any sample format as float32, shape (frames, channels)."""
    import av

    channels = frame.layout.nb_channels
    resampler = av.AudioResampler(format="flt")  # packed: PyAV crashes on more than 8 planes
    parts = [part.to_ndarray().reshape(-1, channels) for part in resampler.resample(frame)]
    return np.concatenate(parts)
