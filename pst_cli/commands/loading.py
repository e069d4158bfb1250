"""What every subcommand that decodes is asked, and the host and method that it gets for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.commands.download import fetcher
from pst_cli.errors import UsageError
from pst_cli.methods import Drafting, Method, Wish, choose
from pst_cli.models.device import Place, numbers

if TYPE_CHECKING:
    from pst_cli.models.context import Context
    from pst_cli.models.host import Host
    from pst_cli.weights import Checkpoint


@dataclass(frozen=True, kw_only=True)
class DecodingRequest:
    """How to decode, the words already checked one by one."""

    model: str
    decoding: str
    draft_model: str | None
    draft_length: int | None
    draft_confidence: float | None
    top_k: int
    beams: int
    batch_size: int
    context: str  # "auto" or one of models.context.CONTEXTS
    device: str
    dtype: str
    offline: bool
    quiet: bool

    def check(self) -> None:
        """UsageError for what does not go together."""
        check_greedy(self.beams, {"--top-k": self.top_k > 1})


def check_greedy(beams: int, given: Mapping[str, bool]) -> None:
    """UsageError where an option that only greedy decoding has was given, and beams too."""
    option = next((name for name, there in given.items() if there), None)
    if option and beams > 1:
        raise UsageError(f"{option} goes with greedy decoding only", hint="leave out --beams")


def load(
    request: DecodingRequest,
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
    method = choose(wish, host, checkpoint, drafting, fetcher(offline=request.offline))
    say(f"model {request.model}, device {place.device}, {numbers(place.dtype)}, {method.name}{aim}")
    if request.top_k > 1:
        say(f"--top-k {request.top_k} is lossy: the text may differ from plain decoding's")
    return host, method


def choose_context(word: str, host: Host, say: Callable[[str], None]) -> Context:
    """What windows are padded to: as asked for, or with "auto" as `host` was taught.

    A line tells where it was not taught what is asked of it.
    """
    if word == "auto":
        return host.context
    if word == "own" and host.context != "own":
        say("this host was not taught sound at its own length: its words may differ a little")
    return "own" if word == "own" else "full"
