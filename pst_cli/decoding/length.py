"""How many tokens to draft: as many as have held of late, or as a pass has room for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTEST, LONGEST = 1, 16  # tokens


@dataclass
class DraftLength:
    """A draft length that follows acceptance, as transformers' assisted decoding does.

    All of a draft accepted: two more next time; otherwise one less (the heuristic of
    `num_assistant_tokens_schedule="heuristic"`). `fixed` switches that off.
    """

    now: int = 5
    fixed: bool = False
    _last: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)

    def next(self, rows: Sequence[Sequence[int]]) -> int:
        """The length to draft at, now that `rows` show what became of the last drafts."""
        if not self.fixed and self._last:
            held = [
                tuple(row[start : start + len(draft)]) == draft
                for row, (start, draft) in zip(rows, self._last, strict=True)
            ]
            self.now += 2 if sum(held) * 2 > len(held) else -1
            self.now = min(max(self.now, SHORTEST), LONGEST)
        return self.now

    def drafted(self, rows: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> None:
        """Remember what was proposed to follow `rows`."""
        self._last = [(len(row), tuple(draft)) for row, draft in zip(rows, drafts, strict=True)]

    def select(self, rows: Sequence[int]) -> None:
        """Go on with `rows` only."""
        if self._last:
            self._last = [self._last[row] for row in rows]


@dataclass(frozen=True)
class SharedLength:
    """A draft length for drafts that are right about as often at all times: what a pass bears.

    A processor takes hardly longer over a handful of tokens than over one, and then in proportion;
    all rows of the batch share what is free. 2 cores, base, bfloat16: a pass over 1 / 4 tokens of
    one row 7.5 / 7.3 ms, of 4 rows 12 / 17, of 8 rows 15 / 23; float32 13 / 16, 21 / 27, 25 / 57.
    """

    longest: int
    tokens: int  # of all rows, beside their last ones

    def next(self, rows: Sequence[Sequence[int]]) -> int:
        """The length to draft at for `rows`."""
        return max(SHORTEST, min(self.longest, self.tokens // len(rows)))

    def drafted(self, rows: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> None:
        """It does not depend on what was proposed."""

    def select(self, rows: Sequence[int]) -> None:
        """Nor on which rows go on."""
