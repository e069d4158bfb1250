"""What a decoder listens to at each token: cross-attention as weights, which fused passes hide."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from pst_cli.models.decoder import merge_heads, split_heads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pst_cli.models.decoder import Decoder, DecoderLayer

Heads = tuple[tuple[int, int], ...]
"""Heads of cross-attention, each as (layer, head)."""


def alignment_heads(declared: Sequence[Sequence[int]] | None, layers: int, heads: int) -> Heads:
    """The heads that follow the speech, as a checkpoint declares them.

    Where it declares none, all of the upper half of its layers, as openai/whisper (model.py) has it
    for models that nobody looked into.
    """
    known = [(layer, head) for layer, head in declared or () if layer < layers and head < heads]
    return tuple(known) or tuple(
        (layer, head) for layer in range(layers // 2, layers) for head in range(heads)
    )


def listening(
    decoder: Decoder,
    tokens: Tensor,
    encoded: Tensor,
    heads: Heads,
    mask: Tensor | None = None,
    windows: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """How much of each frame goes into each token: (rows, heads, seq, frames), summing to 1.

    One tensor for each layer that has some of `heads`. `tokens`, (rows, seq), are whole rows from
    position 0 on; `encoded` is (windows, frames, d_model), and `mask`, (windows, frames), is True
    where there is sound. `windows` names the one that each row hears; None: a row each, in order.
    The place of a token tells what the *next* one was chosen by. Nothing is cached, and layers
    above the last that is asked for do not run.
    """
    chosen: dict[int, list[int]] = defaultdict(list)
    for index, head in heads:
        chosen[index].append(head)
    heard = slice(None) if windows is None else torch.tensor(windows, device=encoded.device)
    seen = None if mask is None else mask[heard, None, None]
    states = functional.embedding(tokens.to(encoded.device), decoder.embedding)
    states = states + decoder.positions[: tokens.shape[1]]
    for layer in decoder.layers[: max(chosen) + 1]:
        keys, values = layer.cross(encoded)[:, heard]
        states, weights = _through(layer, states, keys, values, seen)
        if layer.index in chosen:
            yield weights[:, chosen[layer.index]]


def _through(
    layer: DecoderLayer, states: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None
) -> tuple[Tensor, Tensor]:
    """A layer's output for whole rows, and the weights of its cross-attention on the way."""
    states = states + _attend_self(layer, layer.self_norm(states))
    query = split_heads(layer.cross_q(layer.cross_norm(states)), layer.heads)
    scores = torch.matmul(query * query.shape[-1] ** -0.5, keys.transpose(2, 3))
    if seen is not None:
        scores = scores.masked_fill(~seen, float("-inf"))
    weights = scores.softmax(-1)  # (rows, heads, seq, frames)
    states = states + layer.cross_out(merge_heads(torch.matmul(weights, values)))
    fed = layer.ffn_in(layer.ffn_norm(states))
    return states + layer.ffn_out(functional.gelu(fed)), weights


def _attend_self(layer: DecoderLayer, states: Tensor) -> Tensor:
    fused = layer.self_qkv(states).view(*states.shape[:2], 3, layer.heads, -1)
    query, key, value = (part.transpose(1, 2) for part in fused.unbind(2))
    attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    return layer.self_out(merge_heads(attended))
