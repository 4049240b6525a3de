"""Screen recordings, made as they are watched."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Iterable

import av
from PIL import Image

RATE = 10


def record(path: Path, frames: Iterable[Image.Image], codec: str = "libx264") -> Path:
    """Writes frames at ten a second."""
    with av.open(str(path), "w") as container:
        stream = None
        for picture in frames:
            if stream is None:
                stream = container.add_stream(codec, rate=RATE)
                stream.width, stream.height = picture.size
                stream.pix_fmt = "yuv420p"
                stream.time_base = Fraction(1, RATE)
                stream.options = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx" else {"preset": "veryfast"}
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        if stream is not None:
            container.mux(stream.encode())
    return path


def still(picture: Image.Image, seconds: float) -> list[Image.Image]:
    """A picture that stands for some time."""
    return [picture] * round(seconds * RATE)


def pointer(picture: Image.Image, steps: int) -> list[Image.Image]:
    """A mouse pointer that crosses a picture."""
    frames = []
    for step in range(steps):
        frame = picture.copy()
        x = 10 + step * (picture.width - 40) // steps
        frame.paste("black", (x, 60, x + 10, 76))
        frames.append(frame)
    return frames
