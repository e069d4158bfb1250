"""What stays of a model, and its checkpoint written so that any Whisper program reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pst_cli.export import copy_files, write_json, write_model
from pst_cli.models.adapter import EMBEDDING
from pst_cli.models.host import declared
from pst_cli.models.pruning.layers import keep_heads, keep_layers
from pst_cli.models.pruning.renumber import Renumbering, merges_text
from pst_cli.models.pruning.vocabulary import TOKENIZER, read_kept, write_kept
from pst_cli.models.whisper import GENERATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from pst_cli.weights import Checkpoint

MERGES = "merges.txt"
SPELLING = ("vocab.json", MERGES, "added_tokens.json")  # of older tokenizers, beside TOKENIZER


@dataclass(frozen=True, slots=True)
class Cut:
    """What stays: layers by index, tokens by id, each in order."""

    encoder: Sequence[int]
    decoder: Sequence[int]
    tokens: Sequence[int] | None = None  # None: all
    end: int = 0  # where `tokens` is given, the id of <|endoftext|>

    def apply(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights that stay, under the names they now have."""
        left = keep_layers(state, "encoder", self.encoder)
        left = keep_layers(left, "decoder", self.decoder)
        if self.tokens is not None:
            left[EMBEDDING] = left[EMBEDDING][list(self.tokens)]  # (kept, d_model)
        return left


def write_pruned(
    checkpoint: Checkpoint, source: str, folder: Path, state: Mapping[str, Tensor], cut: Cut
) -> None:
    """Write to `folder` what `cut` leaves of `checkpoint`: `state`, and the files about it.

    `source` is what config.json calls the model it came from. Drafters and the model card stay
    behind: they belong to the whole model. Raises OSError and OutputError where the disk refuses.
    """
    write_model(folder, state, _config(checkpoint, source, cut), checkpoint)
    copy_files(checkpoint.host, folder, SPELLING)
    write_json(folder / GENERATION, keep_heads(checkpoint.generation, cut.decoder))
    if cut.tokens is not None:
        _renumber(folder, cut.tokens, cut.end)


def _config(checkpoint: Checkpoint, source: str, cut: Cut) -> dict[str, Any]:
    """config.json: pst declares what it can do, and its origin, in the ids of that whole model.

    Where the source was cut itself, that is the one that it was cut from.
    """
    config = checkpoint.config
    layers = {"encoder_layers": list(cut.encoder), "decoder_layers": list(cut.decoder)}
    whole = {"source": source, "vocabulary": config["vocab_size"]}
    first = (config.get("pst") or {}).get("pruned") or {}
    named = {
        key: [first[key][index] for index in kept] if key in first else kept
        for key, kept in layers.items()
    }
    pruned = {name: first.get(name, own) for name, own in whole.items()} | named
    if "num_hidden_layers" in config:  # another name of encoder_layers
        config["num_hidden_layers"] = len(cut.encoder)
    return config | {
        **{key: len(kept) for key, kept in layers.items()},
        "pst": {**config.get("pst", {}), "ability": declared(checkpoint.ability), "pruned": pruned},
    }


def _renumber(folder: Path, tokens: Sequence[int], end: int) -> None:
    """Tell every file of `folder` in the new ids, and keep the old ones in a file of their own."""
    renumbering = Renumbering(tokens, end)
    for name, told in renumbering.files().items():
        if (folder / name).is_file():
            write_json(folder / name, told(_read(folder / name)))
    if (folder / MERGES).is_file():
        vocabulary = _read(folder / TOKENIZER)["model"]["vocab"]
        text = merges_text((folder / MERGES).read_text("utf-8"), vocabulary)
        (folder / MERGES).write_text(text, "utf-8")
    first = read_kept(folder)  # where the source was trimmed itself
    write_kept(folder, [first[token] for token in tokens] if first else tokens)


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes())
