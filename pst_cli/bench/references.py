"""Reference translations for the clips of a bench: from a manifest, or a line for each."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeAlias

from pst_cli.console import display
from pst_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Entry: TypeAlias = dict[str, Any]


def read_references(path: Path, clips: Sequence[Path], target: str) -> list[str]:
    """The reference of each clip, in order.

    A manifest has a JSON object a line ({"audio", "language", "text", "translations"}), matched by
    path, else by a file name that only one line has; its text serves where the target is the
    language spoken. Any other file holds plain text, one line a clip. Raises UsageError where a
    clip is left without a reference.
    """
    try:
        lines = [line for line in path.read_text("utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--refs {display(path)}: not readable as text: {error}") from error
    if lines and all(line.lstrip().startswith("{") for line in lines):
        return _from_manifest(path, lines, clips, target)
    if len(lines) != len(clips):
        raise UsageError(
            f"--refs {display(path)} has {len(lines)} lines for {len(clips)} files",
            hint="one line a file, in the order of the command line",
        )
    return [line.strip() for line in lines]


def _from_manifest(
    path: Path, lines: Sequence[str], clips: Sequence[Path], target: str
) -> list[str]:
    called: dict[str, list[tuple[Path, Entry]]] = defaultdict(list)
    try:
        for entry in map(json.loads, lines):
            if entry.get("audio"):
                audio = path.parent / entry["audio"]
                called[audio.name].append((audio, entry))
    except (ValueError, TypeError) as error:
        raise UsageError(f"--refs {display(path)}: a line is no manifest entry: {error}") from error
    found = [_reference(_entry(clip, called[clip.name]), target) for clip in clips]
    missing = [clip for clip, text in zip(clips, found, strict=True) if not text]
    if missing:
        first = display(missing[0].name)
        raise UsageError(
            f"--refs {display(path)} has no {target} reference for {first}"
            + (f" and {len(missing) - 1} more" if missing[1:] else ""),
            hint="leave those files out, or choose another --to",
        )
    return found


def _entry(clip: Path, called: Sequence[tuple[Path, Entry]]) -> Entry:
    """What is said of `clip` under its name; nothing where it is several things."""
    here = [entry for audio, entry in called if audio.resolve() == clip.resolve()]
    found = here or [entry for _, entry in called]
    return found[0] if len(found) == 1 else {}


def _reference(entry: Entry, target: str) -> str:
    translated = entry.get("translations") or {}
    spoken = entry.get("text", "") if entry.get("language") == target else ""
    return str(translated.get(target) or spoken)
