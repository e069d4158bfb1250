"""Labels from text: what a text translator makes of what a manifest says already.

What a model says is plainer than what people write, and so is sooner learnt (sequence-level
distillation: Kim and Rush, 2016, https://arxiv.org/abs/1606.07947).
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

from pst_cli.data.texts import size
from pst_cli.decoding.guards import Guards, compression_ratio
from pst_cli.errors import DataError
from pst_cli.evaluate.record import Hypothesis
from pst_cli.evaluate.run import Said
from pst_cli.evaluate.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pst_cli.data.manifest import Utterance

TIMES, MORE = 2.5, 12  # of two texts that say the same, neither is so many times and letters longer
REPEATS = Guards().compression_ratio


def translatable(
    utterances: Iterable[Utterance], source: str, target: str, *, replace: bool
) -> list[Task]:
    """What has text in `source`, said or translated, and none in `target`; DataError if nothing.

    `replace`: also what somebody put into `target`. What is said in it stays as it is.
    """
    found = []
    for one in utterances:
        texts = one.texts()
        if source in texts and one.language != target and (replace or target not in texts):
            found.append(Task(one, {target: ""}))
    if not found:
        lack = "" if replace else f" and none in {target}"
        hint = "see what it has with: pst data check MANIFEST"
        raise DataError(f"the manifest has nothing with text in {source}{lack}", hint=hint)
    return found


def put(
    tasks: Iterable[Task],
    source: str,
    translate: Callable[[Sequence[str]], list[str]],
    batch_size: int,
) -> Iterator[Said]:
    """What `translate` makes of the text in `source` of each task, "" where that is doubtful.

    Texts of like length go together, the longest first; what several say is put but once.
    """
    having: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        having[task.utterance.texts()[source]].append(task)
    texts = sorted(having, key=len, reverse=True)
    for first in range(0, len(texts), batch_size):
        some, started = texts[first : first + batch_size], time.perf_counter()
        labels = translate(some)
        seconds = (time.perf_counter() - started) / len(some)
        for text, label in zip(some, labels, strict=True):
            told = "" if doubtful(text, label) else label
            yield from (_said(task, told, seconds) for task in having[text])


def doubtful(text: str, label: str) -> bool:
    """Whether `label`, said to mean `text`, repeats itself or is far longer or shorter."""
    short, long = sorted((size(text), size(label)))
    return long > TIMES * short + MORE or compression_ratio(label) > REPEATS


def _said(task: Task, label: str, seconds: float) -> Said:
    one = task.utterance
    [target] = task.references
    return Said(Hypothesis(one.id, one.language, target, label, "", seconds), one.duration or 0.0)
