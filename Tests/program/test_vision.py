"""Questions about pictures and clips, and the benchmark of the tower."""

import json
import unittest

from common import FIXTURES, TINY, ProgramTest

VISION = FIXTURES / "tiny-kimi-expected" / "vision"
CLIPS = FIXTURES / "vision" / "clips"
SIZES = json.loads((VISION / "vision.json").read_text())
TEXT_ONLY = FIXTURES / "shapes" / "mixed"


class Questions(ProgramTest):
    ask = ("--max-tokens", 8, "--seed", 3)

    def test_every_picture_takes_its_tokens_and_equal_ones_are_looked_at_once(self) -> None:
        names = ["wide", "tall", "wide", "small"]
        pictures = [part for name in names for part in ("--image", VISION / f"{name}.png")]
        told = self.json("run", TINY, *pictures, "What is this?", *self.ask)
        self.assertEqual([one["tokens"] for one in told["media"]], [SIZES[name]["tokens"] for name in names])
        self.assertEqual([one["part"] for one in told["media"]], [f"messages[0].content[{index}]" for index in range(4)])
        self.assertEqual([one["was_cached"] for one in told["media"]], [False, False, True, False])
        self.assertEqual(told["finish_reason"], "length")
        self.assertNotIn("reasoning", told)
        figures = told["statistics"]
        self.assertEqual([figures[name] for name in ("media_encoded", "media_reused")], [3, 1])
        self.assertEqual(figures["media_tokens"], sum(SIZES[name]["tokens"] for name in names))
        table = self.run_kimi("run", TINY, *pictures, "What is this?", *self.ask, "--stats").stderr.decode()
        self.assertRegex(table, r"looked at\W+3\W+1 at hand")
        streamed = self.output("run", TINY, *pictures, "What is this?", *self.ask)
        self.assertEqual(streamed.decode(errors="replace").strip("\n"), told["text"].strip("\n"))

    def test_another_picture_gives_another_answer_and_the_same_one_the_same(self) -> None:
        def text(name: str, *options: object) -> str:
            return self.json("run", TINY, "--image", VISION / f"{name}.png", "Hm?", *self.ask, *options)["text"]
        self.assertEqual(text("wide"), text("wide", "--threads", 1))
        self.assertNotEqual(text("wide"), text("tall"))

    def test_a_recording_of_90_seconds_is_looked_at_in_chunks_of_two_seconds(self) -> None:
        told = self.json("run", TINY, "--video", CLIPS / "recording.mp4", "Write the steps down.", *self.ask)
        minutes = [one["time"].split(":") for one in told["media"]]
        seconds = [int(hour) * 3600 + int(minute) * 60 + float(second) for hour, minute, second in minutes]
        self.assertEqual(len(seconds), 45)
        # The frame that is shown then, which may be a little late.
        for index, second in enumerate(seconds):
            self.assertAlmostEqual(second, 2 * index, delta=0.51)
        self.assertEqual({one["part"] for one in told["media"]}, {"messages[0].content[0]"})

    def test_the_model_may_think_before(self) -> None:
        told = self.json("run", TINY, "--image", VISION / "small.png", "Hm?", "--mode", "thinking", *self.ask)
        self.assertTrue(told["reasoning"])

    def test_what_cannot_be_shown_is_refused_with_what_can(self) -> None:
        text = self.folder / "notes.png"
        text.write_text("no picture")
        (self.folder / "cut.png").write_bytes((VISION / "wide.png").read_bytes()[:200])
        for options, words in (
            (["--image", self.folder / "none.png"], "none.png"), (["--image", text], "PNG, JPEG, WebP or GIF"),
            (["--image", self.folder / "cut.png"], "ends early"), (["--image", "https://example.org/a.png"], "nothing is fetched"),
            (["--video", CLIPS / "sound.mp4"], "sound.mp4"), (["--video", VISION / "wide.png"], "wide.png"),
        ):
            with self.subTest(options):
                self.assertIn(words, self.failure("run", TINY, *options, "What?"))
        self.assertIn("vision", self.failure("run", TEXT_ONLY, "--image", VISION / "wide.png", "What?"))

    def test_options_that_do_not_go_together(self) -> None:
        for options in (["--ids"], ["--special"], ["--top-k", 3], ["--stop", "x"]):
            with self.subTest(options):
                self.assertIn(options[0], self.failure("run", TINY, "--image", VISION / "wide.png", "1", *options, code=64))
        self.assertIn("--image", self.failure("run", TINY, "Hello", "--mode", "thinking", code=64))


class Chatting(ProgramTest):
    def test_in_a_chat(self) -> None:
        def talk(*lines: str) -> list[dict]:
            out = self.output("chat", TINY, "--json", "--seed", 5, "--max-tokens", 12, "--mode", "instant",
                              input="".join(line + "\n" for line in lines).encode())
            return [json.loads(line) for line in out.decode().splitlines()]
        saved = self.folder / "talk.json"
        events = talk(f"/image {VISION / 'wide.png'}", f"/image {VISION / 'small.png'}", "/image", "What is that?", "/image", "And?",
                      "/retry", f"/save {saved}")
        media = [event for event in events if event["event"] == "media"]
        self.assertEqual([event["tokens"] for event in media[:2]], [40, 1])
        self.assertIn("wide.png", [event for event in events if event["event"] == "reply"][0]["text"])
        self.assertIn("nothing goes", [event for event in events if event["event"] == "reply"][1]["text"])
        self.assertEqual(len([event for event in events if event["event"] == "finish"]), 3)
        told = json.loads(saved.read_text())["messages"]
        self.assertEqual([part["type"] for part in told[0]["content"]], ["image_url", "image_url", "text"])
        again = talk(f"/load {saved}", "And then?")
        self.assertEqual(len([event for event in again if event["event"] == "finish"]), 1)
        self.assertIn("none.png", self.failure("chat", TINY, input=f"/image {self.folder / 'none.png'}\n".encode()))
        self.assertIn("vision", self.failure("chat", TEXT_ONLY, input=f"/image {VISION / 'wide.png'}\n".encode()))


class Benchmark(ProgramTest):
    def test_sizes_stages_and_shares(self) -> None:
        told = self.json("bench", TINY, "--vision", "--size", "280x140", "--size", "28x56", "--repeats", 2, "--threads", 1)
        self.assertEqual([(one["patches"], one["tokens"]) for one in told["results"]], [(200, 50), (8, 2)])
        self.assertIn(told["path"], ("floats", "integers", "pairs"))
        for one in told["results"]:
            self.assertEqual(set(one["stage_seconds"]), {"patches", "heads", "attention", "mlp", "projector"})
            self.assertGreaterEqual(one["multiply_adds"], one["needed_multiply_adds"])
            self.assertLessEqual(one["share_needed"]["median"], one["share_made"]["median"])
        exact = self.json("bench", TINY, "--vision", "--size", "28x28", "--repeats", 1, "--exact")
        self.assertEqual(exact["path"], "floats")

    def test_arithmetic(self) -> None:
        # Where there are tiles bfloat16 is computed with, and less; elsewhere nothing changes.
        sides = [self.json("bench", TINY, "--vision", "--size", "280x140", "--repeats", 1, "--vision-arithmetic", name)
                 for name in ("full", "bf16")]
        full, rounded = (side["results"][0]["multiply_adds"] for side in sides)
        self.assertEqual([side["arithmetic"] for side in sides], ["full", "bf16"])
        if sides[0]["path"] == "pairs":
            self.assertEqual(sides[1]["path"], "bf16")
            self.assertLess(rounded, full * 0.6)
        else:
            self.assertEqual(sides[1]["path"], sides[0]["path"])
            self.assertEqual(rounded, full)
        self.assertIn("vision_arithmetic", self.failure("bench", TINY, "--vision", "--vision-arithmetic", "bf16", "--exact"))
        self.failure("run", TINY, "--vision-arithmetic", "half", "a", code=64)

    def test_what_it_refuses(self) -> None:
        self.assertIn("7x", self.failure("bench", TINY, "--vision", "--size", "7x", code=64))
        self.assertIn("--vision", self.failure("bench", TINY, "--size", "28x28", code=64))
        self.failure("bench", TEXT_ONLY, "--vision")


if __name__ == "__main__":
    unittest.main()
