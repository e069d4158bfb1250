"""Tensors by name in one safetensors file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pst_cli.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write them; RuntimeError (safetensors' own errors are none other) or OSError where not."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    whole = {name: one.detach().cpu().contiguous() for name, one in tensors.items()}
    try:
        save_file(whole, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise RuntimeError(str(error)) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read what `save_tensors` wrote; RuntimeError where it is damaged, OSError where it is not."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise RuntimeError(str(error)) from error


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """As `save_tensors`; OutputError where they cannot be written."""
    try:
        save_tensors(tensors, path)
    except (OSError, RuntimeError) as error:
        hint = "free some space, or write to another disk"
        raise OutputError(f"cannot write {path}: {error}", hint=hint) from error
