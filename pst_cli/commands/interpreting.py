"""The run behind `data translate`: check everything, open the translator, let it put the texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pst_cli import __version__
from pst_cli.commands.hearing import keep
from pst_cli.commands.labelling import told
from pst_cli.commands.loading import tell_emulated
from pst_cli.commands.scoreboard import Board
from pst_cli.corpus.interpreted import put, translatable
from pst_cli.corpus.labels import labelled
from pst_cli.data.manifest import read_manifest, write_manifest
from pst_cli.errors import EXIT_OK
from pst_cli.evaluate.record import Record, digest
from pst_cli.evaluate.tasks import unsaid
from pst_cli.models.device import choose_place, numbers
from pst_cli.models.text_translator import TextTranslator
from pst_cli.outputs import check_writable
from pst_cli.paths import known_as

if TYPE_CHECKING:
    from pst_cli.commands.labels import TranslateOptions
    from pst_cli.evaluate.record import Header


def execute(request: TranslateOptions) -> int:
    """Do what was asked; the exit code. Raises PstError where nothing can be translated."""
    utterances = read_manifest(request.manifest)
    source, target = request.source, request.to
    tasks = translatable(utterances, source, target, replace=request.replace)
    check_writable(request.output.parent)
    place = choose_place(request.device, request.dtype)
    name = request.translator
    translator = TextTranslator(name, place, beams=request.beams, offline=request.offline)
    with Board(quiet=request.quiet) as board:
        board.say(f"translator {name}, device {place.device}, {numbers(place.dtype)}")
        tell_emulated(place, board.say)
        with Record(request.kept, _header(request, translator, numbers(place.dtype))) as record:
            missing = unsaid(tasks, record.found)
            board.begin(len(tasks) - len(missing), len(tasks), "translating")
            keep(put(missing, source, translator.translated, request.batch_size), record, board)
        texts, model = record.texts, known_as(name)
        found = labelled(utterances, tasks, texts, model, replacing=request.replace)
        write_manifest(request.output, found.utterances)
        board.say(told(found, request.output))
    return EXIT_OK


def _header(request: TranslateOptions, translator: TextTranslator, dtype: str) -> Header:
    """All that decides what is said; weights by their hash, since a name may get new ones."""
    return {
        "manifest": digest(request.manifest),
        "translator": request.translator,
        "weights": translator.fingerprint,
        "from": request.source,
        "to": request.to,
        "replace": request.replace,
        "beams": request.beams,
        "dtype": dtype,
        "pst": __version__,
    }
