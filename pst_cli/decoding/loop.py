"""The one decoding loop: draft, verify, accept, roll back.

At the top of each round the host's memory holds every row's tokens but the last. A drafter
proposes some to follow (plain decoding proposes none), one host pass over the last token and the
draft verifies them, the acceptance rule says what to emit, and rolling back is nothing but feeding
the next round at the position after the emitted tokens: what a rejected draft left behind is
overwritten or never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pst_cli.decoding.passes import prefill, prefixes, verify
from pst_cli.decoding.protocols import Draft, Drafter, Host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.decoding.acceptance import Acceptance
    from pst_cli.decoding.rules import Rules
    from pst_cli.types import SpecialTokens


@dataclass
class Decoded:
    """One row: what was said, how sure the host was, and what it cost."""

    prompt: tuple[int, ...]
    tokens: list[int] = field(default_factory=list)  # emitted, the end token left out
    logprob: float = 0.0  # natural log, summed over what was emitted, end token included
    ended: bool = False  # by the end token, not by the length limit
    no_speech_probability: float = 0.0
    passes: int = 0  # host passes after the prompt's own
    drafted: int = 0
    accepted: list[int] = field(default_factory=list)  # drafted tokens that held, a pass each

    @property
    def average_logprob(self) -> float:
        """As openai/whisper counts it: the end token is one more."""
        return self.logprob / (len(self.tokens) + 1)

    @property
    def context(self) -> list[int]:
        return [*self.prompt, *self.tokens]


@dataclass(frozen=True)
class Strategy:
    """The parts of the loop that differ between one way of decoding and another."""

    drafter: Drafter
    acceptance: Acceptance
    rules: Rules
    limit: int | None = None  # tokens in a row, prompt included; None: all the host can hold


@torch.inference_mode()
def decode(
    host: Host, prompts: Sequence[Sequence[int]], tokens: SpecialTokens, strategy: Strategy
) -> list[Decoded]:
    """Decode every row of `host` from its prompt until the end token or the length limit.

    prompts[r] is row r's; all have one length.
    """
    return _Run(host, prompts, tokens, strategy).finish()


class _Run:
    """One batch on its way through the loop; a row that has ended leaves it."""

    def __init__(
        self,
        host: Host,
        prompts: Sequence[Sequence[int]],
        tokens: SpecialTokens,
        strategy: Strategy,
    ) -> None:
        self.host, self.tokens, self.strategy = host, tokens, strategy
        self.limit = min(strategy.limit or host.limit, host.limit)
        self.rows = [Decoded(tuple(prompt)) for prompt in prompts]

    def finish(self) -> list[Decoded]:
        everything = self.rows
        self._prefill()
        while self.rows:
            self._round()
        return everything

    def _prefill(self) -> None:
        """Feed the prompts; the pass that stores them also yields each row's first token."""
        prompts = [row.prompt for row in self.rows]
        scores, silence = prefill(self.host, prompts, self.tokens)
        for row, probability in zip(self.rows, silence, strict=True):
            row.no_speech_probability = probability
        self._accept(scores, [Draft()] * len(self.rows))

    def _round(self) -> None:
        contexts = [row.context for row in self.rows]
        scores, drafts = verify(
            self.host, self.strategy.drafter, contexts, self.limit, self.tokens.end
        )
        for row, draft in zip(self.rows, drafts, strict=True):
            row.passes += 1
            row.drafted += len(draft.tokens)
        emitted = self._accept(scores, drafts)
        for row, count in emitted:
            row.accepted.append(count - 1)

    def _accept(self, scores: Tensor, drafts: Sequence[Draft]) -> list[tuple[Decoded, int]]:
        """Emit what the host agrees with; rows that end leave. Each row with its emitted count."""
        before = prefixes([row.tokens for row in self.rows], drafts)
        scores = self.strategy.rules(scores, before)
        emitted = self.strategy.acceptance(scores, drafts)
        for row, tokens, logprobs in zip(
            self.rows, emitted, _logprobs(scores, emitted), strict=True
        ):
            self._emit(row, tokens, logprobs)
        counts = [(row, len(tokens)) for row, tokens in zip(self.rows, emitted, strict=True)]
        self._leave()
        return counts

    def _emit(self, row: Decoded, tokens: Sequence[int], logprobs: Sequence[float]) -> None:
        """Append what was accepted; an end token cuts what follows it."""
        for token, logprob in zip(tokens, logprobs, strict=True):
            row.logprob += logprob
            if token == self.tokens.end:
                row.ended = True
                return
            row.tokens.append(token)

    def _leave(self) -> None:
        kept = [
            index
            for index, row in enumerate(self.rows)
            if not row.ended and len(row.prompt) + len(row.tokens) < self.limit
        ]
        if 0 < len(kept) < len(self.rows):
            index = torch.tensor(kept)
            self.host.select(index)
            self.strategy.drafter.select(index)
        self.rows = [self.rows[index] for index in kept]


def _logprobs(scores: Tensor, emitted: Sequence[Sequence[int]]) -> list[list[float]]:
    """Log-probability of each emitted token under the masked scores it was chosen from."""
    width = scores.shape[1]
    padded = torch.tensor([[*row, *[row[-1]] * (width - len(row))] for row in emitted])
    found = scores.log_softmax(-1).gather(-1, padded.to(scores.device)[..., None])
    values = found[..., 0].tolist()
    return [row[: len(tokens)] for row, tokens in zip(values, emitted, strict=True)]
