"""Offline acceptance: how often a drafter is right, given what the host itself said so far."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import torch

from pst_cli.training.course import Part, in_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from pst_cli.training.course import Course
    from pst_cli.training.examples import Spoken
    from pst_cli.training.lessons.kvspn import KVSPNLesson

BOUNDS = (0, 8, 32, 128, 448)  # tokens after the prompt; positions are told in these ranges


@torch.no_grad()
def acceptance(lesson: KVSPNLesson, course: Course, items: Sequence[Spoken]) -> dict[str, float]:
    """Shares of drafted tokens that are the host's own, by draft step, language and position.

    Each is given the right tokens before it, as an accepted draft's are. Keys: "acceptance 1",
    "acceptance 1 fr", "acceptance 1 at 8-31", and so on for later steps.
    """
    right: dict[str, float] = defaultdict(float)
    seen: dict[str, int] = defaultdict(int)
    lesson.eval()
    for first in range(0, len(items), course.size):
        chosen = items[first : first + course.size]
        targets = [one.target for one in chosen]
        for name, correct in _judged(lesson, course, chosen, targets):
            right[name] += float(correct.sum())
            seen[name] += correct.numel()
    return {name: right[name] / seen[name] for name in sorted(seen) if seen[name]}


def _judged(
    lesson: KVSPNLesson, course: Course, items: Sequence[Spoken], targets: Sequence[str]
) -> Iterator[tuple[str, Tensor]]:
    """Names of figures, each with a batch's hits and misses for it."""
    start = 0
    for group in chain.from_iterable(in_order(course, items, Part())):
        batch = group.to(lesson.network.draft_tokens.device)
        asked = targets[start : start + len(batch.tokens)]
        start += len(batch.tokens)
        begins = (batch.labels >= 0).int().argmax(1)
        forced, heard = lesson.memory(batch)
        for one in lesson.drafts(batch, forced, heard):
            correct = one.logits.argmax(-1) == one.labels
            rows, queries = one.where.nonzero(as_tuple=True)
            name = f"acceptance {one.step}"
            yield name, correct
            for language in set(asked):
                mine = torch.tensor([target == language for target in asked], device=rows.device)
                yield f"{name} {language}", correct[mine[rows]]
            place = queries - begins[rows]
            for low, high in pairwise(BOUNDS):
                inside = (place >= low) & (place < high)
                yield f"{name} at {low}-{high - 1}", correct[inside]
