"""Drafting token by token: what every autoregressive drafter does between two host passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pst_cli.decoding.protocols import Draft

if TYPE_CHECKING:
    from torch import Tensor

    from pst_cli.decoding.rules import Rules

Rows = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Guide:
    """What a drafter must know of the decoding it drafts for: it follows the host's own rules."""

    rules: Rules
    prompt: int  # tokens; what stands before is emitted text to the rules
    end: int  # the end token
    confidence: float = 0.0  # a draft less sure than this to hold goes no further
    kept: Sequence[int] | None = None  # the tokens that scores are of, ascending; None: all

    def narrowed(self, kept: Sequence[int]) -> Guide:
        """For a drafter that can say `kept`, ids in ascending order, and nothing else."""
        return replace(self, rules=self.rules.narrowed(kept), kept=kept)

    def choose(self, scores: Tensor, rows: Rows, drafts: Rows) -> tuple[list[int], list[float]]:
        """Each row's likeliest token under the rules, and how sure the drafter is of it.

        scores, (rows, 1, vocabulary or kept), are for the token after rows[r] and drafts[r]. Sure
        is a probability, 0.0 where the rules leave nothing of what the drafter can say; where no
        confidence is asked for it is 1.0 otherwise.
        """
        prefixes = [[*row[self.prompt :], *draft] for row, draft in zip(rows, drafts, strict=True)]
        tokens, sure = self.rules.choose(scores[:, 0], prefixes)
        if self.kept is not None:
            tokens = [self.kept[column] for column in tokens]
        if not self.confidence:
            sure = [float(one > 0) for one in sure]
        return tokens, sure


def propose(rows: Rows, length: int, step: Callable[[Rows], Tensor], guide: Guide) -> list[Draft]:
    """Draft at most `length` tokens to follow each row, greedily, one for all rows at a time.

    step(drafts) gives the drafter's scores, (rows, 1, vocabulary or what the guide kept of it), for
    the token after each row's draft so far. A row's draft stops after the end token, and after the
    one that leaves the drafter less sure of the whole than the guide's confidence: that one costs
    nothing more, for a pass over one token more is hardly slower. Drafting stops when every row's
    has.
    """
    drafts: list[list[int]] = [[] for _ in rows]
    kept = [length] * len(rows)
    whole = [1.0] * len(rows)  # how sure the drafter is that each draft holds to its end
    done = 0
    while done < max(kept):
        tokens, sure = guide.choose(step(drafts), rows, drafts)
        for row, token in enumerate(tokens):
            drafts[row].append(token)
            whole[row] *= sure[row]
            if not sure[row]:
                kept[row] = min(kept[row], done)
            if token == guide.end or whole[row] < guide.confidence:
                kept[row] = min(kept[row], done + 1)
        done += 1
    return [Draft(tuple(draft[:most])) for draft, most in zip(drafts, kept, strict=True)]
