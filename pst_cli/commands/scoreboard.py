"""An evaluation on the screen: progress and talk on stderr, then a table of scores."""

from __future__ import annotations

import io
import time
from types import TracebackType

from rich import progress as bars
from rich.console import Console
from rich.table import Table

from pst_cli import console
from pst_cli.evaluate.grids import Grid, score_grid, times_grid
from pst_cli.evaluate.report import Report
from pst_cli.evaluate.run import Event, Said, Unread
from pst_cli.evaluate.times import Timed
from pst_cli.pipeline import Note

NARROWEST = 100  # columns where the output is no terminal
TEXTS = ("direction", "from")  # columns that are no figures


class Board:
    """Shows events as they come; counts the utterances that could not be read."""

    def __init__(self, *, quiet: bool) -> None:
        self.screen, self.quiet, self.failed = console.stderr(), quiet, 0
        self._bar: bars.Progress | None = None
        self._task = bars.TaskID(0)
        self._started, self._heard = time.monotonic(), 0.0

    def __enter__(self) -> Board:
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
        """One line of talk."""
        if not self.quiet:
            self.screen.print(f"pst: {text}")

    def begin(self, done: int, whole: int, work: str = "translating") -> None:
        """From here on `whole` hypotheses are awaited, of which `done` were there already."""
        if done:
            self.say(f"{done} of {whole} hypotheses are there already")
        if self._bar:
            self._bar.stop()
        if not self.quiet and self.screen.is_terminal and done < whole:
            self._bar = _bar(self.screen)
            self._task = self._bar.add_task(work, total=whole, completed=done, rate="")
            self._bar.start()
        self._started, self._heard = time.monotonic(), 0.0

    def show(self, event: Event | Timed) -> None:
        match event:
            case Said(audio_seconds=seconds) | Timed(audio_seconds=seconds):
                self._advance(seconds)
            case Unread():
                self._fail(event)
            case Note(text):
                self.say(text)

    def _advance(self, seconds: float) -> None:
        self._heard += seconds
        if self._bar:
            rate = self._heard / max(time.monotonic() - self._started, 1e-3)
            self._bar.update(self._task, advance=1, rate=f"{rate:.1f}x real time")

    def _fail(self, event: Unread) -> None:
        """Told even when quiet: an error line is what an exit code of 1 needs."""
        self.failed += 1
        console.tell_error(event.error.at(event.utterance.place), self.screen)


def _bar(screen: Console) -> bars.Progress:
    return bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeRemainingColumn(),
        console=screen,
        transient=True,
    )


def scoreboard(report: Report) -> str:
    """The whole report, ready for stdout."""
    text, screen = io.StringIO(), Console()
    width = screen.width if screen.is_terminal else max(NARROWEST, screen.width)
    page = console.plain(file=text, width=width)
    page.print(_head(report))
    page.print()
    page.print(_table(score_grid(report)))
    page.print()
    if report.times is not None:
        page.print(_table(times_grid(report.times)))
        page.print()
    for line in _words(report):
        page.print(line)
    return text.getvalue()


def _head(report: Report) -> str:
    model, manifest = console.display(report.model), report.setting["manifest"]
    return f"{model}, {report.decoding}, {report.setting['dtype']}: {manifest}"


def _table(grid: Grid) -> Table:
    head, *lines = grid
    table = Table(box=None, pad_edge=False)
    for name in head:
        text = name in TEXTS
        table.add_column(name, justify="left" if text else "right", no_wrap=text)
    for line in lines:
        table.add_row(*line)
    return table


def _words(report: Report) -> list[str]:
    lines = [f"{name}: {signature}" for name, signature in report.signatures.items()]
    speed = report.speed
    if speed.rtf is not None and speed.ms_per_token is not None:
        lines.append(
            f"{speed.seconds:.1f} s for {speed.audio_seconds:.1f} s of speech, once for each "
            f"target: RTF {speed.rtf:.3f}, {speed.ms_per_token:.1f} ms a token in the decoder"
        )
    if report.failed:
        lines.append(f"utterances that could not be read: {report.failed}; scored is the rest")
    return lines
