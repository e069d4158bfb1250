"""KVSPN's lesson: to say, from the host's memory alone, what the host will say next.

All positions are taught at once. The query at i embeds token i and sees the host's memory below i,
as it does when it drafts; draft step j feeds the right token i + j, since a drafted token counts
only where all before it were right. What is taught is the host's own choice: where a row is not
the host's own text already, its likeliest token there.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional

from pst_cli.models.forced import Heard
from pst_cli.models.memory import Followed, Read
from pst_cli.training.collate import IGNORED
from pst_cli.training.lessons.lesson import Lesson, Parts
from pst_cli.training.losses import divergence, hits, surprise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pst_cli.models.forced import Forced, ForcedHost
    from pst_cli.models.kvspn import KVSPN
    from pst_cli.models.memory import Memory, Pair
    from pst_cli.training.collate import Batch
    from pst_cli.types import SpecialTokens


@dataclass(frozen=True, slots=True)
class DraftWeights:
    """What each loss counts."""

    labels: float = 1.0  # the host's choices
    kl: float = 1.0  # the host's distribution over the draft vocabulary
    later: float = 0.8  # of each draft step against the one before


class Vocabulary(NamedTuple):
    """What the rows that ask for it may draft."""

    rows: Tensor  # (rows,), True where it is theirs
    places: Tensor  # of each of the host's tokens in it, or IGNORED
    head: Tensor  # (draft vocabulary, d_model), the host's


class Drafted(NamedTuple):
    """One draft step of a batch's rows of one vocabulary, where there is something to draft."""

    step: int  # from 1
    where: Tensor  # (rows, seq - step + 1), True at queries that are taught
    labels: Tensor  # (labels,), places in the draft vocabulary, or IGNORED where it lacks them
    logits: Tensor  # (labels, draft vocabulary)
    wanted: Tensor  # (labels, draft vocabulary), the host's own; nothing where they do not count


class KVSPNLesson(Lesson):
    """A host and the network that lives on it (or Medusa's control).

    The host is frozen, unless it is taught by another lesson in `joint` training: then what the
    drafter needs of its memory is taught to it too.
    """

    def __init__(
        self,
        host: ForcedHost,
        network: KVSPN,
        tokens: SpecialTokens,
        weights: DraftWeights | None = None,
        *,
        joint: bool = False,
    ) -> None:
        super().__init__()
        self.host, self.network, self.joint = host, network, joint
        self.tokens, self.counts = tokens, weights or DraftWeights()
        if not joint:
            self.host.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As torch's; a frozen host stays as it is when it is used."""
        super().train(mode)
        self.host.train(mode and self.joint)
        return self

    def weights(self) -> Mapping[str, float]:
        counts, found = self.counts, {}
        for step in range(1, self.network.config.draft_length + 1):
            found[f"draft {step}"] = counts.labels * counts.later ** (step - 1)
            found[f"kl {step}"] = counts.kl * counts.later ** (step - 1)
        return found

    def forward(self, batch: Batch) -> Parts:
        sums: dict[str, list[Tensor]] = defaultdict(list)
        forced, heard = self.memory(batch)
        for one in self.drafts(batch, forced, heard):
            inside = one.labels != IGNORED
            sums[f"draft {one.step}"].append(surprise(one.logits[inside], one.labels[inside]))
            sums[f"kept {one.step}"].append(hits(one.logits, one.labels))
            sums[f"seen {one.step}"].append(torch.ones_like(one.labels).sum())
            if self.counts.kl:
                sums[f"kl {one.step}"].append(divergence(one.logits, one.wanted))
        return {name: torch.stack(some).sum() / batch.totals.said for name, some in sums.items()}

    def memory(self, batch: Batch) -> tuple[Forced, Heard]:
        """The host's pass over the rows; its gradients are kept only where it learns too."""
        with nullcontext() if self.joint else torch.no_grad():
            heard = batch.heard
            if heard is None:
                assert batch.log_mel is not None
                heard = Heard(self.host.hear(batch.log_mel))
            return self.host.decode(batch.tokens, heard, remember=True), heard

    def drafts(self, batch: Batch, forced: Forced, heard: Heard) -> Iterator[Drafted]:
        """Each draft step at every position at once, given the right tokens before it."""
        labels = self._labels(batch, forced)
        taught = labels != IGNORED
        embedded = self.host.embed(batch.tokens)
        state = None if self.network.config.feed == "token" else _shifted(forced.states)
        crosses = self._crosses(forced, heard)
        vocabularies = self._vocabularies(batch.tokens)
        seq = batch.tokens.shape[1]
        memories = self._memories(forced)
        for step in range(self.network.config.draft_length):
            width = seq - step
            previous = None if state is None else state[:, :width]
            entered = self.network.enter(embedded[:, step:], previous)
            state = self.network(entered, memories, crosses, heard.seen())
            where = taught[:, step:].clone()
            # The host itself says the first token: none is drafted from the prompt alone.
            where[:, 0] = False
            where[:, 1:] &= taught[:, : width - 1]
            for said in vocabularies:
                mine = where & said.rows[:, None]
                chosen = forced.states[:, step:][mine] if self.counts.kl else state[mine][:0]
                yield Drafted(
                    step + 1,
                    mine,
                    said.places[labels[:, step:][mine]],
                    self._scores(state[mine], said.head),
                    self._scores(chosen, said.head).detach(),
                )

    def _vocabularies(self, tokens: Tensor) -> list[Vocabulary]:
        """Of all `tokens`, (rows, seq), begin with their prompts."""
        embedding, vocabularies = self.host.head, self.network.vocabularies
        rows = [vocabularies.asked(row) for row in tokens.tolist()]
        found = []
        for asked in dict.fromkeys(rows):
            places = torch.arange(len(embedding), device=tokens.device)
            head = embedding  # itself, not a copy, where every word may be drafted
            if asked is not None:
                kept = vocabularies.of(asked)
                places = torch.full_like(places, IGNORED)
                places[kept] = torch.arange(len(kept), device=tokens.device)
                head = embedding[kept]
            theirs = torch.tensor([one == asked for one in rows], device=tokens.device)
            found.append(Vocabulary(theirs, places, head))
        return found

    def _scores(self, states: Tensor, head: Tensor) -> Tensor:
        """In float32 where they are judged; learning bears the rounding, and goes much faster."""
        return functional.linear(states, head).float() if self.training else _exactly(states, head)

    def _memories(self, forced: Forced) -> list[Memory]:
        """What each block may see: for a draft from i on the host's slots below i."""
        assert forced.keys is not None
        assert forced.values is not None
        config, keys, values = self.network.config, forced.keys, forced.values
        slots = torch.arange(keys.shape[3], device=keys.device)
        below = (slots < slots[:, None].clamp(min=1))[None, None]
        found: list[Memory] = []
        for block in range(config.groups):
            if config.fills:
                layer = config.layer(block)
                found.append(Followed((keys[:, :, layer], values[:, :, layer]), below))
            else:
                first, last = config.group(block)
                pair = keys[:, :, first:last].flatten(2, 3), values[:, :, first:last].flatten(2, 3)
                found.append(Read(pair, below.repeat(1, 1, 1, last - first)))
        return found

    def _crosses(self, forced: Forced, heard: Heard) -> list[Pair]:
        own = self.network.hear(heard.states)
        if own is not None:
            return own
        config = self.network.config
        return [forced.crosses[config.layer(block)] for block in range(config.groups)]

    @torch.no_grad()
    def _labels(self, batch: Batch, forced: Forced) -> Tensor:
        """What the host chooses at each position, (rows, seq), IGNORED where nothing is taught."""
        labels = batch.labels.clone()
        foreign = (labels != IGNORED) & ~batch.own[:, None]
        if foreign.any():
            labels[foreign] = self._choices(_exactly(forced.states[foreign], self.host.head))
        return labels

    def _choices(self, logits: Tensor) -> Tensor:
        """The likeliest allowed tokens, (labels, vocabulary) -> (labels,).

        Of the token rules these two matter here: suppressed tokens are never said, nor are those
        of prompts, and a time is said where all times together are likelier than any word.
        """
        begin = self.tokens.timestamp_begin
        logits[:, list(self.tokens.suppressed)] = float("-inf")
        logits[:, self.tokens.end + 1 : begin] = float("-inf")
        words, times = logits[:, :begin], logits[:, begin:]
        timed = times.logsumexp(-1) > words.amax(-1)
        return torch.where(timed, times.argmax(-1) + begin, words.argmax(-1))

    def summary(self, figures: Mapping[str, float]) -> dict[str, float]:
        shown = {name: value for name, value in figures.items() if name[:4] not in ("kept", "seen")}
        for step in range(1, self.network.config.draft_length + 1):
            if figures.get(f"seen {step}"):
                kept = figures[f"kept {step}"] / figures[f"seen {step}"]
                shown[f"acceptance {step}"] = kept
        return shown


def _shifted(states: Tensor) -> Tensor:
    """At i the state of i - 1: the one that token i was chosen by."""
    return torch.cat([states[:, :1], states[:, :-1]], dim=1)


def _exactly(states: Tensor, head: Tensor) -> Tensor:
    """Scores in float32, whatever else is computed in: bfloat16 makes ties of close ones."""
    with torch.autocast(states.device.type, enabled=False):
        return states.float() @ head.float().T
