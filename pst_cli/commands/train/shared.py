"""Options that every kind of training takes."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pst_cli import console
from pst_cli.commands import options
from pst_cli.commands.records import CommonOptions
from pst_cli.errors import UsageError

SHIPPED = Path(__file__).parents[2] / "training" / "recipes"  # configurations with a name
PRECISIONS = ("auto", "float32", "bfloat16")


def _defaults(context: typer.Context, path: Path | None) -> Path | None:
    """Options from a TOML file, for those that the command line does not name."""
    if path is None:
        return None
    shipped = SHIPPED / f"{path}.toml"
    try:
        found = tomllib.loads((shipped if shipped.is_file() else path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {console.display(path)}: {error}") from error
    names = {
        flag.removeprefix("--"): parameter.name
        for parameter in context.command.params
        for flag in parameter.opts
    }
    unknown = [key for key in found if key not in names]
    if unknown:
        hint = "keys are the names of options, without the dashes before them"
        raise UsageError(f"--config {console.display(path)}: no option {unknown[0]}", hint=hint)
    context.default_map = {str(names[key]): value for key, value in found.items()}
    return path


@dataclass(frozen=True, kw_only=True)
class TrainOptions(CommonOptions):
    """What all three take."""

    manifests: Annotated[
        list[Path],
        typer.Argument(metavar="MANIFEST", help="What to learn from (JSONL); see pst data."),
    ]
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory of the run and of its weights.")
    ]
    held_out: Annotated[
        list[Path] | None,
        typer.Option("--held-out", help="Manifest to judge by, never learnt from; repeatable."),
    ] = None
    judged: Annotated[
        int, typer.Option("--judged", min=1, help="Clips of the held-out set to judge, at most.")
    ] = 200
    steps: Annotated[int, typer.Option("--steps", min=1, help="Batches to learn from.")] = 1000
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Clips in a batch, over all processes.")
    ] = 16
    micro_batch: Annotated[
        int,
        typer.Option(
            "--micro-batch", min=1, help="Clips that a process works on at once: memory, no more."
        ),
    ] = 8
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", min=0.0, help="The highest, after warm-up.")
    ] = 1e-4
    warm_up: Annotated[
        int, typer.Option("--warm-up", min=0, help="Steps until the highest learning rate.")
    ] = 100
    weight_decay: Annotated[float, typer.Option("--weight-decay", min=0.0, help="AdamW's.")] = 0.01
    clip: Annotated[
        float, typer.Option("--clip", min=0.0, help="The longest gradient; 0: any.")
    ] = 1.0
    seed: Annotated[int, typer.Option("--seed", help="Of all that is drawn.")] = 0
    precision: Annotated[
        str,
        typer.Option("--precision", help="auto, float32 or bfloat16; weights stay in float32."),
    ] = "auto"
    patience: Annotated[
        int,
        typer.Option(
            "--patience", min=0, help="Stop after so many judgements without gain; 0: never."
        ),
    ] = 0
    evaluate_every: Annotated[
        int, typer.Option("--evaluate-every", min=1, help="Steps between judgements.")
    ] = 200
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", min=1, help="Steps between checkpoints.")
    ] = 100
    stop_after: Annotated[
        float | None,
        typer.Option(
            "--stop-after", min=0.0, help="Minutes of learning; the same command again goes on."
        ),
    ] = None
    workers: Annotated[
        int,
        typer.Option("--workers", min=0, help="Processes that read sound; 0: the learning one."),
    ] = 0
    longest: Annotated[
        float,
        typer.Option(
            "--longest", min=1.0, max=30.0, help="Seconds of clips of several utterances, at most."
        ),
    ] = 28.0
    balance: Annotated[
        float,
        typer.Option(
            "--balance", min=0.0, max=1.0, help="Directions share by count to this; 0: equally."
        ),
    ] = 0.5
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", help="For what a frozen model hears and says; OUTPUT/cache if absent."
        ),
    ] = None
    license: Annotated[
        str, typer.Option("--license", help="Of the weights, for their card: cc-by-4.0, mit, ...")
    ] = ""
    device: Annotated[str, typer.Option("--device", help="auto or cpu.")] = "auto"
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            is_eager=True,
            callback=_defaults,
            help="TOML file of options, or base-m2m; those on the command line count more.",
        ),
    ] = None

    def check(self) -> None:
        super().check()
        options.known(self.precision, PRECISIONS, "--precision")
        options.known(self.device, ("auto", "cpu"), "--device")

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return self.learning_rate or 0.0

    @property
    def named(self) -> str:
        """The model to begin from, or to learn from, as it was named."""
        raise NotImplementedError


Rank = Annotated[int, typer.Option("--rank", min=1, help="LoRA's.")]
Alpha = Annotated[float, typer.Option("--alpha", help="LoRA's scale times its rank.")]
Noisy = Annotated[
    float, typer.Option("--noisy", min=0.0, max=1.0, help="Share of clips made noisy.")
]
References = Annotated[
    float,
    typer.Option(
        "--references",
        min=0.0,
        max=1.0,
        help="Share of clips taught by a reference, not by what the model says.",
    ),
]
Context = Annotated[
    str,
    typer.Option(
        "--context",
        help="What the model hears: full (30 s), random or own length; auto: as it was taught.",
    ),
]
Embeddings = Annotated[
    bool, typer.Option("--embeddings/--no-embeddings", help="Whether tokens' embeddings learn.")
]
