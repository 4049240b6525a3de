"""From what Python programs hold pictures in to bytes: encoded ones, or rows of pixels. Neither NumPy nor PIL is imported."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Optional, Union


@dataclass(frozen=True)
class Pixels:
    """Rows from the top without gaps, each pixel R, G, B and, with 4 channels, opacity."""

    data: Union[bytes, bytearray, memoryview]
    width: int
    height: int
    channels: int


def is_picture(value: Any) -> bool:
    """Whether this is an image of PIL's or an array, which in a place for pictures can be nothing else."""
    return _is_pil(value) or _is_array(value)


def is_only_picture(value: Any) -> bool:
    """Whether it is a picture wherever it stands: an image of PIL's, or an array [height, width, 3 or 4] of uint8."""
    if not _is_array(value):
        return _is_pil(value)
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        return False
    return view.format == "B" and view.ndim == 3 and view.shape is not None and view.shape[2] in (3, 4)


def pixels(value: Any) -> Optional[Pixels]:
    """The pixels of an image of PIL's or of an array [height, width, 3 or 4] of uint8; None for what is neither.

    TypeError and ValueError say what another array would have to be.
    """
    if _is_pil(value):
        return _of_pil(value)
    return _of_array(value) if _is_array(value) else None


def _is_pil(value: Any) -> bool:
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def _of_pil(image: Any) -> Pixels:
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"the picture's mode is {image.mode}, whose range PIL does not know; scale it to 0 to 255 and convert it to RGB, or "
            "give the file's path or bytes"
        )
    # As opened a picture may lie on its side; what was made of it since is taken to be upright.
    file = sys.modules.get("PIL.ImageFile")
    if file is not None and isinstance(image, file.ImageFile):
        from PIL import ImageOps  # type: ignore[import-not-found, unused-ignore]

        image = ImageOps.exif_transpose(image)
    has_opacity = "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info
    mode = "RGBA" if has_opacity else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    return Pixels(image.tobytes(), image.width, image.height, len(mode))


def _is_array(value: Any) -> bool:
    """Whether it has more dimensions than the bytes of a file. NumPy's bfloat16 and times, say, have no buffer, but a shape."""
    shape = getattr(value, "shape", None)
    return isinstance(shape, tuple) and len(shape) != 1


def _of_array(array: Any) -> Pixels:
    shape = tuple(array.shape)
    try:
        view = memoryview(array)
        kind = view.format
    except (TypeError, ValueError, BufferError):
        raise TypeError(
            f"the picture is {_name(array)} of {getattr(array, 'dtype', 'an unknown type')} that has no buffer of bytes; give "
            "NumPy's, of uint8"
        ) from None
    if kind != "B":
        right = "values from 0 to 255"
        if kind in ("e", "f", "d", "g"):
            right += ": (array * 255).round().astype('uint8'), if they lie between 0 and 1"
        raise TypeError(f"the picture is {_name(array)} of {getattr(array, 'dtype', kind)}; it must be of uint8, with {right}")
    if len(shape) != 3 or shape[2] not in (3, 4):
        right = "[height, width, 3 or 4]"
        if len(shape) == 2:
            right += ": numpy.stack([array] * 3, axis=-1), if it is grey"
        elif len(shape) == 3 and shape[0] in (3, 4):
            right += ": array.transpose(1, 2, 0), if its channels come first"
        elif len(shape) == 4:
            right += "; frames of a video are for kimi.Video"
        raise ValueError(f"the picture is {_name(array)} of shape {list(shape)}; it must be {right}")
    height, width, channels = shape
    if view.c_contiguous and view.nbytes:
        return Pixels(view.cast("B"), width, height, channels)
    return Pixels(view.tobytes(), width, height, channels)


def _name(array: Any) -> str:
    return f"an array ({type(array).__module__.partition('.')[0]}.{type(array).__name__})"


def encoded(value: Any) -> Optional[Union[bytes, bytearray, memoryview]]:
    """The bytes of a file: bytes and all that gives them, such as a one-dimensional array of uint8; None for anything else."""
    if isinstance(value, (bytes, bytearray)):
        return value
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        return None
    if view.ndim != 1 or view.itemsize != 1:
        raise TypeError(f"the bytes are {_name(value)} with items of {view.itemsize} bytes; they must be of uint8")
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()


def pointer(data: Union[bytes, bytearray, memoryview]) -> tuple[Any, int]:
    """What C reads `data` through, and how many bytes; copied only where the memory may not be written to."""
    if isinstance(data, bytes):
        return data, len(data)
    view = memoryview(data)
    if view.readonly or not view.nbytes:
        return bytes(view), view.nbytes
    import ctypes

    return (ctypes.c_char * view.nbytes).from_buffer(view), view.nbytes
