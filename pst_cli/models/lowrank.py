"""Adapters made small: of each change to a matrix, the strongest directions alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from pst_cli.errors import UsageError
from pst_cli.models.compact import DOWN, FLOAT, HALF, UP, size
from pst_cli.types import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pst_cli.models.adapter import Adapter


NOTHING = 1e-6  # of the strongest direction's singular value


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
        left, values, right = torch.linalg.svd(change, full_matrices=False)
        rank = int((values > NOTHING * values.max()).sum())  # beyond, as in a pair, is rounding
        return cls(left[:, :rank], values[:rank], right[:rank])

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

    They are in float16, with `eight` matrices in 8 bits. Changes to matrices, be they whole or LoRA
    pairs already, become LoRA pairs (Eckart and Young, 1936); which directions stay is decided over
    all of them, by what each takes away from the distance for its bytes. What is no matrix stays as
    it is; it counts.

    Raises:
        UsageError: that alone takes more.
    """
    changes = {name: _Change.of(change) for name, change in _matrices(adapter, host).items()}
    rest = {name: tensor for name, tensor in adapter.tensors.items() if tensor.ndim != 2}
    room -= sum(size(name, tensor, eight=eight) for name, tensor in rest.items())
    if room < 0:
        short = f"{-room / MEGABYTE:.2f} MB too little for what is no matrix, and stays as it is"
        raise UsageError(f"--size: {short}", hint="give it more room")
    ranks = _ranks(changes, {name: one.price(eight=eight) for name, one in changes.items()}, room)
    for name, rank in ranks.items():
        if rank:
            rest[name + DOWN], rest[name + UP] = changes[name].pair(rank)
    squares = {name: change.values.double() ** 2 for name, change in changes.items()}
    left = sum(float(squares[name][:rank].sum()) for name, rank in ranks.items())
    every = sum(float(square.sum()) for square in squares.values())
    return Slimmed(replace(adapter, tensors=rest), left / every if every else 1.0)


def _matrices(adapter: Adapter, host: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the adapter adds to each matrix of the whole weights `host`, (outputs, inputs)."""
    beneath = adapter.beneath(host)
    found: dict[str, Tensor] = {}
    for name, tensor in adapter.tensors.items():
        if tensor.ndim != 2 or name.endswith(UP):
            continue
        of = name.removesuffix(DOWN)
        if of == name:
            change = tensor.float() - beneath[of].float()
        else:
            change = adapter.tensors[of + UP].float() @ tensor.float()
        found[of] = found.get(of, 0) + change
    return found


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
