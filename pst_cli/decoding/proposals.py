"""Drafting token by token: what every autoregressive drafter does between two host passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pst_cli.decoding.protocols import Draft
from pst_cli.decoding.rules import NEVER, Rules

if TYPE_CHECKING:
    from torch import Tensor

Rows = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Guide:
    """What a drafter must know of the decoding it drafts for: it follows the host's own rules."""

    rules: Rules
    prompt: int  # tokens; what stands before is emitted text to the rules
    end: int  # the end token
    confidence: float = 0.0  # a drafter less sure of a token than this stops before it
    kept: Sequence[int] | None = None  # the tokens that scores are of, ascending; None: all

    def narrowed(self, kept: Sequence[int]) -> Guide:
        """For a drafter that can say `kept`, ids in ascending order, and nothing else."""
        return replace(self, rules=self.rules.narrowed(kept), kept=kept)

    def choose(self, scores: Tensor, rows: Rows, drafts: Rows) -> tuple[list[int], list[bool]]:
        """Each row's likeliest token under the rules, and whether the drafter is sure enough of it.

        scores, (rows, 1, vocabulary or kept), are for the token after rows[r] and drafts[r]. Where
        the rules leave nothing of what the drafter can say, it is not.
        """
        prefixes = [
            [[*row[self.prompt :], *draft]] for row, draft in zip(rows, drafts, strict=True)
        ]
        masked = self.rules(scores, prefixes)[:, 0]
        best, columns = masked.max(-1)
        sure = best > NEVER
        if self.confidence:
            sure &= (best - masked.logsumexp(-1)).exp() >= self.confidence
        tokens: list[int] = columns.tolist()
        if self.kept is not None:
            tokens = [self.kept[column] for column in tokens]
        return tokens, sure.tolist()


def propose(rows: Rows, length: int, step: Callable[[Rows], Tensor], guide: Guide) -> list[Draft]:
    """Draft at most `length` tokens to follow each row, greedily, one for all rows at a time.

    step(drafts) gives the drafter's scores, (rows, 1, vocabulary or what the guide kept of it), for
    the token after each row's draft so far. A row's draft stops after the end token and before a
    token that the drafter is not sure enough of; drafting stops when every row's has.
    """
    drafts: list[list[int]] = [[] for _ in rows]
    kept = [length] * len(rows)
    done = 0
    while done < max(kept):
        tokens, sure = guide.choose(step(drafts), rows, drafts)
        for row, token in enumerate(tokens):
            drafts[row].append(token)
            if not sure[row]:
                kept[row] = min(kept[row], done)
            if token == guide.end:
                kept[row] = min(kept[row], done + 1)
        done += 1
    return [Draft(tuple(draft[:most])) for draft, most in zip(drafts, kept, strict=True)]
