"""PNG files of every kind of pixel, written byte by byte, with the 8-bit RGB that they show on white."""

import struct
import zlib

import numpy as np

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def packed(samples, depth):
    """Rows of samples [height, width * channels] as PNG has them, each with a filter type in front."""
    rows = []
    for number, row in enumerate(samples):
        if depth == 16:
            data = row.astype(">u2").tobytes()
        elif depth == 8:
            data = row.astype(np.uint8).tobytes()
        else:
            bits = ((row[:, None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(-1)
            data = np.packbits(bits.astype(np.uint8)).tobytes()
        rows.append(b"\0" + data)
    return b"".join(rows)


def png(samples, colour, depth, palette=None, transparency=None, interlaced=False):
    """samples: [height, width, channels]"""
    height, width, channels = samples.shape
    assert channels == CHANNELS[colour]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header)]
    if palette is not None:
        parts.append(chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
    if transparency is not None:
        parts.append(chunk(b"tRNS", transparency))
    if interlaced:
        raw = b""
        for x, y, dx, dy in ADAM7:
            part = samples[y::dy, x::dx]
            if part.size:
                raw += packed(part.reshape(part.shape[0], -1), depth)
    else:
        raw = packed(samples.reshape(height, -1), depth)
    parts += [chunk(b"IDAT", zlib.compress(raw, 9)), chunk(b"IEND", b"")]
    return b"".join(parts)


def eight(samples, depth):
    """Samples of any depth with 8 bits: 16 lose their low byte, few are spread."""
    return samples >> 8 if depth == 16 else samples * (255 // ((1 << depth) - 1))


def on_white(rgb, alpha):
    """Rounded to the nearest."""
    rgb, alpha = rgb.astype(int), alpha.astype(int)[..., None]
    return ((2 * (rgb * alpha + 255 * (255 - alpha)) + 255) // 510).astype(np.uint8)


def cases(random):
    """name, bytes, RGB [height, width, 3]"""
    height, width = 11, 13

    def draw(depth, channels):
        return random.integers(0, 1 << depth, (height, width, channels))

    for interlaced in (False, True):
        suffix = "-interlaced" if interlaced else ""
        for depth in (1, 2, 4, 8, 16):
            grey = draw(depth, 1)
            shown = eight(grey, depth).repeat(3, 2).astype(np.uint8)
            yield f"grey{depth}{suffix}", png(grey, 0, depth, interlaced=interlaced), shown
            key = int(grey[3, 4, 0])
            alpha = np.where(grey[..., 0] == key, 0, 255)
            yield f"grey{depth}-key{suffix}", png(
                grey, 0, depth, transparency=struct.pack(">H", key), interlaced=interlaced
            ), on_white(shown, alpha)
        for depth in (1, 2, 4, 8):
            colours = random.integers(0, 256, (1 << depth, 3))
            index = draw(depth, 1)
            shown = colours[index[..., 0]].astype(np.uint8)
            yield f"palette{depth}{suffix}", png(index, 3, depth, palette=colours, interlaced=interlaced), shown
            opacity = random.integers(0, 256, 1 << depth)
            yield (
                f"palette{depth}-alpha{suffix}",
                png(index, 3, depth, palette=colours, transparency=bytes(opacity.tolist()), interlaced=interlaced),
                on_white(shown, opacity[index[..., 0]]),
            )
        for depth in (8, 16):
            rgb = draw(depth, 3)
            shown = eight(rgb, depth).astype(np.uint8)
            yield f"rgb{depth}{suffix}", png(rgb, 2, depth, interlaced=interlaced), shown
            key = rgb[2, 5]
            alpha = np.where((rgb == key).all(2), 0, 255)
            yield (
                f"rgb{depth}-key{suffix}",
                png(rgb, 2, depth, transparency=struct.pack(">3H", *key.tolist()), interlaced=interlaced),
                on_white(shown, alpha),
            )
            pair = draw(depth, 2)
            yield (
                f"grey{depth}-alpha{suffix}",
                png(pair, 4, depth, interlaced=interlaced),
                on_white(eight(pair[..., :1], depth).repeat(3, 2), eight(pair[..., 1], depth)),
            )
            four = draw(depth, 4)
            yield (
                f"rgba{depth}{suffix}",
                png(four, 6, depth, interlaced=interlaced),
                on_white(eight(four[..., :3], depth), eight(four[..., 3], depth)),
            )
