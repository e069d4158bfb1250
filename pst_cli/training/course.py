"""A course: everything that a run learns from, as batches that are the same in every run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from pst_cli.errors import DataError
from pst_cli.models.sharing import Sharing
from pst_cli.training.collate import Batch, Ears, collate, totals
from pst_cli.training.plan import Source, batches, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pst_cli.training.examples import Example


@dataclass(frozen=True, slots=True)
class Part:
    """One process of several that share a run."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True, slots=True)
class Course:
    """Spoken items, and texts that go along with them, `texts_each` with a batch."""

    source: Source[Any]
    spell: Callable[[Any, random.Random], Example]
    ears: Ears
    size: int  # rows of a whole batch that are heard
    micro: int  # rows that a process works on at once
    timestamp_begin: int
    pad: int
    texts: Source[Any] | None = None
    spell_text: Callable[[Any], Example] | None = None
    texts_each: int = 0
    seed: int = 0
    shared: bool = False  # rows of one clip that stand together are heard once


class Epoch:
    """The batches of one epoch, by number: what PyTorch calls a map-style dataset."""

    def __init__(self, course: Course, number: int, part: Part) -> None:
        self.course, self.part = course, part
        self.name = f"{course.seed} {number}"
        items = course.source.epoch(random.Random(f"{self.name} items"))
        lengths = [item.clip.seconds for item in items]
        alike = _clip if course.shared else None
        self.batches = batches(items, lengths, course.size, f"{self.name} batches", alike)
        if not self.batches:
            raise DataError(
                "no utterance has any text to learn from",
                hint="pst data check MANIFEST counts what each language has",
            )
        texts = course.texts.epoch(random.Random(f"{self.name} texts")) if course.texts else []
        self.texts: Sequence[Any] = texts

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[Batch]:
        """This process's groups of batch `index`, those that are heard before those only read."""
        items, read = self.batches[index], self._texts(index)
        return groups(self.course, self.part, f"{self.name} {index}", items, read)

    def _texts(self, index: int) -> list[Example]:
        course = self.course
        if not self.texts or course.spell_text is None:
            return []
        first = index * course.texts_each
        chosen = range(first, first + course.texts_each)
        return [course.spell_text(self.texts[at % len(self.texts)]) for at in chosen]


def in_order(course: Course, items: Sequence[Any], part: Part) -> Iterator[list[Batch]]:
    """`items` once, as they are: how a held-out set is gone through."""
    for first in range(0, len(items), course.size):
        yield groups(course, part, "held out 0", items[first : first + course.size])


def groups(
    course: Course, part: Part, name: str, items: Sequence[Any], read: Sequence[Example] = ()
) -> list[Batch]:
    """A process's groups of the batch of `items` and of what is only `read`; `name` is its seed."""
    spoken = [course.spell(item, random.Random(f"{name} {row}")) for row, item in enumerate(items)]
    seconds = course.ears.context(spoken, name)
    whole = totals([*spoken, *read], course.timestamp_begin, seconds)
    named = [(one, f"{name} {row} sound") for row, one in enumerate(spoken)]
    shared = share(named, part.rank, part.world, course.micro)
    found = []
    for rows in shared or [named[:1]]:  # where others have all, a row that teaches nothing
        mine = [one for one, _ in rows]
        heard, sharing = _sounds(rows) if course.shared else (rows, None)
        sound = course.ears.listen([one for one, _ in heard], seconds, [seed for _, seed in heard])
        group = collate(mine, whole, sound, course.pad, sharing)
        found.append(group if shared else group.silent())
    texts = share(read, part.rank, part.world, course.micro)
    return [*found, *(collate(rows, whole, None, course.pad) for rows in texts)]


def _clip(item: Any) -> int:
    return id(item.clip)


def _sounds(
    rows: Sequence[tuple[Example, str]],
) -> tuple[list[tuple[Example, str]], Sharing | None]:
    """The first row of each clip, and who shares it, if anybody does."""
    heard: list[tuple[Example, str]] = []
    numbers: list[int] = []
    for _, alike in groupby(rows, key=lambda row: id(row[0].clip)):
        same = list(alike)
        numbers += [len(heard)] * len(same)
        heard.append(same[0])
    return heard, Sharing.of(torch.tensor(numbers)) if len(heard) < len(rows) else None
