"""`pst train kvspn`: the options of teaching a drafter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pst_cli.commands import options
from pst_cli.commands.train.host import CONTEXTS
from pst_cli.commands.train.shared import Context, References, TrainOptions
from pst_cli.errors import UsageError

if TYPE_CHECKING:
    from pst_cli.models.context import Context as Taught
    from pst_cli.training.recipes.kvspn import KVSPNPlan

HELP = """Train a network that drafts tokens from its host's own key-value memory.

The host stays as it is, so that what it says stays the same. `--feed state` makes the control:
Medusa heads on the host's hidden state. The result is found beside the host's weights in a
directory named kvspn (or medusa), or named with --draft-model.
"""
MEMORIES = ("layer", "group")
CROSSES = ("host", "own")
FEEDS = ("token", "state", "both")
INITS = ("host", "random")


@dataclass(frozen=True, kw_only=True)
class KVSPNOptions(TrainOptions):
    """What `pst train kvspn` takes."""

    model: options.Model = "base"
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Clips in a batch, over all processes.")
    ] = 8
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate", min=0.0, help="The highest, after warm-up: 8e-4, with --joint 1e-4."
        ),
    ] = None
    context: Context = "auto"
    references: References = 0.5
    to: Annotated[
        str | None,
        typer.Option(
            "--to", help="Languages, comma-separated, to hear the host speak besides references'."
        ),
    ] = None
    groups: Annotated[int, typer.Option("--groups", min=1, help="Blocks of the network.")] = 2
    memory: Annotated[
        str,
        typer.Option(
            "--memory",
            help="What a block reads: group (its share of host layers; the paper) or layer (one "
            "that it stands in for, whose slots it fills as it drafts).",
        ),
    ] = "layer"
    cross: Annotated[
        str,
        typer.Option("--cross", help="Hear by the host's cross-attention memory, or by an own."),
    ] = "host"
    feed: Annotated[
        str,
        typer.Option(
            "--feed", help="token, the host's hidden state (Medusa, the control), or both."
        ),
    ] = "token"
    draft_length: Annotated[
        int, typer.Option("--draft-length", min=1, help="Tokens drafted for each host pass.")
    ] = 3
    draft_vocabulary: Annotated[
        int | None,
        typer.Option(
            "--draft-vocabulary",
            min=0,
            help="Words of a language it may draft: 5000, the most said; 0, with --joint: all.",
        ),
    ] = None
    normed: Annotated[
        bool,
        typer.Option("--normed/--no-normed", help="Normalise before queries; in the paper: no."),
    ] = True
    threaded: Annotated[
        bool,
        typer.Option("--threaded/--no-threaded", help="Pass the state on from step to step."),
    ] = False
    init: Annotated[
        str,
        typer.Option(
            "--init",
            help="host (copies of its layers), random (the paper), or a KVSPN's directory to go "
            "on from.",
        ),
    ] = "host"
    label_weight: Annotated[
        float, typer.Option("--label-weight", help="Of the host's choices.")
    ] = 1.0
    kl_weight: Annotated[
        float, typer.Option("--kl-weight", help="Of the host's distribution over words.")
    ] = 1.0
    later: Annotated[
        float, typer.Option("--later", help="Weight of a draft step against the one before.")
    ] = 0.8
    joint: Annotated[
        bool,
        typer.Option(
            "--joint",
            help="Teach the host too, as train host does, the drafter at 0.2 (the paper).",
        ),
    ] = False

    @property
    def rate(self) -> float:
        if self.learning_rate is None:
            return 1e-4 if self.joint else 8e-4
        return self.learning_rate

    @property
    def _words(self) -> int:
        if self.draft_vocabulary is None:
            return 0 if self.joint else 5000
        return self.draft_vocabulary

    @property
    def named(self) -> str:
        return self.model

    @property
    def targets(self) -> tuple[str, ...]:
        """The languages to draft in."""
        return options.languages(self.to, "--to") or ()

    def check(self) -> None:
        super().check()
        options.known(self.memory, MEMORIES, "--memory")
        options.known(self.cross, CROSSES, "--cross")
        options.known(self.feed, FEEDS, "--feed")
        _check_init(self.init)
        options.known(self.context, ("auto", *CONTEXTS), "--context")
        options.languages(self.to, "--to")

    def plan(self, taught: Taught) -> KVSPNPlan:
        """As the recipe takes it; `taught` is the context that the host declares."""
        from pst_cli.training.lessons.kvspn import DraftWeights
        from pst_cli.training.recipes.kvspn import Form, KVSPNPlan

        context = taught if self.context == "auto" else self.context
        return KVSPNPlan(
            form=Form(
                groups=self.groups,
                memory=self.memory,  # type: ignore[arg-type]
                cross=self.cross,  # type: ignore[arg-type]
                feed=self.feed,  # type: ignore[arg-type]
                normed=self.normed,
                threaded=self.threaded,
                draft_length=self.draft_length,
                draft_vocabulary=self._words,
                init=self.init,
            ),
            weights=DraftWeights(self.label_weight, self.kl_weight, self.later),
            targets=self.targets,
            references=self.references,
            power=self.balance,
            context=context,  # type: ignore[arg-type]
            cache=self.cache,
        )


def _check_init(init: str) -> None:
    """UsageError where there is nothing of that kind to begin with."""
    if init not in INITS and not (Path(init) / "config.json").is_file():
        raise UsageError(
            f"--init {init}: not {' or '.join(INITS)}, and no KVSPN lies there",
            hint="name a directory that pst train kvspn wrote",
        )
