"""Whether manifests can be trained on, and how much of which direction they hold."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from pst_cli.console import display
from pst_cli.data.findings import ERROR, KINDS, WARNING, Finding
from pst_cli.data.manifest import BadLine, Utterance, scan
from pst_cli.data.outliers import odd_lengths, odd_rates
from pst_cli.data.repeats import leaked, repeated
from pst_cli.data.texts import wrong_script
from pst_cli.errors import PstError
from pst_cli.paths import is_file
from pst_cli.types import LANGUAGES, WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    Told: TypeAlias = Callable[[int, int], None]
    """Called with (files done, files in all)."""

ROUNDING = 0.1  # s; how far two figures for one length may be apart without a word


@dataclass(slots=True)
class Tally:
    """How much there is of something."""

    utterances: int = 0  # spoken ones
    seconds: float = 0.0
    unmeasured: int = 0  # those of them whose length is not known
    written: int = 0  # text without sound

    def add(self, one: Utterance, seconds: float | None) -> None:
        if one.audio is None:
            self.written += 1
            return
        self.utterances += 1
        self.seconds += seconds or 0.0
        self.unmeasured += seconds is None

    def document(self) -> dict[str, Any]:
        """What goes into JSON."""
        return {
            "utterances": self.utterances,
            "hours": round(self.seconds / 3600, 4),
            "unmeasured": self.unmeasured,
            "text_only": self.written,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found; directions are (spoken, wanted), a language with itself included."""

    manifests: Mapping[str, int]  # name: utterances
    findings: Sequence[Finding]
    languages: Mapping[str, Tally]
    directions: Mapping[tuple[str, str], Tally]

    def count(self, level: str) -> int:
        """How many findings have this weight."""
        return sum(finding.level == level for finding in self.findings)

    def document(self) -> dict[str, Any]:
        """What goes into JSON."""
        return {
            "manifests": dict(self.manifests),
            "errors": self.count(ERROR),
            "warnings": self.count(WARNING),
            "findings": [
                {"level": one.level, "kind": one.kind, "place": one.place, "message": one.message}
                for one in self.findings
            ],
            "languages": {code: tally.document() for code, tally in self.languages.items()},
            "directions": [
                {"source": source, "target": target} | tally.document()
                for (source, target), tally in self.directions.items()
            ],
        }


@dataclass(slots=True)
class Lengths:
    """The seconds of each file, as far as they were looked up."""

    known: dict[Path, float] = field(default_factory=dict)

    def of(self, one: Utterance) -> float | None:
        """Seconds of an utterance: as it is cut, else as measured, else as stated.

        None where it begins after the end of its file.
        """
        left = self.known[one.audio] - one.start if one.audio in self.known else None
        if left is not None and left <= 0:
            return None
        if one.end is not None:
            return one.end - one.start
        return one.duration if left is None else left


def check(
    manifests: Sequence[Path],
    measure: Callable[[Path], float] | None = None,
    told: Told | None = None,
) -> Report:
    """Look through manifests, which are to be splits of one corpus.

    `measure` gives the seconds of a sound file or raises PstError; without it no file is opened,
    only whether it is there is looked up. `told` hears of progress.

    Raises:
        DataError: a manifest cannot be read.
    """
    found: list[Finding] = []
    splits = [_read(path, found) for path in manifests]
    every = list(chain.from_iterable(splits))
    lengths = Lengths()
    found += _sounds(every, measure, lengths, told)
    for one in every:
        found += _stretch(one, lengths)
        found += _texts(one)
    found += chain(odd_lengths(every), odd_rates(every, lengths.of))
    found += chain.from_iterable(map(repeated, splits))
    found += leaked(splits)
    found.sort(key=lambda finding: list(KINDS).index(finding.kind))
    languages, directions = _tallies(every, lengths)
    names = {display(path): len(split) for path, split in zip(manifests, splits, strict=True)}
    return Report(names, found, languages, directions)


def _read(path: Path, found: list[Finding]) -> list[Utterance]:
    """The good lines; the bad ones become findings."""
    good = []
    for line in scan(path):
        if isinstance(line, BadLine):
            found.append(Finding("bad-line", line.place, line.reason))
        else:
            good.append(line)
    return good


def _sounds(
    utterances: Iterable[Utterance],
    measure: Callable[[Path], float] | None,
    lengths: Lengths,
    told: Told | None,
) -> Iterator[Finding]:
    """Each file is looked at once, however many utterances it holds; fills `lengths`."""
    first: dict[Path, Utterance] = {}
    for one in utterances:
        if one.audio:
            first.setdefault(one.audio, one)
    for done, (path, one) in enumerate(first.items(), 1):
        if not is_file(path):
            yield Finding("missing-audio", one.place, display(path))
        elif measure:
            try:
                lengths.known[path] = measure(path)
            except PstError as error:
                yield Finding("unreadable-audio", one.place, error.message)
        if told:
            told(done, len(first))


def _stretch(one: Utterance, lengths: Lengths) -> Iterator[Finding]:
    """Whether the stretch lies in its file and has a length that can be heard at once."""
    seconds, whole = lengths.of(one), lengths.known.get(one.audio) if one.audio else None
    if whole is not None:
        if one.start >= whole or (one.end or 0.0) > whole + ROUNDING:
            reach = f"to {one.end:.2f}" if one.end else f"from {one.start:.2f}"
            yield Finding("past-the-end", one.place, f"{reach} s of a file of {whole:.2f} s")
            return
        if one.duration and seconds and abs(one.duration - seconds) > ROUNDING:
            said = f"{one.duration:.2f} s stated, {seconds:.2f} s there"
            yield Finding("duration", one.place, said)
    if seconds and seconds > WINDOW_SECONDS:
        yield Finding("too-long", one.place, f"{seconds:.1f} s; at most {WINDOW_SECONDS:g} s")


def _texts(one: Utterance) -> Iterator[Finding]:
    """Whether there is text, in languages that pst knows and in their own script."""
    texts = one.texts()
    if not texts:
        yield Finding("no-text", one.place, "nothing to be learnt from it")
    elif not one.text.strip():
        yield Finding("empty-text", one.place, f"{one.language}: the text is empty")
    for code, text in one.translations.items():
        if code not in LANGUAGES or code == one.language:
            why = "its own language" if code == one.language else "not a language pst knows"
            yield Finding("ignored-translation", one.place, f"{display(code)}: {why}")
        elif not text.strip():
            yield Finding("empty-text", one.place, f"{code}: the translation is empty")
    for code, text in texts.items():
        if why_not := wrong_script(code, text):
            yield Finding("wrong-script", one.place, f"{code}: {why_not}")


def _tallies(
    utterances: Iterable[Utterance], lengths: Lengths
) -> tuple[dict[str, Tally], dict[tuple[str, str], Tally]]:
    """Counts by language, and by direction for what has text; in pst's own order."""
    languages: dict[str, Tally] = defaultdict(Tally)
    directions: dict[tuple[str, str], Tally] = defaultdict(Tally)
    for one in utterances:
        seconds = lengths.of(one)
        languages[one.language].add(one, seconds)
        for target in one.texts():
            directions[one.language, target].add(one, seconds)
    order = list(LANGUAGES)
    return (
        dict(sorted(languages.items(), key=lambda item: order.index(item[0]))),
        dict(sorted(directions.items(), key=lambda item: [order.index(code) for code in item[0]])),
    )
