"""The run behind `data hear`: transcribe a sample of each speaker, tell who is not understood."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from rich.table import Table

from pst_cli import console
from pst_cli.commands.data import HearOptions
from pst_cli.commands.download import fetcher
from pst_cli.commands.hearing import keep, nothing_read, timed_translator
from pst_cli.commands.scoreboard import Board
from pst_cli.corpus.intelligibility import LOST, Hearing, hearings, sampled
from pst_cli.data.manifest import read_manifest
from pst_cli.errors import EXIT_FAILED, EXIT_OK
from pst_cli.evaluate.grids import ABSENT
from pst_cli.evaluate.recognition import signature
from pst_cli.evaluate.record import Record
from pst_cli.evaluate.run import translated
from pst_cli.models.device import numbers
from pst_cli.weights import locate

INDENT = 2  # of the JSON document
WIDTH = 100  # columns; no table here is wider


def execute(request: HearOptions) -> int:
    """Do what was asked; the exit code. Raises PstError where nothing can be heard."""
    tasks = sampled(read_manifest(request.manifest), request.sample)
    checkpoint = locate(request.model, fetcher(offline=request.offline, quiet=request.quiet))
    with Board(quiet=request.quiet) as board:
        # Training has no second try either.
        translator = timed_translator(checkpoint, request, board.say, fallback=False)
        board.begin(0, len(tasks), "hearing")
        with Record(None, {}) as record:
            keep(translated(tasks, translator), record, board)
    found = hearings(tasks, record.texts)
    if not found:
        raise nothing_read("tell")
    dtype = numbers(translator.host.dtype)
    console.write(_document(found, request, dtype) if request.json else _table(found))
    for one in (one for one in found if one.lost):
        board.say(_told(one))
    return EXIT_FAILED if board.failed else EXIT_OK


def _document(found: Sequence[Hearing], request: HearOptions, dtype: str) -> str:
    document = {
        "model": request.model,
        "dtype": dtype,
        "manifest": console.display(request.manifest),
        "error_rates": signature(),
        "speakers": [asdict(one) | {"lost": one.lost} for one in found],
    }
    return json.dumps(document, indent=INDENT, ensure_ascii=False) + "\n"


def _table(found: Iterable[Hearing]) -> str:
    table = Table(box=None, pad_edge=False)
    for name in ("language", "speaker"):
        table.add_column(name)
    for name in ("utterances", "median", "WER", "CER"):
        table.add_column(name, justify="right")
    for one in found:
        rates = one.median, one.wer, one.cer
        shown = (ABSENT if rate is None else f"{rate:.1f}" for rate in rates)
        table.add_row(one.language, one.speaker or ABSENT, str(one.utterances), *shown)
    text = io.StringIO()
    console.plain(file=text, width=WIDTH).print(table)
    return text.getvalue()


def _told(one: Hearing) -> str:
    speaker = one.speaker or "speech of nobody named"
    return (
        f"{one.language}: {speaker} is not understood (over {LOST:g} % wrong in the middle "
        "utterance): nothing but making things up is learnt from it"
    )
