"""Loops: rules that end one past mending, and that keep a row out of the next.

A decoder that loops goes on up to its limit, ten times as long as what people say in a window; and
a search finds loops likely: of 400 translations base-m2m, of four runs, loops in 19 greedily, with
5 beams in 35.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from pst_cli.decoding.rules import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

    from pst_cli.decoding.rules import Rules

PHRASE = 4  # tokens; of 19 loops of base-m2m on 80 pages 3 end all, 4 all but one, 6 all but three
LOOP = 16  # tokens; the longest phrase that is looked for
TAIL = 64  # tokens; for so long, and once more, a phrase has been coming again and again


@dataclass(frozen=True, slots=True)
class _Upon(ABC):
    """`rules`, and something more about words, the tokens below `end`, the end token."""

    rules: Rules
    end: int
    kept: Sequence[int] | None = None  # see `Rules.narrowed`

    @abstractmethod
    def _limit(self, scores: Tensor, words: Sequence[int]) -> None:
        """Take from `scores`, (vocabulary,), what may not follow `words`."""

    def __call__(self, scores: Tensor, prefixes: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """See `Rules`."""
        for row, positions in enumerate(prefixes):
            for position, prefix in enumerate(positions):
                self._limit(scores[row, position], self._words(prefix))
        return self.rules(scores, prefixes)

    def choose(
        self, scores: Tensor, prefixes: Sequence[Sequence[int]]
    ) -> tuple[list[int], list[float]]:
        """See `Rules`."""
        for row, prefix in zip(scores, prefixes, strict=True):
            self._limit(row, self._words(prefix))
        return self.rules.choose(scores, prefixes)

    def narrowed(self, kept: Sequence[int]) -> Self:
        """See `Rules`."""
        return replace(self, rules=self.rules.narrowed(kept), kept=kept)

    def _words(self, prefix: Sequence[int]) -> list[int]:
        return [token for token in prefix if token < self.end]

    def _columns(self, tokens: Iterable[int]) -> list[int]:
        """Where the scores of `tokens` are, of those that have one."""
        if self.kept is None:
            return list(tokens)
        places = ((bisect_left(self.kept, token), token) for token in tokens)
        return [place for place, token in places if token in self.kept[place : place + 1]]


@dataclass(frozen=True, slots=True)
class NoRepeats(_Upon):
    """No `PHRASE` words in a row, times between them left out, come back.

    transformers and faster-whisper call it no_repeat_ngram_size. It is for rows that looped: in
    what people say, chants and lists above all, phrases do come back.
    """

    def _limit(self, scores: Tensor, words: Sequence[int]) -> None:
        known = PHRASE - 1
        last, places = words[-known:], range(len(words) - known)
        back = {words[place + known] for place in places if words[place : place + known] == last}
        if columns := self._columns(back):
            scores[columns] = NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class EndLoops(_Upon):
    """What loops, and is `hopeless`, ends: for decoding that is looked at by a guard afterwards."""

    hopeless: Callable[[Sequence[int]], bool]

    def _limit(self, scores: Tensor, words: Sequence[int]) -> None:
        if loops(words) and self.hopeless(words):
            columns = self._columns([self.end])
            spared = scores[columns]
            scores.fill_(NEVER)
            scores[columns] = spared


def loops(words: Sequence[int]) -> bool:
    """Whether `words` end in the same phrase again and again, for `TAIL` words and more."""
    tail, size = words[-TAIL:], len(words)
    lags = range(1, min(LOOP, size - TAIL) + 1)
    return any(words[size - TAIL - lag : size - lag] == tail for lag in lags)
