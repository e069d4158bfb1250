"""whisperM2M: a host taught to put what it hears into the language that its prompt names."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch

from pst_cli.errors import UsageError
from pst_cli.models.forced import TextEncoder
from pst_cli.models.prompts import Ability
from pst_cli.training.adapting import Adapting, adapt
from pst_cli.training.clips import single
from pst_cli.training.course import Course
from pst_cli.training.ears import Context, Fresh
from pst_cli.training.examples import (
    Example,
    Spoken,
    renderings,
    spell_spoken,
    spell_written,
    translations,
)
from pst_cli.training.fit import Fit, Outcome, check_run
from pst_cli.training.lessons.host import HostLesson, HostWeights
from pst_cli.training.materials import fixed_clips, read_both
from pst_cli.training.opening import open_model
from pst_cli.training.own import Stored
from pst_cli.training.plan import Balanced, Mixed, Mixing, Several
from pst_cli.training.recipes.common import Order, Watch, finish, identity, judged, own_of, tell_of
from pst_cli.training.recipes.saving import save_host

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from pst_cli.models.context import Context as Taught
    from pst_cli.models.spelling import Speller
    from pst_cli.training.materials import Materials
    from pst_cli.training.opening import Opened
    from pst_cli.training.plan import Source

SUMMARY = (
    "A Whisper that puts speech in any of six languages into any other: the language token of the "
    "prompt names the target, the task is always `transcribe`."
)
Save = Literal["adapter", "whole"]
HeldOut = tuple["Course", "Sequence[Any]"] | None
COUNTED = 20_000  # utterances, which tell well enough what is frequent


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """What is particular to teaching a host."""

    adapting: Adapting = field(default_factory=Adapting)
    weights: HostWeights = field(default_factory=HostWeights)
    mixing: Mixing = field(default_factory=Mixing)
    text_layers: int | None = None  # of the text encoder; None: half the decoder's; 0: none
    texts_each: int = 0  # pairs of texts that are only read, with each batch
    timed: float = 0.8  # the share of rows that are taught times
    context: Context = "random"
    noisy: float = 0.0
    masked: bool = False
    words: int = 0  # of the manifests, the most frequent, that scores are compared over; 0: all
    save: Save = "adapter"
    fresh: bool = False  # whether a frozen encoder, too, hears each clip anew
    cache: Path | None = None  # of encoder states, where the encoder is frozen

    @property
    def stores(self) -> bool:
        """Whether encoder states are worked out once and kept."""
        return self.adapting.encoder == "frozen" and not self.fresh

    @property
    def shares(self) -> bool:
        """Whether clips are put into several languages at a time."""
        return self.mixing.targets > 1


def train_host(order: Order, plan: HostPlan, watch: Watch) -> Outcome:
    """Learn, and write an adapter or a whole checkpoint to `order.output`.

    Raises PstError where the order cannot be carried out; what was learnt is in its checkpoints.
    """
    check_plan(plan, order)
    learnt, held = read_both(order.manifests, order.held_out)
    tell_of([learnt, held], watch)
    same = identity(order, "host", plan, [learnt, held], fixed=plan.stores)
    check_run(order.settings, order.size, order.output, same)
    opened = open_model(order.checkpoint, Ability.MANY_TO_MANY)
    adapt(opened.host.whisper, plan.adapting, order.settings.seed)
    begin = opened.speller.tokens.timestamp_begin
    said = frequent(opened, learnt, plan.words)
    lesson = HostLesson(opened.host, reader(opened, plan), begin, plan.weights, said)
    lessons = course(order, plan, opened, learnt, watch)
    apart = held_out(lessons, order, plan, opened, held)
    fit = Fit(lesson, lessons, order.settings, order.output, watch.tell, apart, same)
    outcome = fit.run(watch.stop)
    if outcome.finished and fit.learner.main:
        save(order, plan, opened)
        finish(order, outcome, [learnt, held], **facts(plan))
    return outcome


def reader(opened: Opened, plan: HostPlan) -> TextEncoder | None:
    """The text encoder, unless none is wanted; UsageError where texts would have no reader."""
    decoder_layers: int = opened.config.decoder_layers
    layers = decoder_layers // 2 if plan.text_layers is None else plan.text_layers
    if plan.texts_each and not layers:
        raise UsageError("--texts needs a text encoder to read them", hint="add --text-layers 1")
    return TextEncoder(opened.host, min(layers, decoder_layers)) if layers else None


def frequent(opened: Opened, learnt: Materials, count: int) -> Tensor | None:
    """The `count` tokens most said in `learnt`, the end and all times; None where that is all.

    They are counted over every so many utterances, `COUNTED` at most.
    """
    if not 0 < count < opened.config.vocab_size:
        return None
    found = sum(learnt.counted(opened.speller, COUNTED).values(), Counter[int]())
    most = [token for token, _ in found.most_common(count)]
    return torch.tensor([*most, *opened.unworded])


def course(order: Order, plan: HostPlan, opened: Opened, learnt: Materials, watch: Watch) -> Course:
    """Sound read anew for each batch, or encoded once where the encoder learns nothing."""
    ears: Fresh | Stored = Fresh(opened.log_mel, plan.context, plan.noisy, plan.masked)
    source: Source[Spoken] = (Several if plan.shares else Mixed)(learnt.spoken, plan.mixing)
    if plan.stores:
        items = renderings(fixed_clips(learnt.spoken, plan.mixing.longest))
        source = Balanced(items, plan.mixing.power)
        ears = Stored(own_of(order, plan.cache, plan.context, watch, heard=items))
    written = translations(learnt.texts) if plan.texts_each else []
    return Course(
        source=source,
        spell=_Spelling(opened.speller, opened.limit, plan.timed),
        ears=ears,
        size=order.size,
        micro=order.micro,
        timestamp_begin=opened.speller.tokens.timestamp_begin,
        pad=opened.speller.tokens.end,
        texts=Balanced(written, plan.mixing.power) if written else None,
        spell_text=partial(spell_written, speller=opened.speller, limit=opened.limit),
        texts_each=plan.texts_each,
        seed=order.settings.seed,
        shared=plan.shares,
    )


@dataclass(frozen=True, slots=True)
class _Spelling:
    """Spells clips, some of them with times."""

    speller: Speller
    limit: int
    timed: float

    def __call__(self, spoken: Spoken, rng: random.Random) -> Example:
        times = len(spoken.clip.utterances) > 1 or rng.random() < self.timed
        return spell_spoken(spoken, self.speller, self.limit, times=times)


def held_out(
    course: Course, order: Order, plan: HostPlan, opened: Opened, held: Materials
) -> HeldOut:
    """Held-out utterances by themselves, unaltered, without times: what `evaluate` will ask."""
    if not held.spoken:
        return None
    items = judged(renderings(map(single, held.spoken)), order)
    ears = Fresh(opened.log_mel, taught(plan))
    return replace(
        course, ears=ears, spell=_Spelling(opened.speller, opened.limit, 0.0), texts=None
    ), items


def save(order: Order, plan: HostPlan, opened: Opened) -> str:
    """Write what was learnt; the fingerprint of the host that it makes."""
    whole = plan.save == "whole"
    return save_host(order, opened, Ability.MANY_TO_MANY, taught(plan), whole=whole)


def taught(plan: HostPlan) -> Taught:
    """What windows may be padded to once it has learnt; "random" teaches their own length, too."""
    return "full" if plan.context == "full" else "own"


def facts(plan: HostPlan) -> dict[str, Any]:
    """What the model card says of it."""
    adapting = asdict(plan.adapting)
    return {
        "title": "whisperM2M: many-to-many speech translation",
        "kind": "host",
        "form": plan.save,
        "summary": SUMMARY,
        "losses": asdict(plan.weights),
        "settings": {
            **{f"learning: {name}": value for name, value in adapting.items()},
            **{f"mixing: {name}": value for name, value in asdict(plan.mixing).items()},
            "audio context": plan.context,
            "rows with times": plan.timed,
            "rows with noise": plan.noisy,
            "SpecAugment": plan.masked,
            "text encoder layers": "half the decoder's"
            if plan.text_layers is None
            else plan.text_layers,
            "texts with each batch": plan.texts_each,
            "words compared": plan.words or "all",
        },
    }


def check_plan(plan: HostPlan, order: Order) -> None:
    """UsageError for what does not go together, or with the model."""
    altered = plan.noisy or plan.masked or plan.mixing.speeds != (1.0,)
    if plan.stores and (altered or plan.shares):
        reason = "--encoder frozen hears each clip once, as it is"
        hint = "add --fresh, or leave out --noisy, --masks, --speeds and --targets"
        raise UsageError(reason, hint=hint)
    if order.checkpoint.ability is Ability.ENGLISH_ONLY:
        reason = f"{order.model} knows English alone: it has no tokens for other languages"
        raise UsageError(reason, hint="begin from base, small, medium or large-v3")
