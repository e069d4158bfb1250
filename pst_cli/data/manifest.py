"""A manifest: JSONL, one utterance a line, its sound named relative to the file."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pst_cli.console import display
from pst_cli.errors import DataError, OutputError
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HASH_BYTES = 8  # 16 hex digits: one collision expected in some billions of utterances


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of speech, or of text alone, with all that is known of its meaning.

    `translations` may hold languages that pst does not know: `texts` leaves them out. `place` and
    `name` say where it was read and take no part in comparisons. `labelled` names the model behind
    each text that is no person's.
    """

    audio: Path | None  # absolute; None: text alone
    language: str  # spoken or written; one of LANGUAGES
    text: str  # "" where unknown
    translations: Mapping[str, str] = field(hash=False)
    start: float = 0.0  # s in the file
    end: float | None = None  # s; None: to the file's end
    duration: float | None = None  # s of this stretch, as the manifest says or end - start
    speaker: str | None = None
    place: str = field(default="", compare=False)  # "train.jsonl:17", for messages
    name: str = field(default="", compare=False)  # the sound as the manifest names it
    labelled: Mapping[str, str] = field(default_factory=dict, hash=False)  # language: who said it

    @property
    def id(self) -> str:
        """16 hex digits that stay the same wherever the manifest and its sound are moved to."""
        name = self.name or ("" if self.audio is None else self.audio.as_posix())
        known = json.dumps([name, self.start, self.end, self.language, self.text or self._read])
        return hashlib.blake2b(known.encode(), digest_size=HASH_BYTES).hexdigest()

    @property
    def _read(self) -> str:
        """What tells text alone from other such text where its own language has none."""
        return "" if self.audio else json.dumps(sorted(self.translations.items()))

    def texts(self) -> dict[str, str]:
        """Every language of pst that it has text for, its own first."""
        others = {code: text for code, text in self.translations.items() if code in LANGUAGES}
        mine = {self.language: self.text} if self.text.strip() else {}
        return mine | {
            code: text for code, text in others.items() if code != self.language and text.strip()
        }


class BadLine(NamedTuple):
    """A line that is no utterance, and why."""

    place: str
    reason: str


def read_manifest(path: Path) -> list[Utterance]:
    """All utterances of a manifest, in order.

    Raises:
        DataError: it cannot be read, is empty, or a line (which is named) is no utterance.
    """
    found = []
    for line in scan(path):
        if isinstance(line, BadLine):
            hint = f"see all such lines with: pst data check {shlex.quote(display(path))}"
            raise DataError(f"{line.place}: {line.reason}", hint=hint)
        found.append(line)
    if not found:
        hint = "a manifest holds one JSON object a line; see pst data import --help"
        raise DataError(f"{display(path)} holds no utterance", hint=hint)
    return found


def scan(path: Path) -> Iterator[Utterance | BadLine]:
    """Each line that is not blank, good or bad; DataError where the file cannot be read."""
    folder = Path(os.path.abspath(path.parent))  # noqa: PTH100, as links are kept
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield parse_line(line, folder, f"{display(path)}:{number}")
    except OSError as error:
        name = display(path)
        raise DataError(
            f"{name} cannot be read: {error.strerror}", hint=f"ls -l {shlex.quote(name)}"
        ) from error


def parse_line(line: bytes, folder: Path, place: str) -> Utterance | BadLine:
    """The utterance on a line of the manifest in `folder`, or what keeps it from being one."""
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return BadLine(place, f"not UTF-8 at byte {error.start + 1}")
    except json.JSONDecodeError as error:
        return BadLine(place, f"not JSON: {error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return BadLine(place, f"not JSON: {error}")
    if not isinstance(record, dict):
        return BadLine(place, "not a JSON object")
    return parse_record(record, folder, place)


def parse_record(record: dict[str, Any], folder: Path, place: str) -> Utterance | BadLine:
    """The utterance that a JSON object stands for, its sound named relative to `folder`."""
    try:
        return _utterance(record, folder, place)
    except (ValueError, OverflowError) as error:
        return BadLine(place, str(error))


def _utterance(record: dict[str, Any], folder: Path, place: str) -> Utterance:
    name, text = _string(record, "audio"), _string(record, "text") or ""
    language = _string(record, "language") or ""
    if language not in LANGUAGES:
        raise ValueError(f'"language" is "{language}", not one of {", ".join(LANGUAGES)}')
    begin, end, duration = (_seconds(record, key) for key in ("start", "end", "duration"))
    start = begin or 0.0
    if end is None and begin is not None and duration:  # as NeMo says it
        end = start + duration
    if end is not None and end <= start:
        raise ValueError(f'"end" is {end:g} s, not after "start" at {start:g} s')
    utterance = Utterance(
        audio=Path(os.path.normpath(folder / name)) if name else None,
        language=language,
        text=text,
        translations=_translations(record),
        start=start,
        end=end,
        duration=end - start if duration is None and end is not None else duration,
        speaker=_string(record, "speaker") or None,
        place=place,
        name=name or "",
        labelled=_labelled(record),
    )
    if utterance.audio is None and not utterance.texts():
        raise ValueError('neither "audio" nor any text')
    return utterance


def _string(record: dict[str, Any], key: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f'"{key}" is not a string')
    return value


def _seconds(record: dict[str, Any], key: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f'"{key}" is not a number')
    if not (0 <= value < math.inf):
        raise ValueError(f'"{key}" is {value:g}, which is no time in seconds')
    return float(value)


def _translations(record: dict[str, Any]) -> dict[str, str]:
    given = record.get("translations") or {}
    if not isinstance(given, dict):
        raise ValueError('"translations" is not an object')
    found = {code: text for code, text in given.items() if text is not None}
    for code, text in found.items():
        if not isinstance(text, str):
            raise ValueError(f'the translation into "{code}" is not a string')
    return found


def _labelled(record: dict[str, Any]) -> dict[str, str]:
    """Models by language; anything else of that name is somebody's own key."""
    given = record.get("labelled")
    if not isinstance(given, dict):
        return {}
    return {code: model for code, model in given.items() if isinstance(model, str)}


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest whole or not at all, its sound relative to its folder where possible.

    The folder is made if need be.

    Raises:
        OutputError: the file cannot be written; what was there before is untouched.
    """
    temporary = path.parent / f".pst-{secrets.token_hex(6)}.tmp"
    try:
        if path.exists() and not path.is_file():  # a device would be replaced without a word
            raise FileExistsError(errno.EEXIST, "not a regular file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.writelines(manifest_lines(utterances, path.parent))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        hint = "name a file in another folder with --output"
        raise OutputError(f"cannot write {display(path)}: {error.strerror}", hint=hint) from error
    finally:
        with suppress(OSError):  # gone after the replacement
            temporary.unlink()


def manifest_lines(utterances: Iterable[Utterance], folder: Path) -> Iterator[bytes]:
    """The lines of a manifest that is to lie in `folder`."""
    for utterance in utterances:
        text = json.dumps(_record(utterance, folder), ensure_ascii=False)
        # Half a surrogate pair (a file name that is not UTF-8) becomes the escape JSON has for it.
        yield text.encode("utf-8", "backslashreplace") + b"\n"


def _record(utterance: Utterance, folder: Path) -> dict[str, Any]:
    span = {
        "audio": utterance.audio and _relative(utterance.audio, folder),
        "start": utterance.start or None,
        "end": utterance.end,
        "duration": utterance.duration,
    }
    told = {
        "language": utterance.language,
        "text": utterance.text,
        "translations": dict(utterance.translations),
    }
    rest = {"speaker": utterance.speaker, "labelled": dict(utterance.labelled)}
    spans = {key: value for key, value in span.items() if value is not None}
    return spans | told | {key: value for key, value in rest.items() if value}


def _relative(audio: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(audio, folder)).as_posix()
    except ValueError:  # another drive
        return audio.as_posix()
