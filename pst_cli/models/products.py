"""Ways of multiplying by frozen weights, each with a layout of its own.

PyTorch's `linear` is built for many rows. On a processor a decoding step carries one row, a
verified draft a handful, and the time is that of reading the weights, if the product reads them
well. Weights laid out once do, and fewer bits are sooner read.

Measured, the output head of base, 51,865 x 512, in ms for 1 / 2 / 4 / 8 rows. 2 cores with AVX2
(EPYC), float32: `linear` 15.7 / 29.3 / 34.9 / 32.8, oneDNN 8.6 / 13.8 / 15.1 / 10.3, FBGEMM's 16
bits 3.6 / 4.0 / 4.2 / 7.3, its 8 bits 1.7 / 1.9 / 1.9 / 2.4. 2 cores with AVX-512 BF16 (EPYC):
float32 `linear` 10.1 / 22.5 / 19.0 / 18.4, oneDNN 3.9 / 4.3 / 2.7 / 3.9; bfloat16 3.9 / 3.7 / 4.4 /
5.0, oneDNN 0.9 / 1.2 / 1.2 / 1.9.

What `torch.compile` and dynamic quantization use is used here by its own, private names. torch is
pinned below the next minor release, and tests hold each product to `functional.linear`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

ROWS = 4  # the number of rows that oneDNN's layout is tuned for; one serves all of 1 to 64 well
PACKABLE = (torch.float32, torch.bfloat16)
SHORT = 1024  # inputs; up to here one row of bfloat16 rounds as it does among others
BYTE = 127  # the largest of 8 bits with a sign
CACHED = 1024  # outputs that are looked at together: what is made of them stays in the cache
PIECE = 8192  # outputs; FBGEMM lays out a larger matrix at a fifth of the speed


class Product(Protocol):
    """x @ weight.T + bias: weight is (outputs, inputs), bias (outputs,) or None."""

    @property
    def weight(self) -> Tensor:
        """(outputs, inputs); worked out anew at each call where it is in another layout."""

    def __call__(self, states: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""


Layout: TypeAlias = Callable[[Tensor, Tensor | None], Product]  # of a weight and its bias


def exact(weight: Tensor, bias: Tensor | None) -> Product:
    """The quickest for few rows that loses nothing."""
    return Float16(weight, bias) if _halves(weight) else packed(weight, bias)


def packed(weight: Tensor, bias: Tensor | None) -> Product:
    """The quickest for many rows, as an encoder has, that loses nothing."""
    return OneDNN(weight, bias) if _packs(weight) else Plain(weight, bias)


def approximate(weight: Tensor, bias: Tensor | None) -> Product:
    """The quickest for few rows where what is drafted is verified anyway."""
    if not _packs(weight):
        return Plain(weight, bias)
    quick = weight.dtype == torch.float32 and _fbgemm()
    return DynamicInt8(weight, bias) if quick else WeightInt8(weight, bias)


class Plain:
    """PyTorch's own, wherever the weights are."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight, self.bias = weight.contiguous(), bias

    def __call__(self, states: Tensor) -> Tensor:
        return functional.linear(states, self.weight, self.bias)


class OneDNN:
    """Packed by oneDNN, for a processor.

    In bfloat16 a row gets the same bits whatever rows stand beside it, so that verifying a draft
    rounds as decoding without one does. oneDNN adds up in one order for two rows and more, so one
    that would go its own way alone (more than 1,024 inputs) is fed twice.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.bias = bias
        self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(
            weight.detach().contiguous(), ROWS
        )

    @property
    def weight(self) -> Tensor:
        return self._packed.to_dense()

    def __call__(self, states: Tensor) -> Tensor:
        size = states.shape[-1]
        alone = size > SHORT and states.numel() == size and sways(states)
        fed = states.expand(2, *states.shape[1:]) if alone else states
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            fed, self._packed, self.bias, "none", [], ""
        )
        return product[:1] if alone else product


class Float16:
    """Weights in 16 bits, sums in float32: FBGEMM's, for an x86 processor.

    Nothing is lost of weights that are numbers of 16 bits, as those of every published Whisper are.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        lay_out = torch.ops.quantized.linear_prepack_fp16
        with ThreadPoolExecutor() as pool:  # a piece takes one core
            pieces = pool.map(lambda piece: lay_out(*piece), _pieces(weight, bias))
            self._pieces: list[Any] = list(pieces)

    @property
    def weight(self) -> Tensor:
        unpack = torch.ops.quantized.linear_unpack_fp16
        return torch.cat([unpack(piece)[0] for piece in self._pieces])

    def __call__(self, states: Tensor) -> Tensor:
        multiply = torch.ops.quantized.linear_dynamic_fp16
        return _joined([multiply(states, piece) for piece in self._pieces])


class DynamicInt8:
    """Weights in 8 bits, and states too, by a scale found anew each time: FBGEMM's, for x86."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._pieces: list[Any] = [self._laid_out(*piece) for piece in _pieces(weight, bias)]

    @staticmethod
    def _laid_out(weight: Tensor, bias: Tensor | None) -> Any:
        whole, scale = rounded(weight)
        with warnings.catch_warnings():  # PyTorch is about to move what makes such tensors
            warnings.simplefilter("ignore", UserWarning)
            quantized = torch._make_per_channel_quantized_tensor(
                whole, scale.double(), torch.zeros(len(scale), dtype=torch.long), 0
            )
        return torch.ops.quantized.linear_prepack(quantized, bias)

    @property
    def weight(self) -> Tensor:
        unpack = torch.ops.quantized.linear_unpack
        return torch.cat([unpack(piece)[0].dequantize() for piece in self._pieces])

    def __call__(self, states: Tensor) -> Tensor:
        # States get seven bits of the eight: with all of them sums could overflow without VNNI.
        multiply = torch.ops.quantized.linear_dynamic
        return _joined([multiply(states, piece, True) for piece in self._pieces])


class WeightInt8:
    """Weights in 8 bits, states in bfloat16, for a few rows; more go through the exact product."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.bias, self._exact = bias, exact(weight, bias)
        self._weight, scale = rounded(weight)
        self._scale = scale.bfloat16()  # the numbers that the product is quick in

    @property
    def weight(self) -> Tensor:
        return self._exact.weight

    def __call__(self, states: Tensor) -> Tensor:
        rows = states.shape[:-1].numel()
        if rows > ROWS:
            return self._exact(states)
        flat = states.reshape(rows, -1).bfloat16()
        product: Tensor = torch._weight_int8pack_mm(flat, self._weight, self._scale)
        product = product.to(states.dtype)
        if self.bias is not None:
            product += self.bias
        return product.view(*states.shape[:-1], -1)


def _pieces(weight: Tensor, bias: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
    """A matrix and its bias as several with fewer outputs."""
    weights = torch.split(weight.detach(), PIECE)
    biases = [None] * len(weights) if bias is None else torch.split(bias.detach(), PIECE)
    return list(zip(weights, biases, strict=True))


def _joined(products: list[Tensor]) -> Tensor:
    return products[0] if len(products) == 1 else torch.cat(products, -1)


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(outputs, inputs) in 8 bits, and the scale, (outputs,) in float32, that gives it back."""
    whole = weight.detach().float()
    scale = whole.abs().amax(1).clamp(min=1e-8) / BYTE
    return (whole / scale[:, None]).round().to(torch.int8), scale


def sways(states: Tensor) -> bool:
    """Whether a product of a row of `states` rounds by what stands beside it."""
    return states.dtype == torch.bfloat16 and states.device.type == "cpu"


def _packs(weight: Tensor) -> bool:
    """Whether oneDNN is there and packs such weights: bfloat16 not on every processor."""
    native: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not native or weight.device.type != "cpu" or weight.dtype not in PACKABLE:
        return False
    return weight.dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _halves(weight: Tensor) -> bool:
    """Whether FBGEMM is there and `weight` the same, number for number, in 16 bits."""
    fits = _packs(weight) and weight.dtype == torch.float32 and _fbgemm()
    return fits and all(
        torch.equal(some.half().float(), some) for some in torch.split(weight, CACHED)
    )


def _fbgemm() -> bool:
    return "fbgemm" in torch.backends.quantized.supported_engines
