"""How good a transcript is: word and character error rates by jiwer, over normalised text."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from pst_cli.language import joined
from pst_cli.types import UNSPACED

if TYPE_CHECKING:
    from collections.abc import Sequence


def error_rates(
    hypotheses: Sequence[str], references: Sequence[str], language: str
) -> tuple[float | None, float | None]:
    """Word and character error rates in percent, over all pairs together; less is better.

    The word error rate is None for Chinese. Pairs whose reference has no letter or digit are left
    out; both are None where that leaves none.
    """
    import jiwer

    pairs = [
        (normalised(said, language), meant)
        for said, reference in zip(hypotheses, references, strict=True)
        if (meant := normalised(reference, language))
    ]
    if not pairs:
        return None, None
    heard, spoken = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    words = None if language in UNSPACED else 100 * float(jiwer.wer(spoken, heard))
    return words, 100 * float(jiwer.cer(spoken, heard))


def normalised(text: str, language: str) -> str:
    """`text` in lower case, without punctuation and symbols, its blanks collapsed.

    As openai/whisper's BasicTextNormalizer, whose punctuation, too, leaves a space behind, so that
    "well-known" is two words; Chinese keeps no space at all.
    """
    plain = unicodedata.normalize("NFKC", text).lower()
    words = "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in plain).split()
    return joined(words, language)


def signature() -> str:
    """How error rates are made, in the manner of sacreBLEU's signatures."""
    from importlib.metadata import version

    return f"case:lc|norm:NFKC|punct:no|symbols:no|version:jiwer-{version('jiwer')}"
