"""What is heard of windows: encoder states, windows of several lengths side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the host and its drafter hear of windows; one tensor where they hear the same."""

    host: Tensor  # (rows, frames, d_model)
    drafter: Tensor  # (rows, frames, the drafter's d_model)
    mask: Tensor | None = None  # (rows, frames), True where a row has any; None: everywhere

    def __len__(self) -> int:
        return len(self.host)

    def __getitem__(self, rows: list[int]) -> Encoded:
        host = self.host[rows]
        drafter = host if self.drafter is self.host else self.drafter[rows]
        return Encoded(host, drafter, None if self.mask is None else self.mask[rows])

    @classmethod
    def join(cls, parts: Sequence[Encoded]) -> Encoded:
        """Parts of some rows each as one; each part's rows are as long as one another, unmasked.

        A row hears nothing of what it is padded with: its company does not change what it says.
        """
        if len(parts) == 1:
            return parts[0]
        frames = max(part.host.shape[1] for part in parts)
        host = torch.cat([_padded(part.host, frames) for part in parts])
        mask = _mask(parts, frames)
        if all(part.drafter is part.host for part in parts):
            return cls(host, host, mask)
        return cls(host, torch.cat([_padded(part.drafter, frames) for part in parts]), mask)


def _padded(states: Tensor, frames: int) -> Tensor:
    return functional.pad(states, (0, 0, 0, frames - states.shape[1]))


def _mask(parts: Sequence[Encoded], frames: int) -> Tensor | None:
    """None where all are as long as the longest: then nothing slows attention down."""
    own = [part.host.shape[1] for part in parts for _ in range(len(part))]
    if min(own) == frames:
        return None
    device = parts[0].host.device
    return torch.arange(frames, device=device) < torch.tensor(own, device=device)[:, None]
