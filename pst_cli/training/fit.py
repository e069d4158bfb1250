"""One loop for every lesson: batches in, weights out, from the last checkpoint on."""

from __future__ import annotations

import math
import signal
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from pst_cli.errors import PstError, UsageError
from pst_cli.training.checkpoints import Checkpoint, Checkpoints, State, check_same
from pst_cli.training.course import Epoch, in_order
from pst_cli.training.learner import Figures, Learner, Optimization
from pst_cli.training.place import accelerator, part_of
from pst_cli.training.records import HELD_OUT, Records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pst_cli.training.collate import Batch
    from pst_cli.training.course import Course
    from pst_cli.training.lessons.lesson import Lesson


@dataclass(frozen=True, slots=True)
class Settings:
    """How long to learn, and how often to look up."""

    steps: int
    how: Optimization = field(default_factory=Optimization)
    seed: int = 0
    patience: int = 0  # looks at the held-out set without gain before an early stop; 0: never
    evaluate_every: int = 100  # steps
    checkpoint_every: int = 100  # steps
    record_every: int = 10  # steps
    stop_after: float = math.inf  # s; the run can go on later
    workers: int = 0  # processes that read sound; 0: this one does
    device: str = "auto"

    def binding(self, size: int) -> dict[str, Any]:
        """Those that a run of batches of `size` cannot change, for then it would be another."""
        every = asdict(self)
        fixed = ("steps", "seed", "patience", "evaluate_every")
        return {
            **{name: every[name] for name in fixed},
            **every["how"],
            "batch_size": size,
        }


@dataclass(frozen=True, slots=True)
class Told:
    """What has happened: figures of a step or of the held-out set, a checkpoint, the end."""

    kind: Literal["begun", "step", "held out", "saved", "stopped", "done"]
    step: int
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; where it is not `finished` it was stopped, and can go on."""

    state: State
    figures: Figures  # of the last batch; {} where there was nothing left to do
    held_out: Figures  # at the best step; {} without a held-out set
    finished: bool


class Fit:
    """A run of one lesson on one course; it owns `folder`."""

    def __init__(
        self,
        lesson: Lesson,
        course: Course,
        settings: Settings,
        folder: Path,
        tell: Callable[[Told], None] | None = None,
        held_out: tuple[Course, Sequence[Any]] | None = None,
        identity: Mapping[str, str] | None = None,
    ) -> None:
        """`held_out` are items, none of them in the course, and how they are spelled and heard.

        `identity` names all else that makes the run what it is: the model, the manifests, the plan.
        Raises UsageError where `folder` holds another run, or processes cannot share a batch.
        """
        self.course, self.settings, self.held_out = course, settings, held_out
        self.learner = Learner(lesson, settings.how, settings.device)
        _check_shared(course.size, self.learner.part.world)
        self.folder, self.checkpoints = folder, Checkpoints(folder)
        self._binding = {**settings.binding(course.size), **(identity or {})}
        self.state = self._resumed()
        self.records = Records(folder, self.state.step) if self.learner.main else None
        self._tell = tell or _silently

    def run(self, stop: Callable[[], bool] | None = None) -> Outcome:
        """Learn until the last step, an early stop, the time limit, or stop(); then save.

        The lesson's networks are left with the weights that did best on the held-out set, if any.

        Raises:
            TrainingError: a loss is no longer a number, or a sound cannot be read.
            OutputError: a checkpoint could not be written.
        """
        begun, before, figures, halted = time.monotonic(), self.state.seconds, Figures(), False
        self._say("begun", {"parameters": self.learner.parameters, "steps": self.settings.steps})
        clock = time.monotonic()
        for epoch, index, groups in self._batches():
            waited = time.monotonic() - clock
            late = time.monotonic() - begun > self.settings.stop_after
            figures, halted = self._learn(groups, halted=late or bool(stop and stop()))
            self.state = replace(
                self.state,
                step=self.state.step + 1,
                epoch=epoch,
                index=index + 1,
                seconds=before + time.monotonic() - begun,
                remembered=self.learner.lesson.remembered(),
            )
            took = time.monotonic() - clock
            figures |= {"rows per second": self.course.size / took, "waiting": waited / took}
            self._record("step", figures, every=self.settings.record_every)
            self._look()
            if halted or self._ended or self.state.step % self.settings.checkpoint_every == 0:
                self._save()
            if halted or self._ended:
                break
            clock = time.monotonic()
        self._say("done" if self._ended else "stopped", figures)
        return Outcome(self.state, figures, self._restore_best(), self._ended)

    @property
    def _ended(self) -> bool:
        settings, state = self.settings, self.state
        idle = (state.step - state.best_step) // max(1, settings.evaluate_every)
        tired = settings.patience and state.best is not None and idle >= settings.patience
        return state.step >= settings.steps or bool(tired)

    def _learn(self, groups: Sequence[Batch], *, halted: bool) -> tuple[Figures, bool]:
        step, settings = self.state.step, self.settings
        rate, seed = settings.how.rate(step, settings.steps), settings.seed * 1_000_003 + step
        figures, halted = self.learner.learn(groups, rate, seed, halted=halted)
        return figures | {"learning rate": rate}, halted

    def _batches(self) -> Iterator[tuple[int, int, list[Batch]]]:
        """Epoch, number and groups of every batch that is still to be learnt from."""
        from torch.utils.data import DataLoader

        epoch, index = self.state.epoch, self.state.index
        while not self._ended:
            batches = Epoch(self.course, epoch, self.learner.part)
            loader: DataLoader[list[Batch] | PstError] = DataLoader(
                _Carrying(batches),  # type: ignore[arg-type]
                batch_size=None,
                sampler=range(index, len(batches)),
                num_workers=self.settings.workers,
                collate_fn=_as_is,
                worker_init_fn=_undisturbed,
            )
            for number, groups in enumerate(loader, index):
                if isinstance(groups, PstError):
                    raise groups
                yield epoch, number, groups
            epoch, index = epoch + 1, 0

    def _look(self) -> None:
        """Judge the held-out set when it is time, and keep the weights if they are the best."""
        step, settings = self.state.step, self.settings
        if not self.held_out or (step % settings.evaluate_every and step < settings.steps):
            return
        course, items = self.held_out
        figures = self.learner.judge(in_order(course, items, self.learner.part))
        self._record("held out", {HELD_OUT + name: value for name, value in figures.items()})
        verdict = self.learner.lesson.verdict(figures)
        if self.state.best is None or verdict < self.state.best:
            self.state = replace(self.state, best_step=step, best=verdict)
            if self.learner.main:
                self.checkpoints.save_best(self.learner.weights())

    def _save(self) -> None:
        if self.learner.main:
            optimizer = self.learner.optimizer.state_dict()
            self.checkpoints.save(Checkpoint(self.state, self.learner.weights(), optimizer))
        self.learner.accelerator.wait_for_everyone()
        self._say("saved", {})

    def _resumed(self) -> State:
        found = self.checkpoints.load()
        if found is None:
            return State(settings=self._binding)
        check_same(found.state, self._binding, self.folder)
        self.learner.put(found.weights)
        self.learner.optimizer.load_state_dict(found.optimizer)
        self.learner.lesson.recall(found.state.remembered)
        return found.state

    def _restore_best(self) -> Figures:
        """Put back the best weights once the run has ended; the held-out figures they had."""
        best = self.checkpoints.load_best() if self._ended and self.held_out else None
        if best is None or self.held_out is None:
            return {}
        self.learner.put(best)
        return self.learner.judge(in_order(*self.held_out, self.learner.part))

    def _record(self, kind: Literal["step", "held out"], figures: Figures, every: int = 1) -> None:
        if self.records and (self.state.step % every == 0 or self.state.step == 1 or self._ended):
            self.records.add(self.state.step, figures)
        self._say(kind, figures)

    def _say(self, kind: Any, figures: Mapping[str, float]) -> None:
        if self.learner.main:
            self._tell(Told(kind, self.state.step, figures))


@dataclass(frozen=True, slots=True)
class _Carrying:
    """An epoch whose failures are handed over whole: those raised in a worker lose their hint."""

    epoch: Epoch

    def __getitem__(self, index: int) -> list[Batch] | PstError:
        try:
            return self.epoch[index]
        except PstError as error:
            return error


def _silently(told: Told) -> None:
    """For those who do not want to be told."""


def _as_is(groups: list[Batch] | PstError) -> list[Batch] | PstError:
    return groups


def _undisturbed(worker: int) -> None:
    """A process that reads sound goes on at Ctrl-C: the one that learns says when it is over."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def check_run(settings: Settings, size: int, folder: Path, identity: Mapping[str, str]) -> None:
    """UsageError as `Fit` raises it, for a run that has much to prepare before there is one."""
    _check_shared(size, part_of(accelerator(settings.how.precision, settings.device)).world)
    state = Checkpoints(folder).state()
    if state:
        check_same(state, {**settings.binding(size), **identity}, folder)


def _check_shared(size: int, world: int) -> None:
    if size % world:
        raise UsageError(
            f"--batch-size {size} cannot be shared by {world} processes",
            hint=f"choose a multiple of {world}",
        )
