"""One step of learning, however many groups, processes and GPUs its batch is spread over.

Hugging Face Accelerate says where the run is (`accelerate launch` and torchrun both work), casts,
and adds up over processes. Gradients are added up here, once a batch: DistributedDataParallel would
lose those of networks that only some of a batch's groups use, as the text encoder is.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pst_cli.errors import TrainingError
from pst_cli.training.place import Precision, accelerator, part_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pst_cli.training.collate import Batch
    from pst_cli.training.lessons.lesson import Lesson, Parts

Figures = dict[str, float]
HALTED = "halted"  # travels with the figures, so that all processes stop at the same step
BETAS = (0.9, 0.98)


@dataclass(frozen=True, slots=True)
class Optimization:
    """How weights follow gradients."""

    learning_rate: float = 1e-4
    warm_up: int = 100  # steps; half of a run at most
    weight_decay: float = 0.01
    clip: float = 1.0  # the longest gradient
    precision: Precision = "float32"

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step `step`, from 0: up in a line, then down to nothing."""
        warm_up = min(self.warm_up, steps // 2)
        rising = (step + 1) / max(1, warm_up)
        falling = (steps - step) / max(1, steps - warm_up)
        return self.learning_rate * min(1.0, rising, falling)


class Learner:
    """A lesson, the optimizer of those of its parameters that learn, and where they are."""

    def __init__(self, lesson: Lesson, how: Optimization, device: str = "auto") -> None:
        self.how, self.accelerator = how, accelerator(how.precision, device)
        self.part = part_of(self.accelerator)
        self.lesson = lesson.to(self.accelerator.device).train()
        self.learning = {n: p for n, p in lesson.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.learning.values(),
            lr=how.learning_rate,
            weight_decay=how.weight_decay,
            betas=BETAS,
        )

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes and talks."""
        return bool(self.accelerator.is_main_process)

    @property
    def parameters(self) -> int:
        """How many numbers are learnt."""
        return sum(parameter.numel() for parameter in self.learning.values())

    def learn(
        self, groups: Sequence[Batch], rate: float, seed: int, *, halted: bool = False
    ) -> tuple[Figures, bool]:
        """Learn from one batch; its figures, and whether any process wants to halt.

        Raises TrainingError, the weights as they were, where a loss or gradient is no number.
        """
        torch.manual_seed(seed)
        self.optimizer.zero_grad(set_to_none=True)
        sums: Parts = {}
        for group in groups:
            parts, loss = self._weighed(group)
            loss.backward()  # type: ignore[no-untyped-call]
            _add(sums, {**parts, "loss": loss})
        self._add_up_gradients()
        clip = self.how.clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.learning.values(), clip)
        figures = self._whole({**sums, HALTED: torch.tensor(float(halted), device=norm.device)})
        wish = figures.pop(HALTED) > 0
        if not math.isfinite(figures["loss"]) or not math.isfinite(float(norm)):
            raise TrainingError(
                "the loss or its gradient is no longer a number",
                hint="repeat the command with a lower --learning-rate and another --output",
            )
        for settings in self.optimizer.param_groups:
            settings["lr"] = rate
        self.optimizer.step()
        self.lesson.observe(figures)
        return self.lesson.summary(figures) | {"gradient": float(norm)}, wish

    @torch.no_grad()
    def judge(self, batches: Iterable[Sequence[Batch]]) -> Figures:
        """Figures over a held-out set; nothing is learnt."""
        whole: Figures = {}
        labels: Counter[str] = Counter()  # of the batches that had such a part
        self.lesson.eval()
        for groups in batches:
            sums: Parts = {}
            for group in groups:
                parts, loss = self._weighed(group)
                _add(sums, {**parts, "loss": loss})
            count = groups[0].totals.said
            for name, value in self._whole(sums).items():
                labels[name] += count
                whole[name] = whole.get(name, 0.0) + value * count
        self.lesson.train()
        return self.lesson.summary({name: value / labels[name] for name, value in whole.items()})

    def weights(self) -> dict[str, Tensor]:
        """Copies of what is learnt, by name."""
        return {name: one.detach().cpu().clone() for name, one in self.learning.items()}

    @torch.no_grad()
    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what `weights` gave."""
        for name, parameter in self.learning.items():
            parameter.copy_(weights[name])

    def _weighed(self, group: Batch) -> tuple[Parts, Tensor]:
        with self.accelerator.autocast():
            parts = self.lesson(group.to(self.accelerator.device))
            return parts, self.lesson.loss(parts)

    def _add_up_gradients(self) -> None:
        """The sum over processes, as if one of them had had all the rows."""
        for parameter in self._ordered():
            if parameter.grad is None:  # of a network that nothing in this batch went through
                parameter.grad = torch.zeros_like(parameter)
        if self.part.world == 1:
            return
        grads = [parameter.grad for parameter in self._ordered() if parameter.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])
        summed = self.accelerator.reduce(flat, "sum")
        pieces = summed.split([grad.numel() for grad in grads])
        for parameter, piece in zip(self._ordered(), pieces, strict=True):
            parameter.grad = piece.view(parameter.shape)

    def _ordered(self) -> list[torch.nn.Parameter]:
        return list(self.learning.values())

    def _whole(self, parts: Parts) -> Figures:
        """Sums over processes, of the parts that any of them has."""
        names = sorted({*parts, *self.lesson.weights(), "loss"})
        nothing = torch.tensor(0.0, device=self.accelerator.device)
        values = torch.stack([parts.get(name, nothing).detach().float() for name in names])
        there = torch.tensor([float(name in parts) for name in names], device=values.device)
        both = torch.stack([values, there])
        if self.part.world > 1:
            both = self.accelerator.reduce(both, "sum")
        found = zip(names, *both.tolist(), strict=True)
        return {name: value for name, value, present in found if present}


def _add(sums: Parts, parts: Parts) -> None:
    for name, value in parts.items():
        sums[name] = sums[name] + value.detach() if name in sums else value.detach()
