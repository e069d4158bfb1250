"""A bench as text: how fast and how alike, where the time went, what was drafted, in words."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from pst_cli import console
from pst_cli.bench.report import HEARING, Range, Report, Row

NARROWEST = 100  # columns where the output is no terminal
Columns = Mapping[str, Callable[[Row], str]]


def tables(report: Report) -> str:
    """The whole report, ready for stdout."""
    text = io.StringIO()
    screen = console.plain(file=text, width=_width())
    for line in _head(report):
        screen.print(line)
    run = [row for row in report.rows if row.failed is None]
    scores = SCORES if any(row.bleu is not None for row in run) else {}
    speed = {**SPEED, **scores}
    drafted = [row for row in run if row.drafted]
    for columns, rows in ((speed, run), (SECONDS, run), (DRAFTS, drafted)):
        if rows:
            screen.print()
            screen.print(_table(columns, rows))
    screen.print()
    for line in _words(report):
        screen.print(line)
    return text.getvalue()


def _width() -> int:
    screen = Console()
    return screen.width if screen.is_terminal else max(NARROWEST, screen.width)


def _head(report: Report) -> list[str]:
    spoken = f"from {report.source} " if report.source else ""
    search = f", {report.beams} beams" if report.beams > 1 else ""
    length = ", windows at their own length" if report.context == "own" else ""
    return [
        f"{console.display(report.host)}, {report.device}, {report.dtype}, "
        f"{report.threads} threads, {report.machine['processor']}",
        f"{report.files} files, {report.windows} windows, {report.audio_seconds:.1f} s of speech, "
        f"{spoken}to {report.target}, {report.rounds} rounds, batch {report.batch_size}"
        f"{search}{length}",
    ]


def _words(report: Report) -> list[str]:
    lines = [f"note: {note}" for note in report.notes]
    lines += [
        f"{row.method}: {row.includes}"
        for row in report.rows
        if row.includes and row.kind == "peer" and row.failed is None
    ]
    lines += [f"{row.method}: left out: {row.failed}" for row in report.rows if row.failed]
    signatures = next((row.signatures for row in report.rows if row.signatures), None) or {}
    lines += [f"{name}: {signature}" for name, signature in signatures.items()]
    if report.rows[0].peak_mb is not None:
        lines.append(f"peak MB: {report.memory}")
    return lines


def _table(columns: Columns, rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for row in rows:
        lossy = " (lossy)" if row.lossy else ""
        table.add_row(row.method + lossy, *(show(row) for show in columns.values()))
    return table


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def _range(values: Range | None, form: str = ".1f") -> str:
    return "-" if values is None else f"{values[0]:{form}}-{values[1]:{form}}"


def _hearing(row: Row) -> str:
    return _number(sum(row.seconds[name] for name in HEARING))


def _own(row: Row, name: str) -> str:
    """Seconds of a part; a peer's decoding is not told apart."""
    return "-" if row.kind == "peer" else _number(row.seconds[name])


def _decoding(row: Row) -> str:
    return _number(sum(row.seconds.values()) - sum(row.seconds[name] for name in HEARING))


def _histogram(row: Row) -> str:
    counts = row.accepted_histogram or {}
    return " ".join(f"{held}:{passes}" for held, passes in counts.items())


SPEED: Columns = {
    "ms/token": lambda row: _number(row.ms_per_token, ".1f"),
    "all rounds": lambda row: _range(row.ms_per_token_spread),
    "speed-up": lambda row: f"{_number(row.speedup)}x",
    "tokens": lambda row: str(row.tokens),
    "RTF": lambda row: _number(row.rtf, ".3f"),
    "same windows": lambda row: _number(row.exact_match_windows, ".0%"),
    "same tokens": lambda row: _number(row.exact_match_tokens, ".1%"),
    "peak MB": lambda row: _number(row.peak_mb, ".0f"),
}
SCORES: Columns = {
    "BLEU": lambda row: _number(row.bleu, ".1f"),
    "chrF": lambda row: _number(row.chrf, ".1f"),
    "TER": lambda row: _number(row.ter, ".1f"),
}
SECONDS: Columns = {
    "seconds": lambda row: _number(row.seconds_total),
    "encoder": _hearing,
    "decoder": _decoding,
    "= prepare": lambda row: _own(row, "prepare"),
    "+ draft": lambda row: _own(row, "draft"),
    "+ verify": lambda row: _own(row, "verify"),
    "+ other": lambda row: _own(row, "other"),
    "passes": lambda row: _number(row.passes, "d"),
    "loop ms/pass": lambda row: _number(row.loop_ms_per_pass),
}
DRAFTS: Columns = {
    "drafted": lambda row: _number(row.drafted, "d"),
    "accepted": lambda row: _number(row.acceptance_rate, ".0%"),
    "tokens/pass": lambda row: _number(row.mean_acceptance_length),
    "speed-up": lambda row: f"{_number(row.speedup)}x",
    "by formula": lambda row: f"{_number(row.expected_speedup)}x",
    "accepted in a pass: passes": _histogram,
}
