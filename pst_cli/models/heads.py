"""An output head cut down to what a drafter may say: it is half of a small network's pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from pst_cli.models.compiled import product
from pst_cli.models.linear import Affine
from pst_cli.models.products import approximate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.models.compiled import Product
    from pst_cli.models.decoder import Decoder
    from pst_cli.models.vocabularies import Vocabularies


MOST = 8  # heads held at once: of six languages there are 63 sets, and each takes some 12 MB


@dataclass(frozen=True)
class Head:
    """Scores over `kept`, ids in ascending order; None: the whole vocabulary."""

    affine: Affine
    kept: tuple[int, ...] | None = None

    @cached_property
    def product(self) -> Product:
        """As compiled layers take it."""
        return product(self.affine)


class Heads:
    """The latest heads that a network drafts with, copies of some of a decoder's rows.

    Which it is, the prompts tell. Rows of several languages that are drafted together share one
    for all that any of them may say.
    """

    def __init__(self, vocabularies: Vocabularies, decoder: Decoder) -> None:
        self._vocabularies, self._decoder = vocabularies, decoder
        self._made: dict[frozenset[int | None], Head] = {}

    def of(self, rows: Sequence[Sequence[int]]) -> Head:
        """The head for `rows`, each a prompt and what was said so far."""
        asked = frozenset(map(self._vocabularies.asked, rows))
        known = self._made.pop(asked) if asked in self._made else self._make(asked)
        self._made[asked] = known
        if len(self._made) > MOST:
            del self._made[next(iter(self._made))]  # it was not asked for for longest
        return known

    def _make(self, asked: frozenset[int | None]) -> Head:
        known = [self._vocabularies.of(one) for one in asked if one is not None]
        if len(known) < len(asked):
            return Head(self._decoder.head)
        kept = torch.unique(torch.cat(known))
        rows = self._decoder.embedding[kept]
        return Head(Affine(rows, layout=approximate), tuple(kept.tolist()))
