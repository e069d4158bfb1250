"""Sound written to a file, whole or not at all."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

import soundfile

from pst_cli.console import display
from pst_cli.errors import OutputError
from pst_cli.types import SAMPLE_RATE

if TYPE_CHECKING:
    from pathlib import Path

    from pst_cli.types import Samples


def write_flac(path: Path, samples: Samples) -> None:
    """Mono float32 at 16 kHz as 16-bit FLAC (Opus takes 50 times as long to write).

    Raises OutputError where it cannot be written.
    """
    temporary = path.parent / f".pst-{secrets.token_hex(6)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            soundfile.write(file, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        temporary.replace(path)
    except (OSError, soundfile.SoundFileError) as error:
        reason = f"cannot write {display(path)}: {error}"
        raise OutputError(reason, hint="name another folder with --output") from error
    finally:
        with suppress(OSError):  # gone after the replacement
            temporary.unlink()
