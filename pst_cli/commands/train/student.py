"""`pst train student`: the options of distilling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from pst_cli.commands import options
from pst_cli.commands.train.host import CONTEXTS
from pst_cli.commands.train.shared import Context, Embeddings, References, TrainOptions

if TYPE_CHECKING:
    from pst_cli.models.context import Context as Taught
    from pst_cli.training.recipes.student import StudentPlan
    from pst_cli.weights import Checkpoint

HELP = """Distil a pruned model (see pst prune) from its teacher.

The student learns to say what the teacher says. It then drafts for the teacher (--decoding
speculative --draft-model OUTPUT), and is a fast model of its own.
"""


@dataclass(frozen=True, kw_only=True)
class StudentOptions(TrainOptions):
    """What `pst train student` takes."""

    student: Annotated[
        str, typer.Option("--student", help="The model to teach: a directory from pst prune.")
    ]
    teacher: Annotated[str, typer.Option("--teacher", help="The model to learn from.")] = "base"
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", min=0.0, help="The highest, after warm-up.")
    ] = 2e-4
    context: Context = "auto"
    references: References = 0.0
    label_weight: Annotated[
        float, typer.Option("--label-weight", help="Of the teacher's words.")
    ] = 1.0
    kl_weight: Annotated[
        float, typer.Option("--kl-weight", help="Of the teacher's distribution over words.")
    ] = 0.8
    layer_weight: Annotated[
        float, typer.Option("--layer-weight", help="Of the states that the teacher's layers give.")
    ] = 10.0
    words: Annotated[
        int,
        typer.Option("--words", min=0, help="Compared: the teacher's most frequent; 0: all."),
    ] = 8000
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.1, help="What softens both distributions.")
    ] = 2.0
    embeddings: Embeddings = False

    @property
    def named(self) -> str:
        return self.teacher

    def check(self) -> None:
        super().check()
        options.known(self.context, ("auto", *CONTEXTS), "--context")

    def plan(self, student: Checkpoint, taught: Taught) -> StudentPlan:
        """As the recipe takes it; `taught` is the context that the teacher declares."""
        from pst_cli.training.lessons.student import StudentWeights
        from pst_cli.training.recipes.student import StudentPlan

        context = taught if self.context == "auto" else self.context
        return StudentPlan(
            student=student,
            weights=StudentWeights(
                self.label_weight, self.kl_weight, self.temperature, self.layer_weight
            ),
            words=self.words,
            references=self.references,
            power=self.balance,
            context=context,  # type: ignore[arg-type]
            embeddings=self.embeddings,
            cache=self.cache,
        )
