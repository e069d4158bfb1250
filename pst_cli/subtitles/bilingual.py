"""Writes what was said and its translation as one document, in each format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pst_cli.subtitles.formats import AS_IS, render
from pst_cli.subtitles.pairs import Pair, Side, stacked
from pst_cli.subtitles.styles import style_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pst_cli.subtitles.formats import Meta, Writing
    from pst_cli.types import Segment

_SEGMENTS = '"segments": '  # the key of JSON's last entry; inside a name its quotes are escaped


def render_both(
    name: str,
    transcript: Sequence[Segment],
    translation: Sequence[Segment],
    meta: Meta,
    style: str,
    writing: Writing = AS_IS,
) -> str:
    """The whole document; `meta` names both languages. Errors as those of `formats.render`.

    JSON holds the translation as ever, and the transcript's segments under `transcript`.
    """
    if name == "json":
        return _json(transcript, translation, meta, writing)
    spoken, target = meta.source_language or "", meta.target_language
    upper = Side.of(transcript, spoken, style_for(style, spoken))
    pairs = stacked(upper, Side.of(translation, target, style_for(style, target)))
    if name in _TABLES:
        return "".join(writing.dress(_TABLES[name](pairs, meta)))
    return render(name, (), (pair.cue for pair in pairs), meta, writing)


def _txt(pairs: Iterable[Pair], _meta: Meta) -> Iterator[str]:
    """What was said, its translation below, a blank line."""
    for pair in pairs:
        yield "".join(f"{text}\n" for text in pair.texts if text) + "\n"


def _tsv(pairs: Iterable[Pair], meta: Meta) -> Iterator[str]:
    """Start and end in ms, and a column for each language."""
    yield f"start\tend\t{meta.source_language}\t{meta.target_language}\n"
    for pair in pairs:
        yield "\t".join(map(str, (pair.start, pair.end, *pair.texts))) + "\n"


_TABLES = {"txt": _txt, "tsv": _tsv}


def _json(
    transcript: Sequence[Segment], translation: Sequence[Segment], meta: Meta, writing: Writing
) -> str:
    document = render("json", translation, (), meta, writing).rstrip().removesuffix("}")
    *_, said = render("json", transcript, (), meta, writing).partition(_SEGMENTS)
    return f'{document}, "transcript": {said}'
