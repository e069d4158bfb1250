"""Which tokens' scores are looked at while something learns.

The output head is the dearest part of a small decoder. Most of its tokens stand in no sentence that
is learnt from, so scores are worked out for the most frequent ones and for those of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Compared:
    """The tokens of one batch that have scores."""

    tokens: Tensor | slice  # ids, ascending, as an index into the output head; slice: all
    columns: Tensor | None = None  # (vocabulary,), each token's place among them; None: its id

    def places(self, labels: Tensor) -> Tensor:
        """Where the scores of `labels`, all of the batch, stand."""
        return labels if self.columns is None else self.columns[labels]


class Words(nn.Module):
    """Chooses them: all while a held-out set is judged, or where `frequent` is None."""

    def __init__(self, vocabulary: int, frequent: Tensor | None = None) -> None:
        """`frequent`, (tokens,), holds ids below `vocabulary`."""
        super().__init__()
        self.vocabulary = vocabulary
        self.frequent: Tensor | None
        self.register_buffer("frequent", frequent, persistent=False)

    def forward(self, labels: Tensor) -> Compared:
        """For a batch with these `labels`, (labels,)."""
        if self.frequent is None or not self.training:
            return Compared(slice(None))
        among = labels.new_zeros(self.vocabulary, dtype=torch.bool)
        among[self.frequent] = among[labels] = True
        return Compared(among.nonzero()[:, 0], among.cumsum(0) - 1)
