"""What a run leaves in the working directory of the fixture `folder`."""

from __future__ import annotations

from pathlib import Path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"clip.wav"}
