"""The run behind `check`: read, look, mend if asked to, tell."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pst_cli import console
from pst_cli.errors import EXIT_FAILED, EXIT_OK, PstError, UsageError
from pst_cli.outputs import FOLDER, check_writable, write_atomic
from pst_cli.subtitles.checks import KINDS, SECOND, Violation, check, counted, style_of
from pst_cli.subtitles.reading import Document, languages_of, read
from pst_cli.subtitles.repair import repair
from pst_cli.subtitles.styles import Style
from pst_cli.subtitles.times import clock

INDENT = 2  # of the JSON document


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asked for, its words already checked one by one."""

    files: Sequence[Path]
    style: str
    language: str | None
    json: bool
    fix: bool
    output_dir: Path | None
    quiet: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What there is to say of one file; `repaired` counts violations that it had before."""

    file: Path
    language: str | None
    style: str
    cues: int
    violations: Sequence[Violation]
    repaired: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """A line for each violation, as other checkers write them."""
        name = console.display(self.file)
        return [
            f"{name}:{one.cue}: {clock(max(0, one.start), ',')}: {one.told()}\n"
            for one in self.violations
        ]

    def document(self) -> dict[str, object]:
        """The same for machines: times in seconds, limits and values as the lines tell them."""
        violations = [
            {
                "cue": one.cue,
                "start": one.start / SECOND,
                "end": one.end / SECOND,
                "kind": one.kind,
                "value": one.value,
                "limit": one.limit,
            }
            for one in self.violations
        ]
        return {
            "file": console.display(self.file),
            "language": self.language,
            "style": self.style,
            "cues": self.cues,
            "violations": violations,
            "repaired": self.repaired,
        }


def execute(request: Request) -> int:
    """Do what was asked; the exit code. A file that cannot be read or written stops no other."""
    targets = _targets(request)
    reports: list[Report] = []
    for file, target in targets.items():
        try:
            reports.append(_proofread(file, target, request))
        except PstError as error:
            console.tell_error(error.at(console.display(file)))
            continue
        if not request.json:
            console.write("".join(reports[-1].lines()))
    if request.json:
        document = {"files": [report.document() for report in reports]}
        console.write(json.dumps(document, indent=INDENT, ensure_ascii=False) + "\n")
    if reports:
        _say(request, _summary(reports))
    clean = len(reports) == len(targets) and not any(report.violations for report in reports)
    return EXIT_OK if clean else EXIT_FAILED


def _targets(request: Request) -> dict[Path, Path]:
    """Each file, once, with where its mended form goes; UsageError where two would be one."""
    files = dict.fromkeys(request.files)
    if request.output_dir is None:
        return {file: file for file in files}
    check_writable(request.output_dir, FOLDER)
    names = Counter(file.name for file in files)
    if twice := next((name for name, count in names.items() if count > 1), None):
        hint = "mend them in place, or in runs of their own"
        raise UsageError(f"--output-dir: two files are named {console.display(twice)}", hint=hint)
    return {file: request.output_dir / file.name for file in files}


def _proofread(file: Path, target: Path, request: Request) -> Report:
    document = read(file)
    languages = (request.language,) if request.language else languages_of(file.name)
    style = style_of(request.style, languages)
    notes = [*document.notes]
    if not languages:
        notes.append("its name tells no language: limits are those of Latin script (--language)")
    if request.fix and not document.format.write:
        notes.append(f"{document.format.name} can be checked but not mended: convert it to SRT")
    for note in notes:
        _say(request, f"{console.display(file)}: {note}")
    violations, repaired = _violations(document, style), dict[str, int]()
    if request.fix and document.format.write and violations:
        document = repair(document, style, languages)
        before, violations = violations, _violations(document, style)
        repaired = counted(before, violations)
        write_atomic(target, document.text(), document.encoding, FOLDER)
        left = f"; left: {_listed(counted(violations))}" if violations else ""
        _say(request, f"{console.display(target)}: mended {_listed(repaired) or 'nothing'}{left}")
    label = "-".join(languages) or None
    return Report(file, label, style.name, len(document.cues), violations, repaired)


def _violations(document: Document, style: Style) -> list[Violation]:
    return list(check(document.cues, style, document.format.precision))


def _summary(reports: Sequence[Report]) -> str:
    found = counted(one for report in reports for one in report.violations)
    total = sum(found.values())
    cues = sum(report.cues for report in reports)
    counts = f"{console.counted(len(reports), 'file')}, {console.counted(cues, 'cue')}"
    told = f"{console.counted(total, 'violation')} ({_listed(found)})" if total else "no violation"
    return f"{counts}: {told}"


def _listed(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {KINDS[kind][1]}" for kind, count in found.items())


def _say(request: Request, text: str) -> None:
    if not request.quiet:
        console.stderr().print(f"pst: {text}")
