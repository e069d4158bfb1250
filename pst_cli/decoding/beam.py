"""Beam search over host passes that verify drafts: its results, for fewer passes.

Every hypothesis of a window is drafted on, and one host pass scores what follows each position of
all drafts. Steps of the search are then taken from the pass's columns for as long as every
hypothesis that survives a step ends in the token that its own row had drafted, for then the scores
of its next step are known already. Drafts decide nothing but that: whatever they are, what comes
out is beam search. (Le et al., arXiv 2508.11189, combine KVSPN with beams; how is left open there.)

The search is openai/whisper's (decoding.py, BeamSearchDecoder, patience 1, and
MaximumLikelihoodRanker, length_penalty None).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from pst_cli.decoding.loop import Decoded, Strategy, decode
from pst_cli.decoding.passes import prefill, prefixes, verify
from pst_cli.decoding.protocols import Draft, Drafter, Host
from pst_cli.decoding.rules import NEVER

if TYPE_CHECKING:
    from pst_cli.decoding.rules import Rules
    from pst_cli.types import SpecialTokens

Item = TypeVar("Item")
Likely = Sequence[tuple[int, float]]  # tokens and their log-probabilities, the likeliest first


@dataclass(frozen=True)
class Search:
    """The parts that differ between one search and another."""

    drafter: Drafter
    rules: Rules
    limit: int | None = None  # tokens in a row, prompt included; None: all the host can hold


def search(
    host: Host,
    prompts: Sequence[Sequence[int]],
    tokens: SpecialTokens,
    strategy: Strategy,
    beams: int = 1,
) -> list[Decoded]:
    """`loop.decode`; with several beams `decode_beams`, which judges drafts by the search alone."""
    if beams == 1:
        return decode(host, prompts, tokens, strategy)
    parts = Search(strategy.drafter, strategy.rules, strategy.limit)
    return decode_beams(host, prompts, tokens, parts, beams)


@torch.inference_mode()
def decode_beams(
    host: Host,
    prompts: Sequence[Sequence[int]],
    tokens: SpecialTokens,
    search: Search,
    beams: int = 3,
) -> list[Decoded]:
    """The best hypothesis of each window, found with `beams` of them side by side.

    prompts[w] is window w's; all have one length. `host` holds `beams` rows a window, row =
    window * beams + beam, and so must the drafter. A pass counts as drafted what the longest draft
    of a window's rows proposed, as accepted the steps it allowed beyond the first. Raises
    ValueError where there is no beam.
    """
    if beams < 1:
        raise ValueError(f"{beams} beams search nothing")
    return _Run(host, prompts, tokens, search, beams).finish()


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    """One way a window may go on; NEVER as its log-probability marks a row that stands empty."""

    tokens: tuple[int, ...] = ()  # the end token included where it has ended
    logprob: float = 0.0  # natural log, summed
    row: int = 0  # of its window in the last pass: where its memory is

    @property
    def living(self) -> bool:
        return self.logprob > NEVER  # not so for NaN either

    def grown(self, token: int, logprob: float) -> _Hypothesis:
        return _Hypothesis((*self.tokens, token), self.logprob + logprob, self.row)


@dataclass
class _Window:
    """One window's search: what lives, what has ended, what it cost."""

    decoded: Decoded
    beams: int
    end: int  # the end token
    alive: list[_Hypothesis]  # a row each, the best first
    ended: list[_Hypothesis] = field(default_factory=list)  # set aside; at most `beams`

    @classmethod
    def opened(cls, prompt: Sequence[int], beams: int, end: int) -> _Window:
        """All rows hold the same prompt, so at first only one of them counts."""
        alive = [_Hypothesis(), *[_Hypothesis(logprob=NEVER)] * (beams - 1)]
        return cls(Decoded(tuple(prompt)), beams, end, alive)

    def done(self, limit: int) -> bool:
        if not self.alive or len(self.ended) == self.beams:
            return True
        return len(self.decoded.prompt) + len(self.alive[0].tokens) >= limit

    def advance(self, likely: Sequence[Sequence[Likely]], drafts: Sequence[Draft]) -> int:
        """Take as many steps as a pass allows, at least one; returns how many.

        likely[r][i] is what may follow i draft tokens of row r.
        """
        steps = 0
        while True:
            self._step(likely, steps)
            drafted = [draft.tokens[steps : steps + 1] for draft in drafts]
            steps += 1
            living = [one for one in self.alive if one.living]
            known = all(one.tokens[-1:] == drafted[one.row] for one in living)
            if not living or not known or len(self.ended) == self.beams:
                return steps

    def _step(self, likely: Sequence[Sequence[Likely]], position: int) -> None:
        """Grow every hypothesis by one of the tokens likely at `position`, and keep the best."""
        grown = [
            one.grown(token, logprob)
            for one in self.alive
            if one.living
            for token, logprob in likely[one.row][position]
        ]
        grown = [one for one in grown if one.living]
        grown.sort(key=lambda one: one.logprob, reverse=True)
        self.alive = []
        for one in grown:
            if len(self.alive) == self.beams:
                break
            if one.tokens[-1] != self.end:
                self.alive.append(one)
            elif len(self.ended) < self.beams:
                self.ended.append(one)
        empty = [replace(one, logprob=NEVER) for one in self.alive[:1]]
        self.alive += empty * (self.beams - len(self.alive))

    def settled(self) -> None:
        """Memory has been moved to the rows where the hypotheses now stand."""
        self.alive = [replace(one, row=row) for row, one in enumerate(self.alive)]

    def best(self) -> Decoded:
        """The likeliest hypothesis by the token; those still open count where few have ended."""
        living = [one for one in self.alive if one.living]
        pool = [*self.ended, *living[: self.beams - len(self.ended)]]
        best = max(pool, key=self._rank, default=_Hypothesis(logprob=NEVER))
        self.decoded.ended = best.tokens[-1:] == (self.end,)
        self.decoded.tokens = list(best.tokens[:-1] if self.decoded.ended else best.tokens)
        self.decoded.logprob = best.logprob
        return self.decoded

    def _rank(self, one: _Hypothesis) -> float:
        """Log-probability by the token; the end token is in the sum but not in the length."""
        length = len(one.tokens) - (one.tokens[-1:] == (self.end,))
        return one.logprob / max(length, 1)  # openai/whisper never sees an empty one


class _Run:
    """One batch on its way; a window that is done leaves it."""

    def __init__(
        self,
        host: Host,
        prompts: Sequence[Sequence[int]],
        tokens: SpecialTokens,
        search: Search,
        beams: int,
    ) -> None:
        self.host, self.tokens, self.search, self.beams = host, tokens, search, beams
        self.limit = min(search.limit or host.limit, host.limit)
        self.windows = [_Window.opened(prompt, beams, tokens.end) for prompt in prompts]

    def finish(self) -> list[Decoded]:
        everything = self.windows
        self._prefill()
        while self.windows:
            self._round()
        return [window.best() for window in everything]

    def _prefill(self) -> None:
        prompts = [window.decoded.prompt for window in self.windows for _ in range(self.beams)]
        scores, silence = prefill(self.host, prompts, self.tokens)
        for window, probability in zip(self.windows, silence[:: self.beams], strict=True):
            window.decoded.no_speech_probability = probability
        self._advance(scores, [Draft()] * len(prompts))

    def _round(self) -> None:
        contexts = [
            [*window.decoded.prompt, *one.tokens] for window in self.windows for one in window.alive
        ]
        scores, drafts = verify(
            self.host, self.search.drafter, contexts, self.limit, self.tokens.end
        )
        for window, own in zip(self.windows, self._by_window(drafts), strict=True):
            window.decoded.passes += 1
            window.decoded.drafted += max(len(draft.tokens) for draft in own)
        for window, steps in self._advance(scores, drafts):
            window.decoded.accepted.append(steps - 1)

    def _advance(self, scores: Tensor, drafts: Sequence[Draft]) -> list[tuple[_Window, int]]:
        """Step every window on, and let go of those that are done; each with its steps."""
        emitted = [one.tokens for window in self.windows for one in window.alive]
        scores = self.search.rules(scores, prefixes(emitted, drafts))
        likely = self._by_window(_likely(scores, self.beams + 1))
        parts = zip(self.windows, likely, self._by_window(drafts), strict=True)
        steps = [(window, window.advance(own, drafted)) for window, own, drafted in parts]
        self._settle()
        return steps

    def _by_window(self, rows: Sequence[Item]) -> list[Sequence[Item]]:
        return [rows[first : first + self.beams] for first in range(0, len(rows), self.beams)]

    def _settle(self) -> None:
        """Bring memory, the host's and the drafter's, to where the hypotheses now stand."""
        kept = [index for index, one in enumerate(self.windows) if not one.done(self.limit)]
        order = [
            index * self.beams + one.row for index in kept for one in self.windows[index].alive
        ]
        if order and order != list(range(len(self.windows) * self.beams)):
            rows = torch.tensor(order)
            (self.host.reorder if len(kept) == len(self.windows) else self.host.select)(rows)
            self.search.drafter.select(rows)
        self.windows = [self.windows[index] for index in kept]
        for window in self.windows:
            window.settled()


def _likely(scores: Tensor, most: int) -> list[list[Likely]]:
    """The `most` likeliest tokens at each position of each row; scores are masked.

    The end token is at most one of them, so that `beams` + 1 a hypothesis are always enough.
    """
    top = scores.log_softmax(-1).topk(min(most, scores.shape[-1]), dim=-1)
    return [
        [list(zip(*pair, strict=True)) for pair in zip(tokens, logprobs, strict=True)]
        for tokens, logprobs in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]
