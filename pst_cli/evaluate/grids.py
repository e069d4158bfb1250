"""Results as rows of text, a heading first: what the screen and a Markdown page draw alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pst_cli.evaluate.times import NEAR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pst_cli.evaluate.report import Report
    from pst_cli.evaluate.times import Spread, Times

SCORES = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER", "in_language": "in lang. %"}
RATES = {"wer": "WER", "cer": "CER"}
SHARES = frozenset({"in_language"})  # of 1, shown in percent
ABSENT = "-"
Grid = list[list[str]]


def score_grid(report: Report) -> Grid:
    """A line for each direction, then the means."""
    columns = SCORES | (RATES if any(row.group is None for row in report.rows) else {})
    grid = [["direction", "n", *columns.values()]]
    for row in report.rows:
        values = {name: getattr(row, name) for name in columns}
        grid.append([f"{row.source}-{row.target}", str(row.n), *_figures(values, columns)])
    for group, means in report.means.items():
        n = sum(row.n for row in report.rows if row.group == group)
        grid.append([f"mean {group}", str(n), *_figures(means, columns)])
    return grid


def _figures(values: Mapping[str, float | None], columns: Iterable[str]) -> list[str]:
    shown = [(values.get(name), 100 if name in SHARES else 1) for name in columns]
    return [ABSENT if value is None else f"{scale * value:.1f}" for value, scale in shown]


def times_grid(measured: Sequence[Times]) -> Grid:
    """Two lines for each direction, one each way."""
    head = [
        "direction",
        "from",
        "n",
        "median s",
        "90 % s",
        *(f"within {most:g} s %" for most in NEAR),
    ]
    lines = [
        [f"{one.source}-{one.target}", name, *_spread(spread)]
        for one in measured
        for name, spread in (("true start", one.starts), ("segment", one.segments))
    ]
    return [head, *lines]


def _spread(spread: Spread) -> list[str]:
    quantiles = [
        f"{value:.2f}" if math.isfinite(value) else ABSENT for value in (spread.median, spread.p90)
    ]
    return [str(spread.n), *quantiles, *(f"{100 * share:.1f}" for share in spread.near)]
