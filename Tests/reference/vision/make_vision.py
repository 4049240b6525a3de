#!/usr/bin/env python3
"""Writes Tests/Fixtures/vision: pictures, clips, and what Pillow, NumPy and the published processor's formulas make of them.

    python3 Tests/reference/vision/make_vision.py [--out FOLDER]

Needs Pillow 11, NumPy, and the program `ffmpeg` (with libx264, libvpx) for the clips. pictures.json has pictures and the RGB that
they show, resize.json resized pixels, numbers.json sizes, samplings and times, clips/ videos whose frames show their own numbers.
(Pillow 13 resizes along the columns first where that makes far fewer pixels, which moves a few by 1.)
"""

import argparse
import base64
import hashlib
import io
import json
import math
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import pngs

OUT = Path(__file__).resolve().parents[2] / "Fixtures" / "vision"


def text(data):
    return base64.b64encode(bytes(data)).decode()


def on_white(image):
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return np.asarray(white)


def drawing(width, height, seed):
    """Smooth colours with some edges and noise, so that chroma and transforms matter."""
    r = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([127 + 120 * np.sin(x / 5 + c) * np.cos(y / 7 - c) for c in range(3)], 2)
    rgb[height // 3 : height // 2, width // 4 : width // 2] = r.integers(0, 256, 3)
    return np.clip(rgb + r.normal(0, 6, rgb.shape), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- pictures


def saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def jpegs():
    picture = Image.fromarray(drawing(37, 26, 1))
    for name, options in {
        "420": dict(subsampling=2),
        "422": dict(subsampling=1),
        "444": dict(subsampling=0),
        "low": dict(quality=8),
        "progressive": dict(progressive=True),
        "restarts": dict(restart_marker_blocks=2),
    }.items():
        yield name, saved(picture, "JPEG", **{"quality": 85, **options})
    yield "grey", saved(picture.convert("L"), "JPEG", quality=85)
    inks = np.random.default_rng(2).integers(0, 256, (26, 37, 4), dtype=np.uint8)
    inks[:13] = np.dstack([255 - drawing(37, 13, 3), np.full((13, 37), 40, np.uint8)])
    cmyk = saved(Image.frombytes("CMYK", (37, 26), inks.tobytes()), "JPEG", quality=90)
    yield "cmyk", cmyk
    # The same with Adobe's marker saying that three of the four are YCbCr.
    place = cmyk.index(b"Adobe") + 11
    yield "ycck", cmyk[:place] + b"\x02" + cmyk[place + 1 :]
    yield "cmyk-progressive", saved(Image.frombytes("CMYK", (37, 26), inks.tobytes()), "JPEG", quality=90, progressive=True)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010E] = "a description in front of it"
        yield f"orientation{orientation}", saved(picture, "JPEG", quality=90, exif=exif.tobytes())
    exif = saved(picture, "JPEG", quality=90, progressive=True, exif=exif.tobytes())
    yield "orientation8-progressive", exif
    # Little endian, as cameras write it, with only this entry.
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    yield "orientation6-little", saved(picture, "JPEG", quality=90, exif=b"Exif\0\0" + tiff)
    yield "orientation-wrong", saved(picture, "JPEG", quality=90, exif=b"Exif\0\0" + tiff.replace(b"\x06\0\0\0\0", b"\x63\0\0\0\0"))


def webps():
    picture = drawing(45, 31, 4)
    alpha = np.random.default_rng(5).integers(0, 256, (31, 45, 1), dtype=np.uint8)
    four = Image.fromarray(np.dstack([picture, alpha]))
    yield "lossy", saved(Image.fromarray(picture), "WEBP", quality=70)
    yield "lossless", saved(Image.fromarray(picture), "WEBP", lossless=True)
    yield "lossy-alpha", saved(four, "WEBP", quality=70)
    yield "lossless-alpha", saved(four, "WEBP", lossless=True, exact=True)
    others = [Image.fromarray(drawing(45, 31, seed)) for seed in (6, 7)]
    yield "animated", saved(Image.fromarray(picture), "WEBP", save_all=True, append_images=others, duration=200, lossless=True)
    yield "animated-alpha", saved(four, "WEBP", save_all=True, append_images=others, duration=200, lossless=True)


def gif_frames(data):
    """All frames as they are seen, and the hundredths of a second that each is shown."""
    image = Image.open(io.BytesIO(data))
    frames, delays = [], []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        frames.append(on_white(image))
        delays.append(image.info.get("duration", 0) // 10)
    return frames, delays


def gifs():
    picture = Image.fromarray(drawing(41, 27, 8))
    yield "plain", saved(picture.quantize(64), "GIF")
    yield "interlaced", saved(picture.quantize(32), "GIF", interlace=1)
    see_through = picture.quantize(32)
    yield "transparent", saved(see_through, "GIF", transparency=int(np.asarray(see_through)[13, 20]))
    frames = [Image.fromarray(drawing(41, 27, seed)).quantize(48) for seed in range(10, 16)]
    yield "animated", saved(
        frames[0], "GIF", save_all=True, append_images=frames[1:], duration=[100, 200, 300, 400, 500, 600], disposal=1
    )
    small = []
    for seed in range(6):
        frame = Image.new("RGBA", (41, 27), (0, 0, 0, 0))
        frame.paste(Image.fromarray(drawing(12, 9, 20 + seed)), (4 * seed, 2 * seed))
        small.append(frame)
    for disposal in (2, 3):
        yield f"disposal{disposal}", saved(small[0], "GIF", save_all=True, append_images=small[1:], duration=500, disposal=disposal)


def pictures():
    result = {}

    def add(name, data, rgb, **more):
        assert rgb.dtype == np.uint8 and rgb.shape[2] == 3
        result[name] = {"file": text(data), "width": rgb.shape[1], "height": rgb.shape[0], "rgb": text(rgb.tobytes()), **more}

    for name, data, rgb in pngs.cases(np.random.default_rng(30)):
        # Pillow must agree wherever it has the same idea: it keeps 16-bit grey, and drops the transparent where we compose.
        if "alpha" not in name and "key" not in name and "rgba" not in name and "grey16" not in name:
            assert (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) == rgb).all(), name
        add(f"png-{name}", data, rgb)
    for name, data in jpegs():
        add(f"jpeg-{name}", data, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")))
    for name, data in webps():
        add(f"webp-{name}", data, on_white(Image.open(io.BytesIO(data))))
    for name, data in gifs():
        frames, delays = gif_frames(data)
        add(f"gif-{name}", data, frames[0], delays=delays, frames=[text(frame.tobytes()) for frame in frames])
    return result


# ---------------------------------------------------------------- resizing


def made_up(width, height, seed):
    """Bytes that a test can make, too: the top bytes of a linear congruential generator."""
    count = width * height * 3
    state, values = seed, np.empty(count, np.uint8)
    for i in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values[i] = state >> 24
    return values.reshape(height, width, 3)


RESIZES = [
    (10, 10, 5, 5),
    (10, 10, 10, 5),
    (10, 10, 5, 10),
    (17, 13, 16, 12),
    (64, 48, 63, 1),
    (64, 48, 1, 47),
    (200, 3, 14, 3),
    (3, 200, 2, 14),
    (1, 1000, 1, 71),
    (1000, 1, 71, 1),
    (313, 97, 100, 31),
    (97, 313, 96, 312),
    (500, 400, 89, 71),
    (130, 40, 129, 40),
    (255, 255, 128, 127),
    (7, 5, 14, 11),
    (31, 33, 93, 40),
    (2000, 2, 3, 1),
    (43, 300, 43, 299),
    (1, 1, 3, 2),
    (640, 2, 44, 1),
]


def resizes():
    for number, (width, height, to_width, to_height) in enumerate(RESIZES):
        image = Image.fromarray(made_up(width, height, number)).resize((to_width, to_height), Image.Resampling.BICUBIC)
        data = np.asarray(image).tobytes()
        yield {
            "from": [width, height],
            "to": [to_width, to_height],
            "seed": number,
            "sha256": hashlib.sha256(data).hexdigest(),
            "head": list(data[:24]),
        }


# ---------------------------------------------------------------- numbers


def plan(width, height, limit, side=512, patch=14, merge=2):
    """The published processor's sizes."""
    s1 = math.sqrt(limit / (max(1.0, width // patch) * max(1.0, height // patch)))
    scale = min(1.0, s1, side * patch / width, side * patch / height)
    new_width = min(max(1, int(width * scale)), side * patch)
    new_height = min(max(1, int(height * scale)), side * patch)
    factor = merge * patch
    across, down = -(-new_width // factor), -(-new_height // factor)
    return [new_width, new_height, across * merge, down * merge, across * down]


def sizes():
    r = np.random.default_rng(40)
    fixed = [
        (1, 1),
        (1, 100000),
        (100000, 1),
        (14, 14),
        (28, 28),
        (29, 27),
        (1792, 1792),
        (1793, 1792),
        (7168, 448),
        (7169, 448),
        (7168, 7168),
        (3000, 1500),
        (100000, 2600),
        (4032, 3024),
        (1920, 1080),
        (1280, 720),
        (896, 896),
        (13, 20000),
    ]
    random = [tuple(int(2**e) for e in r.uniform(0, 14, 2)) for _ in range(300)]
    for width, height in fixed + random:
        yield {
            "size": [width, height],
            "picture": plan(width, height, 16384),
            "small": plan(width, height, 1024),
            "frame": plan(width, height, 4096),
            "thirds": plan(width, height, min(round(10000 / 3), 4096)),
        }


def samplings():
    for count, rate in [
        (1, 30),
        (2, 30),
        (14, 30),
        (15, 30),
        (16, 30),
        (37, 30),
        (45, 30),
        (75, 30),
        (2700, 30),
        (901, 29.97),
        (500, 25),
        (7, 2),
        (9, 1.5),
        (100, 0.5),
        (250, 10),
        (3, 60),
        (1234, 23.976),
        (5, 4),
        (20, 8),
    ]:
        taken = max(round(count * min(2.0, rate) / rate), 1)
        indices = np.linspace(0, count - 1, taken).round().astype(int).tolist()
        yield {"count": count, "rate": rate, "indices": indices}


def times():
    def written(t):
        return datetime.fromtimestamp(t, tz=timezone.utc).strftime("%H:%M:%S") + f".{int((t % 1) * 1000):03d}"

    r = np.random.default_rng(41)
    for t in [
        0.0,
        0.5,
        1.0,
        1.9999,
        1.9999996,
        59.999,
        60.0,
        3599.9994,
        3600.25,
        86399.5,
        86400.0,
        90061.001,
        2 / 30,
        58 / 30,
        116 / 29.97,
    ] + r.uniform(0, 9000, 60).tolist():
        yield {"time": t, "text": written(t)}


# ---------------------------------------------------------------- clips


def numbered(number, width=80, height=48):
    """A frame that shows its own number: ten fields, bit by bit, white for 1; a moving bar below."""
    frame = np.full((height, width, 3), 90, np.uint8)
    side = width // 5
    for bit in range(10):
        x, y = bit % 5 * side, bit // 5 * side
        frame[y : y + side, x : x + side] = 235 if number >> bit & 1 else 16
    frame[2 * side :, (number * 3) % width : (number * 3) % width + 6] = (200, 60, 40)
    return frame


def ffmpeg(*arguments, data=None):
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-bitexact", *map(str, arguments)], input=data, check=True)


def raw(count, width=80, height=48):
    return b"".join(numbered(i, width, height).tobytes() for i in range(count))


def clips(folder):
    folder.mkdir(parents=True, exist_ok=True)
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "80x48"]
    small = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1"]
    x264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "threads=1"]
    vp8 = ["-c:v", "libvpx", "-b:v", "60k", "-auto-alt-ref", 1, "-lag-in-frames", 16, "-g", 30]
    # 90 seconds at 10 frames a second, groups of 40 frames with B-frames.
    ffmpeg(*source, "-r", 10, "-i", "-", *x264, "-crf", 32, "-g", 40, *small, folder / "recording.mp4", data=raw(900))
    ffmpeg(*source, "-r", 25, "-i", "-", "-c:v", "libvpx-vp9", "-b:v", "60k", "-g", 30, *small, folder / "vp9.webm", data=raw(75))
    ffmpeg(*source, "-r", 25, "-i", "-", *vp8, *small, folder / "vp8.webm", data=raw(75))
    open_groups = ["-x264-params", "threads=1:open-gop=1:bframes=3:keyint=12:min-keyint=12:scenecut=0"]
    ffmpeg(*source, "-r", 25, "-i", "-", *x264, *open_groups, "-crf", 30, *small, folder / "open.mkv", data=raw(75))
    # Without loss, in RGB: the frames as they are.
    ffmpeg(*source, "-r", 2, "-i", "-", "-c:v", "libx264rgb", "-qp", 0, *small, folder / "lossless.mkv", data=raw(6))
    ffmpeg(*source, "-r", 2, "-i", "-", *x264, "-crf", 30, *small, folder / "one.mp4", data=raw(1))
    # 40 frames in the first two seconds, then one each three seconds.
    moments = "if(lt(N,40),N*0.05,2+3*(N-40))/TB"
    ffmpeg(
        *source,
        "-r",
        20,
        "-i",
        "-",
        "-vf",
        f"settb=1/1000,setpts='{moments}'",
        "-fps_mode",
        "vfr",
        "-enc_time_base",
        "1/1000",
        *x264,
        "-crf",
        30,
        *small,
        folder / "uneven.mkv",
        data=raw(46),
    )
    ffmpeg(*source, "-r", 2, "-i", "-", *x264, "-crf", 24, *small, folder / "upright.mp4", data=raw(4))
    for angle in (90, 180, 270):
        ffmpeg(
            "-i",
            folder / "upright.mp4",
            "-c",
            "copy",
            "-metadata:s:v",
            f"rotate={angle}",
            *small[:4],
            folder / f"turned{angle}.mov",
        )
    (folder / "upright.mp4").rename(folder / "turned0.mp4")
    ffmpeg("-f", "lavfi", "-i", "sine=440:duration=1", "-c:a", "aac", "-b:a", "16k", *small, folder / "sound.mp4")
    # Two hours, a frame each two seconds.
    ffmpeg(
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        "40x24",
        "-r",
        0.5,
        "-i",
        "-",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-crf",
        40,
        "-g",
        60,
        *small,
        folder / "long.mp4",
        data=b"".join(numbered(i // 16, 40, 24).tobytes() for i in range(3600)),
    )
    # Bars of known colours, in the two matrices and ranges.
    bars = np.zeros((48, 80, 3), np.uint8)
    for i, colour in enumerate([(255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (40, 90, 160)]):
        bars[:, 16 * i : 16 * i + 16] = colour
    for name, matrix, full in [("601", "smpte170m", "tv"), ("709", "bt709", "tv"), ("full", "bt709", "pc")]:
        ffmpeg(
            *source,
            "-r",
            2,
            "-i",
            "-",
            "-vf",
            f"scale=out_color_matrix={'bt601' if name == '601' else 'bt709'}:out_range={full}",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv444p",
            "-qp",
            0,
            "-colorspace",
            matrix,
            "-color_range",
            full,
            *small,
            folder / f"bars{name}.mkv",
            data=bars.tobytes(),
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--no-clips", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    numbers = {"sizes": list(sizes()), "samplings": list(samplings()), "times": list(times())}
    # The longest side that is decoded.
    line = pngs.png(np.full((100000, 1, 3), 0x40), 2, 8)
    (options.out / "line.png").write_bytes(line)
    for name, value in {"pictures": pictures(), "resize": list(resizes()), "numbers": numbers}.items():
        (options.out / f"{name}.json").write_text(json.dumps(value, separators=(",", ":")).replace("},", "},\n") + "\n")
    if not options.no_clips:
        clips(options.out / "clips")


if __name__ == "__main__":
    main()
