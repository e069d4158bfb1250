"""A student: a pruned copy of a teacher, taught what the teacher says."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from pst_cli.errors import DataError, UsageError
from pst_cli.export import write_model
from pst_cli.models.adapter import DIGITS, TIED
from pst_cli.models.host import declared
from pst_cli.models.prompts import Ability
from pst_cli.models.pruning.vocabulary import read_kept
from pst_cli.training.ears import Fresh
from pst_cli.training.examples import Example, Spoken, renderings, row, spell_spoken
from pst_cli.training.fit import Fit, Outcome, check_run
from pst_cli.training.lessons.student import StudentLesson, StudentWeights
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
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from pst_cli.models.spelling import Speller
    from pst_cli.training.ears import Context
    from pst_cli.training.opening import Opened
    from pst_cli.weights import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentPlan:
    """What is particular to distilling; the order's model is the teacher."""

    student: Checkpoint
    weights: StudentWeights = field(default_factory=StudentWeights)
    references: float = 0.0  # the share of clips taught by a reference, not by the teacher
    power: float = 0.5  # see `examples.balanced`
    context: Context = "full"  # what the teacher hears when it is used
    embeddings: bool = False  # whether tokens' embeddings, the output head too, learn
    words: int = 8000  # what the teacher says most, that scores are compared over; 0: all tokens
    cache: Path | None = None


def train_student(order: Order, plan: StudentPlan, watch: Watch) -> Outcome:
    """Learn, and write the student, a whole checkpoint, to `order.output`.

    Raises PstError where the order cannot be carried out; what was learnt is in its checkpoints.
    """
    learnt, held = read_both(order.manifests, order.held_out)
    tell_of([learnt, held], watch)
    items = able(renderings(fixed_clips(learnt.spoken, order.longest)), order, watch)
    apart = able(renderings(fixed_clips(held.spoken, order.longest)), order, watch)
    apart = judged(apart, order)
    read, spoken = by_reference(items, plan.references)
    same = identity(order, "student", plan, [learnt, held], fixed=True)
    same["student"] = plan.student.fingerprint[:DIGITS]
    check_run(order.settings, order.size, order.output, same)
    kept = _kept(plan, order)
    own = own_of(order, plan.cache, plan.context, watch, said=[*spoken, *apart], heard=read)
    student, teacher = open_model(plan.student), open_model(order.checkpoint)
    ids = None if kept is None else {old: new for new, old in enumerate(kept)}
    spelling = _Spelling(student.speller, student.limit, own, plan.references, ids)
    spoken, apart = spelling.known(spoken), spelling.known(apart)
    items = [*read, *spoken]
    some = 0 < plan.words < student.config.vocab_size
    said = spelling.frequent(items, plan.words) if some else None
    lesson = _lesson(plan, student, teacher, kept, said)
    ears = Stored(own) if lesson.shares_encoder else Fresh(teacher.log_mel, plan.context)
    source = Balanced(items, plan.power)
    course = fixed_course(order, student.speller, source, spelling, ears)
    by_itself = replace(course, spell=replace(spelling, references=0.0))
    held_out = (by_itself, apart) if apart else None
    fit = Fit(lesson, course, order.settings, order.output, watch.tell, held_out, same)
    outcome = fit.run(watch.stop)
    if outcome.finished and fit.learner.main:
        _save(order, plan, student)
        finish(order, outcome, [learnt, held], **_facts(order, plan, lesson))
    return outcome


def _kept(plan: StudentPlan, order: Order) -> list[int] | None:
    """The teacher's id of each of the student's tokens; None where they are the same.

    Raises UsageError where the one's tokens are not among the other's.
    """
    mine, theirs = (one.config["vocab_size"] for one in (plan.student, order.checkpoint))
    own, full = read_kept(plan.student.host), read_kept(order.checkpoint.host)
    if mine == theirs and own == full:
        return None
    places = {old: new for new, old in enumerate(full or range(theirs))}
    hint = "make the student of the teacher: pst prune TEACHER --decoder-layers 2 --output STUDENT"
    if own is None or len(own) != mine or any(token not in places for token in own):
        raise UsageError(f"the student's {mine} tokens are not the teacher's {theirs}", hint=hint)
    return [places[token] for token in own]


@dataclass(frozen=True, slots=True)
class _Spelling:
    """Spells what the teacher said in the student's ids, or the reference of a share of clips."""

    speller: Speller
    limit: int
    own: Own
    references: float
    ids: dict[int, int] | None

    def __call__(self, spoken: Spoken, rng: random.Random | None = None) -> Example:
        del rng  # what is taught of a clip is always the same
        speller, limit = self.speller, self.limit
        if follows_reference(spoken, self.references):
            return spell_spoken(spoken, speller, limit, times=True)
        mine = self.own.said[spoken.clip.key, spoken.target]
        prompt, tokens = self._ids(mine.prompt), self._ids(mine.tokens)
        return row(speller, prompt, tokens, limit, spoken.direction, clip=spoken.clip, own=True)

    def known(self, items: Sequence[Spoken]) -> list[Spoken]:
        """Those that the teacher came to an end of, in words that the student has.

        Raises DataError where there were some and none is left.
        """
        found = []
        for one in items:
            mine = self.own.said[one.clip.key, one.target]
            if mine.ended and (self.ids is None or all(t in self.ids for t in mine.tokens)):
                found.append(one)
        if items and not found:
            hint = "prune the vocabulary less, or try another teacher"
            raise DataError("the student can say nothing of what the teacher says", hint=hint)
        return found

    def frequent(self, items: Sequence[Spoken], count: int) -> Tensor:
        """The `count` tokens most said in what is taught."""
        found = Counter(self.speller.tokens.end for _ in items)
        for one in items:
            example = self(one)
            found.update(example.tokens[example.given :])
        return torch.tensor([token for token, _ in found.most_common(count)])

    def _ids(self, tokens: Sequence[int]) -> Sequence[int]:
        return tokens if self.ids is None else [self.ids[token] for token in tokens]


def _lesson(
    plan: StudentPlan,
    student: Opened,
    teacher: Opened,
    kept: list[int] | None,
    frequent: Tensor | None,
) -> StudentLesson:
    """The student learns with its decoder; with its encoder only if that is not the teacher's.

    Where it is, cross-attention's keys and values stay the teacher's, too: after 60 batches a
    student of two of base's layers said what base says as often as one that learnt them (0.64 and
    0.63 of held-out tokens), at 9.0 and 7.9 rows a second.
    """
    mine = student.host.whisper.model.encoder.state_dict()
    theirs = teacher.host.whisper.model.encoder.state_dict()
    shares = mine.keys() == theirs.keys() and all(
        mine[name].shape == theirs[name].shape and torch.equal(mine[name], theirs[name])
        for name in mine
    )
    encoder, decoder = student.host.whisper.model.encoder, student.host.whisper.model.decoder
    encoder.requires_grad_(not shares)
    encoder.embed_positions.requires_grad_(False)  # sinusoids
    decoder.embed_tokens.requires_grad_(plan.embeddings)
    for layer in decoder.layers:  # what they make of the sound serves it as it served the teacher
        layer.encoder_attn.k_proj.requires_grad_(not shares)
        layer.encoder_attn.v_proj.requires_grad_(not shares)
    ids = None if kept is None else torch.tensor(kept)
    return StudentLesson(
        student.host,
        teacher.host,
        ids,
        plan.weights,
        frequent=frequent,
        shares_encoder=shares,
    )


def _save(order: Order, plan: StudentPlan, student: Opened) -> None:
    """All weights in float32, and everything that belongs to the checkpoint it began from."""
    state = student.host.whisper.cpu().state_dict()
    state = {name: tensor for name, tensor in state.items() if name != TIED}
    config = plan.student.config
    own = {"ability": declared(order.checkpoint.ability), "teacher": order.checkpoint.fingerprint}
    config["pst"] = {**config.get("pst", {}), **own}
    write_model(order.output, state, config, plan.student)


def _facts(order: Order, plan: StudentPlan, lesson: StudentLesson) -> dict[str, object]:
    return {
        "many_to_many": order.checkpoint.ability is Ability.MANY_TO_MANY,
        "title": "A distilled Whisper",
        "kind": "student",
        "form": "whole",
        "summary": "Says with fewer layers what its teacher says, and drafts for it.",
        "losses": asdict(plan.weights),
        "settings": {
            "rows after references": plan.references,
            "audio context": plan.context,
            "words compared": plan.words or "all",
            "encoder": "the teacher's own, frozen" if lesson.shares_encoder else "learns",
        },
    }
