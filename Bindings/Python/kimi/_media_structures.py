"""The prototypes of kimi.h's section on pictures and videos."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_void_p
from typing import Any

_handle, _status = c_void_p, c_int32
_pointer_out = ctypes.POINTER(c_void_p)
_text = [c_char_p, c_size_t]
# What is made, and the error.
_made = [_pointer_out, _pointer_out]
_integer_out = ctypes.POINTER(c_int64)
_rows = [ctypes.POINTER(c_float), c_size_t, ctypes.POINTER(c_size_t), _pointer_out]

# name: (result, arguments)
MEDIA_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "kimi_image_from_bytes": (_status, [c_void_p, c_size_t, *_made]),
    "kimi_image_from_path": (_status, [*_text, *_made]),
    "kimi_image_from_url": (_status, [*_text, *_made]),
    "kimi_image_from_pixels": (_status, [c_void_p, c_size_t, c_int64, c_int64, c_int32, c_size_t, *_made]),
    "kimi_image_width": (c_int64, [_handle]),
    "kimi_image_height": (c_int64, [_handle]),
    "kimi_image_url": (c_char_p, [_handle]),
    "kimi_image_digest": (c_char_p, [_handle]),
    "kimi_image_destroy": (None, [_handle]),
    "kimi_video_from_path": (_status, [*_text, *_made]),
    "kimi_video_from_bytes": (_status, [c_void_p, c_size_t, *_made]),
    "kimi_video_from_frames": (_status, [_pointer_out, ctypes.POINTER(c_double), c_size_t, *_made]),
    "kimi_video_url": (c_char_p, [_handle]),
    "kimi_video_destroy": (None, [_handle]),
    "kimi_media_tokens": (_status, [_handle, c_int64, c_int64, _integer_out, _pointer_out]),
    "kimi_video_tokens": (_status, [_handle, c_double, c_double, c_int64, c_int64, _integer_out, _integer_out, _pointer_out]),
    "kimi_model_encode_image": (_status, [_handle, _handle, *_rows]),
    "kimi_model_encode_video": (_status, [_handle, _handle, *_rows]),
    "kimi_tool_result_add_image": (_status, [_handle, _handle, _pointer_out]),
}
