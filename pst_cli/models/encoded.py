"""What is heard of windows: encoder states, windows of several lengths side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the host and its drafter hear of windows; one tensor where they hear the same.

    A row is what is decoded of a window; of one window there may be several.
    """

    host: Tensor  # (windows, frames, d_model)
    drafter: Tensor  # (windows, frames, the drafter's d_model)
    mask: Tensor | None = None  # (windows, frames), True where one has sound; None: everywhere
    windows: tuple[int, ...] | None = None  # which one each row hears; None: a row each, in order

    def __len__(self) -> int:
        return len(self.host) if self.windows is None else len(self.windows)

    def __getitem__(self, rows: list[int]) -> Encoded:
        if self.windows is None:
            return self._of(rows, None)
        heard = [self.windows[row] for row in rows]
        kept = list(dict.fromkeys(heard))
        shared = len(kept) < len(heard)
        return self._of(kept, tuple(map(kept.index, heard)) if shared else None)

    def apart(self) -> Encoded:
        """A window for each row, again and again where rows share one."""
        return self if self.windows is None else self._of(list(self.windows), None)

    def _of(self, windows: list[int], rows: tuple[int, ...] | None) -> Encoded:
        host = self.host[windows]
        drafter = host if self.drafter is self.host else self.drafter[windows]
        return Encoded(host, drafter, None if self.mask is None else self.mask[windows], rows)

    @classmethod
    def join(cls, parts: Sequence[Encoded]) -> Encoded:
        """Parts side by side; single windows of which some are there repeatedly are held once.

        Each part's rows are as long as one another, unmasked. A row hears nothing of what it is
        padded with: its company does not change what it says.
        """
        single = list({id(part): part for part in parts}.values())
        if len(single) == len(parts):
            return cls._side_by_side(parts)
        places = {id(part): place for place, part in enumerate(single)}
        return replace(cls._side_by_side(single), windows=tuple(places[id(p)] for p in parts))

    @classmethod
    def _side_by_side(cls, parts: Sequence[Encoded]) -> Encoded:
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
