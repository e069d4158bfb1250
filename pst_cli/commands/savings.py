"""What a pruning saved, as text: sizes by part, then what stayed in words."""

from __future__ import annotations

import io
import json
from dataclasses import asdict

from rich.table import Table

from pst_cli import console
from pst_cli.pruning import Report
from pst_cli.types import MEGABYTE

WIDTH = 100  # columns of the table
INDENT = 2  # of the JSON document


def document(report: Report) -> str:
    """One JSON document, ready for stdout."""
    trim = asdict(report.trim) if report.trim else {"text": None, "covered": None}
    told = {
        "before": {part: asdict(size) for part, size in report.before.items()},
        "after": {part: asdict(size) for part, size in report.after.items()},
        "encoder_layers": list(report.cut.encoder),
        "decoder_layers": list(report.cut.decoder),
        "vocabulary": dict(zip(("before", "after"), report.rows, strict=True)) | trim,
    }
    return json.dumps(told, indent=INDENT) + "\n"


def table(report: Report) -> str:
    """A table and a few words, ready for stdout."""
    text = io.StringIO()
    screen = console.plain(file=text, width=WIDTH)
    rows = Table(box=None, pad_edge=False)
    rows.add_column("part", no_wrap=True)
    for name in ("parameters", "after", "MB", "after", "saved"):
        rows.add_column(name, justify="right")
    for part, what in _parts(report).items():
        before, after = report.before[part], report.after[part]
        rows.add_row(
            what,
            *(f"{size.parameters:,}" for size in (before, after)),
            *(f"{size.bytes / MEGABYTE:,.1f}" for size in (before, after)),
            f"{1 - after.bytes / before.bytes:.0%}",
        )
    screen.print(rows)
    for line in _words(report):
        screen.print(line, soft_wrap=True)
    return text.getvalue()


def _parts(report: Report) -> dict[str, str]:
    """What each row of the table is called."""
    layers = {"encoder": len(report.cut.encoder), "decoder": len(report.cut.decoder)}
    sides = {
        side: f"{side}, {_change(report.layers[side], kept)} layers"
        for side, kept in layers.items()
    }
    return {**sides, "embedding": f"embedding, {_change(*report.rows)} tokens", "all": "all"}


def _change(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} to {after:,}"


def _words(report: Report) -> list[str]:
    lines = [
        f"{side} layers kept, from 0: {', '.join(map(str, kept))}"
        for side, kept in (("encoder", report.cut.encoder), ("decoder", report.cut.decoder))
        if len(kept) < report.layers[side]
    ]
    if report.trim:
        text, covered = report.trim.text, report.trim.covered
        lines.append(f"text tokens kept: {text:,}, which spell {covered:.2%} of the text")
    return lines


def advice(report: Report) -> str:
    """What to know before the model is used."""
    kept = len(report.cut.encoder) + len(report.cut.decoder)
    if kept < sum(report.layers.values()):
        return "train it before use, for its layers have never worked together"
    return "its words are as before wherever the tokens kept can spell them"
