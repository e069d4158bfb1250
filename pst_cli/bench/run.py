"""A whole bench: contenders raced, scored, and told of in one report."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from pst_cli.bench.clips import Clip, batches
from pst_cli.bench.lanes import Book, Contender, Lane, Lap, OracleLane, Remembered
from pst_cli.bench.machine import busy, machine, versions
from pst_cli.bench.memory import PeakMemory
from pst_cli.bench.race import Course, Told, race, silent
from pst_cli.bench.report import Report, Row, notes, row
from pst_cli.errors import UsageError
from pst_cli.evaluate import score
from pst_cli.language import joined
from pst_cli.methods import PlainMethod
from pst_cli.models.compiled import CompiledStack
from pst_cli.models.device import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pst_cli.methods import Method
    from pst_cli.models.context import Context
    from pst_cli.models.host import Host

ORACLE_LENGTHS = range(1, 9)  # tokens drafted a pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, and how."""

    model: str
    target: str
    source: str | None = None
    rounds: int = 5
    batch_size: int = 1
    context: Context = "full"  # what windows are padded to
    top_k: int = 1
    beams: int = 1
    oracle: bool = False
    references: Sequence[str] = ()  # one a clip, or none at all
    peers: Sequence[Contender] = ()
    missing: dict[str, str] = field(default_factory=dict)  # peers that are not there, and why

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise UsageError(f"--rounds {self.rounds}: at least one is needed")


def bench(
    host: Host,
    methods: Mapping[str, Method],
    clips: Sequence[Clip],
    plan: Plan,
    told: Told = silent,
) -> Report:
    """Run `methods`, each under its name and after plain, over `clips` and report."""
    CompiledStack.worth = 1  # long work is what speed matters for
    facts, memory = machine(str(host.device)), PeakMemory(host.device)
    entered = contenders(host, methods, plan)
    work = batches(clips, host, plan.target, plan.source, plan.batch_size, plan.context)
    course = race(host, entered, work, plan.rounds, memory, told)
    rows = _rows(entered, course, clips, plan)
    dtype = numbers(host.dtype)
    windows = [window for clip in clips for window in clip.windows]
    warning = busy(facts)
    return Report(
        host=plan.model,
        device=str(host.device),
        dtype=dtype,
        target=plan.target,
        source=plan.source,
        machine=facts,
        threads=torch.get_num_threads(),
        files=len(clips),
        windows=len(windows),
        audio_seconds=sum(window.seconds for window in windows),
        file_seconds=sum(clip.seconds for clip in clips),
        rounds=plan.rounds,
        batch_size=plan.batch_size,
        beams=plan.beams,
        context=plan.context,
        memory=memory.meaning,
        rows=rows,
        notes=[*([warning] if warning else []), *notes(rows, dtype)],
        versions=versions(),
    )


def contenders(host: Host, methods: Mapping[str, Method], plan: Plan) -> list[Contender]:
    """Plain first, then the methods, oracles and peers."""
    book: Book = {}
    plain = Lane(host, PlainMethod(), beams=plan.beams)
    entered: list[Contender] = [Remembered(plain, book)]
    for name, one in methods.items():
        entered.append(Lane(host, one, name=name, top_k=plan.top_k, beams=plan.beams))
    if plan.oracle:
        entered += [OracleLane(host, book, length) for length in ORACLE_LENGTHS]
    return [*entered, *plan.peers]


def _rows(
    entered: Sequence[Contender], course: Course, clips: Sequence[Clip], plan: Plan
) -> list[Row]:
    seconds = sum(window.seconds for clip in clips for window in clip.windows)
    plain = course.laps[entered[0].name]
    rows = []
    for one in entered:
        if one.name in course.failed:
            reason = course.failed[one.name]
            rows.append(Row(method=one.name, kind=one.kind, failed=reason))
            continue
        laps = course.laps[one.name]
        found = row(one, laps, plain, seconds)
        rows.append(_with_scores(found, laps[-1], clips, plan) if plan.references else found)
    absent = [Row(method=name, kind="peer", failed=why) for name, why in plan.missing.items()]
    return rows + absent


def _with_scores(found: Row, lap: Lap, clips: Sequence[Clip], plan: Plan) -> Row:
    said = iter(lap.rows)
    texts = [joined((next(said).text for _ in clip.windows), plan.target) for clip in clips]
    scores = score(texts, plan.references, plan.target)
    return replace(
        found,
        bleu=scores.bleu,
        chrf=scores.chrf,
        ter=scores.ter,
        signatures=scores.signatures,
    )
