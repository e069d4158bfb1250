"""The race: every contender over the same windows, interleaved, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pst_cli.bench.lanes import Contender, Lap, Part, Sound
from pst_cli.bench.timing import Stopwatch
from pst_cli.models.context import padded_alike
from pst_cli.models.device import fitting

if TYPE_CHECKING:
    from pst_cli.bench.clips import Batch
    from pst_cli.bench.memory import PeakMemory
    from pst_cli.models.host import Host

SETTLE = 0.3  # s; threads of an OpenMP runtime spin up to 0.2 s after their last work

Told = Callable[[int, int], None]
"""Called with (batches done, batches to do)."""


def silent(done: int, whole: int) -> None:
    """The progress of a caller that wants none."""


class PeerError(Exception):
    """A peer could not go on; the reason is its text."""


@dataclass
class Course:
    """What came of a race: for each contender that finished one lap a round, warm-up left out."""

    laps: dict[str, list[Lap]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # name: reason


def race(
    host: Host,
    contenders: Sequence[Contender],
    batches: Sequence[Batch],
    rounds: int,
    memory: PeakMemory,
    told: Told = silent,
) -> Course:
    """Run `rounds` rounds after one for warming up, whose figures are dropped.

    Every batch is given to every contender before the next batch is touched, in an order that
    rotates from batch to batch and round to round, so that whatever else the machine does meets
    all alike. In the warm-up the order is the given one: what is said there first, later
    contenders may rely on. A peer that fails is out of the race, and the race goes on. Raises
    ModelError where a batch does not fit in memory.
    """
    course = Course()
    whole = (rounds + 1) * len(batches)
    for turn in range(rounds + 1):
        run: dict[str, Lap] = {}
        for batch in batches:
            shift = (turn + batch.index) % len(contenders) if turn else 0
            order = [*contenders[shift:], *contenders[:shift]]
            running = [one for one in order if one.name not in course.failed]
            with fitting("in the bench", "use a smaller --batch-size or --model"):
                _heat(running, host, batch, memory, run, course)
            told(turn * len(batches) + batch.index + 1, whole)
        if turn:
            for name, lap in run.items():
                course.laps.setdefault(name, []).append(lap)
    for name in course.failed:
        course.laps.pop(name, None)
    return course


def _heat(
    order: Sequence[Contender],
    host: Host,
    batch: Batch,
    memory: PeakMemory,
    run: dict[str, Lap],
    course: Course,
) -> None:
    """One batch through all contenders; their laps are added to `run`."""
    memory.start()
    sound = hear(host, batch)
    hearing = memory.read()
    for contender in order:
        # Peers bring runtimes of their own, whose threads would still burn the next one's cores.
        time.sleep(SETTLE if any(one.kind == "peer" for one in order) else 0)
        memory.start()
        try:
            lap = contender.lap(batch, sound)
        except PeerError as failure:
            course.failed[contender.name] = str(failure)
            continue
        own = [] if contender.kind == "peer" else [hearing]  # which hears for itself
        peaks = [peak for peak in (memory.read(), *own) if peak is not None]
        lap = replace(lap, peak=max(peaks, default=None))
        known = run.get(contender.name)
        run[contender.name] = lap if known is None else known + lap


def hear(host: Host, batch: Batch) -> Sound:
    """Features and encoder states of a batch, timed; each lane's figures include them."""
    watch, parts = Stopwatch(host.device), []
    windows = [task.window for task in batch.tasks]
    for seconds, rows in padded_alike(windows, batch.context, host.context).items():
        with watch.running("features"):
            log_mel = host.log_mel([windows[row].samples for row in rows], seconds)
        with watch.running("encoder"):
            encoded = host.encode(log_mel)
        parts.append(Part(rows, log_mel, encoded))
    return Sound(parts, watch.split("decode"))
