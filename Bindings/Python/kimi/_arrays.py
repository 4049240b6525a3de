"""Room for logits: NumPy arrays if NumPy is installed, else the standard library's `array`."""

from __future__ import annotations

import ctypes
from array import array
from typing import Any

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]


def vector(count: int) -> tuple[Any, Any]:
    """An array of `count` float32 and the C view that fills it."""
    values: Any
    if numpy is not None:
        values = numpy.zeros(count, dtype=numpy.float32)
        return values, values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    values = array("f", bytes(4 * count))
    return values, _view(values)


def _view(values: Any) -> Any:
    return (ctypes.c_float * len(values)).from_buffer(values) if len(values) else None


def rows(values: Any, count: int, width: int) -> Any:
    """`count` rows of `width` out of one array: a matrix, or without NumPy a list of arrays."""
    if numpy is not None:
        return values.reshape(count, width)
    return [values[row * width : (row + 1) * width] for row in range(count)]
