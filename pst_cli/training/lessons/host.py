"""The host's lesson: to say in the target language what it hears, and what it reads.

Le et al. (arXiv 2508.11189), section 2: L = 2 L_st + L_mt + 0.5 L_kl, where the KL pulls what is
said of the sound toward what is said of the text, from when the text is the easier of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.training.collate import IGNORED
from pst_cli.training.lessons.lesson import Lesson, Parts
from pst_cli.training.lessons.words import Words
from pst_cli.training.losses import divergence, hits, surprise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pst_cli.models.forced import ForcedHost, Heard, TextEncoder
    from pst_cli.training.collate import Batch
    from pst_cli.training.lessons.words import Compared

MEMORY = 0.95  # of the running means that the switch looks at: about the last twenty batches


@dataclass(frozen=True, slots=True)
class HostWeights:
    """What each loss counts."""

    st: float = 2.0  # what is said of the sound
    mt: float = 1.0  # what is said of the text
    kl: float = 0.5  # the first from the second


class HostLesson(Lesson):
    """Sound and, with a reader, text, through one decoder."""

    def __init__(
        self,
        host: ForcedHost,
        reader: TextEncoder | None,
        timestamp_begin: int,
        weights: HostWeights | None = None,
        frequent: Tensor | None = None,
    ) -> None:
        """While it learns, scores are those of `frequent`, (tokens,), and the batch's own words.

        None: of all.
        """
        super().__init__()
        self.words = Words(host.config.vocab_size, frequent)
        self.host, self.reader, self.timestamp_begin = host, reader, timestamp_begin
        self.counts = weights or HostWeights()
        self._means: dict[str, float] = {}

    @property
    def pulls(self) -> bool:
        """Whether the KL is on: the text is read better than the sound is heard."""
        return self._means.get("mt", float("inf")) < self._means.get("st", 0.0)

    def weights(self) -> Mapping[str, float]:
        counts = self.counts
        if self.reader is None:
            return {"st": counts.st}
        return {"st": counts.st, "mt": counts.mt, "kl": counts.kl if self.pulls else 0.0}

    def forward(self, batch: Batch) -> Parts:
        parts: Parts = {}
        said = None
        taught = batch.labels != IGNORED
        compared = self.words(batch.labels[taught])
        if batch.spoken:
            said = self._logits(batch.tokens, self._heard(batch), taught, compared)
            labels = compared.places(batch.labels[taught])
            parts["st"] = surprise(said, labels) / batch.totals.said
            parts["accuracy"] = hits(said, labels) / batch.totals.said
        if self.reader is not None and batch.readable.any():
            parts |= self._read(batch, said, compared)
        return parts

    def _heard(self, batch: Batch) -> Heard:
        from pst_cli.models.forced import Heard

        if batch.heard is not None:
            return batch.heard
        assert batch.log_mel is not None
        return Heard(self.host.hear(batch.log_mel), sharing=batch.sharing)

    def _read(self, batch: Batch, said: Tensor | None, compared: Compared) -> Parts:
        """The text branch; `said` are the logits of every label of the sound branch."""
        assert self.reader is not None
        rows = batch.readable
        taught = batch.labels != IGNORED
        words = taught & (batch.labels < self.timestamp_begin) & rows[:, None]
        heard = self.reader(self.host.embed(batch.source[rows]), batch.source_mask[rows])
        read = self._logits(batch.tokens[rows], heard, words[rows], compared)
        labels = compared.places(batch.labels[words])
        parts = {"mt": surprise(read, labels) / batch.totals.read}
        if said is not None and self.pulls:
            parts["kl"] = divergence(said[words[taught]], read) / batch.totals.both
        return parts

    def _logits(self, tokens: Tensor, heard: Heard, where: Tensor, compared: Compared) -> Tensor:
        """Scores at the positions of `where`, (rows, seq), only: the head is the dearest part."""
        return self.host.logits(self.host.decode(tokens, heard).states[where], compared.tokens)

    def observe(self, figures: Mapping[str, float]) -> None:
        for name in ("st", "mt"):
            if name in figures:
                past = self._means.get(name, figures[name])
                self._means[name] = MEMORY * past + (1 - MEMORY) * figures[name]

    def verdict(self, figures: Mapping[str, float]) -> float:
        """What is heard alone: the whole loss jumps when the pull is switched on."""
        return figures["st"]

    def remembered(self) -> dict[str, float]:
        return dict(self._means)

    def recall(self, remembered: Mapping[str, float]) -> None:
        self._means = dict(remembered)
