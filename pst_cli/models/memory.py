"""What a block of KVSPN attends to: the host's self-attention memory, in three ways.

Each is called with a block's queries, and with its keys and values of the same tokens, if it makes
any; all are (rows, seq, heads, head_dim), and so is what comes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch
from torch import Tensor

from pst_cli.models.attention import attend

if TYPE_CHECKING:
    from pst_cli.models.cache import KVCache
    from pst_cli.models.decoder import Step

Pair: TypeAlias = tuple[Tensor, Tensor]  # keys and values


class Memory(Protocol):
    """Self-attention of a block; see the module."""

    def __call__(self, query: Tensor, *own: Tensor) -> Tensor:
        """What `query` finds."""


@dataclass(frozen=True, slots=True)
class Read:
    """Of a group of layers, and nothing is added to it: the paper's form."""

    keys_values: Pair  # each (rows, heads, layers * slots, head_dim)
    mask: Tensor  # (rows or 1, 1, at least seq, layers * slots), True where a query may look

    def __call__(self, query: Tensor, *own: Tensor) -> Tensor:
        del own
        mask = self.mask[:, :, : query.shape[1]]
        return attend(query.transpose(1, 2), *self.keys_values, mask).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class Filled:
    """Of one layer, whose slots for the tokens under way a block fills as it drafts them.

    The host writes its own there when it verifies them, as it does over any draft's.
    """

    cache: KVCache
    layer: int
    step: Step

    def __call__(self, query: Tensor, *own: Tensor) -> Tensor:
        key, value = own
        return self.step.attend(self.cache, self.layer, query, key, value)


@dataclass(slots=True)
class Followed:
    """As `Filled`, for drafts from every position at once, as they are taught.

    Drafts that start at different tokens cannot share slots: what each adds is kept beside the
    memory, a pair a step. One object serves the steps of a draft, the first of them first.
    """

    keys_values: Pair  # of one layer, each (rows, heads, slots, head_dim)
    mask: Tensor  # (1, 1, seq, slots), True where a draft that starts there may look
    added: list[Pair] = field(default_factory=list)

    def __call__(self, query: Tensor, *own: Tensor) -> Tensor:
        key, value = own
        self.added.append((key, value))
        seq, (keys, values) = query.shape[1], self.keys_values
        # Each (rows, heads, seq, steps, head_dim): the drafts that reach this far.
        mine, found = (
            torch.stack([one[:, :seq].transpose(1, 2) for one in some], 3)
            for some in zip(*self.added, strict=True)
        )
        asked = query.transpose(1, 2) * query.shape[-1] ** -0.5
        before = torch.matmul(asked, keys.transpose(2, 3))
        before = before.masked_fill(~self.mask[:, :, :seq], float("-inf"))
        since = (asked[:, :, :, None] * mine).sum(-1)
        weights = torch.cat([before, since], -1).softmax(-1)
        slots = keys.shape[2]
        attended = torch.matmul(weights[..., :slots], values)
        attended = attended + (weights[..., slots:, None] * found).sum(3)
        return attended.transpose(1, 2)
