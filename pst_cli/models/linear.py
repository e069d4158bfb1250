"""Linear layers and norms of a frozen network, laid out for the few rows that decoding has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from pst_cli.models.products import exact

if TYPE_CHECKING:
    from pst_cli.models.products import Layout, Product

State = Mapping[str, Tensor]


class Affine:
    """x @ weight.T + bias; weight is (outputs, inputs), bias (outputs,) or None."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, layout: Layout = exact) -> None:
        self.bias = bias
        self._product = layout(weight, bias)

    @property
    def weight(self) -> Tensor:
        """(outputs, inputs); worked out anew at each call where it is in another layout."""
        return self._product.weight

    @classmethod
    def read(cls, state: State, name: str, layout: Layout = exact) -> Affine:
        return cls(state[f"{name}.weight"], state.get(f"{name}.bias"), layout)

    @classmethod
    def fused(cls, state: State, prefix: str, names: str, layout: Layout = exact) -> Affine:
        """One product in place of several: projections `names` of `prefix`, outputs end to end.

        Whisper's key projection has no bias; it gets zeros.
        """
        weights = [state[f"{prefix}.{name}_proj.weight"] for name in names]
        biases = [
            state.get(f"{prefix}.{name}_proj.bias", weight.new_zeros(len(weight)))
            for name, weight in zip(names, weights, strict=True)
        ]
        return cls(torch.cat(weights), torch.cat(biases), layout)

    def __call__(self, states: Tensor) -> Tensor:
        return self._product(states)


class Norm:
    """Layer normalisation over the last axis."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    @classmethod
    def read(cls, state: State, name: str) -> Norm:
        return cls(state[f"{name}.weight"], state[f"{name}.bias"])

    def __call__(self, states: Tensor) -> Tensor:
        return functional.layer_norm(states, self.weight.shape, self.weight, self.bias)


class _Frozen(nn.Module):
    """An `nn.Linear` that is done learning."""

    def __init__(self, product: Product) -> None:
        super().__init__()
        self._product = product

    def forward(self, states: Tensor) -> Tensor:
        return self._product(states)


def freeze_linears(module: nn.Module, layout: Layout) -> None:
    """Put products of `layout` in place of every `nn.Linear` below `module`, for inference only."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            bias = None if child.bias is None else child.bias.detach()
            setattr(module, name, _Frozen(layout(child.weight.detach(), bias)))
        else:
            freeze_linears(child, layout)
