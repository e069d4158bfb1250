"""What occurs twice: in one manifest, or in two that are to be splits of one corpus."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.data.findings import Finding
from pst_cli.data.texts import normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import TypeVar

    from pst_cli.data.manifest import Utterance

    Key = TypeVar("Key", bound=Hashable)

BRIEF = 40  # characters of a text that are shown
STEP = 0.01  # s; stretches that begin and end within one are the same


def repeated(utterances: Iterable[Utterance]) -> Iterator[Finding]:
    """Stretches of sound that one manifest names more than once."""
    seen: dict[Hashable, Utterance] = {}
    for one in utterances:
        if one.audio is None:
            continue
        first = seen.setdefault(_stretch(one), one)
        if first is one:
            continue
        if normalised(first.text) == normalised(one.text):
            yield Finding("duplicate", one.place, f"as {first.place}")
        else:
            said = f'"{_brief(one.text)}", but "{_brief(first.text)}" in {first.place}'
            yield Finding("contradiction", one.place, said)


def leaked(splits: Sequence[Sequence[Utterance]]) -> Iterator[Finding]:
    """What a manifest shares with one named before it."""
    for one, first, _ in _shared(splits, _audio):
        yield Finding("shared-audio", one.place, f"as {first.place}")
    for one, first, (language, _) in _shared(splits, _texts):
        said = f'{language}: "{_brief(one.texts()[language])}"'
        yield Finding("shared-text", one.place, f"{said}, as {first.place}")
    yield from _speakers(splits)


def _shared(
    splits: Sequence[Sequence[Utterance]], keys: Callable[[Utterance], Iterable[Key]]
) -> Iterator[tuple[Utterance, Utterance, Key]]:
    """Each utterance that has a key of an earlier split, with who had it first, and the key."""
    seen: dict[Key, Utterance] = {}
    for split in splits:
        for one in split:
            known = next((key for key in keys(one) if key in seen), None)
            if known is not None:
                yield one, seen[known], known
        for one in split:
            for key in keys(one):
                seen.setdefault(key, one)


def _speakers(splits: Sequence[Sequence[Utterance]]) -> Iterator[Finding]:
    """One finding for each speaker of each later split: there are few, with much to say."""
    seen: dict[str, str] = {}
    for split in splits:
        counts = Counter(one.speaker for one in split if one.speaker)
        places = {one.speaker: one.place for one in reversed(split) if one.speaker}
        for speaker, count in counts.items():
            if speaker in seen:
                said = f"{display(speaker)}, here in {count} utterances, as {seen[speaker]}"
                yield Finding("shared-speaker", places[speaker], said)
            else:
                seen[speaker] = places[speaker]


def _brief(text: str) -> str:
    return display(textwrap.shorten(text, BRIEF, placeholder="..."))


def _stretch(one: Utterance) -> Hashable:
    return one.audio, round(one.start / STEP), one.end and round(one.end / STEP)


def _audio(one: Utterance) -> Iterator[Path]:
    if one.audio:
        yield one.audio


def _texts(one: Utterance) -> Iterator[tuple[str, str]]:
    """What is said and what it means: a test whose answers were trained on measures nothing."""
    for language, text in one.texts().items():
        if plain := normalised(text):
            yield language, plain
