"""How many tokens to draft: as many as have held of late, or as a pass has room for."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from operator import eq
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Drafts: TypeAlias = "list[tuple[int, tuple[int, ...]]]"  # what followed which length of a row
SHORTEST, LONGEST = 1, 16  # tokens
# Of what is drafted, that is to hold: less costs more time than it saves. A token drafted for one
# row adds a third of a plain pass, and in a batch, where a pass has less to spare, three fifths (2
# cores, base-m2m, float32, 1.26 a round in batches of four: 1.76 times a plain pass).
PAYS, PAYS_BESIDE_OTHERS = 0.35, 0.55
TRUST = 0.6  # of it, that is taken to hold before there is anything to tell by
# Tokens; what was drafted before fades. With 24 a few that do not hold were too many: the KVSPN of
# base-m2m, whose drafts hold 47 % in German, rested nearly always (20 pages: 767 passes; now 497).
MEMORY = 72
SHORT_REST, LONG_REST = 4, 64  # passes


@dataclass
class LastDrafts:
    """What was drafted last, and how much of it held."""

    _last: _Drafts = field(default_factory=list, init=False)

    def drafted(self, rows: Sequence[Sequence[int]], drafts: Sequence[Sequence[int]]) -> None:
        """Remember what was proposed to follow `rows`."""
        self._last = [(len(row), tuple(draft)) for row, draft in zip(rows, drafts, strict=True)]

    def select(self, rows: Sequence[int]) -> None:
        """Go on with `rows` only."""
        if self._last:
            self._last = [self._last[row] for row in rows]

    def _held(self, rows: Sequence[Sequence[int]]) -> list[int]:
        """How many tokens of each draft are what its row now says in their place."""
        return [
            sum(takewhile(bool, map(eq, row[start:], draft)))
            for row, (start, draft) in zip(rows, self._last, strict=True)
        ]


@dataclass
class DraftLength(LastDrafts):
    """A draft length that follows acceptance, as transformers' assisted decoding does.

    All of a draft accepted: two more next time; otherwise one less (the heuristic of
    `num_assistant_tokens_schedule="heuristic"`). `fixed` switches that off.
    """

    now: int = 5
    fixed: bool = False

    def next(self, rows: Sequence[Sequence[int]]) -> int:
        """The length to draft at, now that `rows` show what became of the last drafts."""
        if not self.fixed and self._last:
            whole = [
                held == len(draft)
                for held, (_, draft) in zip(self._held(rows), self._last, strict=True)
            ]
            self.now += 2 if sum(whole) * 2 > len(whole) else -1
            self.now = min(max(self.now, SHORTEST), LONGEST)
        return self.now


@dataclass
class Pace:
    """Rests where drafts do not pay: none are made for some passes, twice as many each time.

    It remembers, over any number of windows, how many of the last tokens that were drafted held,
    and trusts the drafter to begin with.
    """

    drafted: float = MEMORY
    held: float = TRUST * MEMORY
    resting: int = 0  # passes still to come without a draft
    rest: int = SHORT_REST

    def ready(self) -> bool:
        """Whether to draft for this pass."""
        if self.resting:
            self.resting -= 1
            return False
        return True

    def told(self, drafted: int, held: int, pays: float = PAYS) -> None:
        """What became of the last drafts, in tokens of all rows; `pays`: the share to hold."""
        kept = max(0.0, 1.0 - drafted / MEMORY)
        self.drafted, self.held = self.drafted * kept + drafted, self.held * kept + held
        if held >= pays * drafted:
            self.rest = SHORT_REST
        if self.held < pays * self.drafted:
            self.resting, self.rest = self.rest, min(2 * self.rest, LONG_REST)


@dataclass
class SharedLength(LastDrafts):
    """A draft length for drafts that are right about as often at all times: what a pass bears.

    A processor takes hardly longer over a handful of tokens than over one, and then in proportion;
    all rows of the batch share what is free. 2 cores, base, bfloat16: a pass over 1 / 4 tokens of
    one row 7.5 / 7.3 ms, of 4 rows 12 / 17, of 8 rows 15 / 23; float32 13 / 16, 21 / 27, 25 / 57.
    Where less holds than pays, a pace says when not to draft.
    """

    longest: int
    tokens: int  # of all rows, beside their last ones
    paced: Callable[[Sequence[Sequence[int]]], Pace]  # that of the first rows; others only leave
    _pace: Pace | None = field(default=None, init=False)

    def next(self, rows: Sequence[Sequence[int]]) -> int:
        """The length to draft at for `rows`, which show what became of the last drafts."""
        self._pace = self._pace or self.paced(rows)
        if drafted := sum(len(draft) for _, draft in self._last):
            pays = PAYS if len(rows) == 1 else PAYS_BESIDE_OTHERS
            self._pace.told(drafted, sum(self._held(rows)), pays)
        if not self._pace.ready():
            return 0
        return max(SHORTEST, min(self.longest, self.tokens // len(rows)))
