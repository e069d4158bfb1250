"""The translator of commands that go through a manifest: loaded as asked for, its time kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pst_cli.commands.loading import choose_context, load
from pst_cli.decoding.guards import Guards
from pst_cli.evaluate.run import TimedTranslator
from pst_cli.models.device import choose_place
from pst_cli.translator import Options

if TYPE_CHECKING:
    from pst_cli.commands.records import DecodingOptions
    from pst_cli.weights import Checkpoint

SURE = Guards(temperatures=(0.0,))  # what they doubt is not decoded again


def timed_translator(
    checkpoint: Checkpoint,
    request: DecodingOptions,
    say: Callable[[str], None],
    *,
    fallback: bool,
) -> TimedTranslator:
    """Load the host and what drafts for it; `fallback`: to higher temperatures, where in doubt."""
    host, method = load(request, checkpoint, choose_place(request.device, request.dtype), say)
    options = Options(
        batch_size=request.batch_size,
        context=choose_context(request.context, host, say),
        beams=request.beams,
        top_k=request.top_k,
        guards=Guards() if fallback else SURE,
    )
    return TimedTranslator(host, options, method)
