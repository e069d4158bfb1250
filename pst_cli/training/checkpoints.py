"""Checkpoints: all that a run needs to go on to the same bits, written whole or not at all."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from pst_cli.console import display
from pst_cli.errors import OutputError, TrainingError, UsageError
from pst_cli.models.tensors import load_tensors, save_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

FOLDER, BEST = "checkpoints", "best"
WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.pt", "state.json"
KEPT = 2  # checkpoints


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stands; `settings` are those that its course depends on."""

    step: int = 0  # batches learnt from
    epoch: int = 0
    index: int = 0  # batches of this epoch learnt from
    seconds: float = 0.0  # spent so far
    best_step: int = 0
    best: float | None = None  # see Lesson.verdict
    remembered: dict[str, float] = field(default_factory=dict)  # see Lesson.remembered
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run had learnt by `state.step`."""

    state: State
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]


class Checkpoints:
    """Those of one run, in `checkpoints` below its folder: the last two, and the best weights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER

    def save(self, checkpoint: Checkpoint) -> None:
        """Write it beside the others, then let it count; OutputError leaves these as they are."""
        place = self.folder / f"step-{checkpoint.state.step:07d}"
        partial = self.folder / f".{place.name}.partial"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            save_tensors(checkpoint.weights, partial / WEIGHTS)
            torch.save(checkpoint.optimizer, partial / OPTIMIZER)
            document = json.dumps(asdict(checkpoint.state), indent=2)
            (partial / STATE).write_text(document + "\n", "utf-8")
            for file in partial.iterdir():
                _to_disk(file)
            shutil.rmtree(place, ignore_errors=True)
            partial.rename(place)
        except (OSError, RuntimeError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise _unwritable(self.folder, error) from error
        for old in self._landed()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def load(self) -> Checkpoint | None:
        """The newest; None where the run has not come to one. TrainingError where it is damaged."""
        place = self._newest()
        if place is None:
            return None
        with _sound(place):
            state = _state(place)
            optimizer = torch.load(place / OPTIMIZER, weights_only=True, map_location="cpu")
            return Checkpoint(state, load_tensors(place / WEIGHTS), optimizer)

    def state(self) -> State | None:
        """That of the newest, as `load` finds it."""
        place = self._newest()
        if place is None:
            return None
        with _sound(place):
            return _state(place)

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Keep the weights that did best on the held-out set."""
        place = self.folder / f"{BEST}.safetensors"
        partial = place.with_name(f".{BEST}.partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_tensors(weights, partial)
            _to_disk(partial)
            partial.replace(place)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            raise _unwritable(self.folder, error) from error

    def load_best(self) -> dict[str, Tensor] | None:
        """What `save_best` wrote last."""
        place = self.folder / f"{BEST}.safetensors"
        return load_tensors(place) if place.is_file() else None

    def _newest(self) -> Path | None:
        return next(reversed(self._landed()), None)

    def _landed(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


def _state(place: Path) -> State:
    return State(**json.loads((place / STATE).read_bytes()))


@contextmanager
def _sound(place: Path) -> Iterator[None]:
    """TrainingError where what is read of the checkpoint `place` is damaged."""
    try:
        yield
    except Exception as error:  # whatever unpickling meets
        typed = f"rm -r {shlex.quote(display(place))}"
        hint = f"remove that directory to go on from the one before: {typed}"
        raise TrainingError(f"{display(place)} is damaged: {error}", hint=hint) from error


def _to_disk(path: Path) -> None:
    """Wait until a file has reached the disk: a power cut must not leave an empty one behind."""
    with path.open("r+b") as file:  # Windows wants to be let write
        os.fsync(file.fileno())


def check_same(state: State, settings: Mapping[str, Any], folder: Path) -> None:
    """UsageError where a run would go on with other settings than it began with."""
    differ = [
        f"{name} {state.settings.get(name)} -> {value}"
        for name, value in settings.items()
        if state.settings.get(name) != value
    ]
    if differ:
        raise UsageError(
            f"{display(folder)} holds a run with other settings ({', '.join(differ)})",
            hint="repeat the command it was begun with, or choose another --output",
        )


def _unwritable(folder: Path, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
    return OutputError(
        f"no checkpoint could be written to {display(folder)}: {reason}",
        hint="free some space and repeat the command: it goes on from the last checkpoint",
    )
