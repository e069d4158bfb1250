"""Reference translations for the clips of a bench: from a manifest, or a line for each."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.data.manifest import read_manifest
from pst_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pst_cli.data.manifest import Utterance


def read_references(path: Path, clips: Sequence[Path], target: str) -> list[str]:
    """The reference of each clip, in order.

    A manifest has a JSON object a line, matched by path, else by a file name that only one line
    has; what was said serves where the target is the language spoken, and a line for what begins
    later in a file says nothing of the whole. Any other file holds plain text, one line a clip.
    Raises UsageError where a clip is left without a reference.
    """
    try:
        lines = [line for line in path.read_text("utf-8-sig").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--refs {display(path)}: not readable as text: {error}") from error
    if lines and all(line.lstrip().startswith("{") for line in lines):
        return _from_manifest(path, clips, target)
    if len(lines) != len(clips):
        raise UsageError(
            f"--refs {display(path)} has {len(lines)} lines for {len(clips)} files",
            hint="one line a file, in the order of the command line",
        )
    return [line.strip() for line in lines]


def _from_manifest(path: Path, clips: Sequence[Path], target: str) -> list[str]:
    called: dict[str, list[Utterance]] = defaultdict(list)
    try:
        utterances = read_manifest(path)
    except DataError as error:
        raise UsageError(f"--refs {error.message}", hint=error.hint) from error
    for utterance in utterances:
        if utterance.audio:
            called[utterance.audio.name].append(utterance)
    found = [_reference(clip, called[clip.name], target) for clip in clips]
    missing = [clip for clip, text in zip(clips, found, strict=True) if not text]
    if missing:
        first = display(missing[0].name)
        raise UsageError(
            f"--refs {display(path)} has no {target} reference for {first}"
            + (f" and {len(missing) - 1} more" if missing[1:] else ""),
            hint="leave those files out, or choose another --to",
        )
    return found


def _reference(clip: Path, called: Sequence[Utterance], target: str) -> str:
    """What `clip` means in `target`, by what is said under its name; "" where that is not one."""
    here = [one for one in called if one.audio and one.audio.resolve() == clip.resolve()]
    found = here or called
    whole = len(found) == 1 and not found[0].start
    return found[0].texts().get(target, "") if whole else ""
