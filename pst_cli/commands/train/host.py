"""`pst train host`: the options of teaching a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from pst_cli.commands import options
from pst_cli.commands.train.shared import Alpha, Embeddings, Noisy, Rank, TrainOptions

if TYPE_CHECKING:
    from pst_cli.training.recipes.host import HostPlan

HELP = """Teach a Whisper to put speech in any of six languages into any other (whisperM2M).

The language token of the prompt comes to name the target. It learns from what was said in every
language that an utterance has text for; manifest lines without sound teach the text branch alone.
"""
LEARNING = ("full", "lora", "frozen")
SAVES = ("adapter", "whole")
CONTEXTS = ("own", "random", "full")
SPEEDS = (0.9, 1.0, 1.1)  # Ko et al., Interspeech 2015


@dataclass(frozen=True, kw_only=True)
class HostOptions(TrainOptions):
    """What `pst train host` takes."""

    model: options.Model = "base"
    context: Annotated[
        str,
        typer.Option("--context", help="Sound is padded to: own length, random, full (30 s)."),
    ] = "random"
    encoder: Annotated[
        str, typer.Option("--encoder", help="How it learns: full, lora or frozen.")
    ] = "lora"
    decoder: Annotated[
        str, typer.Option("--decoder", help="How it learns: full, lora or frozen.")
    ] = "lora"
    free_layers: Annotated[
        int,
        typer.Option(
            "--free-layers", min=0, help="Last encoder layers that learn in full beside LoRA."
        ),
    ] = 1
    rank: Rank = 32
    alpha: Alpha = 64.0
    embeddings: Embeddings = False
    text_layers: Annotated[
        int | None,
        typer.Option(
            "--text-layers",
            min=0,
            help="Of the text encoder, for training alone; half the decoder's if absent, 0: none.",
        ),
    ] = None
    texts: Annotated[
        int,
        typer.Option("--texts", min=0, help="Pairs of texts read along with each batch."),
    ] = 0
    st_weight: Annotated[float, typer.Option("--st-weight", help="Of what is heard.")] = 2.0
    mt_weight: Annotated[float, typer.Option("--mt-weight", help="Of what is read.")] = 1.0
    kl_weight: Annotated[
        float, typer.Option("--kl-weight", help="Of the pull of what is read.")
    ] = 0.5
    words: Annotated[
        int,
        typer.Option("--words", min=0, help="Compared: the manifests' most frequent; 0: all."),
    ] = 0
    joined: Annotated[
        float,
        typer.Option(
            "--joined", min=0.0, max=1.0, help="Share of utterances laid end to end with others."
        ),
    ] = 0.5
    targets: Annotated[
        int,
        typer.Option(
            "--targets", min=1, help="Languages that a clip is put into in one batch: heard once."
        ),
    ] = 1
    timed: Annotated[
        float,
        typer.Option("--timed", min=0.0, max=1.0, help="Share of single utterances taught times."),
    ] = 0.8
    noisy: Noisy = 0.0
    speeds: Annotated[
        bool, typer.Option("--speeds/--no-speeds", help="Play at 0.9, 1 and 1.1 times the speed.")
    ] = False
    masks: Annotated[
        bool, typer.Option("--masks/--no-masks", help="SpecAugment: hide bands and stretches.")
    ] = False
    fresh: Annotated[
        bool,
        typer.Option("--fresh/--stored", help="A frozen encoder hears clips anew, or once."),
    ] = False
    save: Annotated[
        str, typer.Option("--save", help="adapter (what was learnt) or whole (every weight).")
    ] = "adapter"

    @property
    def named(self) -> str:
        return self.model

    def check(self) -> None:
        super().check()
        options.known(self.encoder, LEARNING, "--encoder")
        options.known(self.decoder, LEARNING, "--decoder")
        options.known(self.save, SAVES, "--save")
        options.known(self.context, CONTEXTS, "--context")

    def plan(self) -> HostPlan:
        """As the recipe takes it."""
        from pst_cli.training.adapting import Adapting
        from pst_cli.training.lessons.host import HostWeights
        from pst_cli.training.plan import Mixing
        from pst_cli.training.recipes.host import HostPlan

        return HostPlan(
            adapting=Adapting(
                encoder=self.encoder,  # type: ignore[arg-type]
                decoder=self.decoder,  # type: ignore[arg-type]
                free=self.free_layers,
                rank=self.rank,
                alpha=self.alpha,
                embeddings=self.embeddings,
            ),
            weights=HostWeights(self.st_weight, self.mt_weight, self.kl_weight),
            mixing=Mixing(
                power=self.balance,
                joined=self.joined,
                longest=self.longest,
                speeds=SPEEDS if self.speeds else (1.0,),
                targets=self.targets,
            ),
            text_layers=self.text_layers,
            texts_each=self.texts,
            timed=self.timed,
            context=self.context,  # type: ignore[arg-type]
            noisy=self.noisy,
            words=self.words,
            masked=self.masks,
            save=self.save,  # type: ignore[arg-type]
            fresh=self.fresh,
            cache=self.cache,
        )
