"""Whisper's text decoder as a lean inference runtime over the checkpoint's own weights.

Against transformers' module it fuses the projections of queries, keys and values into one product,
writes into a preallocated cache, computes cross-attention keys and values once per window, and
takes several tokens a row at positions of the row's own, which is what verifying drafts needs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from pst_cli.models.attention import QUERIES, attend, attend_few, queries
from pst_cli.models.cache import KVCache
from pst_cli.models.compiled import CompiledStack, compiles, stacked
from pst_cli.models.linear import Affine, Norm, State
from pst_cli.models.products import approximate, exact
from pst_cli.models.sharing import Sharing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.models.compiled import Part, Stack
    from pst_cli.models.products import Layout


def split_heads(states: Tensor, heads: int) -> Tensor:
    """(rows, seq, heads * head_dim) -> (rows, heads, seq, head_dim)."""
    return states.view(*states.shape[:2], heads, -1).transpose(1, 2)


def merge_heads(states: Tensor) -> Tensor:
    """(rows, heads, seq, head_dim) -> (rows, seq, heads * head_dim)."""
    return states.transpose(1, 2).flatten(2)


def attend_window(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    sharing: Sharing | None = None,
) -> Tensor:
    """Attention of rows to their windows' sound: (rows, heads, seq, head_dim), as `query`.

    `keys` and `values` are (windows, heads, frames, head_dim). The beams of a window go into the
    query axis, so that its sound is neither copied nor stored for each. `mask`, (windows, 1, 1,
    frames), is True where there is sound; None: everywhere. `sharing` tells whose window is whose
    where that is not one number of rows for each.
    """
    if sharing is not None:
        return attend_window(sharing.spread(query), keys, values, mask)[sharing.places]
    rows, windows = len(query), len(keys)
    if rows == windows:
        return attend(query, keys, values, mask)
    split = query.view(windows, -1, *query.shape[1:])
    beams = split.transpose(1, 2)  # (windows, heads, beams, seq, head_dim)
    attended = attend(beams.flatten(2, 3), keys, values, mask)
    return attended.reshape(beams.shape).transpose(1, 2).flatten(0, 1)


@lru_cache(maxsize=8)
def visible(limit: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What is added to the scores of each slot, (positions, slots), for a query at each position.

    0 up to its own slot, minus infinity behind it. Fused attention wants it so; from a mask of
    booleans it would make this anew in every layer of every pass.
    """
    with torch.inference_mode(False):
        shape = limit + QUERIES, limit  # queries that a pass is filled up with may stand behind
        return torch.full(shape, float("-inf"), dtype=dtype, device=device).triu(1)


class Step:
    """Where the tokens of one pass stand: their positions, and which slots each may see.

    Every pass looks at whole blocks of slots through a mask, one token alone too: so a token is
    added up in one order whether it is fed alone or among others of a draft, and rounds alike.
    """

    def __init__(self, starts: Sequence[int], width: int, cache: KVCache) -> None:
        """Row r carries `width` tokens at positions starts[r] .. starts[r] + width - 1."""
        cache.reserve(max(starts) + width)
        self.starts, self.width = starts, width
        keys, wide = cache.keys, queries(width, cache.keys)
        seen = visible(cache.limit, keys.dtype, keys.device)[:, : cache.slots]
        self.start = starts[0] if min(starts) == max(starts) else None
        if self.start is not None:  # a view serves all rows
            self.mask = seen[None, None, self.start : self.start + wide]
        else:
            first = torch.tensor(starts, device=keys.device)[:, None]
            ahead = first + torch.arange(wide, device=keys.device)
            self.mask = seen[ahead][:, None]  # (rows or 1, 1, at least seq, slots); see `visible`
            self.positions = ahead[:, :width]  # (rows, seq)

    def of(self, table: Tensor) -> Tensor:
        """What `table`, (positions, ...), has for the tokens: (rows or 1, seq, ...)."""
        if self.start is None:
            return table[self.positions]
        return table[None, self.start : self.start + self.width]

    def attend(
        self, cache: KVCache, layer: int, query: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        """Self-attention of `layer`, whose memory is given the tokens' own keys and values first.

        All are (rows, seq, heads, head_dim), what comes back too.
        """
        if self.start is None:
            cache.write(layer, self.positions, key, value)
        else:
            cache.write_slice(layer, self.start, key, value)
        keys, values = cache.keys[:, :, layer], cache.values[:, :, layer]
        return attend_few(query.transpose(1, 2), keys, values, self.mask).transpose(1, 2)


class DecoderLayer:
    """Self-attention over the cache, cross-attention to the sound, feed-forward; all pre-norm."""

    def __init__(self, state: State, index: int, heads: int, layout: Layout) -> None:
        prefix = f"layers.{index}"
        self.index, self.heads = index, heads
        self.self_norm = Norm.read(state, f"{prefix}.self_attn_layer_norm")
        self.self_qkv = Affine.fused(state, f"{prefix}.self_attn", "qkv", layout)
        self.self_out = Affine.read(state, f"{prefix}.self_attn.out_proj", layout)
        self.cross_norm = Norm.read(state, f"{prefix}.encoder_attn_layer_norm")
        self.cross_q = Affine.read(state, f"{prefix}.encoder_attn.q_proj", layout)
        self.cross_kv = Affine.fused(state, f"{prefix}.encoder_attn", "kv", layout)
        self.cross_out = Affine.read(state, f"{prefix}.encoder_attn.out_proj", layout)
        self.ffn_norm = Norm.read(state, f"{prefix}.final_layer_norm")
        self.ffn_in = Affine.read(state, f"{prefix}.fc1", layout)
        self.ffn_out = Affine.read(state, f"{prefix}.fc2", layout)

    def parts(self) -> list[Part]:
        """As `compiled.Weights` has them."""
        remembered: list[Part] = [self.self_norm, self.self_qkv, self.self_out]
        heard: list[Part] = [self.cross_norm, self.cross_q, self.cross_out]
        return [*remembered, *heard, self.ffn_norm, self.ffn_in, self.ffn_out]

    def cross(self, encoded: Tensor) -> Tensor:
        """Cross-attention keys and values of windows: (2, rows, heads, frames, head_dim)."""
        rows, frames, _ = encoded.shape
        fused = self.cross_kv(encoded).view(rows, frames, 2, self.heads, -1)
        return fused.permute(2, 0, 3, 1, 4)

    def __call__(self, states: Tensor, cache: KVCache, step: Step) -> Tensor:
        states = states + self._attend_self(self.self_norm(states), cache, step)
        states = states + self._attend_cross(self.cross_norm(states), cache)
        return states + self.ffn_out(functional.gelu(self.ffn_in(self.ffn_norm(states))))

    def _attend_self(self, states: Tensor, cache: KVCache, step: Step) -> Tensor:
        fused = self.self_qkv(states).view(*states.shape[:2], 3, self.heads, -1)
        return self.self_out(step.attend(cache, self.index, *fused.unbind(2)).flatten(2))

    def _attend_cross(self, states: Tensor, cache: KVCache) -> Tensor:
        attended = attend_window(
            split_heads(self.cross_q(states), self.heads),
            cache.cross_keys[self.index],
            cache.cross_values[self.index],
            cache.seen(),
            cache.sharing,
        )
        return self.cross_out(merge_heads(attended))


class Decoder:
    """The whole decoder; holds weights only, so one serves any number of caches."""

    def __init__(self, state: State, layers: int, heads: int, layout: Layout = exact) -> None:
        """`state` names tensors as transformers' `model.decoder` does, without that prefix."""
        self.embedding = state["embed_tokens.weight"]  # (vocabulary, d_model)
        self.positions = state["embed_positions.weight"]  # (limit, d_model)
        with ThreadPoolExecutor() as pool:  # laying out takes one core for each matrix
            made = pool.map(lambda index: DecoderLayer(state, index, heads, layout), range(layers))
            self.layers = list(made)
        self.norm = Norm.read(state, "layer_norm")
        self.head = Affine(self.embedding, layout=layout)
        drafts = layout is approximate and compiles(self.norm.weight)
        self.compiled = CompiledStack(self._stack) if drafts else None

    def _stack(self) -> Stack:
        return stacked([layer.parts() for layer in self.layers], range(len(self.layers)), self.norm)

    @property
    def limit(self) -> int:
        """Positions the decoder can hold, prompt included (448 in every Whisper)."""
        return len(self.positions)

    def open(
        self,
        encoded: Tensor,
        beams: int = 1,
        mask: Tensor | None = None,
        windows: Sequence[int] | None = None,
    ) -> KVCache:
        """A cache for windows whose encoder states are (windows, frames, d_model).

        `mask`, (windows, frames), is True where there is sound; None: everywhere. `windows` names
        the one that each row hears; without it there are `beams` rows for each.
        """
        rows, frames, size = encoded.shape
        heads, layers = self.layers[0].heads, len(self.layers)
        cross = encoded.new_empty(2, layers, rows, heads, frames, size // heads)
        for place, layer in zip(cross.unbind(1), self.layers, strict=True):
            place.copy_(layer.cross(encoded))
        index = None if windows is None else torch.tensor(windows, device=encoded.device)
        sharing = None if index is None else Sharing.of(index)
        return KVCache.empty(cross, self.limit, beams, mask, sharing)

    def embed(self, tokens: Tensor, step: Step) -> Tensor:
        """What layers are given of `tokens`, (rows, seq) -> (rows, seq, d_model)."""
        return functional.embedding(tokens, self.embedding) + step.of(self.positions)

    def __call__(self, tokens: Tensor, starts: Sequence[int], cache: KVCache) -> Tensor:
        """Final hidden states, (rows, seq, d_model), of `tokens`, (rows, seq), written to `cache`.

        Row r's tokens stand at positions starts[r], starts[r] + 1, ...; it sees every slot below.
        """
        step = Step(starts, tokens.shape[1], cache)
        states = self.embed(tokens, step)
        for layer in self.layers:
            states = layer(states, cache, step)
        return self.norm(states)

    def logits(self, states: Tensor) -> Tensor:
        """Scores over the vocabulary, (..., d_model) -> (..., vocabulary), in float32."""
        return self.head(states).float()
