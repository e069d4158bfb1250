"""A recipe: what a training corpus is made of, read from TOML."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pst_cli.console import display
from pst_cli.errors import DataError
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SHIPPED = Path(__file__).with_name("recipes")
ENGINES = ("espeak-ng", "pico2wave")
LAYOUTS = ("columns", "pairs", "catalogs", "stamps", "annotations")
TABLES = {"speech", "sentences", "voice", "apart"}
KEYS = {"each", "portions", "fewest", "shortest", "often", "seed"} | TABLES
FEWEST = 3  # languages of a set, where a recipe does not say
SHORTEST = 12  # letters of a sentence, where a recipe does not say

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Real speech with a manifest."""

    manifest: str  # relative to the folder of sources
    origin: str
    licence: str
    transcripts: bool = True  # False: what is written down is not fit to be taught as text
    skip: tuple[str, ...] = ()  # sounds, as the manifest names them
    most: int | None = None  # utterances, drawn from what is left; None: all


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentences:
    """A table of sentences and their translations, to be spoken: .tsv or .tsv.xz, or many files.

    "columns": its header names languages, cells hold alternatives between ` ||| `. "pairs": its
    columns are source_language, source, target_language, target. "catalogs": the table is all
    message catalogs of a program, LOCALE/LC_MESSAGES/*.mo; "stamps" all descriptions of pictures
    for Tux Paint, "annotations" all names of emoji in Unicode's CLDR.
    """

    table: str
    layout: str
    origin: str
    licence: str
    package: str = ""  # of Debian, that has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Some voices of one program, and how widely they are varied."""

    language: str
    engine: str
    names: tuple[str, ...]
    licence: str
    speed: tuple[float, float] = (1.0, 1.0)  # of the voice's own
    pitch: tuple[float, float] = (1.0, 1.0)  # of the voice's own
    share: float = 1.0  # of the language's utterances, against its other voices


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """A manifest to be judged by: no text of it is learnt from."""

    manifest: str
    group: str = ""  # a pattern in names of sounds: what it finds stays together
    dev: float = 0.25  # the share of groups to stop training by; the rest is for scores


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that goes into a corpus."""

    name: str
    each: int  # sentences to be spoken in each language
    portions: Mapping[str, float]  # of `each`, in languages where it is not 1
    fewest: int  # languages of a set that is worth being spoken
    shortest: int  # letters of a sentence that is; see `data.texts.size`
    often: int  # times that each word is heard before what is heard often; 0: as it comes
    seed: int
    speech: tuple[Speech, ...]
    sentences: tuple[Sentences, ...]
    voices: tuple[Voice, ...]
    apart: tuple[Apart, ...]


def find_recipe(name: str) -> Path:
    """A recipe of the package, or a file; DataError where it is neither."""
    shipped = SHIPPED / f"{name}.toml"
    for path in (shipped, Path(name)):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.toml")))
    raise DataError(f"no recipe called {display(name)}", hint=f"one of {known}, or a TOML file")


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe; DataError says what is wrong in it."""
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{display(path)} cannot be read: {error}") from error
    try:
        return _recipe(path.stem, given)
    except (TypeError, ValueError, re.error) as error:
        reason = f"{display(path)}: {error}"
        raise DataError(reason, hint=f"compare it with {SHIPPED / 'base-m2m.toml'}") from error


def _recipe(name: str, given: dict[str, Any]) -> Recipe:
    if unknown := set(given) - KEYS:
        raise ValueError(f'no such key: "{min(unknown)}"')
    recipe = Recipe(
        name,
        _whole(given, "each", 1000),
        _portions(given.get("portions", {})),
        _whole(given, "fewest", FEWEST),
        _whole(given, "shortest", SHORTEST),
        _whole(given, "often", 0),
        _whole(given, "seed", 0),
        tuple(_entry(Speech, one, "speech") for one in given.get("speech", ())),
        tuple(_entry(Sentences, one, "sentences") for one in given.get("sentences", ())),
        tuple(_entry(Voice, one, "voice") for one in given.get("voice", ())),
        tuple(_entry(Apart, one, "apart") for one in given.get("apart", ())),
    )
    for voice in recipe.voices:
        _known(voice.language, LANGUAGES, "language")
        _known(voice.engine, ENGINES, "engine")
        _check_voice(voice)
    for one in given.get("speech", ()):
        _whole(one, "most", 0)
    for table in recipe.sentences:
        _known(table.layout, LAYOUTS, "layout")
    for apart in recipe.apart:
        re.compile(apart.group)
    return recipe


def _entry(kind: type[T], given: Any, table: str) -> T:
    """One `[[table]]` of the recipe; TypeError or ValueError for what does not fit."""
    if not isinstance(given, dict):
        raise TypeError(f"[[{table}]] is to be a table")
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := set(given) - known:
        raise ValueError(f'no such key in [[{table}]]: "{min(unknown)}"')
    values = {key: tuple(one) if isinstance(one, list) else one for key, one in given.items()}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.type == "str" and not isinstance(values.get(field.name, ""), str):
            raise TypeError(f'"{field.name}" of [[{table}]] is to be a text')
    try:
        return kind(**values)
    except TypeError as error:
        missing = str(error).rpartition("argument")[2]
        raise TypeError(f"[[{table}]] lacks{missing.lstrip('s:')}") from error


def _check_voice(voice: Voice) -> None:
    named = isinstance(voice.names, tuple) and all(isinstance(name, str) for name in voice.names)
    if not named or not voice.names:
        raise ValueError('"names" is to be a list of voices')
    for key in ("speed", "pitch"):
        bounds = getattr(voice, key)
        if not (isinstance(bounds, tuple) and len(bounds) == 2 and all(map(_positive, bounds))):
            raise ValueError(f'"{key}" is to be two numbers above 0')
    if not _positive(voice.share):
        raise ValueError('"share" is to be a number above 0')


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf


def _whole(given: dict[str, Any], key: str, default: int) -> int:
    value = given.get(key, default)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f'"{key}" is to be a whole number')
    return value


def _portions(given: Any) -> dict[str, float]:
    if not isinstance(given, dict):
        raise TypeError("[portions] is to be a table")
    for language, portion in given.items():
        _known(language, LANGUAGES, "language")
        if not isinstance(portion, int | float) or portion < 0:
            raise ValueError(f'the portion of "{language}" is to be a number, 0 or more')
    return given


def _known(word: str, words: Collection[str], key: str) -> None:
    if word not in words:
        raise ValueError(f'{key} "{word}" is not one of {", ".join(words)}')
