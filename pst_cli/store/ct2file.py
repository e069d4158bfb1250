"""Reader of CTranslate2 `model.bin` files, memory-mapped.

The format is little-endian (CTranslate2 `python/ctranslate2/specs/model_spec.py`, `_serialize`):
u32 binary version; string spec; u32 spec revision; u32 count; per variable its name, u8 rank, u32
dims, u8 type, u32 bytes, data; then u32 count of aliases, each a pair of names. A string is a u16
length and that many bytes, the last of them NUL.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pst_cli.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt

BINARY_VERSIONS = range(4, 7)  # before 4 a variable had no type of its own
SPEC = "WhisperSpec"
SPEC_REVISIONS = range(1, 4)
DTYPES = ("<f4", "<i1", "<i2", "<i4", "<f2")  # the type id is the place in this row
INTEGERS = ("<i1", "<i2", "<i4")


@dataclass(frozen=True, slots=True)
class Variable:
    """Where one variable lies in the file; `dtype` is numpy's word for its type."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int


class Cursor:
    """A place in the bytes that only moves forward and never past the end."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data = data
        self.path = path
        self.at = 0

    def skip(self, count: int) -> int:
        """Move on by `count` bytes; the offset they start at."""
        start = self.at
        if start + count > len(self.data):
            raise StoreError(
                f"{self.path} is cut short: it ends at byte {len(self.data)} inside a record",
                hint="fetch that file again",
            )
        self.at += count
        return start

    def number(self, kind: str) -> int:
        start = self.skip(struct.calcsize(kind))
        return int(struct.unpack_from(kind, self.data, start)[0])

    def string(self) -> str:
        length = self.number("<H")
        start = self.skip(length)
        return self.data[start : start + length].rstrip(b"\0").decode("utf-8", "replace")


class Ct2File:
    """An open `model.bin` of a Whisper; raises `StoreError` where it is anything else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = _map(path)
        try:
            self.variables = _read(Cursor(self._data, path))
        except BaseException:
            self._data.close()
            raise

    def __enter__(self) -> Ct2File:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._data.close()
        except BufferError:  # an array of it is still alive; the mapping goes with the array
            return

    def variable(self, name: str) -> Variable:
        try:
            return self.variables[name]
        except KeyError:
            raise StoreError(
                f"{self.path} is not a Whisper that pst can read: it has no {name}"
            ) from None

    def scalar(self, name: str) -> int | None:
        return int(self._raw(self.variables[name]).flat[0]) if name in self.variables else None

    def floats(self, name: str) -> npt.NDArray[Any]:
        """The weights called `name`, dequantised where the file holds them as integers.

        A quantised weight is `rint(weight * scale)`: one scale a row (axis 0), one a tensor, or
        one a (row, tap) of a convolution.
        """
        import numpy as np

        variable = self.variable(name)
        values = self._raw(variable)
        if variable.dtype not in INTEGERS:
            return values
        scale = self._raw(self.variable(f"{name}_scale")).astype(np.float32)
        if scale.ndim == 1:
            scale = scale.reshape(-1, *[1] * (values.ndim - 1))
        elif scale.ndim == values.ndim - 1:
            scale = np.expand_dims(scale, 1)
        return values.astype(np.float32) / scale

    def _raw(self, variable: Variable) -> npt.NDArray[Any]:
        import numpy as np

        count = int(np.prod(variable.shape, dtype=np.int64))
        flat = np.frombuffer(self._data, variable.dtype, count, variable.offset)
        return flat.reshape(variable.shape)


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:  # an empty file cannot be mapped
        raise StoreError(f"{path} is empty", hint="fetch that file again") from error


def _read(cursor: Cursor) -> dict[str, Variable]:
    _check_heading(cursor)
    variables: dict[str, Variable] = {}
    for _ in range(cursor.number("<I")):
        variable = _read_variable(cursor)
        variables[variable.name] = variable
    for _ in range(cursor.number("<I")):
        alias, name = cursor.string(), cursor.string()
        if name in variables:
            variables[alias] = variables[name]
    return variables


def _check_heading(cursor: Cursor) -> None:
    version = cursor.number("<I")
    if version not in BINARY_VERSIONS:
        raise StoreError(
            f"{cursor.path} is not a CTranslate2 file that pst can read (version {version})",
            hint="give a directory with model.safetensors instead",
        )
    spec, revision = cursor.string(), cursor.number("<I")
    if spec != SPEC or revision not in SPEC_REVISIONS:
        raise StoreError(
            f"{cursor.path} holds {spec!r} revision {revision}, not a Whisper that pst can read",
            hint="`pst models list` shows the known names",
        )


def _read_variable(cursor: Cursor) -> Variable:
    import numpy as np

    name = cursor.string()
    shape = tuple(cursor.number("<I") for _ in range(cursor.number("<B")))
    kind, size = cursor.number("<B"), cursor.number("<I")
    if kind >= len(DTYPES):
        raise StoreError(
            f"{cursor.path} holds {name} in number format {kind}; "
            "pst reads float32, float16 and int8",
            hint="convert it again with --quantization float16",
        )
    dtype = DTYPES[kind]
    if int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize != size:
        raise StoreError(f"{cursor.path} is damaged: {name} has {size} bytes for shape {shape}")
    return Variable(name, shape, dtype, cursor.skip(size))
