"""Host and drafter taught together, as the paper does: L = L_base + 0.2 L_spec."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pst_cli.models.forced import Heard
from pst_cli.training.lessons.lesson import Lesson, Parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pst_cli.training.collate import Batch
    from pst_cli.training.lessons.host import HostLesson
    from pst_cli.training.lessons.kvspn import KVSPNLesson

SPEC = 0.2  # the paper's weight of all that the drafter learns


class JointLesson(Lesson):
    """Two lessons on one host; what is heard is heard once."""

    def __init__(self, host: HostLesson, drafter: KVSPNLesson) -> None:
        super().__init__()
        self.host, self.drafter = host, drafter

    def forward(self, batch: Batch) -> Parts:
        if batch.log_mel is not None:
            heard = Heard(self.host.host.hear(batch.log_mel))
            batch = replace(batch, log_mel=None, heard=heard)
        parts: Parts = self.host(batch)
        return parts | self.drafter(batch) if batch.spoken else parts

    def weights(self) -> Mapping[str, float]:
        drafts = {name: SPEC * weight for name, weight in self.drafter.weights().items()}
        return {**self.host.weights(), **drafts}

    def observe(self, figures: Mapping[str, float]) -> None:
        self.host.observe(figures)

    def verdict(self, figures: Mapping[str, float]) -> float:
        """As each alone, at the weights they have in the sum."""
        drafts = {name: SPEC * weight for name, weight in self.drafter.weights().items()}
        own = sum(weight * figures.get(name, 0.0) for name, weight in drafts.items())
        return self.host.counts.st * self.host.verdict(figures) + own

    def remembered(self) -> dict[str, float]:
        return self.host.remembered()

    def recall(self, remembered: Mapping[str, float]) -> None:
        self.host.recall(remembered)

    def summary(self, figures: Mapping[str, float]) -> dict[str, float]:
        return self.drafter.summary(figures)
