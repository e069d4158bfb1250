"""The figures of a race: a row for each contender, and in words what they mean."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from statistics import median_low
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pst_cli.bench.lanes import Contender, Kind, Lap, Said
    from pst_cli.bench.timing import Split
    from pst_cli.models.context import Context

Range = tuple[float, float]  # least and most over the rounds
UNSTEADY = 0.25  # spread of plain's rounds over their median; above, the machine was busy
EXACT_DTYPE = "float32"
HEARING = ("features", "encoder", "drafter_encoder")  # fields of Split before decoding
CUT_SHORT = 0.8  # of plain's tokens; a peer that says less did other work


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contender. Times are of its middle round; None where a figure does not apply."""

    method: str
    kind: Kind
    lossy: bool = False
    ms_per_token: float | None = None  # decoder time alone: no features, no encoder
    ms_per_token_spread: Range | None = None
    speedup: float | None = None  # plain's ms per token over this one's
    speedup_spread: Range | None = None  # round by round
    rtf: float | None = None  # everything, over the seconds of sound heard
    rtf_spread: Range | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)  # split; adds up to the total
    seconds_total: float | None = None
    tokens: int = 0
    forwards: int | None = None  # calls of the host; a batch shares one, prompts have their own
    passes: int | None = None  # the same counted for each row alone, prompts left out
    drafted: int | None = None
    accepted: int | None = None
    acceptance_rate: float | None = None
    mean_acceptance_length: float | None = None  # tokens a pass, bonus included
    accepted_histogram: Mapping[int, int] | None = None  # accepted in a pass: how many passes
    expected_speedup: float | None = None
    loop_ms_per_pass: float | None = None
    exact_match_windows: float | None = None
    exact_match_tokens: float | None = None
    peak_mb: float | None = None
    bleu: float | None = None
    chrf: float | None = None
    ter: float | None = None
    signatures: Mapping[str, str] | None = None
    includes: str = ""
    failed: str | None = None  # why there are no figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole bench, as `pst bench --json` prints it."""

    host: str
    device: str
    dtype: str
    target: str
    source: str | None
    machine: Mapping[str, Any]
    threads: int
    files: int
    windows: int
    audio_seconds: float  # of the windows, which is what was heard
    file_seconds: float
    rounds: int
    batch_size: int
    beams: int
    context: Context  # what windows were padded to; peers always fill 30 s
    memory: str  # what peak_mb means
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    versions: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        return asdict(self)


def row(contender: Contender, laps: Sequence[Lap], plain: Sequence[Lap], seconds: float) -> Row:
    """The figures of `laps`, one a round, beside those of plain decoding; `seconds` of sound."""
    middle = _middle(laps)
    tokens, split = middle.tokens, _heard_evenly(middle.split, [lap.split for lap in laps])
    own = contender.kind != "peer"
    return Row(
        method=contender.name,
        kind=contender.kind,
        lossy=contender.lossy,
        ms_per_token=_pace(middle),
        ms_per_token_spread=_spread([_pace(lap) for lap in laps]),
        speedup=_ratio(_pace(_middle(plain)), _pace(middle)),
        speedup_spread=_spread(
            [_ratio(_pace(one), _pace(lap)) for one, lap in zip(plain, laps, strict=True)]
        ),
        rtf=split.total / seconds,
        rtf_spread=_spread([split.total / seconds, *(lap.split.total / seconds for lap in laps)]),
        seconds=asdict(split),
        seconds_total=split.total,
        tokens=tokens,
        exact_match_windows=exact_windows(middle.rows, _middle(plain).rows),
        exact_match_tokens=exact_tokens(middle.rows, _middle(plain).rows),
        peak_mb=max((lap.peak for lap in laps if lap.peak is not None), default=None),
        includes=contender.includes,
        **(_drafting(middle, _middle(plain)) if own else {}),
    )


def _drafting(lap: Lap, plain: Lap) -> dict[str, Any]:
    """What only pst's own lanes can tell: passes and drafts."""
    passes = sum(row.passes for row in lap.rows)
    drafted = sum(row.drafted for row in lap.rows)
    accepted = [count for row in lap.rows for count in row.accepted]
    length = 1 + sum(accepted) / passes if passes else None
    return {
        "forwards": lap.forwards,
        "passes": passes,
        "drafted": drafted,
        "accepted": sum(accepted),
        "acceptance_rate": _ratio(sum(accepted), drafted),
        "mean_acceptance_length": length,
        "accepted_histogram": dict(sorted(Counter(accepted).items())),
        "expected_speedup": expected_speedup(length, lap, plain) if drafted else None,
        "loop_ms_per_pass": _ratio(1000 * lap.split.other, lap.forwards),
    }


def expected_speedup(length: float | None, lap: Lap, plain: Lap) -> float | None:
    """What theory gives: tokens a pass over the cost of a pass with its draft.

    Leviathan et al. (arXiv 2211.17192, theorem 3.8) with the measured mean acceptance length in
    place of (1 - a^(g+1)) / (1 - a), and drafting counted in plain's passes: a wide pass is taken
    to cost what a narrow one does, and the loop nothing. What is measured below it went there.
    """
    if length is None or not lap.forwards or not plain.forwards:
        return None
    narrow = plain.split.verify / plain.forwards
    drafting = lap.split.draft / lap.forwards
    return _ratio(length * narrow, narrow + drafting)


def exact_windows(rows: Sequence[Said], plain: Sequence[Said]) -> float:
    """The share of windows whose tokens are plain's to the last one."""
    same = sum(one.tokens == other.tokens for one, other in zip(rows, plain, strict=True))
    return same / len(rows)


def exact_tokens(rows: Sequence[Said], plain: Sequence[Said]) -> float:
    """The share of tokens before the first that differs from plain's, window by window."""
    agreed = whole = 0
    for one, other in zip(rows, plain, strict=True):
        whole += max(len(one.tokens), len(other.tokens))
        for mine, theirs in zip(one.tokens, other.tokens, strict=False):
            if mine != theirs:
                break
            agreed += 1
    return agreed / whole if whole else 1.0


def notes(rows: Sequence[Row], dtype: str) -> list[str]:
    """What the figures say, in words."""
    plain = rows[0]
    told = [text for row in rows if (text := _slower(row, plain))] + _differing(rows, dtype)
    told += [text for row in rows if (text := _cut_short(row, plain))]
    if plain.ms_per_token and plain.ms_per_token_spread:
        least, most = plain.ms_per_token_spread
        if (most - least) / plain.ms_per_token > UNSTEADY:
            told.append(
                f"plain's own rounds lie between {least:.1f} and {most:.1f} ms/token: the machine "
                "was busy with other work, so read differences of that size as noise"
            )
    return told


def _slower(row: Row, plain: Row) -> str:
    """A word on an own method that does not pay."""
    if row.kind == "peer" or row.speedup is None or row.method == "plain":
        return ""
    if row.speedup >= 1:
        heard = row.seconds["drafter_encoder"]
        if not (heard and row.seconds_total and plain.seconds_total):
            return ""
        if row.seconds_total <= plain.seconds_total:
            return ""
        return (
            f"{row.method} is slower than plain from sound to text: {row.seconds_total:.1f} s for "
            f"{plain.seconds_total:.1f}, {heard:.1f} of them in an encoder of its own"
        )
    held = "" if row.acceptance_rate is None else f", {row.acceptance_rate:.0%} of its drafts hold"
    said = f"{row.method} is slower than plain here: {row.speedup:.2f}x{held}"
    if row.speedup_spread and row.speedup_spread[1] >= 1:
        return f"{said}; within the spread of the rounds"
    return said


def _cut_short(row: Row, plain: Row) -> str:
    """A word on a peer whose pace is that of another text."""
    if row.kind != "peer" or row.failed or row.tokens >= CUT_SHORT * plain.tokens:
        return ""
    return (
        f"{row.method} said {row.tokens} tokens where plain said {plain.tokens}: "
        "its ms/token does not compare"
    )


def _differing(rows: Sequence[Row], dtype: str) -> list[str]:
    """Words on output that is not plain's, one line a cause."""
    other = [row for row in rows if row.kind != "peer" and row.exact_match_windows not in (None, 1)]
    sums = "a pass over several tokens adds up in another order than a pass over one, and "
    if dtype == EXACT_DTYPE:
        sums += "a near-tie fell the other way"
    else:
        sums += f"{dtype} rounds near-ties the other way (float32 hardly ever does)"
    causes = {True: "--top-k above 1 is lossy by choice", False: sums}
    told = []
    for lossy, cause in causes.items():
        named = [
            f"{row.method} in {1 - (row.exact_match_windows or 0.0):.0%}"
            for row in other
            if row.lossy is lossy
        ]
        if named:
            told.append(f"not plain's words in every window: {', '.join(named)}: {cause}")
    return told


def _middle(laps: Sequence[Lap]) -> Lap:
    """The lap of the middle round by decoder time, of two the faster: a round that was run."""
    wanted = median_low(lap.split.decode for lap in laps)
    return next(lap for lap in laps if lap.split.decode == wanted)


def _heard_evenly(split: Split, rounds: Sequence[Split]) -> Split:
    """`split` with the middle figure of each part of hearing.

    pst's own lanes share what is heard in a round: whose middle round is which must not matter.
    """
    heard = {name: median_low(getattr(one, name) for one in rounds) for name in HEARING}
    return replace(split, **heard)


def _pace(lap: Lap) -> float | None:
    """Milliseconds of decoder time a token."""
    return _ratio(1000 * lap.split.decode, lap.tokens)


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _spread(values: Sequence[float | None]) -> Range | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None
