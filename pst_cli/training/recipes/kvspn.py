"""KVSPN, or its Medusa control, taught what one frozen host says of real speech."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from pst_cli.errors import DataError, UsageError
from pst_cli.models.kvspn import FFN, KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig
from pst_cli.training.acceptance import acceptance
from pst_cli.training.examples import Example, Spoken, renderings, row, spell_spoken
from pst_cli.training.fit import Fit, Outcome, check_run
from pst_cli.training.lessons.kvspn import DraftWeights, KVSPNLesson
from pst_cli.training.materials import fixed_clips, read_both
from pst_cli.training.opening import open_model
from pst_cli.training.own import Own, Stored
from pst_cli.training.plan import Balanced
from pst_cli.training.recipes.common import (
    Order,
    Watch,
    able,
    by_reference,
    finish,
    fixed_course,
    follows_reference,
    identity,
    judged,
    own_of,
    tell_of,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from pst_cli.models.spelling import Speller
    from pst_cli.training.clips import Clip
    from pst_cli.training.ears import Context
    from pst_cli.training.materials import Materials
    from pst_cli.training.opening import Opened


HOST, RANDOM = "host", "random"  # what a network begins as: copies of the host's layers, or noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The shape of the network; see KVSPNConfig."""

    groups: int = 2
    memory: Literal["group", "layer"] = "layer"
    cross: Literal["own", "host"] = "host"
    feed: Literal["token", "state", "both"] = "token"
    normed: bool = True
    threaded: bool = False
    draft_length: int = 3
    draft_vocabulary: int = 5000  # words of a language, the most said; 0: every one of all
    init: str = HOST  # or RANDOM, the paper's, or the directory of a KVSPN to go on from


@dataclass(frozen=True, slots=True, kw_only=True)
class KVSPNPlan:
    """What is particular to teaching a drafter."""

    form: Form = field(default_factory=Form)
    weights: DraftWeights = field(default_factory=DraftWeights)
    targets: tuple[str, ...] = ()  # beside the languages that clips have text for
    references: float = 0.5  # the share of clips, where there is one, taught by a reference
    power: float = 0.5  # see `examples.balanced`
    context: Context = "full"  # what the host hears when it is used
    cache: Path | None = None


def train_kvspn(order: Order, plan: KVSPNPlan, watch: Watch) -> Outcome:
    """Learn, and write the network to `order.output`; the host stays as it is.

    Raises PstError where the order cannot be carried out; what was learnt is in its checkpoints.
    """
    learnt, held = read_both(order.manifests, order.held_out)
    tell_of([learnt, held], watch)
    items = _items(fixed_clips(learnt.spoken, order.longest), plan, order, watch)
    apart = _items(fixed_clips(held.spoken, order.longest), plan, order, watch)
    apart = judged(apart, order)
    same = identity(order, "kvspn", plan, [learnt, held], fixed=True)
    check_run(order.settings, order.size, order.output, same)
    check_form(plan.form, order.checkpoint.config)
    read, spoken = by_reference(items, plan.references)
    own = own_of(order, plan.cache, plan.context, watch, said=[*spoken, *apart], heard=read)
    spoken, apart = _ended(spoken, own), _ended(apart, own)
    items = [*read, *spoken]
    opened = open_model(order.checkpoint)
    counts = _counts(opened.speller, spoken, own, learnt) if plan.form.draft_vocabulary else {}
    network = _network(order, plan.form, opened, items, counts)
    lesson = KVSPNLesson(opened.host, network, opened.speller.tokens, plan.weights)
    spell = _Spelling(opened.speller, opened.limit, own, plan.references)
    course = fixed_course(order, opened.speller, Balanced(items, plan.power), spell, Stored(own))
    by_itself = replace(course, spell=replace(spell, references=0.0))
    held_out = (by_itself, apart) if apart else None
    fit = Fit(lesson, course, order.settings, order.output, watch.tell, held_out, same)
    outcome = fit.run(watch.stop)
    if outcome.finished and fit.learner.main:
        network.cpu().save(order.output)
        lesson.to(fit.learner.accelerator.device)
        table = acceptance(lesson, by_itself, apart) if apart else {}
        finish(order, outcome, [learnt, held], metrics=table, **_facts(plan))
    return outcome


def _items(clips: Sequence[Clip], plan: KVSPNPlan, order: Order, watch: Watch) -> list[Spoken]:
    """Clips in the languages they have text for, if the host can, and in those asked for."""
    known: list[Spoken] = []
    with suppress(UsageError) if plan.targets else nullcontext():  # it may be all there is
        known = able(renderings(clips), order, watch)
    asked = [Spoken(clip, target) for clip in clips for target in plan.targets]
    return list(dict.fromkeys([*known, *asked]))


def _ended(items: Sequence[Spoken], own: Own) -> list[Spoken]:
    """Those that the host came to an end of: the others are mostly loops.

    Raises DataError where there were some and none is left.
    """
    kept = [one for one in items if own.said[one.clip.key, one.target].ended]
    if items and not kept:
        raise DataError("the model came to no end in any clip", hint="try another --model")
    return kept


def _network(
    order: Order,
    form: Form,
    opened: Opened,
    items: Sequence[Spoken],
    counts: Mapping[str, Counter[int]],
) -> KVSPN:
    """A network for the host, with the words that `counts` has most of in each language."""
    drafted: dict[int, list[int]] = {}
    if form.draft_vocabulary:
        drafted = _vocabularies(form.draft_vocabulary, opened, items, counts)
    sizes = tuple((asked, len(tokens)) for asked, tokens in drafted.items())
    torch.manual_seed(order.settings.seed)
    host = order.checkpoint.fingerprints[-1]
    network = KVSPN(shaped(form, order.checkpoint.config, host, sizes))
    if sizes:
        network.draft_tokens.copy_(torch.tensor([one for some in drafted.values() for one in some]))
    begin(network, form, opened)
    return network


def begin(network: KVSPN, form: Form, opened: Opened) -> None:
    """Give `network` what it begins as; ModelError where that has another form."""
    if form.init == HOST:
        network.start_from(opened.host.lean())
    elif form.init != RANDOM:
        network.go_on_from(KVSPN.load(Path(form.init)))


def check_form(form: Form, host: Mapping[str, Any]) -> None:
    """UsageError where the host, of that config.json, is too small for it.

    ModelError where what it is to go on from has another form.
    """
    layers: int = host["decoder_layers"]
    if form.groups > layers:
        reason = f"--groups {form.groups}: the host has {layers} layers"
        raise UsageError(reason, hint=f"1 to {layers}")
    if form.feed == "both" and not form.threaded:
        raise UsageError("--feed both passes states on from step to step", hint="add --threaded")
    if form.init == HOST and host["decoder_ffn_dim"] != FFN * host["d_model"]:
        reason = "the host's feed-forward layers are not as wide as the drafter's"
        raise UsageError(reason, hint="add --init random")
    if form.init not in (HOST, RANDOM):
        KVSPN(shaped(form, host)).go_on_from(KVSPN.load(Path(form.init)))


def shaped(
    form: Form,
    host: Mapping[str, Any],
    name: str = "",
    vocabularies: tuple[tuple[int, int], ...] = (),
) -> KVSPNConfig:
    """The network's config for a host of that config.json; `name` is the host's fingerprint.

    For `vocabularies` see there.
    """
    return KVSPNConfig(
        d_model=host["d_model"],
        heads=host["decoder_attention_heads"],
        layers=host["decoder_layers"],
        vocabulary=host["vocab_size"],
        host=name,
        groups=form.groups,
        memory=form.memory,
        cross=form.cross,
        feed=form.feed,
        normed=form.normed,
        threaded=form.threaded,
        draft_length=form.draft_length,
        vocabularies=vocabularies,
    )


def _counts(
    speller: Speller, spoken: Sequence[Spoken], own: Own, learnt: Materials
) -> dict[str, Counter[int]]:
    """How often each token is said in each language: by the host, and in all texts there are."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for one in spoken:
        counts[one.target].update(own.said[one.clip.key, one.target].tokens)
    for language, found in learnt.counted(speller).items():
        counts[language].update(found)
    return counts


def _vocabularies(
    words: int, opened: Opened, items: Sequence[Spoken], counts: Mapping[str, Counter[int]]
) -> dict[int, list[int]]:
    """By the token of a prompt that asks for it: ids of the `words` most said, ends and times.

    What asks is the language, or the task where that is to translate, or nothing but the start.
    """
    tokens = opened.speller.tokens
    naming = {*tokens.languages.values(), tokens.translate, tokens.start}
    found: dict[int, list[int]] = {}
    for one in items:
        prompt = opened.speller.prompt(one.target, one.clip.language, times=True)
        asked = next(token for token in reversed(prompt) if token in naming)
        if asked not in found:
            ranked = (token for token, _ in counts[one.target].most_common() if token < tokens.end)
            found[asked] = sorted({*islice(ranked, words), *opened.unworded})
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class _Spelling:
    """Spells what the host said, or, for a share of the clips that have one, the reference."""

    speller: Speller
    limit: int
    own: Own
    references: float

    def __call__(self, spoken: Spoken, rng: random.Random) -> Example:
        del rng  # what is taught of a clip is always the same
        speller, limit, clip = self.speller, self.limit, spoken.clip
        if follows_reference(spoken, self.references):
            return spell_spoken(spoken, speller, limit, times=True)
        mine = self.own.said[clip.key, spoken.target]
        return row(speller, mine.prompt, mine.tokens, limit, spoken.direction, clip=clip, own=True)


def _facts(plan: KVSPNPlan) -> dict[str, object]:
    medusa = plan.form.feed == "state"
    return {
        "title": "Medusa heads" if medusa else "KVSPN: Key-Value Parasitic Speculative Network",
        "kind": "medusa" if medusa else "kvspn",
        "form": "drafter",
        "many_to_many": False,
        "summary": "Drafts tokens from its host's key-value memory; the host verifies them.",
        "losses": asdict(plan.weights),
        "settings": {
            **form_facts(plan.form),
            "targets besides references": ", ".join(plan.targets),
            "rows after references": plan.references,
            "audio context": plan.context,
        },
    }


def form_facts(form: Form) -> dict[str, object]:
    """What the model card says of the network."""
    return {f"form: {name}": value for name, value in asdict(form).items()}
