"""Pictures and videos on the fixture's vision tower: features against the reference's, sizes, and what is refused."""

import array
import base64
import gc
import json
import math
import os
import struct
import tempfile
import unittest
from pathlib import Path
from typing import Any, Dict, List, Tuple

from common import EXPECTED, FIXTURES, TINY, KimiTest, read_npy

import kimi

VISION = EXPECTED / "vision"
NUMBERS: Dict[str, Any] = json.loads((VISION / "vision.json").read_text())
HIDDEN: int = json.loads((TINY / "config.json").read_text())["text_config"]["hidden_size"]
FRAMES = [VISION / f"clip.{number}.png" for number in range(6)]
CLIPS = FIXTURES / "vision" / "clips"
TEXT_ONLY = FIXTURES / "shapes" / "all-moe"
TOLERANCE = 1e-3

# The smallest GIF there is: one pixel.
PIXEL = base64.b64decode("R0lGODlhAQABAIABAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==")


def flat(rows: Any) -> "array.array[float]":
    """Rows of features, NumPy's or arrays, one after another."""
    return array.array("f", [value for row in rows for value in row])


def raw(name: str) -> Tuple[bytes, int, int]:
    """The pixels of a fixture's PNG, by the simplest reader that will do: 8-bit RGB, all filters."""
    import zlib

    data = (VISION / f"{name}.png").read_bytes()
    place, packed, width, height = 8, b"", 0, 0
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour, body[12]) == (8, 2, 0), name
        packed += body if kind == b"IDAT" else b""
        place += 12 + length
    lines, stride = zlib.decompress(packed), 3 * width
    before, pixels = bytearray(stride), bytearray()
    for number in range(height):
        start = number * (stride + 1)
        how, line = lines[start], bytearray(lines[start + 1 : start + 1 + stride])
        for at in range(stride):
            left, up, corner = line[at - 3] if at > 2 else 0, before[at], before[at - 3] if at > 2 else 0
            if how == 4:
                guess = left + up - corner
                distances = [abs(guess - value) for value in (left, up, corner)]
                line[at] = (line[at] + (left, up, corner)[distances.index(min(distances))]) & 255
            else:
                line[at] = (line[at] + (0, left, up, (left + up) // 2)[how]) & 255
        pixels += line
        before = line
    return bytes(pixels), width, height


class Features(KimiTest):
    def near(self, got: Any, name: str) -> None:
        expected = read_npy(f"vision/{name}.projected.npy")
        self.assertEqual({len(row) for row in got}, {HIDDEN})
        self.assertEqual(len(got) * HIDDEN, len(expected))
        scale = max(map(abs, expected))
        self.assertLess(max(abs(a - b) for a, b in zip(flat(got), expected)), TOLERANCE * scale)

    def test_pictures(self) -> None:
        for name in ("wide", "small", "tall"):
            with self.subTest(name):
                self.near(self.model.encode_image(VISION / f"{name}.png"), name)

    def test_a_picture_beyond_the_patch_limit(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for file in TINY.iterdir():
                os.symlink(file, Path(folder, file.name))
            config = json.loads((TINY / "preprocessor_config.json").read_text())
            config["media_proc_cfg"]["in_patch_limit"] = NUMBERS["big"]["in_patch_limit"]
            Path(folder, "preprocessor_config.json").unlink()
            Path(folder, "preprocessor_config.json").write_text(json.dumps(config))
            with kimi.Model(folder) as model:
                self.near(model.encode_image(VISION / "big.png"), "big")
                self.assertEqual(model.media_tokens(3000, 1500), NUMBERS["big"]["tokens"])

    def test_the_same_picture_in_every_form(self) -> None:
        path = VISION / "wide.png"
        data = path.read_bytes()
        pixels, width, height = raw("wide")
        url = "data:image/png;base64," + base64.b64encode(data).decode()
        padded = b"".join(pixels[3 * width * row :][: 3 * width] + b"gap" for row in range(height))
        opaque = b"".join(pixels[at : at + 3] + b"\xff" for at in range(0, len(pixels), 3))
        forms: Dict[str, Any] = {
            "str": str(path), "bytes": data, "bytearray": bytearray(data), "memoryview": memoryview(data),
            "array": array.array("B", data), "Image": kimi.Image(path), "url": kimi.Image.from_url(url),
            "pixels": kimi.Image.from_pixels(pixels, width, height),
            "stride": kimi.Image.from_pixels(bytearray(padded), width, height, stride=3 * width + 3),
            "opaque": kimi.Image.from_pixels(opaque, width, height, channels=4),
        }
        expected = flat(self.model.encode_image(path))
        for name, form in forms.items():
            with self.subTest(name):
                self.assertEqual(flat(self.model.encode_image(form)), expected)
                picture = form if isinstance(form, kimi.Image) else kimi.Image(form)
                self.assertEqual((picture.width, picture.height), (NUMBERS["wide"]["width"], NUMBERS["wide"]["height"]))
                self.assertEqual(picture.digest, kimi.Image(path).digest)
                self.assertRegex(picture.url, "^kimi-image:[0-9a-f]{32}$")

    def test_clip(self) -> None:
        timestamps = [number / NUMBERS["clip"]["fps"] for number in range(6)]
        self.near(self.model.encode_video(FRAMES, timestamps), "clip")
        pictures = [kimi.Image(path) for path in FRAMES]
        self.near(self.model.encode_video(iter(pictures), iter(timestamps)), "clip")
        # As far apart as the model samples them, which is what these are.
        self.near(self.model.encode_video(FRAMES), "clip")
        with kimi.Video(pictures, timestamps) as video:
            for picture in pictures:
                picture.close()
            self.near(self.model.encode_video(video), "clip")
        self.near(self.model.encode_video([path.read_bytes() for path in FRAMES], timestamps), "clip")

    def test_video_files(self) -> None:
        path = CLIPS / "one.mp4"
        rows = self.model.encode_video(path)
        self.assertGreater(len(rows), 0)
        self.assertEqual(flat(self.model.encode_video(path.read_bytes())), flat(rows))
        self.assertEqual(flat(self.model.encode_video(kimi.Video(str(path)))), flat(rows))
        self.assertRegex(kimi.Video(path).url, "^kimi-video:[0-9a-f]{32}$")

    def test_tokens(self) -> None:
        for name in ("wide", "small", "tall"):
            numbers = NUMBERS[name]
            self.assertEqual(self.model.media_tokens(numbers["width"], numbers["height"]), numbers["tokens"])
        clip = kimi.Image(FRAMES[0])
        rate, frames = NUMBERS["clip"]["fps"], NUMBERS["clip"]["frames"]
        tokens = self.model.video_tokens(frames / rate, rate, clip.width, clip.height)
        self.assertEqual(tokens, sum(NUMBERS["clip"]["chunk_tokens"]))

    def test_info_and_features_limit(self) -> None:
        vision = self.model.info["vision"]
        self.assertEqual((vision["patch_limit"], vision["frames_per_chunk"]), (NUMBERS["wide"]["in_patch_limit"], 4))
        with kimi.Model(TINY, features_limit=0) as model:
            model.encode_image(VISION / "small.png")
            self.assertEqual(model.info["vision"]["features"]["bytes"], 0)
        with kimi.Model(TINY, features_limit=1 << 20) as model:
            self.assertEqual(model.info["vision"]["features"]["limit"], 1 << 20)
        with self.assertRaises(ValueError):
            kimi.Model(TINY, features_limit=-1)

    def test_arithmetic(self) -> None:
        path = VISION / "wide.png"
        full = flat(self.model.encode_image(path))
        most = max(map(abs, full))
        with kimi.Model(TINY, vision_arithmetic="bf16") as model:
            arithmetic = model.info["vision"]["arithmetic"]
            rounded = flat(model.encode_image(path))
        apart = max(abs(a - b) for a, b in zip(full, rounded)) / most
        if self.model.info["vision"]["arithmetic"] == "pairs":
            self.assertEqual(arithmetic, "bf16")
            self.assertTrue(3e-4 < apart < 1e-2, apart)
        else:
            self.assertEqual(arithmetic, self.model.info["vision"]["arithmetic"])
            self.assertEqual(apart, 0)
        with kimi.Model(TINY, vision_arithmetic="full") as model:
            self.assertEqual(flat(model.encode_image(path)), full)
        with self.assertRaises(ValueError):
            kimi.Model(TINY, vision_arithmetic="half")
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            kimi.Model(TINY, vision_arithmetic="bf16", exact=True)


class Refused(KimiTest):
    def test_files(self) -> None:
        with self.fails(kimi.Status.IO) as missing:
            kimi.Image("/no/such/picture.png")
        self.assertIn("/no/such/picture.png", missing.error.file)
        with self.fails(kimi.Status.UNSUPPORTED):
            kimi.Image(TINY / "config.json")
        with self.fails(kimi.Status.UNSUPPORTED):
            kimi.Image(b"no picture at all")
        with self.fails(kimi.Status.IO):
            kimi.Video("/no/such/video.mp4")
        for cut in (0, 20, 100):
            with self.subTest(cut), self.assertRaises(kimi.Error):
                kimi.Image((VISION / "wide.png").read_bytes()[:cut])
        with self.fails(kimi.Status.UNSUPPORTED):
            kimi.Image.from_url("https://example.org/a.png")
        with self.assertRaisesRegex(ValueError, "from_url"):
            kimi.Image("data:image/gif;base64," + base64.b64encode(PIXEL).decode())

    def test_types_and_sizes(self) -> None:
        for wrong in (5, None, ["a.png"], object(), 1.5):
            with self.subTest(wrong), self.assertRaises(TypeError):
                kimi.Image(wrong)
        with self.assertRaisesRegex(TypeError, "4 bytes"):
            kimi.Image(array.array("i", [1, 2, 3]))
        refused: List[Any] = [
            (-1, 1, 3, 0), (1, -1, 3, 0), (0, 1, 3, 0), (1, 1, 5, 0), (2, 1, 3, 0), (1, 1, 3, 2), (1 << 40, 1 << 40, 3, 0),
        ]
        for arguments in refused:
            with self.subTest(arguments), self.fails(kimi.Status.INVALID_ARGUMENT):
                kimi.Image.from_pixels(b"abc", *arguments)
        for name in ("width", "height", "channels", "stride"):
            with self.subTest(name), self.assertRaisesRegex(ValueError, name):
                kimi.Image.from_pixels(b"abc", **{"width": 1, "height": 1, name: 1 << 70})
        with self.assertRaisesRegex(ValueError, "stride"):
            kimi.Image.from_pixels(b"abc", 1, 1, 3, -1)
        with self.assertRaises(TypeError):
            kimi.Image.from_pixels(b"abc", 1.5, 1)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            kimi.Image.from_pixels(5, 1, 1)  # type: ignore[arg-type]
        for sides in ((-1, 5), (5, -1), (0, 0), (1 << 62, 1 << 62)):
            with self.subTest(sides), self.fails(kimi.Status.INVALID_ARGUMENT):
                self.model.media_tokens(*sides)
        for seconds, rate in ((math.nan, 2), (-1, 2), (1, math.nan), (1, 0), (1, -2), (math.inf, 2)):
            with self.subTest(seconds=seconds, rate=rate), self.fails(kimi.Status.INVALID_ARGUMENT):
                self.model.video_tokens(seconds, rate, 100, 100)

    def test_frames(self) -> None:
        refused: List[Any] = [[math.nan, 1.0], [0.0, math.nan], [1.0, 0.5], [-1.0, 0.0], [0.0, math.inf]]
        for timestamps in refused:
            with self.subTest(timestamps), self.fails(kimi.Status.INVALID_ARGUMENT):
                kimi.Video(FRAMES[:2], timestamps)
        with self.assertRaisesRegex(ValueError, "1 timestamps for 2 frames"):
            kimi.Video(FRAMES[:2], [0.0])
        with self.assertRaisesRegex(TypeError, r"timestamps\[1\]"):
            kimi.Video(FRAMES[:2], [0.0, "1"])  # type: ignore[list-item]
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            kimi.Video([])
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            kimi.Video([FRAMES[0], VISION / "wide.png"])
        with self.fails(kimi.Status.IO) as missing:
            kimi.Video([FRAMES[0], "/no/such.png"])
        self.assertEqual(missing.error.subject, "frames[1]")
        with self.assertRaisesRegex(TypeError, r"frames\[1\]"):
            kimi.Video([FRAMES[0], 7])
        with self.assertRaisesRegex(ValueError, "frames"):
            kimi.Video(CLIPS / "one.mp4", [0.0])
        with self.assertRaises(ValueError):
            self.model.encode_video(kimi.Video(FRAMES), [0.0] * 6)
        for wrong in (5, None, kimi.Image(FRAMES[0])):
            with self.subTest(wrong), self.assertRaises(TypeError):
                kimi.Video(wrong)
        with self.assertRaises(kimi.Error):
            self.model.encode_video((VISION / "wide.png").read_bytes())

    def test_closed_handles(self) -> None:
        with kimi.Image(PIXEL) as picture, kimi.Video(FRAMES) as video:
            pass
        picture.close()
        self.assertEqual((picture.width, picture.height), (1, 1))
        for call in (
            lambda: self.model.encode_image(picture), lambda: self.model.encode_video(video), lambda: kimi.Video([picture]),
        ):
            with self.fails(kimi.Status.INVALID_HANDLE):
                call()
        with self.model.session() as session:
            for closed in (picture, video):
                with self.fails(kimi.Status.INVALID_ARGUMENT):
                    session.say([closed, "What is it?"])
        model = kimi.Model(TINY)
        model.close()
        for refused in (lambda: model.encode_image(PIXEL), lambda: model.media_tokens(1, 1), lambda: model.encode_video(FRAMES)):
            with self.fails(kimi.Status.INVALID_HANDLE):
                refused()

    def test_a_checkpoint_that_cannot_see(self) -> None:
        with kimi.Model(TEXT_ONLY) as model:
            self.assertIsNone(model.info["vision"])
            for call in (
                lambda: model.encode_image(PIXEL), lambda: model.encode_video(FRAMES), lambda: model.media_tokens(28, 28),
                lambda: model.video_tokens(1, 2, 28, 28),
            ):
                with self.fails(kimi.Status.UNSUPPORTED):
                    call()

    def test_dropped_handles_are_freed(self) -> None:
        picture = kimi.Image(PIXEL)
        url = picture.url
        del picture
        gc.collect()
        with self.model.session() as session, self.fails(kimi.Status.INVALID_ARGUMENT):
            session.chat([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])


try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]

try:
    from PIL import Image as PILImage
except ImportError:
    PILImage = None  # type: ignore[assignment]


@unittest.skipIf(numpy is None, "no NumPy")
class Arrays(KimiTest):
    def wide(self) -> Any:
        pixels, width, height = raw("wide")
        return numpy.frombuffer(pixels, numpy.uint8).reshape(height, width, 3)

    def test_pictures(self) -> None:
        pixels = self.wide()
        expected = self.model.encode_image(VISION / "wide.png")
        self.assertEqual((expected.dtype, expected.shape), (numpy.float32, (NUMBERS["wide"]["tokens"], HIDDEN)))
        opaque = numpy.concatenate([pixels, numpy.full_like(pixels[..., :1], 255)], axis=2)
        forms = (pixels, pixels.copy(), numpy.asfortranarray(pixels), pixels[::-1].copy()[::-1], opaque, opaque[..., :3])
        for form in forms:
            self.assertTrue((self.model.encode_image(form) == expected).all())
        encoded = numpy.frombuffer((VISION / "wide.png").read_bytes(), numpy.uint8)
        self.assertTrue((self.model.encode_image(encoded) == expected).all())

    def test_frames(self) -> None:
        frames = numpy.stack([numpy.full((28, 42, 3), 40 * number, numpy.uint8) for number in range(5)])
        expected = self.model.encode_video([kimi.Image(frame) for frame in frames], [0, 1, 2, 3, 4])
        self.assertTrue((self.model.encode_video(frames, numpy.arange(5)) == expected).all())

    def test_refused(self) -> None:
        pixels = self.wide()
        cases = [
            (TypeError, r"float64.*255", pixels / 255), (TypeError, "float16.*255", pixels.astype(numpy.float16)),
            (TypeError, "int32", pixels.astype(numpy.int32)), (TypeError, "bool", pixels > 5),
            (TypeError, "no buffer", pixels.astype("datetime64[s]")), (TypeError, "float32", numpy.float32(5)),
            (ValueError, r"stack", pixels[..., 0]), (ValueError, r"transpose", pixels.transpose(2, 0, 1)),
            (ValueError, "kimi.Video", pixels[None]), (ValueError, r"\[140, 200, 2\]", pixels[..., :2]),
        ]
        for kind, words, wrong in cases:
            with self.subTest(words), self.assertRaisesRegex(kind, words):
                self.model.encode_image(wrong)
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            kimi.Image(pixels[:0])
        with self.assertRaisesRegex(ValueError, r"frames\[0\]"):
            kimi.Video(pixels)


@unittest.skipIf(PILImage is None, "no PIL")
class PILImages(KimiTest):
    def test_pictures(self) -> None:
        expected = flat(self.model.encode_image(VISION / "wide.png"))
        with PILImage.open(VISION / "wide.png") as picture:
            for form in (picture, picture.copy(), picture.convert("RGBA")):
                self.assertEqual(flat(self.model.encode_image(form)), expected)

    def test_modes(self) -> None:
        import io

        with PILImage.open(VISION / "small.png") as picture:
            half = picture.convert("RGBA")
            half.putalpha(128)
            palette = picture.convert("P")
            palette.info["transparency"] = 0
            forms = [picture.convert("L"), half, palette, picture.convert("1"), picture.convert("LA")]
        for form in forms:
            with self.subTest(form.mode):
                # The library's own reading of the same picture as a file.
                file = io.BytesIO()
                form.save(file, "PNG")
                self.assertEqual(kimi.Image(form).digest, kimi.Image(file.getvalue()).digest)
        for mode in ("I", "F", "I;16"):
            with self.subTest(mode), self.assertRaisesRegex(ValueError, f"mode is {mode}"):
                kimi.Image(PILImage.new(mode, (5, 5)))

    def test_orientation(self) -> None:
        import io

        picture = PILImage.new("RGB", (48, 32), "white")
        picture.paste("red", (0, 0, 16, 16))
        exif = PILImage.Exif()
        exif[0x0112] = 6
        file = io.BytesIO()
        picture.save(file, "JPEG", exif=exif)
        upright = kimi.Image(file.getvalue())
        with PILImage.open(file) as lying:
            found = kimi.Image(lying)
            self.assertEqual((found.width, found.height, upright.width, upright.height), (32, 48, 32, 48))
            turned = lying.transpose(PILImage.Transpose.ROTATE_270)
            self.assertEqual(found.digest, kimi.Image.from_pixels(turned.tobytes(), 32, 48).digest)
            # What a program has made of it is as the program wants it.
            self.assertEqual(kimi.Image(turned).digest, found.digest)
            self.assertEqual(kimi.Image(lying.crop((0, 0, 48, 32))).width, 48)


if __name__ == "__main__":
    unittest.main()
