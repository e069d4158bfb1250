"""A picture of a bench: ms per token with its spread, and where the seconds went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pst_cli.bench.report import HEARING
from pst_cli.console import display
from pst_cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pst_cli.bench.report import Report, Row

PARTS = {  # fields of Split, as they are told apart in the picture
    "encoder": HEARING,
    "prepare": ("prepare",),
    "draft": ("draft",),
    "verify": ("verify",),
    "other": ("other",),
}
WIDTH, ROW_HEIGHT, MARGIN = 11.0, 0.45, 1.8  # inches
DPI = 150  # dots an inch


def require_plotting(path: Path) -> None:
    """UsageError where matplotlib is not installed, or draws no such picture as `path`."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        hint = "pip install 'pst_cli[plot]'"
        raise UsageError("--plot needs matplotlib, which is not installed", hint=hint) from error
    if path.suffix.lower().removeprefix(".") not in Figure().canvas.get_supported_filetypes():
        hint = "name a .png, .svg or .pdf"
        raise UsageError(f"--plot {display(path)}: that is no name of a picture", hint=hint)


def plot(report: Report, path: Path) -> None:
    """Write the picture to `path`; its suffix says in which format."""
    from matplotlib.figure import Figure

    rows = [row for row in report.rows if row.ms_per_token is not None][::-1]
    figure = Figure((WIDTH, MARGIN + ROW_HEIGHT * len(rows)), layout="constrained")
    pace, split = figure.subplots(1, 2, sharey=True)
    _pace(pace, rows)
    _split(split, rows)
    figure.suptitle(f"{report.host}, {report.device}, {report.dtype}, to {report.target}")
    try:
        figure.savefig(path, dpi=DPI)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"--plot {display(path)}: {reason}", hint="name another file") from error


def _pace(axes: Any, rows: Sequence[Row]) -> None:
    names = [row.method for row in rows]
    values = [row.ms_per_token or 0.0 for row in rows]
    spreads = [row.ms_per_token_spread or (0.0, 0.0) for row in rows]
    whiskers = [
        [value - low for value, (low, _) in zip(values, spreads, strict=True)],
        [high - value for value, (_, high) in zip(values, spreads, strict=True)],
    ]
    bars = axes.barh(names, values, xerr=whiskers)
    labels = [f" {row.speedup:.2f}x" if row.speedup else "" for row in rows]
    axes.bar_label(bars, labels, padding=3)
    axes.set_xlabel("decoder time, ms per token (whiskers: all rounds)")
    axes.margins(x=0.15)


def _split(axes: Any, rows: Sequence[Row]) -> None:
    names = [row.method for row in rows]
    left = [0.0] * len(rows)
    for part, fields in PARTS.items():
        values = [sum(row.seconds[name] for name in fields) for row in rows]
        axes.barh(names, values, left=left, label=part)
        left = [start + value for start, value in zip(left, values, strict=True)]
    axes.set_xlabel("seconds a round")
    axes.legend(fontsize="small")
