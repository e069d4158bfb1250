"""The student's lesson: to say what a teacher says, with fewer layers on the same ears.

Gandhi et al., "Distil-Whisper" (arXiv 2311.00430): pseudo-labels and the KL to the teacher's own
distribution over them. Besides, each of its layers is taught the states that come of the teacher's
layers it stands for, itself and those dropped behind it: after 60 batches of 8 a student of two of
base's six layers was 1.55 nats from base on held-out pages (KL at temperature 2), and 1.82 without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from pst_cli.models.forced import Heard
from pst_cli.models.pruning.layers import evenly
from pst_cli.training.collate import IGNORED
from pst_cli.training.lessons.lesson import Lesson, Parts
from pst_cli.training.lessons.words import Words
from pst_cli.training.losses import distance, divergence, hits, surprise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pst_cli.models.forced import ForcedHost
    from pst_cli.training.collate import Batch


@dataclass(frozen=True, slots=True)
class StudentWeights:
    """What each loss counts; all but the layers' are distil-whisper's."""

    labels: float = 1.0
    kl: float = 0.8
    temperature: float = 2.0
    layers: float = 10.0


class StudentLesson(Lesson):
    """A student beside its teacher; the teacher learns nothing."""

    def __init__(
        self,
        student: ForcedHost,
        teacher: ForcedHost,
        kept: Tensor | None = None,
        weights: StudentWeights | None = None,
        *,
        frequent: Tensor | None = None,
        shares_encoder: bool = True,
    ) -> None:
        """`kept`, (student's vocabulary,), holds the teacher's ids of a trimmed student's tokens.

        Examples are in the student's ids, and `frequent`, (tokens,), too: while it learns, scores
        are those of these and the batch's own words; None: of all. `shares_encoder`: what the
        teacher hears is heard once.
        """
        super().__init__()
        self.student, self.teacher = student, teacher.requires_grad_(False)
        self.counts, self.shares_encoder = weights or StudentWeights(), shares_encoder
        self.kept: Tensor | None
        self.register_buffer("kept", kept, persistent=False)
        self.words = Words(student.config.vocab_size, frequent)

    def train(self, mode: bool = True) -> Self:
        """As torch's; the teacher stays as it is when it is used."""
        super().train(mode)
        self.teacher.eval()
        return self

    def weights(self) -> Mapping[str, float]:
        counts = self.counts
        return {"labels": counts.labels, "kl": counts.kl, "layers": counts.layers}

    def forward(self, batch: Batch) -> Parts:
        taught = batch.labels != IGNORED
        labels, whole = batch.labels[taught], batch.totals.said
        heard, others = self._hear(batch)
        own = self.student.decode(batch.tokens, heard)
        with torch.no_grad():
            wanted = self.teacher.decode(self._spelled(batch.tokens), others)
        compared = self.words(labels)
        chosen, places = compared.tokens, compared.places(labels)
        logits = self.student.logits(own.states[taught], chosen)
        with torch.no_grad():
            theirs = chosen if self.kept is None else self.kept[chosen]
            teacher = self.teacher.logits(wanted.states[taught], theirs)
        found = {
            "labels": surprise(logits, places) / whole,
            "kl": divergence(logits, teacher, self.counts.temperature) / whole,
            "accuracy": hits(logits, places) / whole,
            "agreement": hits(logits, teacher.argmax(-1)) / whole,
        }
        if self._alike():
            pairs = zip(own.after, stood_for(own.after, wanted.after), strict=True)
            errors = [distance(mine[taught], goal[taught]) for mine, goal in pairs]
            found["layers"] = torch.stack(errors).mean() / whole
        return found

    def _alike(self) -> bool:
        """Whether the student's layers may be some of the teacher's."""
        mine, theirs = self.student.config, self.teacher.config
        fits: bool = mine.decoder_layers <= theirs.decoder_layers
        return fits and mine.d_model == theirs.d_model

    def _spelled(self, tokens: Tensor) -> Tensor:
        """The student's `tokens` in the teacher's ids."""
        return tokens if self.kept is None else self.kept[tokens]

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


def stood_for(mine: Sequence[Tensor], theirs: Sequence[Tensor]) -> list[Tensor]:
    """What a teacher's layers gave, one for each layer of a student that kept some of them evenly.

    A layer stands for itself and those that were dropped behind it.
    """
    kept = evenly(len(theirs), len(mine))
    return [theirs[following - 1] for following in [*kept[1:], len(theirs)]]
