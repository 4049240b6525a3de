"""What models are told, and the two generators that tell them."""

from __future__ import annotations

import base64
import io
import json
import sys
import time
import types
import unittest
from typing import Any
from unittest import mock

from PIL import Image

from common import LoopTest, own_processes
from visual_loop import CommandGenerator, KimiGenerator, Region, Round, Target, Tint, Unusable, View, messages
from visual_loop.prompt import picture_part

TARGET = Target(Image.new("RGB", (120, 80), "navy"))
OFF = Image.new("RGB", (120, 80), "red")


def round_of(number: int, score: float, **view: Any) -> Round:
    region, tint = Region(8, 16, 40, 48, 0.6, "#000080", "#ff0000"), Tint(0.5, "#000080", "#000084")
    seen = View(score, 0.25, [region], [tint], 120, 400, ["a note"])
    seen.render, seen.difference = OFF, OFF
    return Round(number, f"answer {number}", f"<p>{number}", [View(**{**vars(seen), **view})])


def texts(message: Any) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def pictures(message: Any) -> list[Image.Image]:
    urls = [part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) for url in urls]


class Telling(unittest.TestCase):
    def test_the_task(self) -> None:
        (only,) = messages([TARGET], [], hint="Blue is the sea.")
        self.assertEqual(only["role"], "user")
        for words in ("120 x 80", "no network", "```html", "Blue is the sea."):
            self.assertIn(words, texts(only))
        self.assertNotIn("state", texts(only))
        (picture,) = pictures(only)
        self.assertEqual((picture.size, picture.convert("RGB").getpixel((5, 5))), ((120, 80), (0, 0, 128)))

    def test_what_a_round_is_told(self) -> None:
        told = messages([TARGET], [round_of(1, 0.7), round_of(2, 0.6)])
        self.assertEqual([each["role"] for each in told], ["user", "assistant", "user", "assistant", "user"])
        self.assertEqual(told[1]["content"], "answer 1")
        for words in ("0.7000", "25.00%", "120 x 400", "x 8 to 40, y 16 to 48", "60%", "#ff0000", "#000084", "a note"):
            self.assertIn(words, texts(told[2]))
        self.assertNotIn("was better", texts(told[2]))
        self.assertIn("answer 1 was better", texts(told[4]))
        self.assertEqual([picture.size for picture in pictures(told[2])], [(120, 80)] * 2)

    def test_a_conversation_only_grows(self) -> None:
        failed, no_page = Round(2, None, notes=["failed"]), Round(3, "no page", None, notes=["no HTML"])
        rounds = [round_of(1, 0.5), failed, no_page, round_of(4, 0.8)]
        before = messages([TARGET], [])
        for count in range(1, len(rounds) + 1):
            now = messages([TARGET], rounds[:count])
            self.assertEqual(now[: len(before)], before)
            before = now
        self.assertEqual(len(before), 7)

    def test_states(self) -> None:
        targets = [Target(OFF, f"state {number}", f"state-{number}", f"at {number}.0 s") for number in (1, 2, 3)]
        made = round_of(1, 0.9)
        made.views = [View(score, render=OFF, difference=OFF) for score in (0.9, 0.2, 0.4)]
        first, _, answer = messages(targets, [made], shown=1)
        self.assertEqual(len(pictures(first)), 3)
        for words in ("#state-N", "3 states", "state 2, at 2.0 s"):
            self.assertIn(words, texts(first))
        self.assertIn("0.5000", texts(answer))
        self.assertEqual(len(pictures(answer)), 2)
        self.assertIn("Your page (state 2)", texts(answer))


class Commands(LoopTest):
    def ask(self, program: str, rounds: Any = (), **options: Any) -> str:
        return CommandGenerator([sys.executable, "-c", program], **options)([TARGET], list(rounds))

    def test_the_request(self) -> None:
        program = "import json,sys; print(json.dumps(json.load(sys.stdin)))"
        got = json.loads(self.ask(program, [round_of(1, 0.7)], hint="hint"))
        self.assertEqual(set(got), {"task", "targets", "rounds", "messages"})
        self.assertEqual(got["messages"], messages([TARGET], [round_of(1, 0.7)], "hint"))
        self.assertEqual((got["targets"][0]["width"], got["rounds"][0]["html"]), (120, "<p>1"))
        self.assertEqual(got["rounds"][0]["views"][0]["regions"][0]["left"], 8)
        self.assertTrue(got["rounds"][0]["views"][0]["difference"].startswith("data:image/png"))

    def test_failures(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "status 3: no such key"):
            self.ask("import sys; sys.stdin.read(); sys.exit((print('x\\nno such key', file=sys.stderr), 3)[1])")
        with self.assertRaisesRegex(RuntimeError, "MiB"):
            self.ask("import sys\nwhile True: sys.stdout.write('x' * 65536)")
        with self.assertRaisesRegex(Unusable, "no-such-command"):
            CommandGenerator(["/no-such-command"])([TARGET], [])

    def test_it_need_not_read(self) -> None:
        big = [round_of(number, 0.5, render=Image.effect_noise((400, 400), 90).convert("RGB")) for number in range(1, 4)]
        self.assertEqual(self.ask("print('<p>hello')", big), "<p>hello\n")

    def test_it_is_ended_with_all_that_it_started(self) -> None:
        begin = time.monotonic()
        with self.assertRaisesRegex(TimeoutError, "after 0.5 s"):
            self.ask("import subprocess; subprocess.run(['sleep', '60'])", seconds=0.5)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(own_processes(), set())


class Event:
    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def fake_kimi() -> Any:
    """A module in the place of `kimi`, as far as the generator looks at it."""
    module = types.ModuleType("kimi")
    for name in ("Media", "Prompt", "Reasoning", "Content", "Finish"):
        setattr(module, name, type(name, (Event,), {}))

    class Error(Exception):
        code = -1

    module.Error = Error
    module.Status = types.SimpleNamespace(UNSUPPORTED=-8, CONTEXT_FULL=-9, OUT_OF_MEMORY=-5)
    return module


class FakeModel:
    """A model whose session gives these events, or raises."""

    def __init__(self, events: list[Any], vision: bool = True) -> None:
        self.info = {"vision": vision, "path": "/models/text-only"}
        self.asked: list[Any] = []
        self.events = events

    def session(self) -> Any:
        return self

    def chat(self, conversation: Any, **options: Any) -> Any:
        self.asked.append((conversation, options))
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event


class Kimi(unittest.TestCase):
    def setUp(self) -> None:
        self.kimi = fake_kimi()
        patch = mock.patch.dict(sys.modules, {"kimi": self.kimi})
        patch.start()
        self.addCleanup(patch.stop)

    def test_a_turn(self) -> None:
        kimi = self.kimi
        usage = types.SimpleNamespace(prompt_tokens=9, generated_tokens=3)
        model = FakeModel([
            kimi.Media(tokens=7), kimi.Prompt(done=4, total=9), kimi.Reasoning(text="hm"), kimi.Content(text="<p>"),
            kimi.Content(text="Hi"), kimi.Finish(finish_reason="stop", usage=usage),
        ])
        seen: list[Any] = []
        generator = KimiGenerator(model, hint="hint", mode="instant", seed=4, progress=lambda *what: seen.append(what))
        self.assertEqual(generator([TARGET], []), "<p>Hi")
        generator([TARGET], [round_of(1, 0.5)])
        self.assertEqual(seen[:5], [("looking at", 7), ("reading", 4, 9), ("thinking", 1), ("writing", 2), ("writing", 3)])
        told = messages([TARGET], [], "hint", part=picture_part)
        self.assertEqual(model.asked[0], (told, {"stream": True, "mode": "instant", "seed": 4}))
        self.assertIs(told[0]["content"][1]["image"], TARGET.picture)
        self.assertEqual(model.asked[1][0], messages([TARGET], [round_of(1, 0.5)], "hint", part=picture_part))
        self.assertEqual(generator.usage, {"prompt_tokens": 18, "generated_tokens": 6})

    def test_without_eyes(self) -> None:
        with self.assertRaisesRegex(Unusable, "text-only has no eyes"):
            KimiGenerator(FakeModel([], vision=False))

    def test_errors(self) -> None:
        for code, kind in ((-8, Unusable), (-9, Unusable), (-5, Unusable), (-4, self.kimi.Error)):
            error = self.kimi.Error("said")
            error.code = code
            with self.subTest(code), self.assertRaisesRegex(kind, "said"):
                KimiGenerator(FakeModel([error]))([TARGET], [])


if __name__ == "__main__":
    unittest.main()
