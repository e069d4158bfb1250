"""The context's lesson: to say of sound at its own length what is said of it padded to 30 s.

After the audio-context fine-tuning of FUTO (github.com/futo-org/whisper-acft), which holds the
decoder's states at a short context to those at the full one. Here the encoder alone learns, so what
lives on the decoder, a KVSPN or a student, goes on living there; and the distribution over words is
held, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pst_cli.models.forced import Heard
from pst_cli.training.lessons.student import StudentLesson, StudentWeights

if TYPE_CHECKING:
    from pst_cli.models.forced import ForcedHost
    from pst_cli.training.collate import Batch

FRAMES = 100  # of a log-mel spectrogram, in a second


class ContextLesson(StudentLesson):
    """A host, and the same as it was; spectrograms are of 30 s, of which the host hears a part."""

    def __init__(
        self, host: ForcedHost, teacher: ForcedHost, weights: StudentWeights | None = None
    ) -> None:
        counts = weights or StudentWeights(labels=0.0, kl=1.0, temperature=1.0, layers=1.0)
        super().__init__(host, teacher, weights=counts, shares_encoder=False)

    def _hear(self, batch: Batch) -> tuple[Heard, Heard]:
        assert batch.log_mel is not None
        frames = round(batch.totals.seconds * FRAMES)
        heard = Heard(self.student.hear(batch.log_mel[..., :frames]))
        with torch.no_grad():
            return heard, Heard(self.teacher.hear(batch.log_mel))
