"""The draft-model drafter: a smaller Whisper decodes ahead, the host verifies.

Its memory, like the host's, is indexed by position: tokens of a draft that did not hold are simply
fed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pst_cli.decoding.proposals import Guide, Rows, propose
from pst_cli.decoding.saying import Saying
from pst_cli.models.compiled import CompiledSteps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.decoding.length import DraftLength
    from pst_cli.decoding.protocols import Draft
    from pst_cli.models.heads import Head, Heads
    from pst_cli.models.session import Session


class ModelDrafter:
    """Drafts with a whole model of its own."""

    def __init__(self, session: Session, heads: Heads, guide: Guide, length: DraftLength) -> None:
        """`session` and `heads` are that model's, not the host's."""
        self.session, self.length = session, length
        self.saying = Saying(heads, guide)
        decoder = session.decoder
        self._compiled = CompiledSteps.over(decoder.compiled, decoder, session.cache)
        self._fed: list[list[int]] = [[] for _ in range(session.rows)]  # what its memory holds

    def draft(self, rows: Rows, room: Sequence[int]) -> list[Draft]:
        fits = min(*room, self.session.limit - max(map(len, rows)))
        length = min(self.length.next(rows), max(0, fits))
        head, guide = self.saying.of(rows)
        drafts = propose(rows, length, lambda drafts: self._step(rows, drafts, head), guide)
        self.length.drafted(rows, [draft.tokens for draft in drafts])
        return drafts

    def select(self, rows: Tensor) -> None:
        chosen = rows.tolist()
        self._fed = [list(self._fed[row]) for row in chosen]
        self.length.select(chosen)
        if len(chosen) == self.session.rows:
            self.session.reorder(rows)
        else:
            self.session.select(rows)

    def _step(self, rows: Rows, drafts: Rows, head: Head) -> Tensor:
        """Feed what the memory lacks of every row, in one width: the scores of what follows."""
        wanted = [[*row, *draft] for row, draft in zip(rows, drafts, strict=True)]
        missing = [len(row) - _common(row, fed) for row, fed in zip(wanted, self._fed, strict=True)]
        width = max(1, *missing)
        starts = [len(row) - width for row in wanted]
        tokens, self._fed = [row[-width:] for row in wanted], wanted
        if self._compiled and self._compiled.takes(len(rows) * width):
            return self._compiled(tokens, starts, head.product)
        states = self.session.forward(torch.tensor(tokens), starts)
        return head.affine(states[:, -1:]).float()


def _common(row: Sequence[int], fed: Sequence[int]) -> int:
    """Tokens at the start of `row` that were fed as they are; the last one never counts."""
    same = 0
    while same < min(len(row) - 1, len(fed)) and row[same] == fed[same]:
        same += 1
    return same
