"""The decoder's key-value memory: preallocated, indexed by position, each row at its own length.

A slot is written at the position of its token, and a row's length says which slots count. Rolling
back a rejected draft is therefore only a smaller length: stale slots stay until they are
overwritten, and no attention mask ever reaches them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pst_cli.models.sharing import Sharing

BLOCK = 64  # slots; self-attention memory grows by whole blocks


@dataclass
class KVCache:
    """Self- and cross-attention keys and values of every decoder layer for a batch of rows.

    The axis order of `keys` and `values` puts layers beside slots, so that the keys of a group of
    neighbouring layers, laid end to end along the key axis, are a view (`group`): that is how
    KVSPN reads its host. In beam search a window holds several rows, neighbours of one another
    (row = window * beams + beam), and what they hear is stored once for all of them. So it is for
    rows that say one window in several languages; those come and go one by one (`sharing`).
    """

    keys: Tensor  # (rows, heads, layers, slots, head_dim)
    values: Tensor  # (rows, heads, layers, slots, head_dim)
    cross_keys: Tensor  # (layers, windows, heads, frames, head_dim)
    cross_values: Tensor  # (layers, windows, heads, frames, head_dim)
    limit: int  # slots; positions the model has an embedding for
    cross_mask: Tensor | None = None  # (windows, frames), True where there is sound; None: all
    sharing: Sharing | None = None  # None: `beams` rows a window

    @classmethod
    def empty(
        cls,
        cross: Tensor,
        limit: int,
        beams: int = 1,
        mask: Tensor | None = None,
        sharing: Sharing | None = None,
    ) -> KVCache:
        """A cache without tokens, `beams` rows a window, or rows as `sharing` has them.

        `cross` is (2, layers, windows, heads, frames, head_dim); `mask`, (windows, frames), is True
        where there is sound, None where that is everywhere.
        """
        _, layers, windows, heads, _, head_dim = cross.shape
        rows = windows * beams if sharing is None else len(sharing.places)
        shape = (rows, heads, layers, min(BLOCK, limit), head_dim)
        keys, values = cross.new_zeros(shape), cross.new_zeros(shape)
        return cls(keys, values, cross[0], cross[1], limit, mask, sharing)

    @property
    def rows(self) -> int:
        return self.keys.shape[0]

    @property
    def beams(self) -> int:
        """Rows a window."""
        return self.rows // self.cross_keys.shape[1]

    @property
    def slots(self) -> int:
        return self.keys.shape[3]

    def seen(self) -> Tensor | None:
        """`cross_mask` as attention takes it, (windows, 1, 1, frames)."""
        return None if self.cross_mask is None else self.cross_mask[:, None, None]

    def reserve(self, slots: int) -> None:
        """Make room for `slots` positions; what is there stays where it is."""
        if slots <= self.slots:
            return
        grown = min(-(-slots // BLOCK) * BLOCK, self.limit)
        if slots > grown:
            raise ValueError(f"{slots} positions asked of a decoder that has {self.limit}")
        pad = (0, 0, 0, grown - self.slots)
        self.keys = torch.nn.functional.pad(self.keys, pad)
        self.values = torch.nn.functional.pad(self.values, pad)

    def write(self, layer: int, positions: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store keys and values, (rows, seq, heads, head_dim), at `positions`, (rows, seq)."""
        row = torch.arange(self.rows, device=positions.device)[:, None]
        self.keys[row, :, layer, positions] = keys
        self.values[row, :, layer, positions] = values

    def write_slice(self, layer: int, start: int, keys: Tensor, values: Tensor) -> None:
        """`write` for rows that all stand at `start`: one plain copy."""
        end = start + keys.shape[1]
        self.keys[:, :, layer, start:end] = keys.transpose(1, 2)
        self.values[:, :, layer, start:end] = values.transpose(1, 2)

    def group(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Keys and values of layers first..last-1, each (rows, heads, layers * slots, dim)."""
        chosen = slice(first, last)
        return self.keys[:, :, chosen].flatten(2, 3), self.values[:, :, chosen].flatten(2, 3)

    def select(self, rows: Tensor) -> None:
        """Keep `rows`, an index (kept,), in that order; a row may be named twice.

        Windows of several beams stay or leave whole; one that rows share leaves with the last.
        """
        windows = self.windows(rows)
        if self.sharing is None or len(windows) < len(self.sharing.slots):
            self.cross_keys = self.cross_keys[:, windows]
            self.cross_values = self.cross_values[:, windows]
            if self.cross_mask is not None:
                self.cross_mask = self.cross_mask[windows]
        if self.sharing is not None:
            self.sharing = Sharing.of(torch.searchsorted(windows, self.sharing.sounds[rows]))
        self.reorder(rows)

    def reorder(self, rows: Tensor) -> None:
        """`select` for rows that trade places within their windows: what these hear stays."""
        self.keys, self.values = self.keys[rows], self.values[rows]

    def windows(self, rows: Tensor) -> Tensor:
        """The windows that `rows` belong to; in their order, and whole, where these are beams."""
        if self.sharing is not None:
            return torch.tensor(sorted({*self.sharing.sounds[rows].tolist()}), device=rows.device)
        beams = self.beams
        return rows[::beams] // beams
