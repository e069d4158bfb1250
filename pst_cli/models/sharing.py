"""Rows that attend to the same sound, laid side by side for it, so that it is held but once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sharing:
    """Which row attends to which sound, however many rows each has."""

    slots: Tensor  # (sounds, most), a row in each; what is left over holds some row again
    places: Tensor  # (rows,), where each row lies in `slots`, flattened

    @classmethod
    def of(cls, sounds: Tensor) -> Sharing:
        """From the number of the sound that each row attends to, (rows,); every one is there."""
        listed = sounds.tolist()
        rows: list[list[int]] = [[] for _ in range(max(listed) + 1)]
        for row, sound in enumerate(listed):
            rows[sound].append(row)
        most = max(map(len, rows))
        slots = [one + one[:1] * (most - len(one)) for one in rows]
        places = [0] * len(listed)
        for sound, one in enumerate(rows):
            for slot, row in enumerate(one):
                places[row] = sound * most + slot
        return cls(torch.tensor(slots), torch.tensor(places)).to(sounds.device)

    @property
    def sounds(self) -> Tensor:
        """The sound that each row attends to, (rows,)."""
        return self.places // self.slots.shape[1]

    def to(self, device: torch.device) -> Sharing:
        """The same on `device`."""
        return Sharing(self.slots.to(device), self.places.to(device))

    def spread(self, rows: Tensor) -> Tensor:
        """(rows, ...) -> (sounds * most, ...), as many rows for each sound."""
        return rows[self.slots.flatten()]

    def joined(self, states: Tensor) -> Tensor:
        """(rows, seq, d_model) -> (sounds, most * seq, d_model)."""
        sounds, most = self.slots.shape
        return self.spread(states).reshape(sounds, most * states.shape[1], -1)

    def parted(self, joined: Tensor) -> Tensor:
        """What `joined` put together: -> (rows, seq, d_model)."""
        sounds, most = self.slots.shape
        return joined.reshape(sounds * most, -1, joined.shape[-1])[self.places]
