"""How good a translation is: BLEU, chrF and TER by sacreBLEU, each with its signature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Scores:
    """Corpus scores in percent; for TER less is better. `signatures` tell how they were made."""

    bleu: float
    chrf: float
    ter: float
    signatures: Mapping[str, str]


def score(hypotheses: Sequence[str], references: Sequence[str], target: str) -> Scores:
    """Score one text against one reference each; `target` chooses the tokenizer.

    BLEU splits Chinese into characters ("zh") and other languages as mteval-13a does; TER does the
    same by its switches for Asian scripts. The wrong one is off by a factor, not by a point.
    Raises UsageError where the counts differ or there is nothing to score.
    """
    if not hypotheses or len(hypotheses) != len(references):
        raise UsageError(
            f"{len(hypotheses)} texts cannot be scored by {len(references)} references"
        )
    from sacrebleu.metrics import BLEU, CHRF, TER

    chinese = target == "zh"
    metrics = {
        "bleu": BLEU(tokenize="zh" if chinese else "13a"),
        "chrf": CHRF(),
        "ter": TER(normalized=chinese, asian_support=chinese),
    }
    found = {
        name: metric.corpus_score(list(hypotheses), [list(references)]).score
        for name, metric in metrics.items()
    }
    signatures = {name: str(metric.get_signature()) for name, metric in metrics.items()}
    return Scores(**found, signatures=signatures)
