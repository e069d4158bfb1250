"""What every lesson is: a module that turns a batch into its share of the losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pst_cli.training.collate import Batch

Parts = dict[str, Tensor]
"""Scalars by name; the parts of all groups of a batch, on all processes, add up to its figures."""


class Lesson(nn.Module):
    """Owns every network that takes part; those that learn have parameters that require grad."""

    def forward(self, batch: Batch) -> Parts:
        """This group's parts."""
        raise NotImplementedError

    def weights(self) -> Mapping[str, float]:
        """How much each part counts in the loss now; a part without a weight is only shown."""
        raise NotImplementedError

    def observe(self, figures: Mapping[str, float]) -> None:
        """Take notice of a whole batch's figures before the next one."""

    def remembered(self) -> dict[str, float]:
        """What `observe` left behind, for a checkpoint."""
        return {}

    def recall(self, remembered: Mapping[str, float]) -> None:
        """Put back what `remembered` gave."""

    def summary(self, figures: Mapping[str, float]) -> dict[str, float]:
        """A batch's figures as people read them; "loss" is always among them."""
        return dict(figures)

    def verdict(self, figures: Mapping[str, float]) -> float:
        """By which held-out figures are compared, less being better, whenever they were taken."""
        return figures["loss"]

    def loss(self, parts: Parts) -> Tensor:
        """The weighted sum that gradients are taken of."""
        weights = self.weights()
        terms = [weight * parts[name] for name, weight in weights.items() if name in parts]
        return torch.stack(terms).sum()
