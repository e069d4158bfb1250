"""Which examples make up which batch: fixed by the seed alone, however many processes share it.

Every process makes the whole plan and takes its own rows of each batch, so that a run on two
processes learns from the same batches as a run on one; and a run that was broken off finds its
place by counting.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from pst_cli.training.clips import joined, single
from pst_cli.training.examples import Direction, Spoken, balanced, renderings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pst_cli.data.manifest import Utterance
    from pst_cli.training.examples import Directed

POOL = 32  # batches; rows are sorted by length within as many, so that little of a batch is padding
SPEEDS = (0.9, 1.0, 1.1)  # Ko et al., Interspeech 2015

T = TypeVar("T")
Item = TypeVar("Item", covariant=True)
D = TypeVar("D", bound="Directed")


class Source(Protocol[Item]):
    """Where an epoch's items come from."""

    def epoch(self, rng: random.Random) -> Sequence[Item]:
        """The items of one epoch, each with its place in the shuffle decided by `rng`."""


@dataclass(frozen=True, slots=True)
class Balanced(Source[D]):
    """The same items each epoch, drawn by direction; see `examples.balanced`."""

    items: Sequence[D]
    power: float = 0.5

    def epoch(self, rng: random.Random) -> list[D]:
        return balanced(self.items, self.power, rng)


@dataclass(frozen=True, slots=True)
class Mixing:
    """How utterances become clips anew each epoch."""

    power: float = 0.5  # see `examples.balanced`
    joined: float = 0.5  # the share of utterances that are laid end to end with others
    longest: float = 28.0  # s; of a clip of several utterances
    speeds: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class Mixed(Source[Spoken]):
    """Utterances drawn by direction, some of them laid end to end, at changing speeds."""

    utterances: Sequence[Utterance]
    mixing: Mixing

    def epoch(self, rng: random.Random) -> list[Spoken]:
        alone = renderings(single(one) for one in self.utterances)
        drawn = balanced(alone, self.mixing.power, rng)
        found: list[Spoken] = []
        for direction in sorted({one.direction for one in drawn}):
            mine = [one.clip.utterances[0] for one in drawn if one.direction == direction]
            found += self._clips(mine, direction, rng)
        rng.shuffle(found)
        return found

    def _clips(
        self, mine: Sequence[Utterance], direction: Direction, rng: random.Random
    ) -> Iterator[Spoken]:
        mixing = self.mixing
        cut = round(len(mine) * mixing.joined)
        for one in mine[cut:]:
            yield Spoken(single(one, rng.choice(mixing.speeds)), direction.target)
        for clip in joined(mine[:cut], mixing.longest, mixing.speeds, rng):
            yield Spoken(clip, direction.target)


def batches(items: Sequence[T], lengths: Sequence[float], size: int, seed: str) -> list[list[T]]:
    """`items` in batches of `size` rows of about the same length, in an order drawn by `seed`.

    The last batch is filled up with items of the first.
    """
    rng = random.Random(seed)
    order = list(range(len(items)))
    rng.shuffle(order)
    order += [order[i % len(order)] for i in range(-len(order) % size)]
    found = []
    for start in range(0, len(order), size * POOL):
        pool = sorted(order[start : start + size * POOL], key=lambda index: lengths[index])
        found += [pool[i : i + size] for i in range(0, len(pool), size)]
    rng.shuffle(found)
    return [[items[index] for index in batch] for batch in found]


def share(rows: Sequence[T], rank: int, world: int, micro: int) -> list[Sequence[T]]:
    """This process's rows of a batch, in groups of at most `micro` that fit in memory."""
    mine = rows[rank::world]
    return [mine[i : i + micro] for i in range(0, len(mine), micro)]
