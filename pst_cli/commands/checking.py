"""The run behind `data check`: look, count, tell."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from rich.table import Table

from pst_cli import console
from pst_cli.audio.spans import span_seconds
from pst_cli.commands.progress import counting
from pst_cli.data.check import Report, Tally, check
from pst_cli.data.findings import ERROR, KINDS, WARNING, Finding
from pst_cli.errors import DataError

LOOKING = "looking at sound files"
INDENT = 2  # of the JSON document
EXAMPLES = 3  # findings of a kind that are shown
WIDTH = 100  # columns; no table here is wider


def execute(manifests: Sequence[Path], *, json_document: bool, quick: bool, quiet: bool) -> None:
    """Check and tell; raises DataError where a manifest cannot be read or has errors."""
    with counting(LOOKING, quiet=quiet) as shown:
        told = partial(shown, LOOKING) if shown else None
        report = check(manifests, None if quick else span_seconds, told)
    if json_document:
        console.write(json.dumps(report.document(), indent=INDENT, ensure_ascii=False) + "\n")
    else:
        console.write(_words(report))
    if errors := report.count(ERROR):
        names = " ".join(shlex.quote(console.display(path)) for path in manifests)
        raise DataError(
            f"{console.counted(errors, 'error')}: these manifests cannot be trained on as they are",
            hint=f"see all of them with: pst data check --json {names}",
        )


def _words(report: Report) -> str:
    """The whole report, ready for stdout."""
    text = io.StringIO()
    for kind, findings in groupby(report.findings, key=lambda finding: finding.kind):
        text.writelines(f"{line}\n" for line in _told(kind, list(findings)))
    text.writelines(
        f"{name}: {console.counted(count, 'utterance')}\n"
        for name, count in report.manifests.items()
    )
    errors, warnings = (console.counted(report.count(level), level) for level in (ERROR, WARNING))
    text.write(f"{errors}, {warnings}\n\n")
    screen = console.plain(file=text, width=WIDTH)
    screen.print(_table("language", report.languages.items()))
    screen.print()
    directions = report.directions.items()
    screen.print(_table("direction", ((" to ".join(pair), tally) for pair, tally in directions)))
    return text.getvalue()


def _told(kind: str, findings: Sequence[Finding]) -> Iterator[str]:
    """One kind: how many, and the first few."""
    level, title = KINDS[kind]
    yield f"{level}: {kind} ({len(findings):,}): {title}"
    for finding in findings[:EXAMPLES]:
        yield f"  {finding.place}: {finding.message}"
    if len(findings) > EXAMPLES:
        yield f"  and {len(findings) - EXAMPLES:,} more; all of them with --json"
    yield ""


def _table(title: str, rows: Iterable[tuple[str, Tally]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(title, no_wrap=True)
    for name in ("utterances", "hours", "of unknown length", "text only"):
        table.add_column(name, justify="right")
    for name, tally in rows:
        figures = (tally.unmeasured, tally.written)
        rest = (f"{figure:,}" if figure else "-" for figure in figures)
        table.add_row(name, f"{tally.utterances:,}", f"{tally.seconds / 3600:.2f}", *rest)
    return table
