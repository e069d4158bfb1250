"""Labels: what a model says of speech, in languages that a manifest has no text in."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pst_cli.corpus.sentences import fit
from pst_cli.data.texts import normalised, wrong_script
from pst_cli.errors import DataError, UsageError
from pst_cli.evaluate.run import Said, translated
from pst_cli.evaluate.tasks import Task, directions, named, narrowed, split_able
from pst_cli.language import is_in
from pst_cli.models.prompts import untrained
from pst_cli.types import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pst_cli.data.manifest import Utterance
    from pst_cli.evaluate.record import Key
    from pst_cli.evaluate.run import Event, TimedTranslator
    from pst_cli.evaluate.tasks import Direction
    from pst_cli.models.prompts import Ability

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


def said(tasks: Sequence[Task], translator: TimedTranslator) -> Iterator[Event]:
    """As `evaluate.run.translated`, but "" where guards doubt any part of an utterance."""
    for event in translated(tasks, translator):
        if isinstance(event, Said) and event.doubtful:
            yield replace(event, hypothesis=replace(event.hypothesis, hypothesis=""))
        else:
            yield event


def labelled(
    utterances: Iterable[Utterance],
    tasks: Iterable[Task],
    texts: Mapping[Key, str],
    model: str,
    *,
    replacing: bool = False,
) -> Labelled:
    """`utterances` with those of `texts` that `tasks` asked for and that are fit to be learnt.

    `replacing`: even where there is a text already.
    """
    asked: dict[str, set[str]] = defaultdict(set)
    for task in tasks:
        asked[task.utterance.id] |= set(task.references)
    found, counts = [], Counter[str | None]()
    for one in utterances:
        name = one.id
        known = {} if replacing else one.texts()
        wanted = [to for to in LANGUAGES if to in asked[name] and to not in known]
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
