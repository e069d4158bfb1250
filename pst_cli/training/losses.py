"""Losses as sums over labels, so that a batch may be cut into groups and spread over processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def surprise(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats, summed: (labels, vocabulary) against (labels,)."""
    return functional.cross_entropy(logits.float(), labels, reduction="sum")


def divergence(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(teacher || logits) in nats, summed; both (labels, vocabulary).

    Gradients reach `logits` alone. At a temperature above 1 it is scaled by its square (Hinton et
    al., arXiv 1503.02531), so that its weight means the same.
    """
    wanted = (teacher.detach().float() / temperature).log_softmax(-1)
    found = (logits.float() / temperature).log_softmax(-1)
    summed = functional.kl_div(found, wanted, reduction="sum", log_target=True)
    return summed * temperature**2


def distance(states: Tensor, wanted: Tensor) -> Tensor:
    """Squared error as a share of the wanted states' own size, summed; both (labels, d_model).

    Gradients reach `states` alone.
    """
    goal = wanted.detach().float()
    errors = (states.float() - goal).square().mean(-1)
    return (errors / goal.square().mean(-1)).sum()


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """How many labels are the likeliest token; a scalar."""
    return (logits.argmax(-1) == labels).sum().float()
