"""What lies at a path, whatever the path: False where it may not be looked at.

pathlib's own, before Python 3.14, raise PermissionError there, and OSError at names that are too
long for the file system.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_file(path: str | Path) -> bool:
    """Whether a regular file is seen there."""
    return os.path.isfile(path)  # noqa: PTH113


def is_dir(path: str | Path) -> bool:
    """Whether a directory is seen there."""
    return os.path.isdir(path)  # noqa: PTH112
