"""Which examples make up which batch: fixed by the seed alone, however many processes share it.

Every process makes the whole plan and takes its own rows of each batch, so that a run on two
processes learns from the same batches as a run on one; and a run that was broken off finds its
place by counting.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import chain, groupby
from typing import TYPE_CHECKING, Protocol, TypeVar

from pst_cli.training.clips import joined, single
from pst_cli.training.examples import Direction, Spoken, balanced, renderings

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from pst_cli.data.manifest import Utterance
    from pst_cli.training.clips import Clip
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
    targets: int = 1  # languages that a clip is put into, at most, in one batch


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


@dataclass(frozen=True, slots=True)
class Several(Source[Spoken]):
    """Clips that are each put into several languages at a time, so that they are heard once.

    Utterances are joined with such as have text in the same languages; which of these are asked
    for is drawn anew each epoch, rare directions more often.
    """

    utterances: Sequence[Utterance]
    mixing: Mixing

    def epoch(self, rng: random.Random) -> list[Spoken]:
        clips = list(self._clips(rng))
        rng.shuffle(clips)
        counts = Counter(one.direction for one in renderings(clips))
        found: list[Spoken] = []
        for clip in clips:
            every = renderings([clip])
            weights = [counts[one.direction] ** (self.mixing.power - 1) for one in every]
            found += drawn_apart(every, weights, self.mixing.targets, rng)
        return found

    def _clips(self, rng: random.Random) -> Iterator[Clip]:
        mixing = self.mixing
        groups: dict[tuple[str, ...], list[Utterance]] = defaultdict(list)
        for one in self.utterances:
            groups[one.language, *sorted(one.texts())].append(one)
        for name in sorted(groups):
            mine = groups[name]
            rng.shuffle(mine)
            cut = round(len(mine) * mixing.joined)
            yield from (single(one, rng.choice(mixing.speeds)) for one in mine[cut:])
            yield from joined(mine[:cut], mixing.longest, mixing.speeds, rng)


def drawn_apart(
    items: Sequence[T], weights: Sequence[float], count: int, rng: random.Random
) -> list[T]:
    """At most `count` of `items`, none twice, heavier ones likelier and earlier.

    A larger `count` only adds to what a smaller one gives.
    """
    # Efraimidis and Spirakis, 2006; in logarithms, for light weights would all come to 0.
    keys = [math.log(rng.random() or math.ulp(0.0)) / weight for weight in weights]
    best = sorted(range(len(items)), key=lambda index: keys[index], reverse=True)
    return [items[index] for index in best[:count]]


def batches(
    items: Sequence[T],
    lengths: Sequence[float],
    size: int,
    seed: str,
    alike: Callable[[T], Hashable] | None = None,
) -> list[list[T]]:
    """`items` in batches of `size` rows of about the same length, in an order drawn by `seed`.

    Neighbours that are `alike` and of one length stay together, unless a batch ends between them.
    The last batch is filled up with items of the first.
    """
    rng = random.Random(seed)
    order = _shuffled(items, alike, rng)
    order += [order[i % len(order)] for i in range(-len(order) % size)]
    found = []
    for start in range(0, len(order), size * POOL):
        pool = sorted(order[start : start + size * POOL], key=lambda index: lengths[index])
        found += [pool[i : i + size] for i in range(0, len(pool), size)]
    rng.shuffle(found)
    return [[items[index] for index in batch] for batch in found]


def _shuffled(
    items: Sequence[T], alike: Callable[[T], Hashable] | None, rng: random.Random
) -> list[int]:
    """The numbers of `items`, those of neighbours that are `alike` side by side."""
    numbers = range(len(items))
    if alike is None:
        order = list(numbers)
        rng.shuffle(order)
        return order
    runs = [list(run) for _, run in groupby(numbers, key=lambda number: alike(items[number]))]
    rng.shuffle(runs)
    return list(chain.from_iterable(runs))


def share(rows: Sequence[T], rank: int, world: int, micro: int) -> list[Sequence[T]]:
    """This process's rows of a batch, in groups of at most `micro` that fit in memory."""
    mine = rows[rank::world]
    return [mine[i : i + micro] for i in range(0, len(mine), micro)]
