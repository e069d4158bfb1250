"""The KVSPN drafter: asks the parasitic network what the host will say next.

The host's memory lags one token: it holds all of a row but its last, and the network embeds that
one itself (see `models.kvspn`). The same class runs the Medusa control, whose network is fed the
host's hidden state in place of the token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pst_cli.decoding.proposals import Guide, Rows, propose
from pst_cli.decoding.protocols import Draft
from pst_cli.decoding.saying import Saying
from pst_cli.models.compiled import CompiledSteps
from pst_cli.models.decoder import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.decoding.length import DraftLength, SharedLength
    from pst_cli.models.heads import Head, Heads
    from pst_cli.models.kvspn import KVSPN
    from pst_cli.models.memory import Memory, Pair
    from pst_cli.models.session import Session


class KVSPNDrafter:
    """Drafts from the host's own memory; keeps nothing of its own but what it hears."""

    def __init__(
        self,
        network: KVSPN,
        heads: Heads,
        session: Session,
        encoded: Tensor,
        guide: Guide,
        length: DraftLength | SharedLength,
    ) -> None:
        """`heads` are the network's, of the session's own decoder.

        `encoded`, (windows, frames, d_model), is read only by own cross-attention; what of it is
        padding, the session's memory tells.
        """
        self.network, self.session, self.length = network, session, length
        self.saying = Saying(heads, guide)
        self._own = network.hear(encoded)
        self.compiled = CompiledSteps.over(network.compiled, session.decoder, session.cache)

    def draft(self, rows: Rows, room: Sequence[int]) -> list[Draft]:
        length = min(self.length.next(rows), max(0, min(room)))
        drafts = [Draft()] * len(rows)
        if length:
            head, guide = self.saying.of(rows)
            drafts = propose(rows, length, _Steps(self, rows, head), guide)
        self.length.drafted(rows, [draft.tokens for draft in drafts])
        return drafts

    def select(self, rows: Tensor) -> None:
        self.length.select(rows.tolist())
        if self._own is not None:
            windows = self.session.cache.windows(rows)
            if windows.tolist() != list(range(len(self._own[0][0]))):
                self._own = [(keys[windows], values[windows]) for keys, values in self._own]

    def crosses(self) -> list[Pair]:
        """What each block hears now."""
        return self.network.overhear(self.session.cache) if self._own is None else self._own


class _Steps:
    """One draft under way: the host's memory as it stands, and the state passed along."""

    def __init__(self, drafter: KVSPNDrafter, rows: Rows, head: Head) -> None:
        self.drafter, self.rows, self.head = drafter, rows, head
        session, network = drafter.session, drafter.network
        self.device = session.cache.keys.device
        self.starts = [len(row) - 1 for row in rows]
        self.memories: list[Memory] = []
        self.crosses: list[Pair] = []
        self.state = None if network.config.feed == "token" else session.last_states(rows)

    def __call__(self, drafts: Rows) -> Tensor:
        network, session = self.drafter.network, self.drafter.session
        decoder, cache = session.decoder, session.cache
        last = [[(draft or row)[-1]] for row, draft in zip(self.rows, drafts, strict=True)]
        starts = [start + len(drafts[0]) for start in self.starts]
        compiled = self.drafter.compiled
        if compiled and compiled.takes(len(last)):
            return compiled(last, starts, self.head.product)
        step = Step(starts, 1, cache)
        if not self.crosses:
            self.crosses, self.heard = self.drafter.crosses(), cache.seen()
        if network.config.fills or not self.memories:
            self.memories = network.memories(cache, step)
        embeddings = decoder.embed(torch.tensor(last, device=self.device), step)
        entered = network.enter(embeddings, self.state)
        self.state = network(entered, self.memories, self.crosses, self.heard)
        return self.head.affine(self.state).float()
