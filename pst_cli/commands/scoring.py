"""The run behind `evaluate`: check everything, load the host, translate what is missing, score."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pst_cli import __version__, console
from pst_cli.commands.download import fetcher
from pst_cli.commands.evaluate import EvaluateOptions
from pst_cli.commands.hearing import header, keep, nothing_read, timed_translator
from pst_cli.commands.scoreboard import Board, scoreboard
from pst_cli.data.manifest import Utterance, read_manifest
from pst_cli.errors import EXIT_FAILED, EXIT_OK
from pst_cli.evaluate.page import Making, draw, page, put
from pst_cli.evaluate.record import Header, Record, digest
from pst_cli.evaluate.report import Report, Speed, pairs, rows
from pst_cli.evaluate.run import TimedTranslator, translated
from pst_cli.evaluate.tasks import Choice, Task, choose_tasks, directions, named, split_able, unsaid
from pst_cli.evaluate.times import Timed, Times, end_to_end, timed, times
from pst_cli.models.device import numbers
from pst_cli.models.prompts import untrained
from pst_cli.outputs import check_result, write_atomic
from pst_cli.weights import Checkpoint, locate

INDENT = 2  # of the JSON document


def execute(request: EvaluateOptions) -> int:
    """Do what was asked; the exit code. Raises PstError where nothing can be scored."""
    if request.report:
        check_result(request.report, request.manifest, flag="--report")
    utterances = read_manifest(request.manifest)
    choice = Choice(request.targets, request.sources, request.limit)
    tasks = choose_tasks(utterances, choice)
    request = request.settled(directions(tasks))
    checkpoint = locate(request.model, fetcher(offline=request.offline, quiet=request.quiet))
    with Board(quiet=request.quiet) as board:
        tasks = _able(tasks, checkpoint, request, board)
        _tell_silent(utterances, board)
        translator = timed_translator(checkpoint, request, board.say, fallback=request.fallback)
        decided: Header = {}
        if request.hypotheses:  # weights are read for it
            decided = {**header(request, translator), "fallback": request.fallback}
        with Record(request.hypotheses, decided) as record:
            speed = _translate(tasks, translator, record, board)
        report = _report(tasks, record, request, translator)
        found = _times(tasks, record, request, translator, board)
    report = replace(report, failed=board.failed, speed=speed, times=found)
    document = json.dumps(report.document(), indent=INDENT, ensure_ascii=False) + "\n"
    console.write(document if request.json else scoreboard(report))
    if request.report:
        written = _page(report, tasks, record, request, translator)
        write_atomic(request.report, put(written, _present(request.report)), flag="--report")
    return EXIT_FAILED if board.failed else EXIT_OK


def _able(
    tasks: Sequence[Task], checkpoint: Checkpoint, request: EvaluateOptions, board: Board
) -> list[Task]:
    """The tasks that the host can do; one line each tells what is left out or doubtful."""
    able = checkpoint.ability
    kept, refused = split_able(tasks, able, request.model)
    if refused:
        board.say(f"{request.model} {able.value}: left out {', '.join(named(refused))}")
    wild = [pair for pair in directions(kept) if untrained(able, *pair)]
    if wild:
        board.say(f"this host was not trained for {', '.join(named(wild))}")
    return kept


def _tell_silent(utterances: Sequence[Utterance], board: Board) -> None:
    silent = sum(utterance.audio is None for utterance in utterances)
    if silent:
        board.say(f"utterances without sound, left out: {silent}")


def _translate(
    tasks: Sequence[Task], translator: TimedTranslator, record: Record, board: Board
) -> Speed:
    """Add to the record what it does not hold yet."""
    wanted = {(task.utterance.id, target) for task in tasks for target in task.references}
    board.begin(len(wanted & record.found.keys()), len(wanted))
    heard = keep(translated(unsaid(tasks, record.found), translator), record, board)
    return Speed(
        seconds=translator.seconds,
        audio_seconds=heard,
        decoding=translator.decoding,
        tokens=translator.tokens,
    )


def _present(path: Path) -> str:
    """What is in `path` now; "" where that is no text, or there is no file."""
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return ""


def _report(
    tasks: Sequence[Task], record: Record, request: EvaluateOptions, translator: TimedTranslator
) -> Report:
    scored = rows(tasks, record.texts)
    if not scored:
        raise nothing_read("score")
    setting = {
        "manifest": console.display(request.manifest),
        "dtype": numbers(translator.host.dtype),
        "device": str(translator.host.device),
        "top_k": request.top_k,
        "beams": request.beams,
        "fallback": request.fallback,
        "context": translator.context,
    }
    return Report(
        model=request.model, decoding=translator.method.name, rows=scored, setting=setting
    )


def _times(
    tasks: Sequence[Task],
    record: Record,
    request: EvaluateOptions,
    translator: TimedTranslator,
    board: Board,
) -> list[Times] | None:
    """What was asked for about times, over the utterances that could be read."""
    if request.times is None:
        return None
    read = {name for name, _ in record.found}
    clips = end_to_end([t.utterance for t in tasks if t.utterance.id in read], request.times)
    wanted = directions(tasks)
    whole = sum(source == clip.language for clip in clips for source, _ in wanted)
    if not clips:
        board.say("no two utterances fit into a clip of 28 s: times are not measured")
    board.begin(0, whole, "measuring times")
    found = []
    for event in timed(clips, wanted, translator):
        if isinstance(event, Timed):
            found.append(event)
        board.show(event)
    return times(found)


def _page(
    report: Report,
    tasks: Sequence[Task],
    record: Record,
    request: EvaluateOptions,
    translator: TimedTranslator,
) -> str:
    making = Making(
        fingerprint=translator.host.fingerprint,
        manifest=digest(request.manifest),
        command=request.command,
        date=datetime.now(UTC).date().isoformat(),
        version=__version__,
    )
    return page(report, making, draw(pairs(tasks, record.texts), request.samples))
