"""Averaging: one model whose weights are the mean of those of several of one make.

Wortsman et al., "Model soups" (ICML 2022): of models adapted from one host the mean is often better
than any of them, and no slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pst_cli.errors import ModelError
from pst_cli.export import write_model
from pst_cli.outputs import check_new, landing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from pst_cli.weights import Checkpoint


def average(models: Sequence[Checkpoint], output: Path) -> None:
    """Write the mean of `models`, whole, to the directory `output`; all but weights is the first's.

    A model that is named twice counts twice.
    Raises UsageError where there is something at `output`, OutputError where it cannot be written,
    ModelError where the models are not of one make.
    """
    check_new(output)
    with landing(output) as work:
        write_model(work, _mean(models), models[0].config, models[0].host)


def _mean(models: Sequence[Checkpoint]) -> dict[str, Tensor]:
    """Summed in float32, one model after the other; in the numbers of the first."""
    first = models[0].state()
    total = {name: tensor.float() for name, tensor in first.items()}
    for model in models[1:]:
        state = model.state(torch.float32)
        _check(models[0], first, model, state)
        for name, tensor in state.items():
            total[name] += tensor
    return {name: (total[name] / len(models)).to(tensor.dtype) for name, tensor in first.items()}


def _check(
    first: Checkpoint, one: Mapping[str, Tensor], second: Checkpoint, other: Mapping[str, Tensor]
) -> None:
    """ModelError where two models differ in more than the values of their tensors."""
    for name in sorted({*one, *other}):
        here, there = (_shape(state.get(name)) for state in (one, other))
        if here != there:
            raise ModelError(
                f"{first.path} and {second.path} have no mean: "
                f"{name} is {here} in the one, {there} in the other",
                hint="average models that were adapted from one host",
            )


def _shape(tensor: Tensor | None) -> str:
    return "lacking" if tensor is None else str(tuple(tensor.shape))
