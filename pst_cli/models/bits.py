"""bfloat16 in `models.kernels`, for Numba has none: the upper half of a float32, as an int16.

Machine code is kept for as long as `kernels.py` is the same: touch that where this is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import float32, types
from numba.extending import overload

if TYPE_CHECKING:
    from collections.abc import Callable

overloads: Callable[..., Callable[[Callable[..., Any]], Callable[..., Any]]] = overload
HALF = np.int32(0x8000)  # of what the lower half of a float32 comes to


def widened(number: Any) -> Any:
    """A float32 of a number of 8 bits, a float32 or a bfloat16; in what is compiled alone."""
    raise NotImplementedError(number)


def narrowed(number: Any, to: Any) -> Any:
    """A float32 as the array `to` keeps it; in what is compiled alone."""
    raise NotImplementedError(number, to)


@overloads(widened, inline="always")
def _widened(number: Any) -> Callable[[Any], Any]:
    def of_bits(number: Any) -> Any:
        return np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)

    def of_others(number: Any) -> Any:
        return float32(number)

    return of_bits if number == types.int16 else of_others


@overloads(narrowed, inline="always")
def _narrowed(number: Any, to: Any) -> Callable[[Any, Any], Any]:  # noqa: ARG001 - Numba's way
    def to_bits(number: Any, to: Any) -> Any:  # noqa: ARG001
        return np.int16((np.float32(number).view(np.int32) + HALF) >> 16)

    def to_float32(number: Any, to: Any) -> Any:  # noqa: ARG001
        return number

    return to_bits if to.dtype == types.int16 else to_float32
