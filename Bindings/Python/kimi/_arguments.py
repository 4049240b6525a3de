"""From Python values to C ones. What C could not hold is refused: ctypes itself would cut it off silently."""

from __future__ import annotations

import ctypes
import math
import operator
import os
from array import array
from typing import Any, Iterable, SupportsFloat, SupportsIndex, Union

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)
UINT64 = (0, 2**64 - 1)
_LARGEST_FLOAT = 3.4028234663852886e38

Text = Union[str, bytes, bytearray]
Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


def integer(value: SupportsIndex, name: str, limits: tuple[int, int] = INT32) -> int:
    """`value` as an int within `limits`; ValueError beyond them, TypeError for what is not an integer."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if not limits[0] <= number <= limits[1]:
        raise ValueError(f"{name} is {number}; it must lie between {limits[0]} and {limits[1]}")
    return number


def real(value: SupportsFloat, name: str) -> float:
    """`value` as a float that C's float can hold; infinities and NaN pass, the library judges them."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    number = float(value)
    if math.isfinite(number) and abs(number) > _LARGEST_FLOAT:
        raise ValueError(f"{name} is {number}; it does not fit a 32-bit float")
    return number


def choice(value: Any, name: str, choices: dict[str, int]) -> int:
    """The number that kimi.h gives to the word `value`."""
    if isinstance(value, str) and value in choices:
        return choices[value]
    raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}")


def text_bytes(text: Text, name: str = "text") -> bytes:
    """UTF-8 bytes of a str; bytes pass as they are and the library checks them."""
    if isinstance(text, str):
        return text.encode("utf-8")
    if isinstance(text, (bytes, bytearray)):
        return bytes(text)
    raise TypeError(f"{name} must be str or bytes, not {type(text).__name__}")


def path_bytes(path: Path) -> bytes:
    """A path as the file system spells it."""
    return os.fsencode(path)


def c_path(path: Path, name: str) -> bytes:
    """The same for a place that ends at its NUL byte: ValueError for a path that has one, or is empty."""
    data = path_bytes(path)
    if not data or b"\0" in data:
        raise ValueError(f"{name} is {path!r}; it must be a path")
    return data


def id_array(ids: Iterable[SupportsIndex], name: str = "ids") -> "array[int]":
    """Token ids as C's int32. ValueError if one does not fit, TypeError if one is not an integer."""
    if isinstance(ids, (str, bytes, bytearray)):
        raise TypeError(f"{name} must be token ids, not {type(ids).__name__}; encode the text first")
    if isinstance(ids, array) and ids.typecode == "i":
        return ids
    try:
        return array("i", [operator.index(id) for id in ids])
    except OverflowError:
        raise ValueError(f"{name} holds a number that is not a 32-bit integer") from None


def id_pointer(ids: "array[int]") -> Any:
    """A C view of an id array, or None for an empty one. It keeps the array alive and stops it from being resized."""
    return (ctypes.c_int32 * len(ids)).from_buffer(ids) if len(ids) else None
