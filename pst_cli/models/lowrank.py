"""Adapters made small: of each change to a matrix, the strongest directions alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from pst_cli.models.compact import DOWN, FLOAT, HALF, UP, size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pst_cli.models.adapter import Adapter


@dataclass(frozen=True, slots=True)
class Slimmed:
    """An adapter made small, and how much of the change is left."""

    adapter: Adapter
    kept: float  # of the squared length of all changes to matrices, 0 to 1


@dataclass(frozen=True, slots=True)
class _Change:
    """The change to one matrix as its singular values and vectors."""

    left: Tensor  # (outputs, directions)
    values: Tensor  # (directions,), the strongest first
    right: Tensor  # (directions, inputs)

    @classmethod
    def of(cls, change: Tensor) -> _Change:
        return cls(*torch.linalg.svd(change, full_matrices=False))

    def price(self, *, eight: bool) -> int:
        """Bytes for each direction that is kept."""
        numbers = len(self.left) + self.right.shape[1]
        return numbers + 2 * FLOAT if eight else HALF * numbers

    def pair(self, rank: int) -> tuple[Tensor, Tensor]:
        """(rank, inputs) and (outputs, rank), of about the same size: float16 holds both."""
        root = self.values[:rank].sqrt()
        return root[:, None] * self.right[:rank], self.left[:, :rank] * root


def slim(
    adapter: Adapter, host: Mapping[str, Tensor], room: int, *, eight: bool = False
) -> Slimmed:
    """`adapter` in at most `room` bytes of tensors, as near to itself as that allows.

    They are in float16, with `eight` matrices in 8 bits. Matrices that it replaces become
    LoRA pairs (Eckart and Young, 1936); which directions stay is decided over all of them, by what
    each takes away from the distance for its bytes. What is no matrix, and pairs that are there
    already, stay as they are; they count.
    """
    beneath = adapter.beneath(host)
    whole = {
        name: tensor.float() - beneath[name].float()
        for name, tensor in adapter.tensors.items()
        if tensor.ndim == 2 and not name.endswith((DOWN, UP))
    }
    changes = {name: _Change.of(change) for name, change in whole.items()}
    rest = {name: tensor for name, tensor in adapter.tensors.items() if name not in changes}
    room -= sum(size(name, tensor, eight=eight) for name, tensor in rest.items())
    ranks = _ranks(changes, {name: one.price(eight=eight) for name, one in changes.items()}, room)
    for name, rank in ranks.items():
        if rank:
            rest[name + DOWN], rest[name + UP] = changes[name].pair(rank)
    squares = {name: change.values.double() ** 2 for name, change in changes.items()}
    left = sum(float(squares[name][:rank].sum()) for name, rank in ranks.items())
    every = sum(float(square.sum()) for square in squares.values())
    return Slimmed(replace(adapter, tensors=rest), left / every if every else 1.0)


def _ranks(changes: Mapping[str, _Change], prices: Mapping[str, int], room: int) -> dict[str, int]:
    """How many directions of each change fit into `room` bytes, the best bargains first."""
    offers = sorted(
        (
            (float(value) ** 2 / prices[name], name)
            for name, change in changes.items()
            for value in change.values
        ),
        reverse=True,
    )
    ranks = dict.fromkeys(changes, 0)
    for gain, name in offers:
        if prices[name] > room or not gain:
            break
        ranks[name] += 1
        room -= prices[name]
    return ranks
