"""The translator of commands that go through a manifest: loaded as asked for, its time kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pst_cli import __version__
from pst_cli.commands.loading import choose_context, load
from pst_cli.decoding.guards import Guards
from pst_cli.errors import DataError
from pst_cli.evaluate.record import digest
from pst_cli.evaluate.run import Said, TimedTranslator
from pst_cli.models.device import choose_place, numbers
from pst_cli.translator import Options

if TYPE_CHECKING:
    from pst_cli.commands.evaluate import EvaluateOptions
    from pst_cli.commands.labels import LabelOptions
    from pst_cli.commands.records import DecodingOptions
    from pst_cli.commands.scoreboard import Board
    from pst_cli.evaluate.record import Header, Record
    from pst_cli.evaluate.run import Event
    from pst_cli.weights import Checkpoint

SURE = Guards(temperatures=(0.0,))  # what they doubt is not decoded again


def timed_translator(
    checkpoint: Checkpoint,
    request: DecodingOptions,
    say: Callable[[str], None],
    *,
    fallback: bool,
) -> TimedTranslator:
    """Load the host and what drafts for it; `fallback`: to other ways, where in doubt."""
    host, method = load(request, checkpoint, choose_place(request.device, request.dtype), say)
    options = Options(
        batch_size=request.batch_size,
        context=choose_context(request.context, host, say),
        beams=request.beams,
        top_k=request.top_k,
        guards=Guards() if fallback else SURE,
    )
    return TimedTranslator(host, options, method)


def header(request: EvaluateOptions | LabelOptions, translator: TimedTranslator) -> Header:
    """All that decides what is said; weights by their hash, since a name may get new ones."""
    return {
        "manifest": digest(request.manifest),
        "model": request.model,
        "weights": translator.host.fingerprint,
        "decoding": translator.method.name,
        "draft_model": request.draft_model,
        "draft_length": request.draft_length,
        "draft_confidence": request.draft_confidence,
        "top_k": request.top_k,
        "beams": request.beams,
        "context": translator.context,
        "dtype": numbers(translator.host.dtype),
        "pst": __version__,
    }


def keep(events: Iterable[Event], record: Record, board: Board) -> float:
    """Show events as they come and keep what is said; the seconds of sound that were heard."""
    heard = 0.0
    for event in events:
        if isinstance(event, Said):
            record.add(event.hypothesis)
            heard += event.audio_seconds
        board.show(event)
    return heard


def nothing_read(aim: str) -> DataError:
    """No sound of a manifest could be read, as was told of each: there is nothing to `aim`."""
    hint = "see what is wrong with them above, and check the paths in the manifest"
    return DataError(f"no utterance could be read: there is nothing to {aim}", hint=hint)
