"""An evaluation as Markdown that a model card can take in whole: scores, times and samples."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.evaluate.grids import score_grid, times_grid
from pst_cli.evaluate.times import LONGEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pst_cli.evaluate.report import Pair, Report
    from pst_cli.evaluate.tasks import Direction

SEED = 0
TITLE = "## Scores"
SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&])")
TIMES = (
    f"Utterances laid end to end in clips of at most {LONGEST:g} s: seconds from each true start "
    "to the nearest start of a segment, and from each segment to the nearest true start."
)
SAMPLES = "Drawn at random, the same ones whatever the model; nothing was chosen or left out."


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How an evaluation came about: `command` was typed on `date` (ISO 8601)."""

    fingerprint: str  # of the host; "" where it is not known
    manifest: str  # SHA-256 of the file
    command: str
    date: str
    version: str  # of pst


def draw(pairs: Mapping[Direction, Sequence[Pair]], most: int) -> dict[Direction, list[Pair]]:
    """At most `most` pairs of each direction, in order, chosen by how many there are alone."""
    found = {}
    for direction, given in pairs.items():
        rng = random.Random(f"{SEED} {'-'.join(direction)}")
        drawn = rng.sample(range(len(given)), min(most, len(given)))
        found[direction] = [given[index] for index in sorted(drawn)]
    return found


def page(report: Report, making: Making, samples: Mapping[Direction, Sequence[Pair]]) -> str:
    """The whole page; its sections are those of a model card, from "## Scores" down."""
    parts = [TITLE, _facts(report, making), f"```sh\n{making.command}\n```"]
    parts += [_table(score_grid(report)), _signatures(report)]
    if report.times is not None:
        parts += ["### Times", TIMES, _table(times_grid(report.times))]
    if any(samples.values()):
        parts += ["### Samples", SAMPLES]
    for (source, target), pairs in samples.items():
        if pairs:
            lines = [[meant, said] for said, meant in pairs]
            parts += [f"#### {source}-{target}", _table([["reference", "output"], *lines])]
    return "\n\n".join(part for part in parts if part) + "\n"


def put(page: str, card: str) -> str:
    """`card` with `page` in place of its section of scores, or at its end if it has none."""
    before, found, rest = f"\n{card}".partition(f"\n{TITLE}\n")
    if not found:
        return f"{card.rstrip()}\n\n{page}" if card.strip() else page
    after = re.search(r"^## ", rest, re.MULTILINE)
    kept = "\n" + rest[after.start() :] if after else ""
    return before[1:] + "\n" + page + kept


def _facts(report: Report, making: Making) -> str:
    setting = report.setting
    facts = {
        "model": report.model,
        "fingerprint": making.fingerprint,
        "decoding": f"{report.decoding}, {setting['dtype']}, {setting['device']}",
        "context": setting.get("context", ""),
        "manifest": setting["manifest"],
        "its SHA-256": making.manifest,
        "utterances not read": str(report.failed or ""),
        "date": making.date,
        "made by": f"pst {making.version}",
    }
    return "\n".join(f"- {name}: {_plain(value)}" for name, value in facts.items() if value)


def _signatures(report: Report) -> str:
    return "\n".join(f"- {name}: `{text}`" for name, text in report.signatures.items())


def _table(grid: Sequence[Sequence[str]]) -> str:
    head, *lines = grid
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in [head, rule, *lines])


def _plain(text: str) -> str:
    """`text` on one line, to be read as it stands; "" is what a cell that says nothing has."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
