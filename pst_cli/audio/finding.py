"""Which files are meant when files and folders are named."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.errors import AudioError, UsageError
from pst_cli.paths import is_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDIN = "-"

SOUND = (
    ".aac .ac3 .aif .aiff .amr .ape .au .caf .flac .m4a .m4b .mka .mp2 .mp3 .mpga .oga .ogg .opus "
    ".spx .tta .w64 .wav .wma .wv"
)
VIDEO = (
    ".3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogm .ogv .ts .vob .webm "
    ".wmv"
)
SUFFIXES = frozenset(f"{SOUND} {VIDEO}".split())


def find_audio(paths: Iterable[str | Path]) -> list[Path]:
    """The files that `paths` name, each once, in the order given.

    A folder stands for the sound and video files below it (told by suffix, hidden ones left
    out), sorted by path. One that cannot be listed is among them, to fail where it is opened as
    a file that cannot be read does. A named file is taken whatever its suffix, and "-" (stdin)
    as it is.

    Raises:
        UsageError: a path does not exist, or a folder holds no such file.
        AudioError: a path may not be looked at.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        found.update(dict.fromkeys(_expand(path)))
    return list(found)


def _expand(path: Path) -> list[Path]:
    if str(path) == STDIN:
        return [path]
    if not is_dir(path):
        require_present(path)
        return [path]
    files = sorted(_walk(path))
    if not files:
        raise UsageError(
            f"{display(path)} holds no sound or video file",
            hint="name the files themselves: a named file is taken whatever its suffix",
        )
    return files


def require_present(path: Path) -> None:
    """Look whether `path`, a file or a folder, is there.

    Raises:
        UsageError: it is not, or is a dangling link.
        AudioError: it may not be looked at.
    """
    name = display(path)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a NUL in it
        if path.is_symlink():
            reason, hint = "is a link to a file that does not exist", f"ls -l {shlex.quote(name)}"
        else:
            reason, hint = "does not exist", f"ls {shlex.quote(display(path.parent))}"
        raise UsageError(f"{name} {reason}", hint=hint) from error
    except OSError as error:
        hint = f"ls -ld {shlex.quote(display(path.parent))}"
        raise AudioError(f"{name} cannot be read: {error.strerror}", hint=hint) from error


def _walk(folder: Path) -> Iterator[Path]:
    shut: list[OSError] = []
    for root, folders, names in os.walk(folder, onerror=shut.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(root, name)
    yield from (Path(error.filename) for error in shut)
