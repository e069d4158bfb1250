"""A host taught to hear sound at its own length, so that short clips need no 30 s of padding."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pst_cli.models.prompts import Ability
from pst_cli.training.adapting import Adapting, adapt
from pst_cli.training.clips import single
from pst_cli.training.ears import Whole
from pst_cli.training.examples import Example, Spoken, renderings, spell_spoken
from pst_cli.training.fit import Fit, Outcome
from pst_cli.training.lessons.context import ContextLesson
from pst_cli.training.lessons.student import StudentWeights
from pst_cli.training.materials import fixed_clips, read_both
from pst_cli.training.opening import open_model
from pst_cli.training.plan import Balanced
from pst_cli.training.recipes.common import (
    Order,
    Watch,
    able,
    finish,
    fixed_course,
    identity,
    judged,
    tell_of,
)
from pst_cli.training.recipes.saving import save_host

if TYPE_CHECKING:
    import random

    from pst_cli.models.spelling import Speller
    from pst_cli.training.clips import Clip
    from pst_cli.training.materials import Materials

SUMMARY = (
    "A Whisper that hears sound at its own length, without padding to 30 s, and says what it said "
    "of it before. Its decoder is as it was."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPlan:
    """What is particular to teaching a host its context."""

    rank: int = 32  # of LoRA, in every layer of the encoder
    alpha: float = 64.0
    weights: StudentWeights = field(
        default_factory=lambda: StudentWeights(labels=0.0, kl=1.0, temperature=1.0, layers=1.0)
    )
    noisy: float = 0.3  # the share of clips that noise is added to
    power: float = 0.5  # see `examples.balanced`


def train_context(order: Order, plan: ContextPlan, watch: Watch) -> Outcome:
    """Learn, and write an adapter to `order.output`.

    Raises PstError where the order cannot be carried out; what was learnt is in its checkpoints.
    """
    learnt, held = read_both(order.manifests, order.held_out)
    tell_of([learnt, held], watch)
    items = able(renderings(_clips(learnt, order.longest)), order, watch)
    apart = judged(able(renderings(map(single, held.spoken)), order, watch), order)
    opened, teacher = open_model(order.checkpoint), open_model(order.checkpoint)
    learning = Adapting(decoder="frozen", free=0, rank=plan.rank, alpha=plan.alpha)
    adapt(opened.host.whisper, learning, order.settings.seed)
    lesson = ContextLesson(opened.host, teacher.host, plan.weights)
    ears = Whole(opened.log_mel, "random", plan.noisy)
    source = Balanced(items, plan.power)
    course = fixed_course(
        order, opened.speller, source, _Spelling(opened.speller, opened.limit), ears
    )
    held_out = (course, apart) if apart else None
    same = identity(order, "context", plan, [learnt, held], fixed=True)
    fit = Fit(lesson, course, order.settings, order.output, watch.tell, held_out, same)
    outcome = fit.run(watch.stop)
    if outcome.finished and fit.learner.main:
        save_host(order, opened, order.checkpoint.ability, "own")
        finish(order, outcome, [learnt, held], **_facts(order, plan))
    return outcome


def _clips(learnt: Materials, longest: float) -> list[Clip]:
    """Every other utterance by itself, for short sound is the hardest; the others end to end."""
    return [*map(single, learnt.spoken[::2]), *fixed_clips(learnt.spoken[1::2], longest)]


@dataclass(frozen=True, slots=True)
class _Spelling:
    """Spells what manifests say of clips, with times, as decoding writes them."""

    speller: Speller
    limit: int

    def __call__(self, spoken: Spoken, rng: random.Random) -> Example:
        del rng
        return spell_spoken(spoken, self.speller, self.limit, times=True)


def _facts(order: Order, plan: ContextPlan) -> dict[str, Any]:
    return {
        "many_to_many": order.checkpoint.ability is Ability.MANY_TO_MANY,
        "title": "A Whisper that hears sound at its own length",
        "kind": "context",
        "form": "adapter",
        "summary": SUMMARY,
        "losses": asdict(plan.weights),
        "settings": {
            "LoRA rank, in the encoder": plan.rank,
            "LoRA alpha": plan.alpha,
            "rows with noise": plan.noisy,
        },
    }
