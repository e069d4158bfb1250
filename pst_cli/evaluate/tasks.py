"""What a manifest asks of a host: its speech, each with the references there are to meet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pst_cli.errors import DataError, UsageError
from pst_cli.models.prompts import check
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pst_cli.data.manifest import Utterance
    from pst_cli.models.prompts import Ability

Direction = tuple[str, str]  # language spoken, language wanted
ORDER = list(LANGUAGES)


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a manifest to evaluate; None is all that it has."""

    targets: Sequence[str] | None = None
    sources: Sequence[str] | None = None
    limit: int | None = None  # utterances of each source language, the first ones


@dataclass(frozen=True, slots=True)
class Task:
    """An utterance and, by target language, what it should become."""

    utterance: Utterance
    references: Mapping[str, str]

    @property
    def directions(self) -> list[Direction]:
        return [(self.utterance.language, target) for target in self.references]


def choose_tasks(utterances: Iterable[Utterance], choice: Choice) -> list[Task]:
    """The utterances that can be evaluated, in order; DataError where there is none.

    Those without sound or without a reference in a language asked for do not count.
    """
    every = [Task(one, one.texts()) for one in utterances if one.audio is not None]
    tasks, taken = [], Counter[str]()
    for task in every:
        source, found = task.utterance.language, _wanted(task, choice)
        full = choice.limit is not None and taken[source] >= choice.limit
        if found.references and not full:
            taken[source] += 1
            tasks.append(found)
    if not tasks:
        raise _nothing(every)
    return tasks


def _wanted(task: Task, choice: Choice) -> Task:
    spoken = choice.sources is None or task.utterance.language in choice.sources
    wanted = (ORDER if choice.targets is None else choice.targets) if spoken else ()
    return replace(task, references={t: task.references[t] for t in wanted if t in task.references})


def _nothing(every: Sequence[Task]) -> DataError:
    there = ", ".join(named(directions(every)))
    return DataError(
        "the manifest has no speech with a reference for what was asked",
        hint=f"it has {there}: choose among them with --from and --to"
        if there
        else 'each line needs "audio", "language" and "text" or "translations"',
    )


def directions(tasks: Iterable[Task]) -> list[Direction]:
    """All directions that `tasks` have references for, in the order of `LANGUAGES`."""
    found = {direction for task in tasks for direction in task.directions}
    return sorted(found, key=lambda pair: (ORDER.index(pair[0]), ORDER.index(pair[1])))


def named(pairs: Iterable[Direction]) -> list[str]:
    """Directions as people write them: "de-en"."""
    return [f"{source}-{target}" for source, target in pairs]


def split_able(
    tasks: Sequence[Task], ability: Ability, model: str
) -> tuple[list[Task], list[Direction]]:
    """`tasks` less the directions that a host cannot do, and these; UsageError if all are."""
    refused: dict[Direction, UsageError] = {}
    for source, target in directions(tasks):
        try:
            check(ability, model, target, source)
        except UsageError as error:
            refused[source, target] = error
    able = narrowed(tasks, lambda one, target: (one.language, target) not in refused)
    if not able:
        raise next(iter(refused.values()))
    return able, list(refused)


def narrowed(tasks: Iterable[Task], wanted: Callable[[Utterance, str], bool]) -> list[Task]:
    """`tasks` with those targets alone for which wanted(utterance, target); none without any."""
    found = []
    for task in tasks:
        kept = {to: text for to, text in task.references.items() if wanted(task.utterance, to)}
        if kept:
            found.append(replace(task, references=kept))
    return found


def unsaid(tasks: Iterable[Task], found: Iterable[tuple[str, str]]) -> list[Task]:
    """What of `tasks` is not `found`, by id and target; lines that say the same count as one."""
    seen = set(found)

    def fresh(one: Utterance, target: str) -> bool:
        before = len(seen)
        seen.add((one.id, target))
        return len(seen) > before

    return narrowed(tasks, fresh)
