"""Decoder layers that draft, compiled for the few tokens of a step: one call for each, in 8 bits.

In PyTorch a layer is some forty calls, and a network this small spends most of a step in calling.
Measured between passes of the host (`pst bench` of twelve pages, base's KVSPN, float32, 2 cores
with AVX2): its two blocks take 2.8 ms for one token in PyTorch, on both, and 1.9 compiled, on one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pst_cli.models.products import rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pst_cli.models.cache import KVCache
    from pst_cli.models.decoder import Step

Floats: TypeAlias = NDArray[np.float32]
Indices: TypeAlias = NDArray[np.int64]

WORTH = 30
FEW = 4  # tokens; PyTorch is as quick for more


class Product(NamedTuple):
    """states @ (weight * scale[:, None]).T + bias."""

    weight: NDArray[np.int8]  # (outputs, inputs)
    scale: Floats  # (outputs,)
    bias: Floats  # (outputs,)


class Norm(NamedTuple):
    """Layer normalisation."""

    weight: Floats  # (size,)
    bias: Floats  # (size,)


class Weights(NamedTuple):
    """Those of a layer: self-attention, cross-attention and feed-forward, each with its norm."""

    self_norm: Norm
    self_qkv: Product  # queries, keys and values, end to end
    self_out: Product
    cross_norm: Norm
    cross_query: Product
    cross_out: Product
    ffn_norm: Norm
    ffn_in: Product
    ffn_out: Product


class Memory(NamedTuple):
    """All layers' keys and values, as `KVCache` has them."""

    keys: Floats  # (rows, heads, layers, slots, head_dim)
    values: Floats
    cross_keys: Floats  # (layers, windows, heads, frames, head_dim)
    cross_values: Floats


class Places(NamedTuple):
    """Where the tokens of a step stand and what they hear; each (tokens,)."""

    rows: Indices
    slots: Indices
    windows: Indices
    frames: Indices  # how many of the window's there are


class Part(Protocol):
    """A product or a norm, of whatever make."""

    @property
    def weight(self) -> Tensor:
        """(outputs, inputs) or (size,)."""

    @property
    def bias(self) -> Tensor | None:
        """(outputs,) or (size,); None: zeros."""


def laid_out(parts: Sequence[Part]) -> Weights:
    """A layer's weights, from its parts in that order; matrices are rounded to 8 bits."""
    return Weights(*map(_plain, parts))  # type: ignore[arg-type]


class CompiledLayer:
    """A layer that reads and fills the memory of one: of a host's, or of its own decoder's.

    The compiler takes a second to load and spares half a millisecond a call. So it is loaded after
    `worth` calls: a short clip does without.
    """

    worth = 1000

    def __init__(self, weights: Callable[[], Weights], layer: int) -> None:
        """weights() are asked for when it is compiled; `layer` is whose memory it works on."""
        self._weights, self._layer, self._calls = weights, layer, 0
        self._run: Callable[..., None] | None = None

    def takes(self, states: Tensor) -> bool:
        """Whether `states`, (rows, seq, d_model), are for it, and not for PyTorch."""
        self._calls += 1
        if self._calls == self.worth and (run := _compiler()):
            self._run = partial(run, self._weights())
        return self._run is not None and states.shape[:2].numel() <= FEW

    def __call__(self, states: Tensor, cache: KVCache, step: Step) -> Tensor:
        """States, (rows, seq, d_model), after the layer, whose memory is in `cache`."""
        assert self._run is not None
        after = states.reshape(-1, states.shape[-1]).clone()
        held = (cache.keys, cache.values, cache.cross_keys, cache.cross_values)
        memory = Memory(*(tensor.numpy() for tensor in held))
        self._run(after.numpy(), memory, self._layer, _places(cache, step))
        return after.view(states.shape)


def compiles(weight: Tensor) -> bool:
    """Whether a layer with such weights is compiled: on a processor, in float32."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def _places(cache: KVCache, step: Step) -> Places:
    rows = np.arange(cache.rows).repeat(step.width)
    slots = (np.array(step.starts)[:, None] + np.arange(step.width)).ravel()
    windows = rows // cache.beams
    if cache.sharing is not None:
        windows = cache.sharing.sounds.numpy()[rows]
    frames = np.full(len(rows), cache.cross_keys.shape[3])
    if cache.cross_mask is not None:
        frames = cache.cross_mask.sum(1).numpy()[windows]
    return Places(rows, slots, windows, frames)


def _plain(part: Part) -> Product | Norm:
    weight = part.weight.detach()
    bias = torch.zeros(len(weight)) if part.bias is None else part.bias.detach()
    if weight.ndim == 1:
        return Norm(weight.numpy(), bias.numpy())
    whole, scale = rounded(weight)
    return Product(whole.numpy(), scale.numpy(), bias.numpy())


def _compiler() -> Callable[..., None] | None:
    """The machine code of a layer; None where Numba is not there, or has nowhere to keep it."""
    try:
        from pst_cli.models import kernels
    except (ImportError, RuntimeError):
        return None
    return kernels.run
