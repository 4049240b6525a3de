"""The states of a page in a screen recording: frames at which something has changed and then stands still.

Films are cut, pages are not: a menu opens in a corner of the picture, and detectors of cuts, which look at the colours of whole
frames, pass over it. So sampled frames are compared by the map of SSIM, and a state is a stretch without change; it is shown by
its last frame, when all movement has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import av
import numpy
from PIL import Image

from .compare import similarity
from .render import check_size

SAMPLES_PER_SECOND = 4.0
LONGEST_SECONDS = 600.0
# What is shorter was on its way to something else.
_LEAST_SECONDS = 0.5
_COMPARED_WIDTH = 640
# Frames that nowhere differ by more, of 255, need no closer look.
_NOISE = 12
# Below this the neighbourhood of a pixel has changed; codecs' noise stays above. A plain area in another colour is similar to what
# it was, and has changed if a channel differs by more than this, of 255.
_CHANGED_SIMILARITY = 0.6
_CHANGED_COLOUR = 32
# A mouse pointer covers less of a picture, an opened menu more.
_CHANGED_SHARE = 0.005


@dataclass(frozen=True)
class KeyFrame:
    """A state in a recording."""

    picture: Image.Image
    """RGB."""
    begin: float
    """Seconds at which the state is first seen."""
    end: float
    """Seconds of the frame that shows it."""


def key_frames(path: Path | str, most: int = 6) -> list[KeyFrame]:
    """The states of a recording in order, the first and the last of them always, `most` of all. ValueError for what is no video,
    or is too long or too large."""
    if most < 2:
        raise ValueError(f"{most} states; 2 are the least")
    found: list[tuple[KeyFrame, Any]] = []
    first: Any = None
    begin = 0.0
    last: tuple[float, Image.Image, Any] | None = None

    def close(seconds: float, picture: Image.Image, small: Any, always: bool) -> None:
        if (always or seconds - begin >= _LEAST_SECONDS) and not any(_change(small, known) == 0 for _, known in found):
            found.append((KeyFrame(picture, begin, seconds), small))

    for seconds, picture in _samples(Path(path)):
        small = _small(picture)
        if last is None:
            first = small
        elif picture.size != last[1].size:
            raise ValueError(f"{path}: the picture's size changes at {seconds:.1f} s")
        elif _change(small, last[2]) or _change(small, first):
            close(*last, always=not found)
            first, begin = small, seconds
        last = seconds, picture, small
    if last is None:
        raise ValueError(f"{path}: there is no picture in it")
    close(*last, always=True)
    while len(found) > most:
        # The one that adds least to the one before it.
        least = min(range(1, len(found) - 1), key=lambda index: _change(found[index][1], found[index - 1][1]))
        del found[least]
    return [frame for frame, _ in found]


def _samples(path: Path) -> Iterator[tuple[float, Image.Image]]:
    """Frames at least a quarter of a second apart, and the last one."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path}: there is no video in it")
            stream = container.streams.video[0]
            check_size(stream.codec_context.width, stream.codec_context.height)
            stream.thread_type = "AUTO"
            begin: float | None = None
            wanted = 0.0
            skipped: tuple[float, Any] | None = None
            for frame in container.decode(stream):
                if frame.time is None:
                    continue
                begin = frame.time if begin is None else begin
                seconds = frame.time - begin
                if seconds > LONGEST_SECONDS:
                    raise ValueError(f"{path}: longer than {LONGEST_SECONDS / 60:g} minutes")
                if seconds < wanted:
                    skipped = seconds, frame
                    continue
                wanted, skipped = seconds + 1 / SAMPLES_PER_SECOND - 1e-3, None
                yield seconds, frame.to_image()
            if skipped is not None:
                yield skipped[0], skipped[1].to_image()
    except av.AVError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error


def _small(picture: Image.Image) -> Image.Image:
    """A picture to compare, not so small that a letter is lost."""
    width = min(picture.width, _COMPARED_WIDTH)
    height = max(16, round(picture.height * width / picture.width))
    return picture.resize((max(16, width), height), Image.Resampling.BOX)


def _change(a: Image.Image, b: Image.Image) -> float:
    """How much of the picture has changed; 0 for less than a mouse pointer."""
    distance = numpy.abs(numpy.asarray(a, dtype=numpy.int16) - numpy.asarray(b)).max(axis=2)
    if distance.max() <= _NOISE:
        return 0.0
    _, each = similarity(a.convert("L"), b.convert("L"))
    share = float(numpy.mean((each < _CHANGED_SIMILARITY) | (distance > _CHANGED_COLOUR)))
    return share if share > _CHANGED_SHARE else 0.0
