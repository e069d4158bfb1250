"""Files that a Debian package has installed, in many languages, found by wildcards."""

from __future__ import annotations

from pathlib import Path

from pst_cli.console import display
from pst_cli.errors import DataError
from pst_cli.types import LANGUAGES

SOURCE = "en"  # the language that programs are written in
LOCALES = {"zh_CN": "zh"} | {code: code for code in LANGUAGES if code not in (SOURCE, "zh")}


def matching(pattern: Path) -> list[Path]:
    """All files that `pattern`, a path with wildcards, finds, in order."""
    anchor = Path(pattern.anchor)
    return sorted(anchor.glob(str(pattern.relative_to(anchor))))


def missing(what: str, pattern: Path, package: str) -> DataError:
    """Says that there is none of `what`, and how to get it if a Debian `package` has it."""
    hint = (f"apt install {package}, or " if package else "") + "leave them out of the recipe"
    return DataError(f"no {what} at {display(pattern)}", hint=hint)
