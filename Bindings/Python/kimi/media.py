"""Pictures and videos: what a conversation may show to a model with a vision tower."""

from __future__ import annotations

import ctypes
import os
from array import array
from typing import Any, Iterable, Optional, SupportsFloat, SupportsIndex, Union

from ._arguments import INT32, INT64, UINT64, integer, path_bytes, text_bytes
from ._handle import Owned
from ._library import library
from ._pixels import encoded, pixels, pointer
from .errors import Error


class _Medium(Owned):
    """What pictures and videos have in common."""

    #: The C function that tells what stands for the handle in a request.
    _url_of: str

    def _make(self, name: str, *arguments: Any) -> None:
        self._library = library()
        handle = ctypes.c_void_p()
        self._library.call(name, *arguments, ctypes.byref(handle))
        self._handle = handle.value
        self._url = self._read(self._url_of)

    def _read(self, name: str) -> str:
        return (getattr(self._library, name)(self._handle) or b"").decode()

    @property
    def url(self) -> str:
        """What names it in a request, as long as this object is open. A session goes on with what it has seen."""
        return self._url


class Image(_Medium):
    """A picture: pixels, decoded once. It belongs to no model; any thread may use it.

    source: a path (str or os.PathLike) or the bytes of a PNG, JPEG, WebP or GIF (its first frame), an image of PIL's, or an array
    of uint8, [height, width, 3 or 4]. Files, and images of PIL's as they were opened, come out upright as their EXIF says; what is
    transparent is put on white.

    Close it, use it in a `with` block, or let it go: conversations keep what they were shown.
    """

    _release = "kimi_image_destroy"
    _url_of = "kimi_image_url"

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    digest: str
    """SHA-256 of size and pixels: equal for equal pictures, whatever they were made of."""

    def __init__(self, source: Any) -> None:
        if isinstance(source, (str, os.PathLike)):
            if isinstance(source, str) and source[:5].lower() == "data:":
                raise ValueError("a data: URL is no path; kimi.Image.from_url reads it")
            name = path_bytes(source)
            self._finish("kimi_image_from_path", name, len(name))
            return
        found = pixels(source)
        if found is not None:
            data, count = pointer(found.data)
            self._finish("kimi_image_from_pixels", data, count, found.width, found.height, found.channels, 0)
            return
        content = encoded(source)
        if content is None:
            raise TypeError(
                f"a picture is made of a path, bytes, an image of PIL's or an array of uint8, not of {type(source).__name__}"
            )
        self._finish("kimi_image_from_bytes", *pointer(content))

    @classmethod
    def from_url(cls, url: str) -> Image:
        """The picture in a data: URL. Nothing is ever fetched: other URLs are Error, Status.UNSUPPORTED."""
        data = text_bytes(url, "url")
        made = cls.__new__(cls)
        made._finish("kimi_image_from_url", data, len(data))
        return made

    @classmethod
    def from_pixels(
        cls, data: Union[bytes, bytearray, memoryview], width: SupportsIndex, height: SupportsIndex, channels: SupportsIndex = 3,
        stride: SupportsIndex = 0,
    ) -> Image:
        """Pixels as they are, copied: rows from the top, `stride` bytes apart (0: without gaps), of R, G, B and, with 4 channels,
        opacity."""
        content = encoded(data)
        if content is None:
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        made = cls.__new__(cls)
        made._finish(
            "kimi_image_from_pixels", *pointer(content), integer(width, "width", INT64), integer(height, "height", INT64),
            integer(channels, "channels", INT32), integer(stride, "stride", UINT64),
        )
        return made

    def _finish(self, name: str, *arguments: Any) -> None:
        self._make(name, *arguments)
        self.width = int(self._library.kimi_image_width(self._handle))
        self.height = int(self._library.kimi_image_height(self._handle))
        self.digest = self._read("kimi_image_digest")

    def __repr__(self) -> str:
        return f"<kimi.Image {self.width} x {self.height}, {self.digest[:12]}>"


class Video(_Medium):
    """A video: a file, or frames. Which of its frames a model sees is the model's; a file is decoded when it is used.

    source: a path or the bytes of an MP4, MOV, WebM, MKV (by FFmpeg's libraries, where they are installed) or GIF; or frames, each
    anything that `Image` is made of, all of one size.

    timestamps: of frames, their seconds from the beginning, rising or equal; None: they are as far apart as a model samples them.
    """

    _release = "kimi_video_destroy"
    _url_of = "kimi_video_url"

    def __init__(self, source: Any, timestamps: Optional[Iterable[SupportsFloat]] = None) -> None:
        is_path = isinstance(source, (str, os.PathLike))
        shape = getattr(source, "shape", None)
        content = None if is_path or isinstance(shape, tuple) and len(shape) != 1 else encoded(source)
        if timestamps is not None and (is_path or content is not None):
            raise ValueError("timestamps are those of frames; a file has its own")
        if is_path:
            name = path_bytes(source)
            self._make("kimi_video_from_path", name, len(name))
        elif content is not None:
            self._make("kimi_video_from_bytes", *pointer(content))
        elif isinstance(source, Image):
            raise TypeError("a video is made of frames, not of one picture; [picture] has one frame")
        else:
            self._of_frames(source, timestamps)

    def _of_frames(self, source: Any, timestamps: Optional[Iterable[SupportsFloat]]) -> None:
        try:
            frames = iter(source)
        except TypeError:
            raise TypeError(
                f"a video is made of a path, bytes or a sequence of frames, not of {type(source).__name__}"
            ) from None
        pictures = [_frame(number, frame) for number, frame in enumerate(frames)]
        handles = (ctypes.c_void_p * len(pictures))(*(picture._handle for picture in pictures))
        times = None
        if timestamps is not None:
            seconds = array("d", [_seconds(number, time) for number, time in enumerate(timestamps)])
            if len(seconds) != len(pictures):
                raise ValueError(f"{len(seconds)} timestamps for {len(pictures)} frames; there must be one for each")
            times = (ctypes.c_double * len(seconds))(*seconds)
        self._make("kimi_video_from_frames", handles, times, len(pictures))

    def __repr__(self) -> str:
        return f"<kimi.Video {self._url}>"


def _frame(number: int, frame: Any) -> Image:
    """A frame as a picture; errors name it."""
    try:
        return as_image(frame)
    except (TypeError, ValueError) as error:
        raise type(error)(f"frames[{number}]: {error}") from None
    except Error as error:
        raise Error(error.code, f"frames[{number}]: {error.message}", error.name, error.file, f"frames[{number}]") from None


def _seconds(number: int, time: SupportsFloat) -> float:
    try:
        if isinstance(time, (str, bytes)):
            raise TypeError
        return float(time)
    except TypeError:
        raise TypeError(f"timestamps[{number}] must be a number of seconds, not {type(time).__name__}") from None


def as_image(source: Any) -> Image:
    """A picture of anything that is one."""
    return source if isinstance(source, Image) else Image(source)


def as_video(source: Any, timestamps: Optional[Iterable[SupportsFloat]] = None) -> Video:
    """A video of anything that is one."""
    if isinstance(source, Video):
        if timestamps is not None:
            raise ValueError("timestamps are given when the video is made")
        return source
    return Video(source, timestamps)
