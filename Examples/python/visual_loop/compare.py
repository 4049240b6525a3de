"""How much two pictures of one size differ, and where.

The score is the structural similarity (SSIM, Wang et al. 2004: Gaussian windows of sigma 1.5, mean over pixels and colours) of
scikit-image: 1 for equal pictures. A mostly white page scores high against any other mostly white one, so that what matters is
the last few hundredths; the regions tell what is missing in them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from PIL import Image, ImageDraw, ImageFont, ImageOps
from skimage.measure import label, regionprops
from skimage.metrics import structural_similarity

from .render import check_size

# The window of SSIM has 11 pixels.
SMALLEST_SIDE = 16
# A channel that differs by less than this, of 255, is taken for the same colour in another rounding or antialiasing.
TOLERANCE = 24
# Regions are found on cells of so many pixels, so that the letters of a line are one.
CELL = 8
MOST_REGIONS = 6
# A colour of so much of the target is looked up in the render, and told if it is another.
LARGE_AREA = 0.02
MOST_TINTS = 4


@dataclass(frozen=True)
class Region:
    """A box in which pictures differ, in pixels from the top left."""

    left: int
    top: int
    right: int
    bottom: int
    share: float
    """Its part of all difference, 0 to 1."""
    target: str
    render: str
    """The mean colours in it, as #rrggbb."""


@dataclass(frozen=True)
class Tint:
    """A plain area whose colour is a little off: less than what makes a region."""

    share: float
    """Its part of the picture, 0 to 1."""
    target: str
    render: str
    """The colour there, as #rrggbb; the render's is the median."""


@dataclass
class Comparison:
    """What came of comparing a render with its target."""

    score: float
    """SSIM; 1 is equal, 0 and less is unlike."""
    differing: float
    """The share of pixels that differ by more than `TOLERANCE`."""
    regions: list[Region]
    """The largest differences, the largest first."""
    tints: list[Tint]
    """Large areas in slightly wrong colours, the largest first."""
    picture: Image.Image
    """The target in pale grey, what differs in red, the regions with their numbers."""


def load_picture(source: str | Path | bytes | Image.Image, width: int | None = None) -> Image.Image:
    """A picture as RGB: upright, alpha on white, scaled to `width` if one is given. ValueError for what is none, or too large."""
    try:
        opened = io.BytesIO(source) if isinstance(source, bytes) else source
        picture = opened if isinstance(opened, Image.Image) else Image.open(opened)
        check_size(*picture.size)
        picture = ImageOps.exif_transpose(picture)
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            above = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
        picture = picture.convert("RGB")
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{'the picture' if isinstance(source, (bytes, Image.Image)) else source}: {error}") from error
    if width is not None and width != picture.width:
        height = max(1, round(picture.height * width / picture.width))
        check_size(width, height)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    check_size(*picture.size)
    if min(picture.size) < SMALLEST_SIDE:
        raise ValueError(f"a picture of {picture.width} x {picture.height} pixels; {SMALLEST_SIDE} a side are the least")
    return picture


def similarity(target: Image.Image, render: Image.Image) -> tuple[float, Any]:
    """SSIM and its map, [height, width] or [height, width, 3], of two pictures of one size and mode."""
    a, b = (numpy.asarray(picture, dtype=numpy.float32) / 255 for picture in (target, render))
    score, each = structural_similarity(
        a, b, data_range=1.0, channel_axis=2 if a.ndim == 3 else None, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )
    return float(score), each


def compare(target: Image.Image, render: Image.Image) -> Comparison:
    """Compares two RGB pictures of one size."""
    if target.size != render.size:
        raise ValueError(f"the target has {target.width} x {target.height} pixels, the render {render.width} x {render.height}")
    score, _ = similarity(target, render)
    a, b = numpy.asarray(target), numpy.asarray(render)
    distance = numpy.abs(a.astype(numpy.int16) - b).max(axis=2)
    regions = _regions(a, b, distance)
    differing = float((distance > TOLERANCE).mean())
    return Comparison(score, differing, regions, _tints(a, b), _picture(target, distance, regions))


def _regions(target: Any, render: Any, distance: Any) -> list[Region]:
    height, width = distance.shape
    weight = numpy.where(distance > TOLERANCE, distance, 0)
    padded = numpy.pad(weight, ((0, -height % CELL), (0, -width % CELL)))
    cells = padded.reshape(padded.shape[0] // CELL, CELL, padded.shape[1] // CELL, CELL).sum(axis=(1, 3), dtype=numpy.float64)
    total = cells.sum()
    if total == 0:
        return []
    found = regionprops(label(cells > 0, connectivity=2), intensity_image=cells)
    weights = [each.mean_intensity * each.area for each in found]
    regions = []
    for index in sorted(range(len(found)), key=lambda index: -weights[index])[:MOST_REGIONS]:
        top, left, bottom, right = (int(side) * CELL for side in found[index].bbox)
        bottom, right = min(bottom, height), min(right, width)
        colours = [_hex(pixels[top:bottom, left:right].mean(axis=(0, 1))) for pixels in (target, render)]
        regions.append(Region(left, top, right, bottom, round(weights[index] / total, 4), *colours))
    return regions


def _tints(target: Any, render: Any) -> list[Tint]:
    packed = (target.astype(numpy.uint32) @ numpy.array([65536, 256, 1], dtype=numpy.uint32)).ravel()
    colours, counts = numpy.unique(packed, return_counts=True)
    tints = []
    for index in numpy.argsort(-counts)[:MOST_TINTS]:
        if counts[index] < LARGE_AREA * packed.size:
            break
        there = numpy.median(render.reshape(-1, 3)[packed == colours[index]], axis=0)
        wanted = numpy.array([colours[index] >> shift & 255 for shift in (16, 8, 0)], dtype=numpy.float64)
        if 1 < numpy.abs(wanted - there).max() <= TOLERANCE:
            tints.append(Tint(round(float(counts[index] / packed.size), 4), _hex(wanted), _hex(there)))
    return tints


def _hex(colour: Any) -> str:
    return "#%02x%02x%02x" % tuple(round(float(value)) for value in colour)


def _picture(target: Image.Image, distance: Any, regions: list[Region]) -> Image.Image:
    grey = 255 - (255 - numpy.asarray(target.convert("L"), dtype=numpy.float32)) * 0.3
    strength = numpy.where(distance > TOLERANCE, 0.35 + 0.65 * distance / 255.0, 0)[..., None]
    mixed = grey[..., None] * (1 - strength) + numpy.array([214, 0, 48], dtype=numpy.float32) * strength
    picture = Image.fromarray(mixed.round().astype(numpy.uint8))
    draw = ImageDraw.Draw(picture)
    font = _font(max(13, picture.width // 70))
    for number, region in enumerate(regions, 1):
        draw.rectangle((region.left, region.top, region.right - 1, region.bottom - 1), outline=(0, 60, 200), width=2)
        box = draw.textbbox((0, 0), str(number), font=font)
        x = min(region.left, max(0, picture.width - box[2] - 6))
        y = min(region.top, max(0, picture.height - box[3] - 6))
        draw.rectangle((x, y, x + box[2] + 5, y + box[3] + 5), fill=(0, 60, 200))
        draw.text((x + 3, y + 2), str(number), font=font, fill="white")
    return picture


def _font(size: int) -> Any:
    try:
        return ImageFont.truetype("DejaVuSans-Bold.ttf", size)
    except OSError:
        return ImageFont.load_default()
