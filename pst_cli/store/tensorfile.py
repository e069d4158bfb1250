"""Safetensors files, written tensor by tensor and checked by their header alone."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pst_cli.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

LENGTH = struct.Struct("<Q")  # the header's own length, in front of it
ALIGNMENT = 8  # bytes; the header is padded with spaces to a multiple of it
LONGEST_HEADER = 100_000_000  # bytes; the limit of the reference reader
DTYPE_NAMES = {"float16": "F16", "float32": "F32"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor to write; `load` is called when its turn comes, so memory stays flat."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    load: Callable[[], npt.NDArray[Any]]

    @property
    def size(self) -> int:
        """Length in bytes."""
        count = 1
        for dim in self.shape:
            count *= dim
        return count * self.dtype.itemsize


def write(path: Path, tensors: Sequence[Tensor], tick: Callable[[int, int], None]) -> None:
    """Write `tensors`; `tick(done, total)` is told the bytes after each.

    `safetensors.numpy.save_file` would hold the whole model in memory a second time.
    """
    header = _header(tensors)
    total = sum(tensor.size for tensor in tensors)
    done = 0
    with path.open("wb") as file:
        file.write(LENGTH.pack(len(header)) + header)
        for tensor in tensors:
            # Little-endian is the format's only byte order.
            values = tensor.load().astype(tensor.dtype.newbyteorder("<"), order="C", copy=False)
            file.write(values.reshape(-1).view("u1").data)
            done += tensor.size
            tick(done, total)


def _header(tensors: Sequence[Tensor]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + tensor.size
        entries[tensor.name] = {
            "dtype": DTYPE_NAMES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % ALIGNMENT)


def check(path: Path) -> None:
    """Raise `StoreError` unless the file is exactly as long as its header says."""
    try:
        size = path.stat().st_size
        opened = path.open("rb")
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    with opened as file:
        prefix = file.read(LENGTH.size)
        length = LENGTH.unpack(prefix)[0] if len(prefix) == LENGTH.size else LONGEST_HEADER
        if length > min(size - LENGTH.size, LONGEST_HEADER):
            raise StoreError(f"{path} is not a whole safetensors file: its header is cut off")
        text = file.read(length)
    expected = LENGTH.size + length + _end_of_data(path, text)
    if size != expected:
        raise StoreError(f"{path} is damaged: {size} bytes, its header says {expected}")


def _end_of_data(path: Path, text: bytes) -> int:
    try:
        entries = json.loads(text)
        return max(
            (int(e["data_offsets"][1]) for k, e in entries.items() if k != "__metadata__"),
            default=0,
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise StoreError(f"{path} is damaged: its header cannot be read") from error
