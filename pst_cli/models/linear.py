"""Matrix products and attention laid out for few rows at a time, which is what decoding is made of.

PyTorch's own `linear` is built for many rows. On a processor a decoding step carries one row, a
verified draft a handful, and the time is that of reading the weights - if the product reads them
well. Weights packed once for oneDNN do.

In bfloat16 a row gets the same bits whatever rows stand beside it, so that verifying a draft rounds
as decoding without one does. oneDNN adds up in one order for two rows and more, so one that would
go its own way alone (more than 1,024 inputs; values in attention) is fed twice; PyTorch's fused
attention does so from four queries on, so fewer are filled up.

Measured on 2 cores (EPYC, AVX-512 BF16), the output head of base, 51,865 x 512, in ms for 1 / 2 /
4 / 8 rows: float32 `linear` 10.1 / 22.5 / 19.0 / 18.4, packed 3.9 / 4.3 / 2.7 / 3.9; bfloat16
3.9 / 3.7 / 4.4 / 5.0, packed 0.9 / 1.2 / 1.2 / 1.9.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

State = Mapping[str, Tensor]

ROWS = 4  # the number of rows that packing is tuned for; one layout serves all of 1 to 64 well
PACKABLE = (torch.float32, torch.bfloat16)
BYTE = 127  # the largest of 8 bits with a sign
SHORT = 1024  # inputs; up to here one row of bfloat16 rounds as it does among others
QUERIES = 4  # from here on fused attention in bfloat16 rounds alike; and is quicker than for one


class Affine:
    """x @ weight.T + bias; weight is (outputs, inputs), bias (outputs,) or None."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.bias = bias
        self._packed = _packs(weight)
        self._weight = _pack(weight) if self._packed else weight.contiguous()

    @property
    def weight(self) -> Tensor:
        """(outputs, inputs); unpacked anew at each call where it is kept packed."""
        return self._weight.to_dense() if self._packed else self._weight

    @classmethod
    def read(cls, state: State, name: str) -> Affine:
        return cls(state[f"{name}.weight"], state.get(f"{name}.bias"))

    @classmethod
    def fused(cls, state: State, prefix: str, names: str) -> Affine:
        """One product in place of several: projections `names` of `prefix`, outputs end to end.

        Whisper's key projection has no bias; it gets zeros.
        """
        weights = [state[f"{prefix}.{name}_proj.weight"] for name in names]
        biases = [
            state.get(f"{prefix}.{name}_proj.bias", weight.new_zeros(len(weight)))
            for name, weight in zip(names, weights, strict=True)
        ]
        return cls(torch.cat(weights), torch.cat(biases))

    def __call__(self, states: Tensor) -> Tensor:
        if self._packed:
            return _packed_linear(states, self._weight, self.bias)
        return functional.linear(states, self._weight, self.bias)


class Rounded:
    """`Affine` for a drafter, which may err: weights of 8 bits, with a scale for each output.

    For few rows on a processor reading the weights is all there is to it, and these are half as
    long as in bfloat16, a quarter as in float32; more rows go through the exact product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.bias, self._exact = bias, Affine(weight, bias)
        self._rounds = _packs(weight)
        if self._rounds:
            self._weight, scale = rounded(weight)
            self._scale = scale.bfloat16()  # the numbers that the product is quick in

    def __call__(self, states: Tensor) -> Tensor:
        rows = states.shape[:-1].numel()
        if not self._rounds or rows > ROWS:
            return self._exact(states)
        flat = states.reshape(rows, -1).bfloat16()
        product: Tensor = torch._weight_int8pack_mm(flat, self._weight, self._scale)
        product = product.to(states.dtype)
        if self.bias is not None:
            product += self.bias
        return product.view(*states.shape[:-1], -1)


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(outputs, inputs) in 8 bits, and the scale, (outputs,) in float32, that gives it back."""
    whole = weight.detach().float()
    scale = whole.abs().amax(1).clamp(min=1e-8) / BYTE
    return (whole / scale[:, None]).round().to(torch.int8), scale


class Norm:
    """Layer normalisation over the last axis."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    @classmethod
    def read(cls, state: State, name: str) -> Norm:
        return cls(state[f"{name}.weight"], state[f"{name}.bias"])

    def __call__(self, states: Tensor) -> Tensor:
        return functional.layer_norm(states, self.weight.shape, self.weight, self.bias)


class _Packed(nn.Module):
    """An `nn.Linear` that is done learning."""

    def __init__(self, linear: nn.Linear, kind: type[Affine | Rounded]) -> None:
        super().__init__()
        self._affine = kind(linear.weight.detach(), linear.bias)

    def forward(self, states: Tensor) -> Tensor:
        return self._affine(states)


def pack_linears(module: nn.Module, kind: type[Affine | Rounded] = Affine) -> None:
    """Put packed products in place of every `nn.Linear` below `module`, for inference only."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and _packs(child.weight):
            setattr(module, name, _Packed(child, kind))
        else:
            pack_linears(child, kind)


def _packs(weight: Tensor) -> bool:
    native = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return native and weight.device.type == "cpu" and weight.dtype in PACKABLE


def _pack(weight: Tensor) -> Tensor:
    # What `torch.compile` does to frozen weights; there is no public name for it. torch is pinned
    # below the next minor release, and a test holds the result to `functional.linear`.
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)
    return packed


def _packed_linear(states: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    size = states.shape[-1]
    alone = size > SHORT and states.numel() == size and _sways(states)
    fed = states.expand(2, *states.shape[1:]) if alone else states
    product: Tensor = torch.ops.mkldnn._linear_pointwise(fed, packed, bias, "none", [], "")
    return product[:1] if alone else product


def queries(width: int, memory: Tensor) -> int:
    """How many queries `attend_few` wants where there are `width` over `memory`."""
    return max(width, QUERIES) if _sways(memory) else width


def attend_few(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """`attend` to some hundred keys at most, where PyTorch's fused attention is the faster one.

    `mask`, (rows, 1, queries, keys), is for `queries` of them, filled up to that many.
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
    return states.expand(-1, -1, 2, -1) if states.shape[2] == 1 and _sways(states) else states


def _sways(states: Tensor) -> bool:
    """Whether a product of a row of `states` rounds by what stands beside it."""
    return states.dtype == torch.bfloat16 and states.device.type == "cpu"
