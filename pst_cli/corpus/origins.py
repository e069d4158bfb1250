"""Where a corpus comes from, and under which licences: what goes into SOURCES.md."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pst_cli.corpus.recipe import Recipe
    from pst_cli.data.manifest import Utterance

HOUR = 3600  # s


def told(recipe: Recipe, real: Sequence[Utterance], spoken: Sequence[Utterance]) -> str:
    """A Markdown page: sources with their licences, and what came of them."""
    voices = {(voice.engine, voice.licence) for voice in recipe.voices}
    lines = [
        f"# Corpus {recipe.name}",
        "",
        "| what | source | licence |",
        "|---|---|---|",
        *(f"| real speech | {one.origin} | {one.licence} |" for one in recipe.speech),
        *(f"| sentences | {one.origin} | {one.licence} |" for one in recipe.sentences),
        *(f"| voices | {engine} | {licence} (the program) |" for engine, licence in sorted(voices)),
        "",
        "| spoken | real utterances | hours | by voices | hours |",
        "|---|---:|---:|---:|---:|",
        *_languages(real, spoken),
        "",
        "No text of these manifests is learnt from, in any language: "
        + (", ".join(f"`{one.manifest}`" for one in recipe.apart) or "none")
        + ".",
    ]
    return "\n".join(lines) + "\n"


def _languages(real: Sequence[Utterance], spoken: Sequence[Utterance]) -> Iterator[str]:
    hours = [_hours(real), _hours(spoken)]
    counts = [Counter(one.language for one in group) for group in (real, spoken)]
    for language in sorted(counts[0] | counts[1]):
        cells = [
            f"{count[language]:,} | {hour[language]:.2f}"
            for count, hour in zip(counts, hours, strict=True)
        ]
        yield f"| {language} | {' | '.join(cells)} |"


def _hours(utterances: Iterable[Utterance]) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in utterances:
        found[one.language] += (one.duration or 0.0) / HOUR  # type: ignore[assignment]
    return found
