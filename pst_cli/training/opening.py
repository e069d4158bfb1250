"""A model opened for training: its networks, its spelling, its measure of sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pst_cli.models.adapter import read_json
from pst_cli.models.features import LogMel
from pst_cli.models.forced import ForcedHost
from pst_cli.models.modules import read_modules
from pst_cli.models.spelling import Speller
from pst_cli.models.whisper import GENERATION, special_tokens

if TYPE_CHECKING:
    from pst_cli.models.prompts import Ability
    from pst_cli.weights import Checkpoint


@dataclass(frozen=True, slots=True)
class Opened:
    """One checkpoint, in float32."""

    host: ForcedHost
    speller: Speller
    log_mel: LogMel
    config: Any  # transformers' WhisperConfig

    @property
    def unworded(self) -> tuple[int, ...]:
        """What any row may say beside words: the end, and all times."""
        tokens = self.speller.tokens
        return tokens.end, *range(tokens.timestamp_begin, int(self.config.vocab_size))

    @property
    def limit(self) -> int:
        """Tokens that a row can hold."""
        return int(self.config.max_target_positions)


def open_model(checkpoint: Checkpoint, ability: Ability | None = None) -> Opened:
    """Load `checkpoint`; `ability` is what it is to learn, if that is more than it can do.

    Raises ModelError where it does not load.
    """
    model, tokenizer = read_modules(checkpoint.host, torch.float32, checkpoint.adapter)
    generation = read_json(checkpoint.host / GENERATION)
    tokens = special_tokens(tokenizer.get_vocab(), generation)
    speller = Speller(tokenizer, tokens, ability or checkpoint.ability)
    return Opened(ForcedHost(model), speller, LogMel(model.config.num_mel_bins), model.config)
