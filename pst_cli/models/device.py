"""Where a host runs and in which numbers."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch

from pst_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICES = ("auto", "cpu", "cuda", "mps")
NUMBERED = re.compile(r"(?P<kind>cpu|cuda|mps)(:(?P<number>[0-9]+))?")
# As torch says it of a processor, of mps and of cuBLAS.
OUT_OF_MEMORY = ("allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


class Place(NamedTuple):
    """A device, and the numbers that are computed in on it."""

    device: str
    dtype: torch.dtype


def choose_place(device: str, dtype: str) -> Place:
    """What `--device` and `--dtype` ask for; raises UsageError as the two below do."""
    chosen = choose_device(device)
    return Place(chosen, choose_dtype(dtype, chosen))


def numbers(dtype: torch.dtype) -> str:
    """As `--dtype` names them."""
    return str(dtype).removeprefix("torch.")


def choose_device(name: str) -> str:
    """The device that `name` asks for; "auto" is CUDA where there is one, else the processor.

    Raises UsageError where it is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    match = NUMBERED.fullmatch(name)
    if match is None:
        hint = f"one of {', '.join(DEVICES)}, or cuda:N"
        raise UsageError(f"--device {name}: no such device", hint=hint)
    present = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    kind, number = match["kind"], int(match["number"] or 0)
    if number >= present[kind]:
        raise UsageError(f"--device {name}: PyTorch finds none here", hint="use --device cpu")
    return name if kind == "cuda" else kind


def choose_dtype(name: str, device: str) -> torch.dtype:
    """The numbers that `name` asks for; "auto" is the fastest that `device` computes natively.

    On a processor that multiplies bfloat16 itself (AVX-512 BF16 or AMX) an encoder takes two thirds
    of the time of float32, and a draft of five is verified in little more than one token is: 20
    pages take base-m2m and its KVSPN 5.3 s and 6.5 (2 cores). On others it is emulated and slower.
    """
    if name == "auto":
        if device != "cpu":
            return torch.float16
        return torch.bfloat16 if multiplies_bfloat16() else torch.float32
    if name not in DTYPES:
        choices = ", ".join(["auto", *DTYPES])
        raise UsageError(f"--dtype {name}: not a number format", hint=f"one of {choices}")
    if name == "float16" and device == "cpu":
        hint = "use --dtype bfloat16 or float32"
        raise UsageError("--dtype float16 is slow and imprecise on a processor", hint=hint)
    return DTYPES[name]


def emulates(place: Place) -> bool:
    """Whether a processor computes in numbers that it does not know itself, which is slow."""
    return place.device == "cpu" and place.dtype == torch.bfloat16 and not multiplies_bfloat16()


def multiplies_bfloat16() -> bool:
    """Whether this processor knows bfloat16 itself (AVX-512 BF16, AMX); others emulate it."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def out_of_memory(error: Exception) -> bool:
    """Whether that is what `error` says."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


@contextmanager
def fitting(what: str, hint: str) -> Iterator[None]:
    """ModelError "out of memory `what`" where something within does not fit; others pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise ModelError(f"out of memory {what}", hint=hint) from error
