"""The run behind `data label`: check everything, load the host, let it say what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pst_cli import console
from pst_cli.commands.download import fetcher
from pst_cli.commands.hearing import header, keep, timed_translator
from pst_cli.commands.labels import LabelOptions
from pst_cli.commands.scoreboard import Board
from pst_cli.corpus.labels import Labelled, labelled, lacking, said, trusted
from pst_cli.data.manifest import read_manifest, write_manifest
from pst_cli.errors import EXIT_FAILED, EXIT_OK
from pst_cli.evaluate.record import Record
from pst_cli.evaluate.run import TimedTranslator
from pst_cli.evaluate.tasks import Task, named, unsaid
from pst_cli.outputs import check_writable
from pst_cli.paths import known_as
from pst_cli.weights import Checkpoint, locate


def execute(request: LabelOptions) -> int:
    """Do what was asked; the exit code. Raises PstError where nothing can be labelled."""
    utterances = read_manifest(request.manifest)
    tasks = lacking(utterances, request.targets)
    check_writable(request.output.parent)
    checkpoint = locate(request.model, fetcher(offline=request.offline, quiet=request.quiet))
    with Board(quiet=request.quiet) as board:
        tasks = _trusted(tasks, checkpoint, request, board)
        # What is sampled until a guard lets it pass is mostly worse than what it doubted.
        translator = timed_translator(checkpoint, request, board.say, fallback=False)
        # These hold nothing that guards doubt, as the records of `evaluate` do.
        decided = {**header(request, translator), "doubts": "left out"}
        with Record(request.kept, decided) as record:
            _say(tasks, translator, record, board)
        found = labelled(utterances, tasks, record.texts, known_as(request.model))
    write_manifest(request.output, found.utterances)
    board.say(told(found, request.output))
    return EXIT_FAILED if board.failed else EXIT_OK


def _trusted(
    tasks: Sequence[Task], checkpoint: Checkpoint, request: LabelOptions, board: Board
) -> list[Task]:
    """The tasks that the host learnt to do; one line each tells what is left out."""
    able = checkpoint.ability
    kept, refused, wild = trusted(tasks, able, request.model)
    if refused:
        board.say(f"{request.model} {able.value}: left out {', '.join(named(refused))}")
    if wild:
        board.say(f"this host was not trained for {', '.join(named(wild))}: left out")
    return kept


def _say(tasks: Sequence[Task], translator: TimedTranslator, record: Record, board: Board) -> None:
    """Add to the record what it does not hold yet."""
    missing = unsaid(tasks, record.found)
    whole, left = (sum(len(task.references) for task in some) for some in (tasks, missing))
    board.begin(whole - left, whole, "labelling")
    keep(said(missing, translator), record, board)


def told(found: Labelled, output: Path) -> str:
    """The last line: how many texts were added, and how many were not, and why."""
    reasons = ", ".join(f"{count:,} {why}" for why, count in found.left_out.items())
    left_out = f"; left out: {reasons}" if reasons else ""
    return f"{console.counted(found.given, 'text')} added in {console.display(output)}{left_out}"
