"""The states of recordings, of which it is known when they change."""

from __future__ import annotations

import unittest

from PIL import Image

import pages
from common import LoopTest
from films import pointer, record, still
from visual_loop import render
from visual_loop.compare import similarity
from visual_loop.keyframes import key_frames

SIZE = (640, 400)


class KeyFrames(LoopTest):
    def states(self) -> list[Image.Image]:
        return [render(pages.STATES, *SIZE, self.chromium, fragment=f"state-{number}").picture for number in (1, 2, 3)]

    def test_states_of_a_page(self) -> None:
        first, second, third = self.states()
        fade = [Image.blend(second, third, step / 8) for step in range(1, 8)]
        film = still(first, 1) + pointer(first, 10) + still(second, 1.5) + fade + still(third, 1.2) + still(first, 1)
        found = key_frames(record(self.folder / "a.mp4", film))
        # The menu opens and the message comes; back at the beginning there is no state that was not seen.
        self.assertEqual(len(found), 3, [(frame.begin, frame.end) for frame in found])
        for frame, state in zip(found, (first, second, third)):
            self.assertGreater(similarity(state, frame.picture)[0], 0.9)
        self.assertAlmostEqual(found[1].begin, 2.0, delta=0.35)
        self.assertLess(found[1].end, 3.6)

    def test_the_most_of_them(self) -> None:
        pictures = []
        for number in range(6):
            picture = Image.new("RGB", (320, 240), "white")
            for bar in range(number + 1):
                picture.paste("navy", (20 + bar * 45, 200 - bar * 25, 50 + bar * 45, 220))
            pictures.append(picture)
        film = record(self.folder / "bars.mp4", [frame for picture in pictures for frame in still(picture, 1)])
        self.assertEqual(len(key_frames(film, 6)), 6)
        found = key_frames(film, 3)
        self.assertEqual(len(found), 3)
        self.assertLess(found[0].end, 1.1)
        self.assertGreater(found[-1].begin, 4.9)
        with self.assertRaises(ValueError):
            key_frames(film, 1)

    def test_one_picture(self) -> None:
        only = Image.new("RGB", (320, 240), "teal")
        self.assertEqual(len(key_frames(record(self.folder / "one.mp4", [only]))), 1)
        self.assertEqual(len(key_frames(record(self.folder / "still.mp4", still(only, 3)))), 1)
        # Other containers and codecs are FFmpeg's matter; one of them shows that they are not shut out.
        small = [Image.new("RGB", (96, 64), colour) for colour in ("teal", "orange")]
        film = [frame for picture in small for frame in still(picture, 0.8)]
        self.assertEqual(len(key_frames(record(self.folder / "two.webm", film, "libvpx"))), 2)

    def test_what_is_no_recording(self) -> None:
        good = record(self.folder / "good.mp4", still(Image.new("RGB", (64, 64)), 1)).read_bytes()
        for name, data in (("empty.mp4", b""), ("words.mp4", b"no film" * 99), ("cut.mp4", good[: len(good) // 3])):
            path = self.folder / name
            path.write_bytes(data)
            with self.subTest(name), self.assertRaisesRegex(ValueError, name):
                key_frames(path)
        with self.assertRaises((ValueError, OSError)):
            key_frames(self.folder / "none.mp4")


if __name__ == "__main__":
    unittest.main()
