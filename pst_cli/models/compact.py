"""An adapter's matrices in 8 bits, in its file alone: each beside the scales that give it back.

What is left of a change as a LoRA pair has a scale for each direction, NAME.lora_A by rows and
NAME.lora_B by columns, since strong and weak directions stand side by side; a whole matrix has one
for each output, as the 8 bits have that drafting networks multiply in. What is merged into float16
weights stays float16, whatever these are kept in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pst_cli.models.products import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

DOWN, UP = ".lora_A", ".lora_B"  # (rank, inputs) and (outputs, rank), after a parameter's name
SCALE = ".scale"  # (rank,) or (outputs,), after a matrix's name
HALF, FLOAT = 2, 4  # bytes


def compact(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` with matrices in 8 bits and their scales in float32, and all else in float16."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim != 2:
            found[name] = tensor.to("cpu", torch.float16)
            continue
        whole, found[name + SCALE] = rounded(_turned(name, tensor.cpu()))
        found[name] = _turned(name, whole)
    return found


def restored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `compact` made, matrices in float32 again; anything else as it is."""
    found = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.dtype == torch.int8:
            scale = found.pop(name + SCALE)
            found[name] = _turned(name, _turned(name, tensor).float() * scale[:, None])
    return found


def size(name: str, tensor: Tensor, *, eight: bool) -> int:
    """Bytes of a tensor in an adapter's file, with or without its matrices in 8 bits."""
    if not eight or tensor.ndim != 2:
        return HALF * tensor.numel()
    return tensor.numel() + FLOAT * len(_turned(name, tensor))


def _turned(name: str, tensor: Tensor) -> Tensor:
    """With a row for each scale; turned twice it is as before."""
    return tensor.T if name.endswith(UP) else tensor


def as_fine(tensor: Tensor, host: Tensor) -> Tensor:
    """`tensor` rounded to float16 where `host`, in float32, is float16 but for its type.

    So are the weights on the hub of every Whisper that was published in float16: a model is the
    same whichever copy it is merged from, and what 16 bits hold is read the sooner.
    """
    if tensor is host or host.dtype != torch.float32:
        return tensor
    half = host.half().float()
    return tensor.half().float() if torch.equal(half, host) else tensor
