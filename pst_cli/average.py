"""Averaging: one model, or one drafter, whose weights are the mean of those of several of one make.

Wortsman et al., "Model soups" (ICML 2022): of models adapted from one host the mean is often better
than any of them, and no slower.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from pst_cli.errors import ModelError
from pst_cli.export import write_model
from pst_cli.models.compact import as_fine
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.pruning.vocabulary import read_kept
from pst_cli.outputs import check_new, landing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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
    first, *others = models
    for model in others:
        if read_kept(model.host) != read_kept(first.host):
            raise _no_mean(first.path, model.path, "the vocabulary", "one choice", "another")
    states = ((model.path, model.state(torch.float32)) for model in others)
    with landing(output) as work:
        mean = _mean((first.path, first.state()), states)
        write_model(work, mean, first.config, first)


def average_drafters(folders: Sequence[Path], output: Path) -> None:
    """As `average`, of the KVSPNs or Medusa heads in `folders`: of one form, and for one host.

    What words may be drafted is the first's too.
    """
    check_new(output)
    first, *others = folders
    network = KVSPN.load(first)
    states = ((folder, _learnt(_alike(first, network, folder))) for folder in others)
    with landing(output) as work:
        mean = _mean((first, _learnt(network)), states)
        network.load_state_dict(mean, strict=False)
        network.save(work)


def _learnt(network: KVSPN) -> dict[str, Tensor]:
    """What training changes: all but the words that it may draft."""
    return dict(network.named_parameters())


def _alike(first: Path, network: KVSPN, folder: Path) -> KVSPN:
    """The network in `folder`; ModelError where it is not of the form or for the host of that."""
    other = KVSPN.load(folder)
    if other.config.host != network.config.host:
        raise ModelError(
            f"{first} and {folder} have no mean: they draft for different hosts",
            hint="pst train kvspn --init goes on from a drafter of another host",
        )
    ours, theirs = (asdict(one.config) | {"vocabularies": ()} for one in (network, other))
    for name, value in ours.items():
        if value != theirs[name]:
            raise _no_mean(first, folder, name, value, theirs[name])
    return other


def _mean(
    first: tuple[Path, Mapping[str, Tensor]], others: Iterable[tuple[Path, Mapping[str, Tensor]]]
) -> dict[str, Tensor]:
    """Summed in float32, one model after the other; in the numbers of the first."""
    path, whole = first
    total = {name: tensor.float() for name, tensor in whole.items()}
    count = 1
    for other, state in others:
        _check(path, whole, other, state)
        for name, tensor in state.items():
            total[name] = total[name] + tensor
        count += 1
    means = {name: (total[name] / count).to(tensor.dtype) for name, tensor in whole.items()}
    return {name: as_fine(mean, whole[name]) for name, mean in means.items()}


def _check(
    first: Path, one: Mapping[str, Tensor], second: Path, other: Mapping[str, Tensor]
) -> None:
    """ModelError where two models differ in more than the values of their tensors."""
    for name in sorted({*one, *other}):
        here, there = (_shape(state.get(name)) for state in (one, other))
        if here != there:
            raise _no_mean(first, second, name, here, there)


def _no_mean(first: Path, second: Path, name: str, here: object, there: object) -> ModelError:
    return ModelError(
        f"{first} and {second} have no mean: {name} is {here} in the one, {there} in the other",
        hint="average what was adapted from one host, in one form",
    )


def _shape(tensor: Tensor | None) -> str:
    return "lacking" if tensor is None else str(tuple(tensor.shape))
