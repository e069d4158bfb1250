"""Where a run is: one processor or GPU, or several that `accelerate launch` or torchrun started."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import torch

from pst_cli.errors import UsageError
from pst_cli.models.device import multiplies_bfloat16
from pst_cli.training.course import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

Precision = Literal["float32", "bfloat16"]
PRECISIONS: Sequence[Precision] = ("float32", "bfloat16")
PACKAGES = ("accelerate", "peft")


def check_packages() -> None:
    """UsageError where one that training needs is not installed."""
    if any(find_spec(name) is None for name in PACKAGES):
        hint = "pip install 'pst_cli[train]'"
        raise UsageError(f"training needs the packages {' and '.join(PACKAGES)}", hint=hint)


def accelerator(precision: Precision, device: str) -> Any:
    """Hugging Face's Accelerator; every call in a process gives one of the same place."""
    from accelerate import Accelerator

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


def best_precision(asked: str, device: str) -> Precision:
    """For "auto" bfloat16 where `device`, as `best_device` has it, multiplies in it; else float32.

    That is CUDA, and processors with AVX-512 BF16 or AMX, where base learns 1.5 times as fast.
    """
    if asked == "auto":
        able = multiplies_bfloat16() if device == "cpu" else torch.cuda.is_available()
        return "bfloat16" if able else "float32"
    return "bfloat16" if asked == "bfloat16" else "float32"
