"""Reference translations for the clips of a bench: from a manifest, or a line for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pst_cli.console import display
from pst_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_references(path: Path, clips: Sequence[Path], target: str) -> list[str]:
    """The reference of each clip, in order.

    A manifest has a JSON object a line ({"audio", "language", "text", "translations"}), matched by
    file name; its text serves where the target is the language spoken. Any other file holds plain
    text, one line a clip. Raises UsageError where a clip is left without a reference.
    """
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
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
    try:
        entries = [json.loads(line) for line in lines]
        named = {Path(entry["audio"]).name: entry for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--refs {display(path)}: a line is no manifest entry: {error}") from error
    found = [_reference(named.get(clip.name, {}), target) for clip in clips]
    missing = [clip for clip, text in zip(clips, found, strict=True) if not text]
    if missing:
        first = display(missing[0].name)
        raise UsageError(
            f"--refs {display(path)} has no {target} reference for {first}"
            + (f" and {len(missing) - 1} more" if missing[1:] else ""),
            hint="leave those files out, or choose another --to",
        )
    return found


def _reference(entry: dict[str, Any], target: str) -> str:
    translated = entry.get("translations") or {}
    spoken = entry.get("text", "") if entry.get("language") == target else ""
    return str(translated.get(target) or spoken)
