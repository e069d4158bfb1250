"""The run behind `pst train`: check, find the model, learn, tell how it goes."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pst_cli import console
from pst_cli.commands.download import fetcher
from pst_cli.commands.train.context import ContextOptions
from pst_cli.commands.train.host import HostOptions
from pst_cli.commands.train.kvspn import KVSPNOptions
from pst_cli.commands.train.shared import TrainOptions
from pst_cli.commands.train.student import StudentOptions
from pst_cli.errors import EXIT_INTERRUPTED, EXIT_OK, OutputError, UsageError
from pst_cli.models.adapter import CONFIG
from pst_cli.models.context import taught_context
from pst_cli.models.device import fitting
from pst_cli.outputs import check_writable
from pst_cli.training.checkpoints import FOLDER
from pst_cli.training.fit import Outcome, Settings, Told
from pst_cli.training.learner import Optimization
from pst_cli.training.place import best_device, best_precision, check_packages, first_process
from pst_cli.training.recipes.common import Order, Watch
from pst_cli.training.records import HELD_OUT
from pst_cli.weights import Checkpoint, locate

SHOWN = ("loss", "st", "mt", "accuracy", "agreement", "acceptance 1", "acceptance 2")


def execute(given: TrainOptions) -> int:
    """Do what was asked; the exit code. Raises PstError where it cannot be done."""
    check_packages()
    check_writable(given.output)
    order = _order(given)
    student = [_locate(given.student, given)] if isinstance(given, StudentOptions) else []
    _spare_models(given.output, [order.checkpoint, *student])
    with _stopping() as asked, _View(given, asked) as view, _enough_room(given):
        watch = Watch(tell=view.tell, progress=view.prepare, stop=asked, say=view.say)
        outcome = _train(given, order, watch)
    if first_process():
        _account(given, outcome)
    return EXIT_INTERRUPTED if asked() and not outcome.finished else EXIT_OK


def _spare_models(output: Path, models: Sequence[Checkpoint]) -> None:
    """UsageError where a run would write over a model."""
    folders = {path.resolve() for model in models for path in (model.path, model.host)}
    model = (output / CONFIG).is_file() and not (output / FOLDER).is_dir()
    if output.resolve() in folders or model:
        reason = f"--output {console.display(output)}: there is a model already"
        raise UsageError(reason, hint="name a new directory for the run")


def _train(given: TrainOptions, order: Order, watch: Watch) -> Outcome:
    taught = taught_context(order.checkpoint.path)
    match given:
        case HostOptions():
            from pst_cli.training.recipes.host import train_host

            return train_host(order, given.plan(), watch)
        case ContextOptions():
            from pst_cli.training.recipes.context import train_context

            return train_context(order, given.plan(), watch)
        case StudentOptions():
            from pst_cli.training.recipes.student import train_student

            return train_student(order, given.plan(_locate(given.student, given), taught), watch)
        case KVSPNOptions(joint=True):
            from pst_cli.training.recipes.joint import train_joint

            return train_joint(order, given.plan(taught), watch)
        case KVSPNOptions():
            from pst_cli.training.recipes.kvspn import train_kvspn

            return train_kvspn(order, given.plan(taught), watch)
        case _:
            raise TypeError(given)


def _order(given: TrainOptions) -> Order:
    device = best_device(given.device)
    how = Optimization(
        learning_rate=given.rate,
        warm_up=given.warm_up,
        weight_decay=given.weight_decay,
        clip=given.clip,
        precision=best_precision(given.precision, device),
    )
    settings = Settings(
        steps=given.steps,
        how=how,
        seed=given.seed,
        patience=given.patience,
        evaluate_every=given.evaluate_every,
        checkpoint_every=given.checkpoint_every,
        stop_after=math.inf if given.stop_after is None else given.stop_after * 60,
        workers=given.workers,
        device=device,
    )
    if given.patience and not given.held_out:
        raise UsageError("--patience has nothing to judge by", hint="add --held-out MANIFEST")
    return Order(
        model=given.named,
        checkpoint=_locate(given.named, given),
        manifests=given.manifests,
        held_out=given.held_out or [],
        output=given.output,
        settings=settings,
        size=given.batch_size,
        micro=given.micro_batch,
        longest=given.longest,
        judged=given.judged,
        command=given.command,
        license=given.license,
    )


def _locate(name: str, given: TrainOptions) -> Checkpoint:
    return locate(name, fetcher(offline=given.offline, quiet=given.quiet))


@contextmanager
def _enough_room(given: TrainOptions) -> Iterator[None]:
    """Whatever the disk refuses, beside the checkpoints, is told in one line too, and memory."""
    hint = "repeat the command with a smaller --micro-batch: it goes on from the last checkpoint"
    try:
        with fitting("while learning", hint):
            yield
    except OSError as error:
        name = console.display(error.filename or given.output)
        hint = "free some space and repeat the command: it goes on from the last checkpoint"
        raise OutputError(f"{name}: {error.strerror or error}", hint=hint) from error


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, or an end asked for; a second time it ends at once."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        asked.append(number)
        for one in former:
            signal.signal(one, former[one])

    former = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)


class _View:
    """A bar on a terminal; elsewhere a line for each judgement and checkpoint."""

    def __init__(self, given: TrainOptions, asked: Callable[[], bool]) -> None:
        self.given, self.asked, self.screen = given, asked, console.stderr()
        self.last: dict[str, float] = {}
        shown = self.screen.is_terminal and not given.quiet and first_process()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.screen,
            transient=True,
            disable=not shown,
        )
        self.task = self.bar.add_task("", total=None, figures="")

    def __enter__(self) -> _View:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def prepare(self, what: str, done: int, total: int | None) -> None:
        """Progress before the first step."""
        self.bar.update(self.task, description=what, completed=done, total=total)

    def tell(self, told: Told) -> None:
        """Show one thing that has happened."""
        if told.kind == "begun":
            millions = told.figures["parameters"] / 1e6
            self.say(f"{millions:.1f} M parameters learn, from step {told.step}")
        if told.kind == "step":
            self.last = dict(told.figures)
        if told.kind in ("held out", "saved", "stopped"):
            figures = told.figures if told.kind == "held out" else self.last
            self.say(f"step {told.step} of {self.given.steps}, {told.kind}: {brief(figures)}")
        waiting = "stopping after this step" if self.asked() else brief(self.last)
        self.bar.update(
            self.task,
            description="learning",
            completed=told.step,
            total=self.given.steps,
            figures=waiting,
        )

    def say(self, text: str) -> None:
        """One line of talk."""
        if not self.given.quiet and first_process():
            self.screen.print(f"pst: {text}")


def brief(figures: object) -> str:
    """The figures that people follow."""
    assert isinstance(figures, dict)
    found = []
    for name, value in figures.items():
        plain = name.removeprefix(HELD_OUT)
        if plain in SHOWN:
            found.append(f"{plain} {value:.3f}")
        if plain == "rows per second":
            found.append(f"{value:.1f} clips/s")
    return ", ".join(found)


def _account(given: TrainOptions, outcome: Outcome) -> None:
    """How it ended: on stdout where the weights are, if they are."""
    if outcome.finished:
        console.write(f"{given.output}\n")
        return
    if not given.quiet:
        text = f"pst: stopped at step {outcome.state.step}: the same command again goes on from it"
        console.stderr().print(text)
