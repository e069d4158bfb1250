"""Examples as tensors: padded tokens, the labels among them, and what is heard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pst_cli.models.forced import Heard

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from pst_cli.models.sharing import Sharing
    from pst_cli.training.examples import Example

IGNORED = -100  # the label of positions that teach nothing, as PyTorch's losses know it


@dataclass(frozen=True, slots=True)
class Totals:
    """A whole batch's, over all groups and processes: labels, which losses are means over."""

    said: int  # of rows that are heard
    read: int  # words of rows whose source text is known; it does not tell times
    both: int  # words of rows that are heard and read
    seconds: float = 0.0  # that sound is heard for: the ears' context


@dataclass(frozen=True, slots=True)
class Batch:
    """A group of rows; labels[r, i] is the token that follows tokens[r, i], or IGNORED."""

    tokens: Tensor  # (rows, seq)
    labels: Tensor  # (rows, seq)
    source: Tensor  # (rows, words); rows that cannot be read hold one token of no meaning
    source_mask: Tensor  # (rows, words), True where there is a word
    readable: Tensor  # (rows,), True where the source text is known
    own: Tensor  # (rows,), True where the labels are the host's own choices
    totals: Totals
    log_mel: Tensor | None = None  # (sounds, mels, frames)
    sharing: Sharing | None = None  # which rows have which of the sounds; None: each has its own
    heard: Heard | None = None  # in place of log_mel where the encoder is frozen

    @property
    def spoken(self) -> bool:
        return self.log_mel is not None or self.heard is not None

    def silent(self) -> Batch:
        """The same without a label: it counts for nothing."""
        return replace(self, labels=torch.full_like(self.labels, IGNORED))

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("tokens", "labels", "source", "source_mask", "readable", "own")
        }
        mel = None if self.log_mel is None else self.log_mel.to(device, non_blocking=True)
        heard = None if self.heard is None else self.heard.to(device)
        sharing = self.sharing and self.sharing.to(device)
        return replace(self, **moved, log_mel=mel, heard=heard, sharing=sharing)


class Ears(Protocol):
    """How sound gets into a batch."""

    def context(self, examples: Sequence[Example], seed: str) -> float:
        """Seconds that every row of a whole batch is padded to."""

    def listen(
        self, examples: Sequence[Example], seconds: float, seeds: Sequence[str]
    ) -> Tensor | Heard:
        """Log-mel spectrograms, (rows, mels, frames), or encoder states; a seed for each row."""


def totals(examples: Sequence[Example], timestamp_begin: int, seconds: float = 0.0) -> Totals:
    """Of a whole batch, which is heard for `seconds`; the sound need not be read for it."""
    said = read = both = 0
    for one in examples:
        labels = one.tokens[one.given :]
        words = sum(token < timestamp_begin for token in labels) if one.source else 0
        said += len(labels) if one.clip else 0
        read += words
        both += words if one.clip else 0
    return Totals(said, read, both, seconds)


def collate(
    examples: Sequence[Example],
    whole: Totals,
    sound: Tensor | Heard | None,
    pad: int,
    sharing: Sharing | None = None,
) -> Batch:
    """Rows as tensors; `pad` is any token, as no label ever stands where it does.

    `sharing` says which rows have which `sound`, where there are fewer of these.
    """
    tokens = _padded([one.tokens for one in examples], pad)
    labels = torch.full_like(tokens, IGNORED)
    for row, one in enumerate(examples):
        first, last = one.given, len(one.tokens)
        labels[row, first - 1 : last - 1] = tokens[row, first:last]
    sources = [one.source or (pad,) for one in examples]
    lengths = torch.tensor([len(source) for source in sources])
    mel = sound if isinstance(sound, Tensor) else None
    return Batch(
        tokens=tokens,
        labels=labels,
        source=_padded(sources, pad),
        source_mask=torch.arange(int(lengths.max())) < lengths[:, None],
        readable=torch.tensor([bool(one.source) for one in examples]),
        own=torch.tensor([one.own for one in examples]),
        totals=whole,
        log_mel=mel,
        heard=replace(sound, sharing=sharing) if isinstance(sound, Heard) else None,
        sharing=sharing,
    )


def _padded(rows: Sequence[Sequence[int]], pad: int) -> Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad)


def spec_augment(log_mel: Tensor, rng: random.Random) -> Tensor:
    """A copy of (mels, frames) with bands and stretches set to its mean (Park et al., 2019).

    Two of each, at most a third of the bands and a tenth of the time wide.
    """
    masked, mean = log_mel.clone(), log_mel.mean()
    for axis, widest in ((0, log_mel.shape[0] // 3), (1, log_mel.shape[1] // 10)):
        for _ in range(2):
            width = rng.randint(0, widest)
            start = rng.randint(0, log_mel.shape[axis] - width)
            masked.narrow(axis, start, width).fill_(mean)
    return masked
