"""What is wrong with a file of sound, in words, each said in one place."""

from __future__ import annotations

import shlex

from pst_cli.errors import AudioError


def early_end(seconds: float, declared: float) -> str:
    """The note for a file whose sound stops before its header says."""
    return f"the file ends early, at {seconds:.1f} s of {declared:.1f} s: it seems truncated"


def unreadable(name: str, error: OSError) -> AudioError:
    """The error for a file that the disk or the network does not give."""
    hint = f"ls -l {shlex.quote(name)}"
    return AudioError(f"{name} cannot be read: {error.strerror}", hint=hint)


def not_sound(name: str) -> AudioError:
    """The error for a file in which nothing can be decoded."""
    return AudioError(
        f"{name} is not a sound or video file that can be read", hint=f"file {shlex.quote(name)}"
    )
