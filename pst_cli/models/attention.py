"""Attention laid out for the few queries of a decoding step.

In bfloat16 a query gets the same bits whatever queries stand beside it, so that verifying a draft
rounds as decoding without one does. A processor adds up the values of two queries and more in one
order, so a lone one is fed twice; PyTorch's fused attention does so from four queries on, so fewer
are filled up.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pst_cli.models.products import sways

QUERIES = 4  # from here on fused attention in bfloat16 rounds alike; and is quicker than for one


def queries(width: int, memory: Tensor) -> int:
    """How many queries `attend_few` wants where there are `width` over `memory`."""
    return max(width, QUERIES) if sways(memory) else width


def attend_few(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """`attend` to some hundred keys at most, where PyTorch's fused attention is the faster one.

    `mask`, (rows or 1, 1, queries, keys), is added to their scores; it is for `queries` of them, to
    which `query` is filled up.
    """
    seq, wanted = query.shape[2], mask.shape[2]
    if seq < wanted:
        query = functional.pad(query, (0, 0, 0, wanted - seq))
    return functional.scaled_dot_product_attention(query, keys, values, mask)[:, :, :seq]


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Attention, (rows, heads, seq, head_dim) as `query`, to all keys that `mask` lets through.

    `scale` is what products are multiplied by; None: 1 / sqrt(head_dim). On a processor in two
    plain products: for the few queries of a decoding step PyTorch's fused attention is up to seven
    times slower in bfloat16 (8 rows of one query over 1,500 frames: 5.3 ms against 0.8), and there
    and back, in training, three times (130 queries: 122 ms against 39).
    """
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, keys, values, mask, scale=scale)
    scaled = query * (query.shape[-1] ** -0.5 if scale is None else scale)
    scores = torch.matmul(scaled, keys.transpose(2, 3))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.matmul(_paired(scores.softmax(-1)), values)[:, :, : query.shape[2]]


def _paired(states: Tensor) -> Tensor:
    """(rows, heads, seq, ...), a lone one of the third axis twice where it rounds its own way."""
    return states.expand(-1, -1, 2, -1) if states.shape[2] == 1 and sways(states) else states
