"""Token rules: what may follow a prefix, whatever the host's scores say.

Suppressed tokens and Whisper's timestamp grammar (openai/whisper, decoding.py,
ApplyTimestampRules): text stands between pairs of timestamps that never run backward. A rule looks
at the prefix, so each position of a verified draft has a mask of its own.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import torch
from torch import Tensor

from pst_cli.types import TIMESTAMP_SECONDS, SpecialTokens

if TYPE_CHECKING:
    from collections.abc import Sequence

NEVER = float("-inf")
LATEST_START = 1.0  # s; the first timestamp may not be later, as in openai/whisper


class Rules(Protocol):
    """Masks scores, given what each position has before it."""

    def __call__(self, scores: Tensor, prefixes: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Mask `scores`, (rows, seq, vocabulary), in place and return them.

        prefixes[r][i] is what row r has emitted (the prompt left out) before position i.
        """

    def narrowed(self, kept: Sequence[int]) -> Rules:
        """The same for scores of the tokens `kept` alone, ids in ascending order."""


@dataclass(frozen=True, slots=True)
class _Grammar:
    """What the timestamp grammar allows after one prefix."""

    first: bool  # nothing was emitted yet
    text: bool  # words may follow
    times: bool  # timestamps may follow
    earliest: int  # index of the first timestamp allowed


class TokenRules:
    """Suppression, and with `timestamps` the timestamp grammar."""

    def __init__(
        self,
        tokens: SpecialTokens,
        vocabulary: int,
        *,
        timestamps: bool = True,
        latest_start: float = LATEST_START,
        device: torch.device | str = "cpu",
    ) -> None:
        self.tokens, self.timestamps = tokens, timestamps
        self._latest = round(latest_start / TIMESTAMP_SECONDS)
        self._always = torch.zeros(vocabulary, device=device)
        self._always[list(tokens.suppressed)] = NEVER
        if timestamps:
            self._always[tokens.no_timestamps] = NEVER
        self._first = torch.zeros(vocabulary, device=device)
        self._first[list(tokens.suppressed_first)] = NEVER
        self._kept: Sequence[int] = range(vocabulary)

    def narrowed(self, kept: Sequence[int]) -> Self:
        """See `Rules`; prefixes stay in the host's ids."""
        found = copy.copy(self)
        found._kept = kept
        columns = torch.tensor(kept, device=self._always.device)
        found._always, found._first = self._always[columns], self._first[columns]
        return found

    def __call__(self, scores: Tensor, prefixes: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        scores += self._always
        for row, positions in enumerate(prefixes):
            for position, prefix in enumerate(positions):
                if not prefix:
                    scores[row, position] += self._first
                if self.timestamps:
                    self._apply(scores[row, position], self._grammar(prefix))
        if self.timestamps:
            self._prefer_times(scores)
        return scores

    def _grammar(self, prefix: Sequence[int]) -> _Grammar:
        begin = self.tokens.timestamp_begin
        last = bool(prefix) and prefix[-1] >= begin
        before = len(prefix) < 2 or prefix[-2] >= begin
        latest = next((token - begin for token in reversed(prefix) if token >= begin), -1)
        opening = last and not before  # the pair's second half may repeat the first's time
        return _Grammar(
            first=not prefix,
            text=bool(prefix) and not opening,
            times=not (last and before),
            earliest=latest if opening else latest + 1,
        )

    def _apply(self, scores: Tensor, grammar: _Grammar) -> None:
        """Mask one position's scores, (vocabulary,), in place."""
        begin = self.tokens.timestamp_begin
        first = self._column(begin)
        if grammar.first:
            scores[:first] = NEVER
            scores[self._column(begin + self._latest + 1) :] = NEVER
        elif not grammar.text:
            scores[: self._column(self.tokens.end)] = NEVER
        if not grammar.times:
            scores[first:] = NEVER
        elif grammar.earliest:
            scores[first : self._column(begin + grammar.earliest)] = NEVER

    def _prefer_times(self, scores: Tensor) -> None:
        """Where all timestamps together are likelier than any word, a timestamp it is."""
        begin = self._column(self.tokens.timestamp_begin)
        if not 0 < begin < len(self._kept):  # only words, or only times
            return
        words = scores[..., :begin].amax(-1, keepdim=True)
        wins = (scores[..., begin:] - words).exp().sum(-1, keepdim=True) > 1
        if wins.any():  # seldom, and to go over all words takes as long as all else here
            scores[..., :begin].masked_fill_(wins, NEVER)

    def _column(self, token: int) -> int:
        """Where the scores of `token` and those of higher ids begin."""
        return bisect_left(self._kept, token)
