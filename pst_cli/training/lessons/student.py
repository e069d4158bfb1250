"""The student's lesson: to say what a teacher says, with fewer layers on the same ears.

Gandhi et al., "Distil-Whisper" (arXiv 2311.00430): pseudo-labels and the KL to the teacher's own
distribution over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from pst_cli.models.forced import Heard
from pst_cli.training.collate import IGNORED
from pst_cli.training.lessons.lesson import Lesson, Parts
from pst_cli.training.losses import divergence, hits, surprise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pst_cli.models.forced import ForcedHost
    from pst_cli.training.collate import Batch


@dataclass(frozen=True, slots=True)
class StudentWeights:
    """What each loss counts; distil-whisper's."""

    labels: float = 1.0
    kl: float = 0.8
    temperature: float = 2.0


class StudentLesson(Lesson):
    """A student beside its teacher; the teacher learns nothing."""

    def __init__(
        self,
        student: ForcedHost,
        teacher: ForcedHost,
        kept: Tensor | None = None,
        weights: StudentWeights | None = None,
        *,
        shares_encoder: bool = True,
    ) -> None:
        """`kept`, (student's vocabulary,), holds the teacher's ids of a trimmed student's tokens.

        Examples are in the student's ids. `shares_encoder`: what the teacher hears is heard once.
        """
        super().__init__()
        self.student, self.teacher = student, teacher.requires_grad_(False)
        self.counts, self.shares_encoder = weights or StudentWeights(), shares_encoder
        self.kept: Tensor | None
        self.register_buffer("kept", kept, persistent=False)

    def train(self, mode: bool = True) -> Self:
        """As torch's; the teacher stays as it is when it is used."""
        super().train(mode)
        self.teacher.eval()
        return self

    def weights(self) -> Mapping[str, float]:
        return {"labels": self.counts.labels, "kl": self.counts.kl}

    def forward(self, batch: Batch) -> Parts:
        taught = batch.labels != IGNORED
        labels, whole = batch.labels[taught], batch.totals.said
        own, others = self._hear(batch)
        logits = self.student.logits(self.student.decode(batch.tokens, own).states[taught])
        teacher = self._teacher(batch.tokens, others, taught)
        return {
            "labels": surprise(logits, labels) / whole,
            "kl": divergence(logits, teacher, self.counts.temperature) / whole,
            "accuracy": hits(logits, labels) / whole,
            "agreement": hits(logits, teacher.argmax(-1)) / whole,
        }

    def _hear(self, batch: Batch) -> tuple[Heard, Heard]:
        """What the student hears, and the teacher."""
        if batch.heard is not None:
            return batch.heard, batch.heard
        assert batch.log_mel is not None
        heard = Heard(self.student.hear(batch.log_mel))
        if self.shares_encoder:
            return heard, heard
        with torch.no_grad():
            return heard, Heard(self.teacher.hear(batch.log_mel))

    @torch.no_grad()
    def _teacher(self, tokens: Tensor, heard: Heard, taught: Tensor) -> Tensor:
        """The teacher's scores over the student's vocabulary: (labels, vocabulary)."""
        spelled = tokens if self.kept is None else self.kept[tokens]
        logits = self.teacher.logits(self.teacher.decode(spelled, heard).states[taught])
        return logits if self.kept is None else logits[:, self.kept]
