"""Layer dropping: which layers stay, and the weights they leave."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

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


def keep_heads(heads: Sequence[Sequence[int]], kept: Sequence[int]) -> list[list[int]]:
    """Alignment heads, [layer, head] each, of the decoder layers `kept`, counted anew."""
    return [[kept.index(layer), head] for layer, head in heads if layer in kept]


def _renamed(name: str, side: str, kept: Sequence[int]) -> str | None:
    """The name of a tensor once `side` has only `kept`; None where it goes."""
    layer = LAYER.search(name)
    if layer is None or f"{side}.layers." not in name:
        return name
    if int(layer[0]) not in kept:
        return None
    return LAYER.sub(str(kept.index(int(layer[0]))), name, count=1)
