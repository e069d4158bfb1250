"""The host and the method that a subcommand gets for what it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pst_cli.commands.download import fetcher
from pst_cli.methods import Drafting, Method, Wish, choose
from pst_cli.models.device import Place, emulates, numbers

if TYPE_CHECKING:
    from pst_cli.commands.records import DecodingOptions
    from pst_cli.models.context import Context
    from pst_cli.models.host import Host
    from pst_cli.weights import Checkpoint


def load(
    request: DecodingOptions,
    checkpoint: Checkpoint,
    place: Place,
    say: Callable[[str], None],
    aim: str = "",
) -> tuple[Host, Method]:
    """Load the host and what drafts for it; one line says which, where and in what numbers.

    `aim` ends that line.
    """
    host = checkpoint.load(*place)
    drafting = Drafting(request.draft_length, request.draft_confidence, request.top_k)
    wish = Wish(request.decoding, request.draft_model)
    method = choose(
        wish, host, checkpoint, drafting, fetcher(offline=request.offline, quiet=request.quiet)
    )
    say(f"model {request.model}, device {place.device}, {numbers(place.dtype)}, {method.name}{aim}")
    tell_emulated(place, say)
    if request.top_k > 1:
        say(f"--top-k {request.top_k} is lossy: the text may differ from plain decoding's")
    return host, method


def tell_emulated(place: Place, say: Callable[[str], None]) -> None:
    """A line where `place` only imitates the numbers that it was asked for."""
    if emulates(place):
        say("this processor has no bfloat16 of its own: --dtype float32 is faster")


def choose_context(word: str, host: Host, say: Callable[[str], None]) -> Context:
    """What windows are padded to: as asked for, or with "auto" as `host` was taught.

    A line tells where it was not taught what is asked of it.
    """
    if word == "auto":
        return host.context
    if word == "own" and host.context != "own":
        say("this host was not taught sound at its own length: its words may differ a little")
    return "own" if word == "own" else "full"
