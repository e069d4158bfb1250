"""`pst train context`: the options of teaching a host its own context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from pst_cli.commands import options
from pst_cli.commands.train.shared import Alpha, Noisy, Rank, TrainOptions

if TYPE_CHECKING:
    from pst_cli.training.recipes.context import ContextPlan

HELP = """Teach a model to hear sound at its own length, as Whisper itself cannot.

Its encoder learns, with LoRA, so that the decoder says of a clip without padding what it says of
30 s; the decoder stays, and so do its drafters. What comes of it is an adapter.
"""


@dataclass(frozen=True, kw_only=True)
class ContextOptions(TrainOptions):
    """What `pst train context` takes."""

    model: options.Model = "base"
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", min=0.0, help="The highest, after warm-up.")
    ] = 5e-4
    rank: Rank = 32
    alpha: Alpha = 64.0
    kl_weight: Annotated[
        float, typer.Option("--kl-weight", help="Of the distribution over words.")
    ] = 1.0
    layer_weight: Annotated[
        float, typer.Option("--layer-weight", help="Of the states of the decoder's layers.")
    ] = 1.0
    noisy: Noisy = 0.3

    @property
    def named(self) -> str:
        return self.model

    def plan(self) -> ContextPlan:
        """As the recipe takes it."""
        from pst_cli.training.lessons.student import StudentWeights
        from pst_cli.training.recipes.context import ContextPlan

        weights = StudentWeights(0.0, self.kl_weight, 1.0, self.layer_weight)
        return ContextPlan(
            rank=self.rank,
            alpha=self.alpha,
            weights=weights,
            noisy=self.noisy,
            power=self.balance,
        )
