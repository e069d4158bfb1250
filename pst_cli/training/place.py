"""Where a run is: one processor or GPU, or several that `accelerate launch` or torchrun started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import torch

from pst_cli.errors import UsageError
from pst_cli.training.course import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

Precision = Literal["float32", "bfloat16"]
PRECISIONS: Sequence[Precision] = ("float32", "bfloat16")


def accelerator(precision: Precision, device: str) -> Any:
    """Hugging Face's Accelerator; every call in a process gives one of the same place.

    Raises UsageError where the package is not installed.
    """
    try:
        from accelerate import Accelerator
    except ImportError as error:
        hint = "pip install 'pst_cli[train]'"
        raise UsageError("training needs the packages accelerate and peft", hint=hint) from error
    if precision == "bfloat16":
        torch.set_float32_matmul_precision("high")  # TF32 for what autocast leaves in float32
    return Accelerator(
        mixed_precision="bf16" if precision == "bfloat16" else "no", cpu=device == "cpu"
    )


def part_of(accelerator: Any) -> Part:
    """Which process this is, of how many."""
    return Part(accelerator.process_index, accelerator.num_processes)


def first_process() -> bool:
    """Whether this is the process that writes and talks, or the only one."""
    return int(os.environ.get("RANK", "0")) == 0


def best_device(asked: str) -> str:
    """ "cpu" where it is asked for or there is nothing else, else "auto": Accelerate's choice."""
    faster = torch.cuda.is_available() or torch.backends.mps.is_available()
    return asked if faster else "cpu"


def best_precision(asked: str) -> Precision:
    """For "auto" bfloat16 on CUDA, float32 elsewhere, where it is hardly slower and is exact."""
    if asked == "auto":
        return "bfloat16" if torch.cuda.is_available() else "float32"
    return "bfloat16" if asked == "bfloat16" else "float32"
