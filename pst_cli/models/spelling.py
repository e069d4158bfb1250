"""Text as the tokens a host is taught: prompts, words, times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pst_cli.models.prompts import Ability, prompt
from pst_cli.types import TIMESTAMP_SECONDS, UNSPACED, WINDOW_SECONDS, SpecialTokens

if TYPE_CHECKING:
    from collections.abc import Sequence


class Speller:
    """Spells text with one checkpoint's tokenizer."""

    def __init__(self, tokenizer: Any, tokens: SpecialTokens, ability: Ability) -> None:
        """Take a transformers WhisperTokenizerFast; `ability` decides how prompts ask."""
        self._tokenizer, self.tokens, self.ability = tokenizer, tokens, ability

    def words(self, text: str, language: str) -> list[int]:
        """The tokens of `text`, as Whisper writes it after a prompt or a time."""
        lead = "" if language in UNSPACED else " "
        found = self._tokenizer(lead + text.strip(), add_special_tokens=False)
        return [token for token in found.input_ids if token < self.tokens.end]

    def prompt(self, target: str, source: str | None, *, times: bool) -> list[int]:
        """What asks for `target`; without `times` it says so."""
        asked = prompt(self.tokens, self.ability, target, source)
        return asked if times else [*asked, self.tokens.no_timestamps]

    def timed(
        self, texts: Sequence[str], language: str, spans: Sequence[tuple[float, float]]
    ) -> list[int]:
        """Texts between the times, in seconds, at which they begin and end in the window."""
        spelled = []
        for text, (start, end) in zip(texts, spans, strict=True):
            spelled += [self.time(start), *self.words(text, language), self.time(end)]
        return spelled

    def time(self, seconds: float) -> int:
        """The token of the nearest time a window has."""
        inside = min(max(seconds, 0.0), WINDOW_SECONDS)
        return self.tokens.timestamp_begin + round(inside / TIMESTAMP_SECONDS)
