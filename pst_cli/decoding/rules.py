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
REMEMBERED = 16  # masks; one serves until a time is said
LATEST_START = 1.0  # s; the first timestamp may not be later, as in openai/whisper


class Rules(Protocol):
    """Masks scores, given what each position has before it."""

    def __call__(self, scores: Tensor, prefixes: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Mask `scores`, (rows, seq, vocabulary), in place and return them.

        prefixes[r][i] is what row r has emitted (the prompt left out) before position i.
        """

    def choose(
        self, scores: Tensor, prefixes: Sequence[Sequence[int]]
    ) -> tuple[list[int], list[float]]:
        """For each row the likeliest index in `scores`, (rows, vocabulary), and how likely it is.

        It is 0.0 where nothing may follow prefixes[r]. Scores may be masked in place.
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
        self._patient = False
        self._always = torch.zeros(vocabulary, device=device)
        self._always[list(tokens.suppressed)] = NEVER
        if timestamps:
            self._always[tokens.no_timestamps] = NEVER
        self._first = torch.zeros(vocabulary, device=device)
        self._first[list(tokens.suppressed_first)] = NEVER
        self._keep(range(vocabulary))

    def _keep(self, kept: Sequence[int]) -> None:
        """Be for scores of `kept` alone, ids in ascending order."""
        self._kept = kept
        self._masks: dict[_Grammar, Tensor] = {}
        self._begin = self._column(self.tokens.timestamp_begin)
        both = 0 < self._begin < len(kept)  # words may be said, and times
        self._timed = self.timestamps and both

    def narrowed(self, kept: Sequence[int]) -> Self:
        """See `Rules`; prefixes stay in the host's ids."""
        found = copy.copy(self)
        found._keep(kept)
        columns = torch.tensor(kept, device=self._always.device)
        found._always, found._first = self._always[columns], self._first[columns]
        return found

    def patient(self) -> Self:
        """For a host that guesses: a time only where one is likelier than any words at all.

        Whisper's rule, likelier than each of them, cuts it short in the middle of a word where it
        has many in mind.
        """
        found = copy.copy(self)
        found._patient = True
        return found

    def __call__(self, scores: Tensor, prefixes: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        for row, positions in enumerate(prefixes):
            for position, prefix in enumerate(positions):
                scores[row, position] += self._mask(prefix)
        if self._timed:
            self._prefer_times(scores)
        return scores

    def choose(
        self, scores: Tensor, prefixes: Sequence[Sequence[int]]
    ) -> tuple[list[int], list[float]]:
        """See `Rules`."""
        rows = zip(scores.cpu(), prefixes, strict=True)
        found = [self._likeliest(row, prefix) for row, prefix in rows]
        return [column for column, _ in found], [sure for _, sure in found]

    def _likeliest(self, scores: Tensor, prefix: Sequence[int]) -> tuple[int, float]:
        """`choose` for one row, (vocabulary,): by NumPy where it is quicker at some thousand."""
        scores += self._mask(prefix).cpu()
        known = scores.numpy()
        column = int(known.argmax())
        if known[column] == NEVER:
            return column, 0.0
        shares = (scores - float(known[column])).exp_().numpy()
        if self._timed:  # as `_prefer_times`
            times = float(shares[self._begin :].sum())
            words = float(shares[: self._begin].sum()) if self._patient else 1.0
            if times > words or (column >= self._begin and not self._patient):
                column = self._begin + int(known[self._begin :].argmax())
                return column, float(shares[column]) / times
        return column, 1 / float(shares.sum())

    def _mask(self, prefix: Sequence[int]) -> Tensor:
        """What is added to the scores after `prefix`, (vocabulary,)."""
        grammar = self._grammar(prefix)
        if grammar not in self._masks:
            if len(self._masks) > REMEMBERED:
                self._masks.clear()
            mask = self._always + self._first if grammar.first else self._always.clone()
            if self.timestamps:
                self._apply(mask, grammar)
            self._masks[grammar] = mask
        return self._masks[grammar]

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

    def _apply(self, mask: Tensor, grammar: _Grammar) -> None:
        """Take from `mask`, (vocabulary,), what the grammar does not allow."""
        begin, first = self.tokens.timestamp_begin, self._begin
        if grammar.first:
            mask[:first] = NEVER
            mask[self._column(begin + self._latest + 1) :] = NEVER
        elif not grammar.text:
            mask[: self._column(self.tokens.end)] = NEVER
        if not grammar.times:
            mask[first:] = NEVER
        elif grammar.earliest:
            mask[first : self._column(begin + grammar.earliest)] = NEVER

    def _prefer_times(self, scores: Tensor) -> None:
        """Where all timestamps together are likelier than any word, a timestamp it is.

        With patience, than all words together.
        """
        begin = self._begin
        said = scores[..., :begin]
        words = (said.logsumexp if self._patient else said.amax)(-1, keepdim=True)
        wins = (scores[..., begin:] - words).exp().sum(-1, keepdim=True) > 1
        if wins.any():  # seldom, and to go over all words takes as long as all else here
            scores[..., :begin].masked_fill_(wins, NEVER)

    def _column(self, token: int) -> int:
        """Where the scores of `token` and those of higher ids begin."""
        return bisect_left(self._kept, token)
