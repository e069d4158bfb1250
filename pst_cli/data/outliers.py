"""Figures far from the rest of their kind, judged by the median, which they hardly move."""

from __future__ import annotations

from collections import defaultdict
from math import exp, log
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from pst_cli.data.findings import Finding
from pst_cli.data.texts import size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pst_cli.data.manifest import Utterance

FEWEST = 30  # figures; below that nothing is said
FAR = 5.0  # standard deviations; one figure in a million by chance
DEVIATION = 1.4826  # standard deviations in a median absolute deviation, for a normal spread
NEAREST = log(1.6)  # a factor of less is never far, however alike the others are
SHORT_TEXT = 10  # letters added to both sides: two words may well differ by a factor of three
PAUSES = 0.5  # s added to a stretch: silence around short speech says nothing of its pace


class Figure(NamedTuple):
    """The logarithm of a ratio, and the utterance it belongs to."""

    value: float
    utterance: Utterance


def odd_lengths(utterances: Iterable[Utterance]) -> Iterator[Finding]:
    """Translations whose length is out of proportion, each direction by itself."""
    found: dict[tuple[str, str], list[Figure]] = defaultdict(list)
    for one in utterances:
        texts = one.texts()
        if one.language not in texts:
            continue
        own = size(texts.pop(one.language)) + SHORT_TEXT
        for target, text in texts.items():
            ratio = log((size(text) + SHORT_TEXT) / own)
            found[one.language, target].append(Figure(ratio, one))
    for (source, target), figures in found.items():
        for far, middle in outliers(figures):
            length, own = (len(far.utterance.texts()[code]) for code in (target, source))
            yield Finding(
                "length-ratio",
                far.utterance.place,
                f"{source} to {target}: {own} to {length} characters, "
                f"{_times(far.value - middle, 'longer', 'shorter')}",
            )


def odd_rates(
    utterances: Iterable[Utterance], seconds: Callable[[Utterance], float | None]
) -> Iterator[Finding]:
    """Utterances spoken too fast or too slowly for their text, each language by itself."""
    found: dict[str, list[Figure]] = defaultdict(list)
    for one in utterances:
        length = seconds(one) if one.audio and one.text.strip() else None
        if length:
            rate = log((size(one.text) + SHORT_TEXT) / (length + PAUSES))
            found[one.language].append(Figure(rate, one))
    for language, figures in found.items():
        for far, middle in outliers(figures):
            yield Finding(
                "speaking-rate",
                far.utterance.place,
                f"{language}: {len(far.utterance.text)} characters in "
                f"{seconds(far.utterance):.1f} s, {_times(far.value - middle, 'faster', 'slower')}",
            )


def outliers(figures: Sequence[Figure]) -> Iterator[tuple[Figure, float]]:
    """Those far from the median, each with it; none where there are too few to judge by."""
    if len(figures) < FEWEST:
        return
    middle = median(figure.value for figure in figures)
    spread = DEVIATION * median(abs(figure.value - middle) for figure in figures)
    limit = max(FAR * spread, NEAREST)
    for figure in figures:
        if abs(figure.value - middle) > limit:
            yield figure, middle


def _times(away: float, more: str, less: str) -> str:
    return f"{exp(abs(away)):.1f} times {more if away > 0 else less} than usual"
