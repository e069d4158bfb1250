"""A Whisper checkpoint as decoding needs it, read from its files.

transformers reads them too, but its modules take about as long to import as all else that a short
clip costs, so that they are left to training (see `modules`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from pst_cli.errors import ModelError
from pst_cli.models.adapter import CONFIG, EMBEDDING, Adapter, read_json, read_state
from pst_cli.models.pruning.vocabulary import TOKENIZER
from pst_cli.types import SpecialTokens

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch
    from tokenizers import Tokenizer
    from torch import Tensor

GENERATION = "generation_config.json"


@dataclass(frozen=True, slots=True)
class Shape:
    """What config.json says of a Whisper's size, by the names that it has there."""

    vocab_size: int
    d_model: int
    num_mel_bins: int
    encoder_layers: int
    encoder_attention_heads: int
    decoder_layers: int
    decoder_attention_heads: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Of a whole config.json; KeyError where it is no Whisper's."""
        return cls(**{field.name: int(document[field.name]) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Whisper:
    """One checkpoint, and what belongs to it."""

    shape: Shape
    weights: Mapping[str, Tensor]  # by transformers' names, in the file's own numbers
    tokenizer: Tokenizer
    generation: Mapping[str, Any]  # generation_config.json

    def part(self, name: str, device: str, dtype: torch.dtype) -> dict[str, Tensor]:
        """The weights below `name`, by what follows it; copies, unless they are so already.

        Asked for one part after another, they need not lie in memory twice all at once.
        """
        return {
            key.removeprefix(name): tensor.to(device, dtype)
            for key, tensor in self.weights.items()
            if key.startswith(name)
        }


def read_whisper(path: Path, adapter: Path | None = None) -> Whisper:
    """The checkpoint in the directory `path`, the adapter in another merged.

    Raises ModelError where it is damaged, or not the adapter's host.
    """
    from tokenizers import Tokenizer

    change = Adapter.load(adapter) if adapter else None
    weights = change.merged(path) if change else read_state(path)
    document = change.model if change else read_json(path / CONFIG)
    try:
        shape = Shape.of(document)
    except KeyError as error:
        raise unfit(path, f"{CONFIG} has no {error}") from error
    except (ValueError, TypeError) as error:
        raise unfit(path, f"{CONFIG}: {error}") from error
    _check_size(path, shape, weights)
    try:
        tokenizer = Tokenizer.from_file(str(path / TOKENIZER))
    except Exception as error:  # what its Rust raises has no class of its own
        raise unfit(path, f"{TOKENIZER}: {error}") from error
    generation = read_json(path / GENERATION)
    if change:
        generation = change.config.generation(generation)
    return Whisper(shape, weights, tokenizer, generation)


def _check_size(path: Path, shape: Shape, weights: Mapping[str, Tensor]) -> None:
    """ModelError where config.json was written for other weights."""
    if EMBEDDING not in weights:
        raise unfit(path, f"it lacks '{EMBEDDING}'")
    words, size = weights[EMBEDDING].shape
    if (words, size) != (shape.vocab_size, shape.d_model):
        said = f"{shape.vocab_size} tokens of {shape.d_model}"
        raise unfit(path, f"its weights have {words} tokens of {size}, {CONFIG} says {said}")


def unfit(path: Path, reason: str) -> ModelError:
    """What is raised where `path` is no whole Whisper."""
    hint = "check it with `pst models verify`, or name another with --model"
    return ModelError(f"{path} does not load as Whisper: {reason}", hint=hint)


def special_tokens(vocabulary: Mapping[str, int], generation: Mapping[str, Any]) -> SpecialTokens:
    """The ids that prompts and token rules need, by name from the checkpoint's own tokenizer.

    `generation` is its generation_config.json. KeyError where a name is missing.
    """
    languages = {name[2:-2]: index for name, index in (generation.get("lang_to_id") or {}).items()}
    no_timestamps = vocabulary["<|notimestamps|>"]
    silence = vocabulary.get("<|nospeech|>", vocabulary.get("<|nocaptions|>", no_timestamps - 1))
    return SpecialTokens(
        start=vocabulary["<|startoftranscript|>"],
        end=vocabulary["<|endoftext|>"],
        transcribe=vocabulary["<|transcribe|>"],
        translate=vocabulary["<|translate|>"],
        no_speech=silence,
        no_timestamps=no_timestamps,
        timestamp_begin=no_timestamps + 1,
        languages=languages,
        suppressed=tuple(generation.get("suppress_tokens") or ()),
        suppressed_first=tuple(generation.get("begin_suppress_tokens") or ()),
    )
