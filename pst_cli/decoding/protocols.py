"""What the decoding loop asks of a host and of a drafter; anything that answers will do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Host(Protocol):
    """A batch of windows under decoding: a language model with a rewindable memory."""

    @property
    def limit(self) -> int:
        """Positions a row can hold, prompt included."""

    def forward(self, tokens: Tensor, starts: Sequence[int]) -> Tensor:
        """One pass over `tokens`, (rows, seq), row r's at positions starts[r], starts[r] + 1, ...

        Whatever was stored at those positions or beyond is overwritten or unseen. Returns hidden
        states, (rows, seq, d_model).
        """

    def logits(self, states: Tensor) -> Tensor:
        """Scores for the next token in float32: (..., d_model) -> (..., vocabulary)."""

    def select(self, rows: Tensor) -> None:
        """Go on with `rows` only, an index (kept,); a row may be named twice."""

    def reorder(self, rows: Tensor) -> None:
        """As `select`, but rows trade places within their own windows (beams)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Tokens proposed for one row.

    `probabilities`, (len(tokens), vocabulary), is the distribution each was drawn from; None says
    that the drafter always proposes these, as a greedy drafter does.
    """

    tokens: tuple[int, ...] = ()
    probabilities: Tensor | None = None


class Drafter(Protocol):
    """Proposes the next tokens of each row; the host has the last word."""

    def draft(self, rows: Sequence[Sequence[int]], room: Sequence[int]) -> list[Draft]:
        """At most room[r] tokens to follow rows[r], prompt and text so far.

        The host's memory lags by one token: it holds rows[r][:-1], and rows[r][-1] is yet to be
        fed.
        """

    def select(self, rows: Tensor) -> None:
        """Go on with `rows` only, as the host does."""


class Plain:
    """The empty draft: every token costs one host pass."""

    def draft(self, rows: Sequence[Sequence[int]], room: Sequence[int]) -> list[Draft]:
        del room
        return [Draft()] * len(rows)

    def select(self, rows: Tensor) -> None:
        del rows
