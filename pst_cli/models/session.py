"""A session: windows under way, with all that a host remembers of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pst_cli.models.cache import KVCache
    from pst_cli.models.decoder import Decoder


@dataclass
class Session:
    """One batch of windows being decoded by one host: its decoder, and what it remembers."""

    decoder: Decoder
    cache: KVCache
    states: Tensor | None = None  # (rows, seq, d_model) of the last pass
    starts: Sequence[int] = ()  # where each row of the last pass began

    @property
    def rows(self) -> int:
        return self.cache.rows

    @property
    def limit(self) -> int:
        return self.decoder.limit

    def forward(self, tokens: Tensor, starts: Sequence[int]) -> Tensor:
        """One host pass; see `Decoder.forward`."""
        self.states = self.decoder(tokens.to(self.cache.keys.device), starts, self.cache)
        self.starts = starts
        return self.states

    def last_states(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """The states that the last token of each of `rows` was chosen by: (rows, 1, d_model)."""
        assert self.states is not None
        index = [len(row) - 2 - start for row, start in zip(rows, self.starts, strict=True)]
        return self.states[range(len(rows)), index][:, None]

    def logits(self, states: Tensor) -> Tensor:
        """See `Decoder.logits`."""
        return self.decoder.logits(states)

    def select(self, rows: Tensor) -> None:
        """Go on with `rows` only, an index (kept,)."""
        rows = rows.to(self.cache.keys.device)
        self.cache.select(rows)
        self._keep(rows)

    def reorder(self, rows: Tensor) -> None:
        """Rows trade places within their own windows (beams)."""
        rows = rows.to(self.cache.keys.device)
        self.cache.reorder(rows)
        self._keep(rows)

    def _keep(self, rows: Tensor) -> None:
        """The last pass of `rows`, in that order, for drafters that look at it."""
        if self.states is not None:
            self.states = self.states[rows]
            self.starts = [self.starts[row] for row in rows.tolist()]
