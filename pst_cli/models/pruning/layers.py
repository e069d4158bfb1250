"""Layer dropping: which layers stay, and the weights they leave."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

HEADS = "alignment_heads"  # in generation_config.json: whose attention tells when a word is said
SIDES = "encoder", "decoder"
LAYER = re.compile(r"(?<=\.layers\.)\d+(?=\.)")


def evenly(layers: int, kept: int) -> list[int]:
    """`kept` of the indices 0 to `layers` - 1: first and last, and between them evenly.

    The paper drops the inner layers so. Where the steps are uneven they are rounded down, and one
    layer alone is the last, whose states the output head knows, both as distil-whisper does
    (huggingface/distil-whisper, training/create_student_model.py). 1 <= kept <= layers.
    """
    if kept == 1:
        return [layers - 1]
    return [place * (layers - 1) // (kept - 1) for place in range(kept)]


def keep_layers(state: Mapping[str, Tensor], side: str, kept: Sequence[int]) -> dict[str, Tensor]:
    """`state` with only the layers `kept` of `side`, "encoder" or "decoder", counted anew."""
    return {new: tensor for name, tensor in state.items() if (new := _renamed(name, side, kept))}


def kept_layers(config: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, list[int]]:
    """By side, which layers of `host` a model pruned of it has, where they are not its first.

    Both are config.json's, and tell what `pst prune` kept, by the layers of one first model.
    """
    found = {}
    for side in SIDES:
        ours, theirs = (_named(one, side) for one in (config, host))
        kept = [theirs.index(layer) for layer in ours if layer in theirs]
        if len(kept) == len(ours) and kept != list(range(len(ours))):
            found[side] = kept
    return found


def _named(config: Mapping[str, Any], side: str) -> list[int]:
    """The layers that are there of `side`, as the first model has them."""
    count = config[f"{side}_layers"]
    kept = ((config.get("pst") or {}).get("pruned") or {}).get(f"{side}_layers") or ()
    return list(kept) if len(kept) == count else list(range(count))


def keep_heads(generation: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """`generation`, a generation_config.json, with the alignment heads of decoder layers `kept`.

    They are [layer, head] each, counted anew; where none is left, nothing is said of them.
    """
    left = {name: value for name, value in generation.items() if name != HEADS}
    known = generation.get(HEADS) or ()
    heads = [[kept.index(layer), head] for layer, head in known if layer in kept]
    return left | ({HEADS: heads} if heads else {})


def _renamed(name: str, side: str, kept: Sequence[int]) -> str | None:
    """The name of a tensor once `side` has only `kept`; None where it goes."""
    layer = LAYER.search(name)
    if layer is None or f"{side}.layers." not in name:
        return name
    if int(layer[0]) not in kept:
        return None
    return LAYER.sub(str(kept.index(int(layer[0]))), name, count=1)
