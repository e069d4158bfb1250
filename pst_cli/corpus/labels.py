"""Labels: what a model says of speech, in languages that a manifest has no text in."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pst_cli.corpus.sentences import fit
from pst_cli.data.texts import normalised, wrong_script
from pst_cli.errors import DataError, PstError, UsageError
from pst_cli.evaluate.language import is_in
from pst_cli.evaluate.record import Hypothesis
from pst_cli.evaluate.run import SEPARATORS, Said, Unread, windows
from pst_cli.evaluate.tasks import Task, directions, named, split_able
from pst_cli.models.prompts import prompt, untrained
from pst_cli.pipeline import Job, Worker
from pst_cli.subtitles.text import clean
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from pst_cli.data.manifest import Utterance
    from pst_cli.evaluate.record import Key
    from pst_cli.evaluate.run import Event, TimedTranslator
    from pst_cli.evaluate.tasks import Direction
    from pst_cli.models.host import Host
    from pst_cli.models.prompts import Ability
    from pst_cli.types import Segment

DOUBTFUL = "doubtful or without a word"
FOREIGN = "in another language or script"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A manifest's utterances, labels among their texts."""

    utterances: list[Utterance]
    given: int  # labels
    left_out: Mapping[str, int]  # why: how many


def lacking(utterances: Iterable[Utterance], targets: Sequence[str]) -> list[Task]:
    """Speech that has no text in some of `targets`; DataError where there is none.

    Lines that say the same count as one.
    """
    seen, found = set[tuple[str, str]](), []
    for one in utterances:
        texts, name = one.texts(), one.id
        lacks = [to for to in targets if to not in texts and (name, to) not in seen]
        if one.audio is not None and lacks:
            seen |= {(name, to) for to in lacks}
            found.append(Task(one, dict.fromkeys(lacks, "")))
    if not found:
        reason = f"the manifest has no speech that lacks text in {', '.join(targets)}"
        raise DataError(reason, hint="see what it has with: pst data check MANIFEST")
    return found


def narrowed(tasks: Iterable[Task], wanted: Callable[[Utterance, str], bool]) -> list[Task]:
    """`tasks` with those targets alone for which wanted(utterance, target); none without any."""
    kept = (
        replace(task, references={t: "" for t in task.references if wanted(task.utterance, t)})
        for task in tasks
    )
    return [task for task in kept if task.references]


def trusted(
    tasks: Sequence[Task], ability: Ability, model: str
) -> tuple[list[Task], list[Direction], list[Direction]]:
    """`tasks` less what a host cannot do and less what it never learnt, and both of these.

    Raises UsageError where nothing is left.
    """
    able, refused = split_able(tasks, ability, model)
    wild = [pair for pair in directions(able) if untrained(ability, *pair)]
    kept = narrowed(able, lambda one, target: (one.language, target) not in wild)
    if not kept:
        hint = "use --to en, or a --model that translates between all six languages"
        raise UsageError(f"{model} was not trained for {', '.join(named(wild))}", hint=hint)
    return kept, refused, wild


@dataclass(frozen=True, slots=True)
class _Unit:
    """An utterance to be put into one language."""

    utterance: Utterance
    target: str
    jobs: tuple[Job, ...]


def said(tasks: Iterable[Task], translator: TimedTranslator) -> Iterator[Event]:
    """What the host says of each task in each of its targets; "" where guards doubt any part.

    A part in which they find no speech has no words. Each utterance is heard once; those of similar
    length go together, by what the manifest says.
    """
    worker, size = Worker(translator), translator.options.batch_size
    ordered = sorted(tasks, key=lambda task: task.utterance.duration or 0.0)
    for first in range(0, len(ordered), size):
        units = yield from _units(ordered[first : first + size], translator.host)
        jobs = [job for unit in units for job in unit.jobs]
        spent = translator.seconds
        heard = iter((yield from worker.heard(jobs)))
        share = (translator.seconds - spent) / max(len(jobs), 1)
        for unit in units:
            yield _said(unit, [segment for _ in unit.jobs for segment in next(heard)], share)


def _units(tasks: Iterable[Task], host: Host) -> Generator[Event, None, list[_Unit]]:
    """What can be read of `tasks`, each in all its targets."""
    units = []
    for task in tasks:
        try:
            units += list(_prompted(task, host))
        except PstError as error:
            yield Unread(task.utterance, error)
    return units


def _prompted(task: Task, host: Host) -> Iterator[_Unit]:
    one = task.utterance
    assert one.audio is not None
    cut = list(windows(one))
    for target in task.references:
        asked = tuple(prompt(host.tokens, host.ability, target, one.language))
        yield _Unit(one, target, tuple(Job(one.audio, window, asked) for window in cut))


def _said(unit: _Unit, segments: Sequence[Segment], share: float) -> Said:
    """`share` is the time that a job took, in seconds."""
    doubtful = any(segment.flags for segment in segments)
    texts = [] if doubtful else [text for one in segments if (text := clean(one.text))]
    hypothesis = Hypothesis(
        id=unit.utterance.id,
        source=unit.utterance.language,
        target=unit.target,
        hypothesis=SEPARATORS.get(unit.target, " ").join(texts),
        reference="",
        seconds=share * len(unit.jobs),
    )
    return Said(hypothesis, sum(job.window.seconds for job in unit.jobs))


def labelled(
    utterances: Iterable[Utterance], tasks: Iterable[Task], texts: Mapping[Key, str], model: str
) -> Labelled:
    """`utterances` with those of `texts` that `tasks` asked for and that are fit to be learnt."""
    asked: dict[str, set[str]] = defaultdict(set)
    for task in tasks:
        asked[task.utterance.id] |= set(task.references)
    found, counts = [], Counter[str | None]()
    for one in utterances:
        name = one.id
        wanted = [to for to in LANGUAGES if to in asked[name] and to not in one.texts()]
        told = {to: texts[name, to] for to in wanted if (name, to) in texts}
        wrong = {to: amiss(to, text) for to, text in told.items()}
        counts.update(wrong.values())
        found.append(_with(one, {to: told[to] for to in told if not wrong[to]}, model))
    given = counts.pop(None, 0)
    return Labelled(found, given, {why: count for why, count in counts.items() if why})


def amiss(target: str, text: str) -> str | None:
    """Why a text is not to be learnt as one in `target`, or None."""
    if not normalised(text):
        return DOUBTFUL
    wrong = is_in(text, target) is False or wrong_script(target, text) or not fit(target, text)
    return FOREIGN if wrong else None


def _with(one: Utterance, texts: Mapping[str, str], model: str) -> Utterance:
    """`one` with more texts, said by `model`."""
    others = {to: text for to, text in texts.items() if to != one.language}
    return replace(
        one,
        text=texts.get(one.language, one.text),
        translations={**one.translations, **others},
        labelled={**one.labelled, **dict.fromkeys(texts, model)},
    )
