"""What a host can be asked for, and the tokens that ask it.

A stock Whisper translates into English by its translate task, which wants the source language. Any
other target is asked for with the target's language token and the transcribe task: that is also how
whisperM2M is prompted (it hears the source by itself), so its weights drop in.
"""

from __future__ import annotations

from enum import Enum

from pst_cli.errors import UsageError
from pst_cli.types import LANGUAGES, SpecialTokens


class Ability(Enum):
    """What a checkpoint was trained to do."""

    ENGLISH_ONLY = "transcribes English only"
    TRANSCRIBE = "transcribes, but never learnt to translate"
    STOCK = "transcribes, and translates into English"
    MANY_TO_MANY = "translates between all six languages"


def check(ability: Ability, model: str, target: str, source: str | None) -> None:
    """Refuse a direction that `ability` cannot do, before anything is decoded.

    Raises UsageError with the remedy.
    """
    if ability is Ability.ENGLISH_ONLY and (source, target) != ("en", "en"):
        hint = "use --model base, or --from en --to en for a transcript of English"
        raise UsageError(f"{model} {ability.value}", hint=hint)
    if ability is Ability.TRANSCRIBE and source != target:
        hint = f"use --model medium, or --from {target} to transcribe {LANGUAGES[target]} speech"
        raise UsageError(f"{model} {ability.value}", hint=hint)


def needs_source(ability: Ability, target: str) -> bool:
    """Whether the prompt itself names the source language."""
    return ability is Ability.STOCK and target == "en"


def untrained(ability: Ability, source: str | None, target: str) -> bool:
    """Whether the direction is one that the host was never trained for."""
    return ability is Ability.STOCK and target not in ("en", source)


def prompt(tokens: SpecialTokens, ability: Ability, target: str, source: str | None) -> list[int]:
    """The prompt for one window; decoding with timestamps goes on from its end.

    `source` may be None where `needs_source` is false.
    """
    if ability is Ability.ENGLISH_ONLY:
        return [tokens.start]
    if needs_source(ability, target) and source not in (None, target):
        assert source is not None
        return [tokens.start, tokens.languages[source], tokens.translate]
    return [tokens.start, tokens.languages[target], tokens.transcribe]
