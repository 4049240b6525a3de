"""Scores against an independent computation, and where pictures are said to differ."""

from __future__ import annotations

import io
import unittest

import numpy
from PIL import Image

import common  # noqa: F401
from visual_loop import compare, load_picture


def plain_ssim(a: numpy.ndarray, b: numpy.ndarray) -> float:
    """SSIM after Wang et al. 2004 by its definition: an 11 x 11 Gaussian window of sigma 1.5 at each place that holds it whole."""
    axis = numpy.arange(-5, 6)
    gauss = numpy.exp(-(axis**2) / (2 * 1.5**2))
    window = numpy.outer(gauss, gauss) / gauss.sum() ** 2
    scores = []
    for channel in range(3):
        for y in range(5, a.shape[0] - 5):
            for x in range(5, a.shape[1] - 5):
                p, q = (array[y - 5 : y + 6, x - 5 : x + 6, channel].astype(numpy.float64) / 255 for array in (a, b))
                m, n = (window * p).sum(), (window * q).sum()
                v, w = (window * p * p).sum() - m * m, (window * q * q).sum() - n * n
                c = (window * p * q).sum() - m * n
                scores.append((2 * m * n + 1e-4) * (2 * c + 9e-4) / ((m * m + n * n + 1e-4) * (v + w + 9e-4)))
    return float(numpy.mean(scores))


class Comparing(unittest.TestCase):
    def test_the_score_is_ssim(self) -> None:
        random = numpy.random.default_rng(7)
        a = random.integers(0, 256, (40, 52, 3), dtype=numpy.uint8)
        a[:20] = 240
        for noise in (0, 10, 120):
            b = numpy.clip(a + random.integers(-noise, noise + 1, a.shape), 0, 255).astype(numpy.uint8)
            found = compare(Image.fromarray(a), Image.fromarray(b))
            self.assertAlmostEqual(found.score, plain_ssim(a, b), places=4)

    def test_equal_pictures(self) -> None:
        picture = Image.effect_noise((64, 48), 60).convert("RGB")
        found = compare(picture, picture.copy())
        self.assertAlmostEqual(found.score, 1, places=6)
        self.assertEqual((found.differing, found.regions, found.tints), (0, [], []))

    def test_regions_are_where_it_differs(self) -> None:
        target = Image.new("RGB", (400, 300), "white")
        render = target.copy()
        render.paste((255, 0, 0), (40, 80, 140, 120))
        render.paste((0, 0, 255), (350, 250, 399, 300))
        found = compare(target, render)
        self.assertEqual(len(found.regions), 2)
        first, second = found.regions
        self.assertEqual((first.left, first.top, first.right, first.bottom), (40, 80, 144, 120))
        self.assertEqual((second.left, second.top, second.right, second.bottom), (344, 248, 400, 300))
        self.assertEqual((first.target, second.target), ("#ffffff", "#ffffff"))
        self.assertEqual(int(first.render[1:3], 16), 255)
        self.assertAlmostEqual(first.share, 4000 / (4000 + 49 * 50), places=2)
        self.assertAlmostEqual(found.differing, (4000 + 49 * 50) / 120_000, places=9)
        self.assertEqual(found.picture.size, target.size)
        r, g, b = found.picture.getpixel((90, 100))
        self.assertTrue(r > 180 and g < 80 and b < 120, (r, g, b))

    def test_a_background_that_is_a_little_off(self) -> None:
        target, render = Image.new("RGB", (100, 100), "#eef2f6"), Image.new("RGB", (100, 100), "#e2e8ee")
        found = compare(target, render)
        self.assertEqual(found.regions, [])
        self.assertEqual([(tint.share, tint.target, tint.render) for tint in found.tints], [(1, "#eef2f6", "#e2e8ee")])

    def test_pictures_of_another_size_are_no_pair(self) -> None:
        with self.assertRaisesRegex(ValueError, "40 x 30"):
            compare(Image.new("RGB", (40, 30)), Image.new("RGB", (30, 40)))


class Loading(unittest.TestCase):
    def bytes(self, picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
        data = io.BytesIO()
        picture.save(data, form, **options)
        return data.getvalue()

    def test_alpha_lies_on_white(self) -> None:
        picture = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
        picture.paste((0, 0, 255, 255), (0, 0, 10, 20))
        loaded = load_picture(self.bytes(picture))
        self.assertEqual((loaded.mode, loaded.getpixel((15, 5)), loaded.getpixel((5, 5))), ("RGB", (255,) * 3, (0, 0, 255)))

    def test_upright_by_exif(self) -> None:
        picture = Image.new("RGB", (40, 20), "white")
        exif = picture.getexif()
        exif[0x0112] = 6
        self.assertEqual(load_picture(self.bytes(picture, "JPEG", exif=exif)).size, (20, 40))

    def test_scaled_to_a_width(self) -> None:
        self.assertEqual(load_picture(self.bytes(Image.new("RGB", (200, 100))), 100).size, (100, 50))

    def test_other_modes(self) -> None:
        for mode in ("L", "P", "1", "CMYK", "I;16", "LA"):
            form = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
            self.assertEqual(load_picture(self.bytes(Image.new(mode, (20, 20)), form)).mode, "RGB", mode)

    def test_what_is_no_picture(self) -> None:
        good = self.bytes(Image.new("RGB", (64, 64), "red"))
        long, tiny = (self.bytes(Image.new("1", size)) for size in ((20_000, 20), (8, 8)))
        for data in (b"", b"GIF89a", good[:60], b"<html>", long, tiny):
            with self.subTest(data[:12]), self.assertRaises(ValueError):
                load_picture(data)
        with self.assertRaises(FileNotFoundError):
            load_picture("/no-such-picture.png")


if __name__ == "__main__":
    unittest.main()
