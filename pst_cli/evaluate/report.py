"""An evaluation's results: a row of scores for each direction, and means as the paper has them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pst_cli import language
from pst_cli.evaluate.recognition import error_rates, signature
from pst_cli.evaluate.scores import score
from pst_cli.evaluate.tasks import directions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pst_cli.evaluate.record import Key
    from pst_cli.evaluate.tasks import Direction, Task
    from pst_cli.evaluate.times import Times

GROUPS = ("X-EN", "EN-X", "X-X")
METRICS = ("bleu", "chrf", "ter", "in_language")
Pair = tuple[str, str]  # what was said, its reference


@dataclass(frozen=True, slots=True)
class Row:
    """One direction's scores in percent; error rates for transcripts only, `wer` not in Chinese.

    `in_language` is the share of 1 that is in the language asked for; None where it is not known.
    """

    source: str
    target: str
    n: int
    bleu: float
    chrf: float
    ter: float
    signatures: Mapping[str, str]
    wer: float | None = None
    cer: float | None = None
    in_language: float | None = None

    @property
    def group(self) -> str | None:
        """Which of the paper's means it counts for; None for a transcript."""
        if self.source == self.target:
            return None
        return "X-EN" if self.target == "en" else "EN-X" if self.source == "en" else "X-X"

    def document(self) -> dict[str, Any]:
        found = {"source": self.source, "target": self.target, "n": self.n}
        found |= {name: getattr(self, name) for name in METRICS}
        return found if self.group else found | {"wer": self.wer, "cer": self.cer}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What the hypotheses of this run took; those that were there already do not count."""

    seconds: float = 0.0  # of work, encoder and decoder
    audio_seconds: float = 0.0  # s of sound translated, once for each target
    decoding: float = 0.0  # s in the decoder
    tokens: int = 0

    @property
    def rtf(self) -> float | None:
        return self.seconds / self.audio_seconds if self.audio_seconds else None

    @property
    def ms_per_token(self) -> float | None:
        return 1000 * self.decoding / self.tokens if self.tokens else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that an evaluation found; `setting` says how it was made."""

    model: str
    decoding: str
    rows: Sequence[Row]
    setting: Mapping[str, Any] = field(default_factory=dict)
    failed: int = 0  # utterances that could not be read
    speed: Speed = field(default_factory=Speed)
    times: Sequence[Times] | None = None  # None: not measured

    @property
    def means(self) -> dict[str, dict[str, float | None]]:
        """Over directions, each counting the same; only groups that have any."""
        grouped = {name: [row for row in self.rows if row.group == name] for name in GROUPS}
        return {
            name: {metric: _mean([getattr(row, metric) for row in rows]) for metric in METRICS}
            for name, rows in grouped.items()
            if rows
        }

    @property
    def signatures(self) -> dict[str, str]:
        """How scores were made; those into Chinese, which count otherwise, as "bleu:zh"."""
        found = {
            f"{name}:zh" if row.target == "zh" else name: text
            for row in self.rows
            for name, text in row.signatures.items()
        }
        transcripts = [row for row in self.rows if row.group is None]
        rates = {"wer", "cer"} if any(row.wer is not None for row in transcripts) else {"cer"}
        found |= dict.fromkeys(sorted(rates), signature()) if transcripts else {}
        told = any(row.in_language is not None for row in self.rows)
        return found | ({"in_language": language.signature()} if told else {})

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "model": self.model,
            "decoding": self.decoding,
            "rows": [row.document() for row in self.rows],
            "means": self.means,
            "signatures": self.signatures,
            **({} if self.times is None else {"times": [one.document() for one in self.times]}),
            **self.setting,
            "failed": self.failed,
            "seconds": self.speed.seconds,
            "audio_seconds": self.speed.audio_seconds,
            "rtf": self.speed.rtf,
            "ms_per_token": self.speed.ms_per_token,
        }


def rows(tasks: Sequence[Task], said: Mapping[Key, str]) -> list[Row]:
    """Scores by direction over what was said; a direction of which nothing was said has no row."""
    return [_row(direction, found) for direction, found in pairs(tasks, said).items()]


def pairs(tasks: Sequence[Task], said: Mapping[Key, str]) -> dict[Direction, list[Pair]]:
    """What was said with its reference, by direction in the order of `LANGUAGES`."""
    found: dict[Direction, list[Pair]] = defaultdict(list)
    for task in tasks:
        for direction in task.directions:
            target = direction[1]
            if (key := (task.utterance.id, target)) in said:
                found[direction].append((said[key], task.references[target]))
    return {direction: found[direction] for direction in directions(tasks) if found[direction]}


def _row(direction: Direction, pairs: Sequence[Pair]) -> Row:
    source, target = direction
    said, meant = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = score(said, meant, target)
    wer, cer = error_rates(said, meant, target) if source == target else (None, None)
    return Row(
        source=source,
        target=target,
        n=len(pairs),
        bleu=found.bleu,
        chrf=found.chrf,
        ter=found.ter,
        signatures=found.signatures,
        wer=wer,
        cer=cer,
        in_language=language.share_in(said, target),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
