"""Host and drafter taught together, as the paper does, the host as `recipes.host` would."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from pst_cli.errors import UsageError
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.prompts import Ability
from pst_cli.training.adapting import adapt
from pst_cli.training.fit import Fit, Outcome
from pst_cli.training.lessons.host import HostLesson
from pst_cli.training.lessons.joint import JointLesson
from pst_cli.training.lessons.kvspn import KVSPNLesson
from pst_cli.training.materials import read_both
from pst_cli.training.opening import open_model
from pst_cli.training.plan import Mixing
from pst_cli.training.recipes import host as alone
from pst_cli.training.recipes.common import finish, identity, tell_of
from pst_cli.training.recipes.kvspn import begin, check_form, form_facts, shaped

if TYPE_CHECKING:
    from pst_cli.training.recipes.common import Order, Watch
    from pst_cli.training.recipes.kvspn import KVSPNPlan


def train_joint(order: Order, plan: KVSPNPlan, watch: Watch) -> Outcome:
    """Learn, and write an adapter of the host to `order.output`, the drafter in `kvspn` below.

    The host's own text is changing all the time, so both learn from references alone, and the
    drafter may draft every word. Raises PstError where the order cannot be carried out.
    """
    if plan.form.draft_vocabulary:
        hint = "leave out --draft-vocabulary"
        raise UsageError("--joint cannot know which words the host will say most", hint=hint)
    if plan.targets:
        raise UsageError("--joint learns from references alone", hint="leave out --to")
    mixing = Mixing(power=plan.power, longest=order.longest)
    own = alone.HostPlan(mixing=mixing, context=plan.context)
    alone.check_plan(own, order)
    learnt, held = read_both(order.manifests, order.held_out)
    opened = open_model(order.checkpoint, Ability.MANY_TO_MANY)
    check_form(plan.form, order.checkpoint.config)
    torch.manual_seed(order.settings.seed)
    network = KVSPN(shaped(plan.form, order.checkpoint.config))
    begin(network, plan.form, opened)
    adapt(opened.host.whisper, own.adapting, order.settings.seed)
    tokens = opened.speller.tokens
    host = HostLesson(opened.host, alone.reader(opened, own), tokens.timestamp_begin)
    drafter = KVSPNLesson(opened.host, network, tokens, plan.weights, joint=True)
    course = alone.course(order, own, opened, learnt, watch)
    judged = alone.held_out(course, order, own, opened, held)
    same = identity(order, "joint", plan, [learnt, held], fixed=own.stores)
    tell_of([learnt, held], watch)
    lesson = JointLesson(host, drafter)
    fit = Fit(lesson, course, order.settings, order.output, watch.tell, judged, same)
    outcome = fit.run(watch.stop)
    if outcome.finished and fit.learner.main:
        kind = "medusa" if plan.form.feed == "state" else "kvspn"  # where decoding looks
        made = alone.save(order, own, opened)
        network.config = replace(network.config, host=made)
        network.cpu().save(order.output / kind)
        facts = alone.facts(own)
        facts["losses"] = dict(lesson.weights())
        facts["settings"] = {**facts["settings"], **form_facts(plan.form)}
        finish(order, outcome, [learnt, held], **facts)
    return outcome
