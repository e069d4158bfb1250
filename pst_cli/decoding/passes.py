"""One host pass, whichever search takes it: prompts or drafts in, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pst_cli.decoding.protocols import Draft, Drafter, Host
    from pst_cli.types import SpecialTokens

Rows = Sequence[Sequence[int]]


def prefill(host: Host, prompts: Rows, tokens: SpecialTokens) -> tuple[Tensor, list[float]]:
    """Feed the prompts, all of one length.

    Returns the scores of what follows, (rows, 1, vocabulary), and how probable the host finds it
    for each row that there is no speech.
    """
    states = host.forward(torch.tensor(prompts), [0] * len(prompts))
    start = list(prompts[0]).index(tokens.start)
    silence = host.logits(states[:, start]).softmax(-1)[:, tokens.no_speech]
    return host.logits(states[:, -1:]), silence.tolist()


def verify(
    host: Host, drafter: Drafter, contexts: Rows, limit: int, padding: int
) -> tuple[Tensor, list[Draft]]:
    """Have rows drafted on, prompt and text so far, and feed what the host's memory lacks of them.

    Returns scores, (rows, 1 + longest draft, vocabulary): position i of row r follows i draft
    tokens, and those behind the row's own draft mean nothing.
    """
    # A pass is as wide as its longest draft and padding takes positions too, so the fullest row
    # bounds every draft; one place is the bonus token's.
    room = limit - max(len(context) for context in contexts) - 1
    drafts = drafter.draft(contexts, [room] * len(contexts))
    width = 1 + max(len(draft.tokens) for draft in drafts)
    fed = [
        [context[-1], *draft.tokens] + [padding] * (width - 1 - len(draft.tokens))
        for context, draft in zip(contexts, drafts, strict=True)
    ]
    states = host.forward(torch.tensor(fed), [len(context) - 1 for context in contexts])
    return host.logits(states), drafts


def prefixes(emitted: Rows, drafts: Sequence[Draft]) -> list[list[list[int]]]:
    """What each position of a pass has before it, the prompt left out: token rules ask for it."""
    return [
        [[*row, *draft.tokens[:i]] for i in range(len(draft.tokens) + 1)]
        for row, draft in zip(emitted, drafts, strict=True)
    ]
