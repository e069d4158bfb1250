"""What a person sees on stderr while files are worked on, and the account at the end."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from pst_cli import console
from pst_cli.batch import Skipped, Written
from pst_cli.errors import PstError
from pst_cli.pipeline import Event, Failed, Finished, Heard, Note, Opened
from pst_cli.types import Segment

FLAGGED_SHOWN = 20  # segments; of more only their files are told

Shown = Event | Written | Skipped


class View:
    """Shows events as they come; remembers each file's outcome."""

    def __init__(self, files: int, *, quiet: bool, bar: bool = True) -> None:
        """`files` is how many there are to do; `bar` False where results go to the terminal."""
        self.screen, self.quiet = console.stderr(), quiet
        self.files, self.opened, self.heard = files, 0, 0.0
        self.outcomes: dict[Path, Written | Skipped | Failed] = {}
        self._said: set[str] = set()
        self._flagged: list[tuple[Heard, Segment]] = []
        self._targets: set[str] = set()
        self._started = time.monotonic()
        self._bar = _bar(self.screen) if bar and not quiet and self.screen.is_terminal else None
        self._task: TaskID | None = None

    def __enter__(self) -> View:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """One line of talk, once."""
        if not self.quiet and text not in self._said:
            self._said.add(text)
            self.screen.print(f"pst: {text}")

    def show(self, event: Shown) -> None:
        match event:
            case Opened(file, seconds):
                self._open(file, seconds)
            case Heard(_, target, segments, position):
                self._targets.add(target)
                self._flagged += [(event, segment) for segment in segments if segment.flags]
                self._advance(position)
            case Note(text, file):
                self.say(f"{console.display(file)}: {text}" if file else text)
            case Finished(file, _, _, notes):
                self._notes(file, notes)
            case Written(file, seconds, _, notes):
                self.heard += seconds
                self._notes(file, notes)
                self.outcomes[file] = event
            case Failed(file, error):
                self._fail(file, error)
                self.outcomes[file] = event
            case Skipped(file):
                self.outcomes[file] = event

    def _open(self, file: Path, seconds: float | None) -> None:
        self.opened += 1
        if self._bar is None:
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        name = f"{console.display(file.name)} ({self.opened}/{self.files})"
        self._task = self._bar.add_task(name, total=seconds, rate="")

    def _advance(self, position: float) -> None:
        if self._bar is None or self._task is None:
            return
        rate = (self.heard + position) / max(time.monotonic() - self._started, 1e-3)
        self._bar.update(self._task, completed=position, rate=f"{rate:.1f}x real time")

    def _notes(self, file: Path, notes: tuple[str, ...]) -> None:
        for note in notes:
            self.say(f"{console.display(file)}: {note}")

    def _fail(self, file: Path, error: PstError) -> None:
        """Told even when quiet: an error line is what an exit code of 1 needs."""
        console.tell_error(error.at(console.display(file)), self.screen)

    def account(self) -> None:
        """The doubtful segments, and what became of each file: a table where there are several."""
        if self.quiet:
            return
        for heard, segment in self._flagged[:FLAGGED_SHOWN]:
            at = f"{console.display(heard.file)} at {clock(segment.start)}"
            at += f", to {heard.target}" if len(self._targets) > 1 else ""
            self.screen.print(f"pst: doubtful ({', '.join(segment.flags)}): {at}: {segment.text}")
        if rest := Counter(heard.file for heard, _ in self._flagged[FLAGGED_SHOWN:]):
            where = ", ".join(f"{console.display(file)} ({n:,})" for file, n in rest.items())
            self.screen.print(f"pst: and {rest.total():,} more doubtful segments: {where}")
        if len(self.outcomes) > 1:
            self.screen.print(_table(self.outcomes))
        else:
            for path in self._written():
                self.screen.print(f"pst: wrote {console.display(path)}")

    def _written(self) -> list[Path]:
        done = [outcome for outcome in self.outcomes.values() if isinstance(outcome, Written)]
        return [path for outcome in done for path in outcome.outputs]

    @property
    def failed(self) -> bool:
        return any(isinstance(outcome, Failed) for outcome in self.outcomes.values())


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(screen: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
    )


def _table(outcomes: dict[Path, Written | Skipped | Failed]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("file", "outcome", "detail"):
        table.add_column(name, overflow="fold")
    for file, outcome in outcomes.items():
        match outcome:
            case Written(_, _, outputs, _):
                row = "done", ", ".join(console.display(path.name) for path in outputs)
            case Skipped():
                row = "skipped", "its results are there already"
            case Failed(_, error):
                row = "failed", error.message
        table.add_row(console.display(file), *row)
    counts = [
        f"{sum(isinstance(outcome, kind) for outcome in outcomes.values())} {name}"
        for kind, name in ((Written, "done"), (Skipped, "skipped"), (Failed, "failed"))
    ]
    table.caption = ", ".join(counts)
    return table
