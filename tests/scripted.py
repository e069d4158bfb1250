"""Hosts and drafters whose every word is written down: what the decoding loop is tested against."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pst_cli.decoding.protocols import Draft
from pst_cli.types import SpecialTokens

torch.set_num_threads(1)  # tensors this small only lose by sharing

VOCABULARY = 40
SPECIAL = SpecialTokens(
    start=30,
    end=29,
    transcribe=32,
    translate=31,
    no_speech=33,
    no_timestamps=34,
    timestamp_begin=35,
    languages={"en": 36},
)
PROMPT = (30, 36, 32)


def hashed_scores(row: int, prefix: Sequence[int], end_bias: float = 0.0) -> Tensor:
    """Scores that depend on every token of the prefix and nothing else: (vocabulary,)."""
    return _hashed(row, tuple(prefix), end_bias).clone()


@functools.cache
def _hashed(row: int, prefix: tuple[int, ...], end_bias: float) -> Tensor:
    digest = hashlib.sha256(f"{row}:{prefix}".encode()).digest()
    seed = int.from_bytes(digest[:8], "little") % 2**63
    scores = torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed))
    scores[30:] = float("-inf")  # specials and times: not what these tests are about
    scores[SPECIAL.end] += end_bias
    return scores


class ScriptedHost:
    """A host with a real rewindable memory of tokens, and scores from a script.

    The hidden state of a position is (window, position); its scores come from
    script(window, tokens that its memory holds up to that position). Reading a slot that was never
    written fails.
    """

    def __init__(
        self,
        windows: int,
        script: Callable[[int, Sequence[int]], Tensor] = hashed_scores,
        limit=48,
        beams=1,
    ) -> None:
        self.limit, self.script = limit, script
        self.names = [row // beams for row in range(windows * beams)]
        self.memory: list[dict[int, int]] = [{} for _ in self.names]
        self.passes = 0

    def forward(self, tokens: Tensor, starts: Sequence[int]) -> Tensor:
        self.passes += 1
        assert len(starts) == len(self.memory) == tokens.shape[0]
        assert max(starts) + tokens.shape[1] <= self.limit, "fed beyond the last position"
        states = []
        for row, (fed, start) in enumerate(zip(tokens.tolist(), starts, strict=True)):
            self.memory[row].update(enumerate(fed, start))
            states.append([self._scores(row, start + i) for i in range(len(fed))])
        return torch.stack([torch.stack(row) for row in states])

    def _scores(self, row: int, position: int) -> Tensor:
        prefix = [self.memory[row][i] for i in range(position + 1)]
        return self.script(self.names[row], prefix)

    def logits(self, states: Tensor) -> Tensor:
        return states.clone()

    def select(self, rows: Tensor) -> None:
        self.names = [self.names[i] for i in rows.tolist()]
        self.memory = [dict(self.memory[i]) for i in rows.tolist()]

    def reorder(self, rows: Tensor) -> None:
        names = self.names
        self.select(rows)
        assert self.names == names, "a row left its window"


class Oracle:
    """Drafts what plain decoding said, spoilt where `spoil` says so; drafts run past the end."""

    def __init__(
        self,
        truths: Sequence[Sequence[int]],
        lengths: Callable[[], int],
        spoil: Callable[[], bool] = lambda: False,
    ) -> None:
        self.truths, self.lengths, self.spoil = list(truths), lengths, spoil

    def draft(self, rows: Sequence[Sequence[int]], room: Sequence[int]) -> list[Draft]:
        drafts = []
        for context, truth, most in zip(rows, self.truths, room, strict=True):
            ahead = [*truth, SPECIAL.end, *range(10)][len(context) - len(PROMPT) :]
            ahead = ahead[: min(self.lengths(), most)]
            drafts.append(
                Draft(tuple((token + 1) % 29 if self.spoil() else token for token in ahead))
            )
        return drafts

    def select(self, rows: Tensor) -> None:
        self.truths = [self.truths[i] for i in rows.tolist()]
