"""Whisper's audio encoder over the checkpoint's own weights, at any length up to 30 s."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from pst_cli.models.decoder import merge_heads
from pst_cli.models.linear import Affine, Norm, State
from pst_cli.models.products import packed

if TYPE_CHECKING:
    from collections.abc import Mapping

MARGIN = 1000  # below the largest of 16 bits, where transformers' encoder cuts states off


class EncoderLayer:
    """Self-attention over all frames, feed-forward; both pre-norm."""

    def __init__(self, state: State, index: int, heads: int) -> None:
        prefix = f"layers.{index}"
        self.heads = heads
        self.norm = Norm.read(state, f"{prefix}.self_attn_layer_norm")
        self.qkv = Affine.fused(state, f"{prefix}.self_attn", "qkv", packed)
        self.out = Affine.read(state, f"{prefix}.self_attn.out_proj", packed)
        self.ffn_norm = Norm.read(state, f"{prefix}.final_layer_norm")
        self.ffn_in = Affine.read(state, f"{prefix}.fc1", packed)
        self.ffn_out = Affine.read(state, f"{prefix}.fc2", packed)

    def __call__(self, states: Tensor) -> Tensor:
        """(rows, frames, d_model) -> the same."""
        fused = self.qkv(self.norm(states)).view(*states.shape[:2], 3, self.heads, -1)
        query, key, value = fused.permute(2, 0, 3, 1, 4)  # (rows, heads, frames, head_dim)
        found = functional.scaled_dot_product_attention(query, key, value)
        states = states + self.out(merge_heads(found))
        states = states + self.ffn_out(functional.gelu(self.ffn_in(self.ffn_norm(states))))
        if states.dtype == torch.float16:
            most = torch.finfo(states.dtype).max - MARGIN
            states = states.clamp(-most, most)
        return states


class Encoder:
    """The whole encoder; holds weights only."""

    def __init__(self, state: State, layers: int, heads: int) -> None:
        """`state` names tensors as transformers' `model.encoder` does, without that prefix."""
        self._convolutions = [
            (state[f"{name}.weight"], state[f"{name}.bias"]) for name in ("conv1", "conv2")
        ]
        self.positions = state["embed_positions.weight"]  # (frames, d_model)
        self.layers = [EncoderLayer(state, index, heads) for index in range(layers)]
        self.norm = Norm.read(state, "layer_norm")
        self.sums = _sums(state)

    def __call__(self, log_mel: Tensor) -> Tensor:
        """(rows, mels, frames), any even number up to 3000 -> (rows, frames / 2, d_model)."""
        states = log_mel
        for stride, (weight, bias) in enumerate(self._convolutions, 1):
            states = functional.gelu(functional.conv1d(states, weight, bias, stride, padding=1))
        states = states.transpose(1, 2)
        states = states + self.positions[: states.shape[1]]
        for layer in self.layers:
            states = layer(states)
        return self.norm(states)


def _sums(state: Mapping[str, Tensor]) -> dict[str, float]:
    """A fingerprint of a network: equal weights have equal sums, and others hardly ever do."""
    first = next(iter(state.values()))
    if first.device.type == "mps":  # which does not know float64
        state = {name: tensor.cpu() for name, tensor in state.items()}
    return {name: float(tensor.sum(dtype=torch.float64)) for name, tensor in state.items()}
