"""A network that drafts, compiled for the few tokens of a step: one call for it, in 8 bits.

In PyTorch a layer is some forty calls, and a network this small spends most of a step in calling.
Measured between passes of the host (`pst bench` of 20 pages, base's KVSPN, float32, 2 cores with
AVX2): a drafted token takes 2.5 ms where each layer is a call of its own, and 1.7 where all is one.
"""

from __future__ import annotations

from operator import is_not
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pst_cli.models.products import rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from pst_cli.models.cache import KVCache
    from pst_cli.models.decoder import Decoder

Bytes: TypeAlias = NDArray[np.int8]
Floats: TypeAlias = NDArray[np.float32]
Cells: TypeAlias = NDArray[Any]  # in the host's numbers; bfloat16 as the bits of int16
Indices: TypeAlias = NDArray[np.int64]

FEW = 4  # tokens; PyTorch is as quick for more


class Product(NamedTuple):
    """states @ (weight * scale[:, None]).T + bias."""

    weight: Bytes  # (outputs, inputs)
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


class Table(NamedTuple):
    """What a token is to the first layer: the sum of two rows."""

    embedding: Cells  # (vocabulary, size)
    positions: Cells  # (limit, size)


class Remembered(NamedTuple):
    """Keys and values of some owners, and what gives them back where they are in 8 bits.

    A lane is a head, of one layer where there are several. Inside the kernels an axis of layers may
    stand before these, and only slots and head_dim be left.
    """

    keys: NDArray[Any]  # (owners, lanes, slots, head_dim)
    values: NDArray[Any]
    key_scale: Floats  # (owners, lanes, slots)
    value_scale: Floats


class Memory(NamedTuple):
    """What a stack remembers of text, as `KVCache` has it, and what its own layers do of sound."""

    keys: Cells  # (rows, heads, layers, slots, head_dim)
    values: Cells
    heard: Remembered  # by layer of the stack; owners are windows, slots frames
    windows: Indices  # (rows,)
    frames: Indices  # (rows,): how many of the window's there are


class Places(NamedTuple):
    """Where the tokens of a step stand; each (tokens,)."""

    rows: Indices
    slots: Indices
    windows: Indices
    frames: Indices


class Part(Protocol):
    """A product or a norm, of whatever make."""

    @property
    def weight(self) -> Tensor:
        """(outputs, inputs) or (size,)."""

    @property
    def bias(self) -> Tensor | None:
        """(outputs,) or (size,); None: zeros."""


class Stack(NamedTuple):
    """Layers, each upon the one before, and the norm after the last."""

    layers: tuple[Weights, ...]
    memories: Indices  # (layers,): which of the memory's each of them reads and fills
    norm: Norm


def norm(part: Part) -> Norm:
    """In float32."""
    return Norm(_floats(part.weight), _bias(part))


def product(part: Part) -> Product:
    """Its matrix rounded to 8 bits."""
    whole, scale = rounded(part.weight)
    return Product(whole.numpy(), scale.numpy(), _bias(part))


def weights(parts: Sequence[Part]) -> Weights:
    """Those of a layer, from its parts in that order."""
    laid_out = [norm(part) if part.weight.ndim == 1 else product(part) for part in parts]
    return Weights(*laid_out)  # type: ignore[arg-type]


def stacked(layers: Sequence[Sequence[Part]], memories: Sequence[int], last: Part) -> Stack:
    """From the parts of layers, the memory's that each reads and fills, and the last norm."""
    return Stack(tuple(map(weights, layers)), np.array(memories), norm(last))


class CompiledStack:
    """Layers that read and fill the memory of one, of a host's or of their own decoder's.

    The compiler takes a second to load and spares a millisecond a step. So it is loaded after
    `worth` steps: a short clip does without.
    """

    worth = 1000

    def __init__(self, stack: Callable[[], Stack]) -> None:
        """stack() is asked for when it is compiled."""
        self._make, self._steps = stack, 0
        self.stack: Stack | None = None  # once it is compiled

    def takes(self, tokens: int) -> bool:
        """Whether a step of so many tokens, in all rows, is for it, and not for PyTorch."""
        self._steps += 1
        if self._steps == self.worth and _compiler():
            self.stack = self._make()
        return self.stack is not None and tokens <= FEW


class CompiledSteps:
    """Those of a stack over the memory in one cache, the tokens embedded as `decoder` has them."""

    def __init__(self, compiled: CompiledStack, decoder: Decoder, cache: KVCache) -> None:
        self._compiled, self._cache = compiled, cache
        self._table = Table(*(_cells(one) for one in (decoder.embedding, decoder.positions)))
        self._known: list[object] = []
        self._heard: tuple[Remembered, Indices, Indices] | None = None  # of what is known

    @classmethod
    def over(cls, compiled: CompiledStack | None, decoder: Decoder, cache: KVCache) -> Self | None:
        """None where the stack is not one to be compiled."""
        return cls(compiled, decoder, cache) if compiled else None

    def takes(self, tokens: int) -> bool:
        """See `CompiledStack.takes`."""
        return self._compiled.takes(tokens)

    def __call__(
        self, tokens: Sequence[Sequence[int]], starts: Sequence[int], head: Product
    ) -> Tensor:
        """What `head` scores after the last of `tokens`, (rows, seq): (rows, 1, outputs).

        Row r's stand at positions starts[r], starts[r] + 1, ...
        """
        stack, kernels, cache = self._compiled.stack, _compiler(), self._cache
        assert stack is not None
        assert kernels is not None
        cache.reserve(max(starts) + len(tokens[0]))
        scores = np.empty((len(tokens), len(head.scale)), np.float32)
        memory = Memory(_cells(cache.keys), _cells(cache.values), *self._hear(stack, kernels))
        given = np.array(tokens), np.array(starts)
        kernels.score(stack, self._table, *given, memory, head, scores)
        return torch.from_numpy(scores)[:, None]

    def _hear(self, stack: Stack, kernels: ModuleType) -> tuple[Remembered, Indices, Indices]:
        """The sound, and what of it each row hears: anew where rows have left."""
        cache = self._cache
        now: list[object] = [cache.cross_keys, cache.cross_mask, cache.sharing, cache.rows]
        if self._heard is None or any(map(is_not, now, self._known)):
            keys, values = (
                kernels.shrink(_cells(one), stack.memories)
                for one in (cache.cross_keys, cache.cross_values)
            )
            heard = Remembered(keys[0], values[0], keys[1], values[1])
            self._heard, self._known = (heard, *_windows(cache)), now
        return self._heard


def compiles(weight: Tensor) -> bool:
    """Whether a layer with such weights is compiled: on a processor, in float32 or bfloat16."""
    return weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.bfloat16)


def _windows(cache: KVCache) -> tuple[Indices, Indices]:
    """The window of each row, and how many frames there are of it, both (rows,)."""
    windows = np.arange(cache.rows) // cache.beams
    if cache.sharing is not None:
        windows = cache.sharing.sounds.numpy()
    frames = np.full(cache.rows, cache.cross_keys.shape[3])
    if cache.cross_mask is not None:
        frames = cache.cross_mask.sum(1).numpy()[windows]
    return windows, frames


def _bias(part: Part) -> Floats:
    return np.zeros(len(part.weight), np.float32) if part.bias is None else _floats(part.bias)


def _floats(tensor: Tensor) -> Floats:
    array: Floats = tensor.detach().float().numpy()
    return array


def _cells(tensor: Tensor) -> Cells:
    bits = tensor.detach()
    cells: Cells = (bits.view(torch.int16) if bits.dtype == torch.bfloat16 else bits).numpy()
    return cells


def _compiler() -> ModuleType | None:
    """What is compiled; None where Numba is not there, or has nowhere to keep it."""
    try:
        from pst_cli.models import kernels
    except (ImportError, RuntimeError):
        return None
    return kernels
