"""Draft vocabularies: the words that are worth drafting, told from the prompt.

A small network spends much of a step on scoring words that are hardly ever said (after FR-Spec,
arXiv 2502.14856): a drafter that leaves these to the host is quicker, and as right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """What may be drafted after each of several tokens of prompts; after others, anything."""

    sizes: tuple[tuple[int, int], ...]  # such tokens, and how many may be drafted after each
    tokens: Tensor  # (all sizes,): ids, end to end, each vocabulary's ascending

    def asked(self, row: Sequence[int]) -> int | None:
        """Which of them the prompt in `row` asks for, named by a token of the prompt.

        It is the last one there that names any: after <|fr|><|translate|> it is not the French
        one. None: the whole vocabulary.
        """
        named = {token for token, _ in self.sizes}
        return next((token for token in reversed(row) if token in named), None)

    def of(self, asked: int) -> Tensor:
        """What may be drafted where that is `asked`: ids in the host's vocabulary, ascending."""
        start = 0
        for named, size in self.sizes:
            if named == asked:
                return self.tokens[start : start + size].long()
            start += size
        raise KeyError(asked)


ANYTHING = Vocabularies((), torch.empty(0, dtype=torch.int32))
