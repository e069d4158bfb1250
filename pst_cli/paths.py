"""What lies at a path, whatever the path: False where it may not be looked at.

pathlib's own, before Python 3.14, raise PermissionError there, and OSError at names that are too
long for the file system.
"""

from __future__ import annotations

import os
from pathlib import Path


def is_there(path: str | Path) -> bool:
    """Whether anything is seen there, a pipe too."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | Path) -> bool:
    """Whether a regular file is seen there."""
    return os.path.isfile(path)  # noqa: PTH113


def is_dir(path: str | Path) -> bool:
    """Whether a directory is seen there."""
    return os.path.isdir(path)  # noqa: PTH112


def known_as(model: str) -> str:
    """What others may read of a model's name: where somebody's directory lies is not for them."""
    return Path(model).resolve().name if is_dir(model) else model
