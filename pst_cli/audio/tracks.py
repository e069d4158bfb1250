"""Which sound track of a container is heard: the one asked for, or the one it would play."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from pst_cli.console import display
from pst_cli.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Sequence


def choose_track(tracks: Sequence[Any], number: int | None, name: str) -> Any:
    """Of a container's sound tracks, `number` (from 1); None: its default one, else the first.

    Raises:
        AudioError: `name` has no such track, or it cannot be decoded.
    """
    known = [track for track in tracks if track.codec_context is not None]
    if not known:
        hint = f"ffprobe {shlex.quote(name)}"
        raise AudioError(f"{name} has no sound track that can be decoded", hint=hint)
    if number is None:
        return next(filter(_is_default, known), known[0])
    hint = "choose another with --track"
    if number > len(tracks):
        raise AudioError(f"{name} has no sound track {number}, but {listed(tracks)}", hint=hint)
    if tracks[number - 1] not in known:
        raise AudioError(f"{name}: sound track {number} cannot be decoded", hint=hint)
    return tracks[number - 1]


def listed(tracks: Sequence[Any]) -> str:
    """Sound tracks by number, each with the language and title that the container gives it."""
    return ", ".join(f"{place}{_described(track)}" for place, track in enumerate(tracks, 1))


def _described(track: Any) -> str:
    words = [track.metadata.get(key, "") for key in ("language", "title")]
    told = display(", ".join(filter(None, words)))
    return f" ({told})" if told else ""


def _is_default(track: Any) -> bool:
    from av.stream import Disposition

    return bool(track.disposition & Disposition.default)
