"""The two streams a person sees: stdout is data, stderr is talk."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pst_cli.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from pst_cli.errors import PstError

DEBUG = "--debug"


def stderr() -> Console:
    """A console on stderr."""
    return plain(stderr=True, soft_wrap=True)


def plain(**options: Any) -> Console:
    """A console that shows text as it is: file names may hold brackets, and `:100:` is a line."""
    return Console(markup=False, emoji=False, highlight=False, **options)


def display(path: str | Path) -> str:
    """`path` as one printable line: control characters and undecodable bytes are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(number: int, what: str) -> str:
    """A number of things: "1 file", "2,000 files"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def write(text: str) -> None:
    """Write data to stdout at once, as UTF-8 wherever it goes, whatever the locale says.

    Raises OutputError where it cannot take more, but for a reader that has gone: that is no news.
    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        hint = "make room there, or write to a file on another disk"
        raise OutputError(f"cannot write to stdout: {error.strerror}", hint=hint) from error


def tell_error(error: PstError, screen: Console | None = None) -> None:
    """The one line that says what is wrong, and what to type next; with --debug where it arose.

    `screen` is on stderr too, and has a bar, say.
    """
    screen = screen or stderr()
    if DEBUG in sys.argv:
        screen.print("".join(traceback.format_exception(error)), end="")
    screen.print(f"pst: error: {error.message}")
    if error.hint:
        screen.print(f"  hint: {error.hint}")
