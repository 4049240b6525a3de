"""Conversations about pictures on the fixture, whose weights are random: what is shown is checked, not what is said about it."""

import base64
import gc
import json
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any, Dict, List, Literal

from common import EXPECTED, FIXTURES, KimiTest

import kimi

VISION = EXPECTED / "vision"
NUMBERS: Dict[str, Any] = json.loads((VISION / "vision.json").read_text())
WIDE, SMALL, TALL = (VISION / f"{name}.png" for name in ("wide", "small", "tall"))
TOKENS = {path: NUMBERS[path.stem]["tokens"] for path in (WIDE, SMALL, TALL)}
FRAMES = [VISION / f"clip.{number}.png" for number in range(6)]
SHORT: Dict[str, Any] = {"mode": "instant", "max_tokens": 3, "seed": 1}


def data_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def asked(*parts: Any) -> List[Dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def media(events: List[Any]) -> List[kimi.Media]:
    return [event for event in events if isinstance(event, kimi.Media)]


class Pictures(KimiTest):
    def test_events_and_counts(self) -> None:
        # A model of its own: what others have looked at is at hand in the shared one.
        with kimi.Model(self.model.info["path"]) as model, model.session() as session:
            events: List[Any] = list(session.chat(asked(WIDE, "and", TALL, "What is new?"), stream=True, **SHORT))
            seen = media(events)
            self.assertEqual([(event.done, event.total) for event in seen], [(1, 2), (2, 2)])
            self.assertEqual([event.tokens for event in seen], [TOKENS[WIDE], TOKENS[TALL]])
            self.assertEqual([event.path for event in seen], ["messages[0].content[0]", "messages[0].content[2]"])
            self.assertEqual({(event.kind, event.time, event.cached) for event in seen}, {("image", "", False)})
            self.assertLess(events.index(seen[0]), [type(event) for event in events].index(kimi.Prompt))
            usage = events[-1].usage
            self.assertEqual(usage.media_tokens, TOKENS[WIDE] + TOKENS[TALL])
            prompt = model.render_ids(asked(WIDE, "and", TALL, "What is new?"), mode="instant")
            self.assertEqual(usage.prompt_tokens, len(prompt))
            self.assertEqual(prompt.count(model.token_id("<|media_pad|>")), usage.media_tokens)
            self.assertEqual((session.stats["media_encoded"], session.stats["media_reused"]), (2, 0))
            self.assertEqual(session.stats["media_tokens"], usage.media_tokens)

            # A second question: no vision work, and the pictures are found in the session's cache.
            again: List[Any] = list(session.say("And again?", stream=True, **SHORT))
            self.assertEqual([event.cached for event in media(again)], [True, True])
            self.assertEqual(session.stats["media_encoded"], 2)
            self.assertGreater(again[-1].usage.cached_tokens, usage.media_tokens)
            # The same picture in another session: looked at once for all of them.
            with model.session() as other:
                other.say([WIDE, "What is it?"], **SHORT)
                self.assertEqual((other.stats["media_encoded"], other.stats["media_reused"]), (0, 1))

    def test_every_form_of_a_part(self) -> None:
        picture = kimi.Image(WIDE)
        forms: List[Any] = [
            WIDE, WIDE.read_bytes(), picture, bytearray(WIDE.read_bytes()),
            {"type": "image", "image": WIDE}, {"type": "image", "image": picture},
            {"type": "image_url", "image_url": {"url": WIDE}}, {"type": "image_url", "image_url": {"url": WIDE.read_bytes()}},
            {"type": "image_url", "image_url": picture}, {"type": "input_image", "image_url": picture},
            {"type": "image_url", "image_url": {"url": picture.url}}, {"type": "image_url", "image_url": {"url": data_url(WIDE)}},
            {"type": "image", "url": WIDE}, {"type": "image", "path": WIDE},
        ]
        try:
            import numpy
            from PIL import Image as PILImage

            forms += [PILImage.open(WIDE), {"type": "image", "image": numpy.asarray(PILImage.open(WIDE))}]
        except ImportError:
            pass
        with self.model.session() as session:
            first = session.chat(asked(WIDE, "What?"), **SHORT)
            for number, form in enumerate(forms):
                with self.subTest(number):
                    messages = asked(form, {"type": "text", "text": "What?"})
                    before = repr(messages)
                    turn = session.chat(messages, **SHORT)
                    self.assertEqual(repr(messages), before)
                    self.assertEqual((turn.content, turn.usage.media_tokens), (first.content, TOKENS[WIDE]))
                    self.assertEqual(turn.usage.cached_tokens, turn.usage.prompt_tokens)

    def test_video(self) -> None:
        timestamps = [number / NUMBERS["clip"]["fps"] for number in range(6)]
        with kimi.Video(FRAMES, timestamps) as video, self.model.session() as session:
            forms: List[Any] = [
                video, {"type": "video", "video": video}, {"type": "video_url", "video_url": {"url": video}},
                {"type": "video", "video": FRAMES, "timestamps": timestamps}, {"type": "video", "video": FRAMES},
            ]
            for number, form in enumerate(forms):
                with self.subTest(number):
                    events: List[Any] = list(session.chat(asked(form, "What?"), stream=True, **SHORT))
                    self.assertEqual([event.time for event in media(events)], NUMBERS["clip"]["timestamps"])
                    self.assertEqual([event.tokens for event in media(events)], NUMBERS["clip"]["chunk_tokens"])
                    self.assertEqual({event.kind for event in media(events)}, {"video"})
                    self.assertEqual([event for event in events if isinstance(event, kimi.Notice)], [])
            file = {"type": "video", "video": FIXTURES / "vision" / "clips" / "one.mp4"}
            self.assertGreater(session.chat(asked(file, "What?"), **SHORT).usage.media_tokens, 0)

    def test_a_str_is_no_path(self) -> None:
        for form in (
            {"type": "image", "image": str(WIDE)}, {"type": "image_url", "image_url": {"url": str(WIDE)}},
            {"type": "image_url", "image_url": {"url": WIDE.as_uri()}}, {"type": "video", "video": str(WIDE)},
        ):
            with self.subTest(form), self.model.session() as session:
                with self.fails(kimi.Status.UNSUPPORTED):
                    session.chat(asked(form), **SHORT)
                if form["type"] != "video":
                    turn = session.chat(asked(form), allow_files=True, **SHORT)
                    self.assertEqual(turn.usage.media_tokens, TOKENS[WIDE])
        with self.model.session() as session:
            # By itself it is a text.
            self.assertEqual(session.chat(asked(str(WIDE)), **SHORT).usage.media_tokens, 0)
            with self.fails(kimi.Status.UNSUPPORTED):
                session.chat(asked({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}), **SHORT)

    def test_refused_parts(self) -> None:
        cases: List[Any] = [
            (TypeError, {"type": "image", "image": ["no picture"]}), (TypeError, {"type": "video", "video": kimi.Image(SMALL)}),
            (kimi.Error, {"type": "image", "image": 5}), (kimi.Error, {"type": "image"}), (kimi.Error, b"no picture"),
            (kimi.Error, {"type": "image", "image": "kimi-image:" + "0" * 32}), (kimi.Error, Path("/no/such.png")),
            (kimi.Error, {"type": "image", "image": kimi.Video(FRAMES).url}), (TypeError, {"type": "text", "text": WIDE}),
        ]
        with self.model.session() as session:
            for kind, part in cases:
                with self.subTest(part), self.assertRaises(kind):
                    session.chat(asked(part), **SHORT)
            # A refused request leaves the session free.
            session.chat(asked(SMALL), **SHORT)

    def test_the_conversation_keeps_what_it_shows(self) -> None:
        with self.model.session() as session:
            with kimi.Image(WIDE) as picture:
                session.chat(asked(picture, "What is it?"), **SHORT)
            # Closed: the conversation goes on, but its JSON names a picture that is gone.
            self.assertEqual(session.say("More?", **SHORT).usage.media_tokens, TOKENS[WIDE])
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                session.chat(session.messages + asked("More?"), **SHORT)

            session.chat(asked(WIDE.read_bytes(), "What is it?"), **SHORT)
            gc.collect()
            turn = session.chat(session.messages + asked("More?"), **SHORT)
            self.assertEqual(turn.usage.media_tokens, TOKENS[WIDE])
            fork = session.fork()
            with fork:
                gc.collect()
                self.assertEqual(fork.chat(fork.messages + asked("More?"), **SHORT).usage.media_tokens, TOKENS[WIDE])
            # A conversation about something else lets it go.
            old = session.messages
            session.chat("Hello", **SHORT)
            gc.collect()
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                session.chat(old, **SHORT)

    def test_an_abandoned_chat(self) -> None:
        with self.model.session() as session:
            session.chat(asked(SMALL), **SHORT)
            for _ in session.say([WIDE, TALL], stream=True, **SHORT):
                break
            gc.collect()
            self.assertEqual(len(session.messages), 2)
            self.assertEqual(session.chat(session.messages + asked("More?"), **SHORT).usage.media_tokens, TOKENS[SMALL])

    def test_saved_and_loaded(self) -> None:
        with tempfile.TemporaryDirectory() as folder, self.model.session() as session:
            session.chat(asked(WIDE, "What?"), **SHORT)
            session.save(Path(folder, "saved"))
            with self.model.session() as other:
                other.load(Path(folder, "saved"))
                turn = other.chat(asked(WIDE, "What?"), **SHORT)
                self.assertEqual(turn.usage.cached_tokens, turn.usage.prompt_tokens)
                # Another picture of the same size is another one.
                turned = kimi.Image.from_pixels(bytes(200 * 140 * 3), 200, 140)
                self.assertLess(other.chat(asked(turned, "What?"), **SHORT).usage.cached_tokens, TOKENS[WIDE])

    def test_render(self) -> None:
        text = self.model.render(asked(WIDE, "What?"))
        self.assertEqual((text.count("<|media_pad|>"), text.count("What?")), (1, 1))
        with self.fails(kimi.Status.UNSUPPORTED):
            self.model.render_ids(asked({"type": "image", "image": str(WIDE)}))


class ToolsThatShow(KimiTest):
    def shots(self, returned: Any) -> Any:
        def shot(kind: Literal["a"]) -> Any:
            """Takes a screenshot."""
            return returned() if callable(returned) else returned

        return shot

    def test_results_with_pictures(self) -> None:
        forms: List[Any] = [
            kimi.Image(SMALL), [kimi.Image(SMALL)], ["A window.", lambda: 0, kimi.Image(SMALL)], (kimi.Image(SMALL), {"x": 1}),
            [{"type": "image", "image": SMALL}], {"type": "image_url", "image_url": {"url": SMALL.read_bytes()}},
        ]
        forms[2][1] = {"title": "Kimi"}
        try:
            import numpy
            from PIL import Image as PILImage

            forms += [PILImage.open(SMALL), ["As an array:", numpy.asarray(PILImage.open(SMALL))]]
        except ImportError:
            pass
        for parallel in (1, 2):
            for number, form in enumerate(forms):
                with self.subTest(number, parallel=parallel), self.model.session() as session:
                    options = self.forced(always=False, step_limit=2, parallel_tools=parallel, max_tokens=200)
                    turn = session.chat("Look.", [self.shots(form)], seed=1, **options)
                    (result,) = [message for message in turn.messages if message["role"] == "tool"]
                    shown = [part for part in result["content"] if part["type"] != "text"]
                    self.assertEqual(len(shown), 1)
                    self.assertEqual(turn.usage.media_tokens, TOKENS[SMALL])
                    texts = [part["text"] for part in result["content"] if part["type"] == "text"]
                    if form is forms[2]:
                        self.assertEqual(texts, ["A window.", '{"title": "Kimi"}'])
                    # What the model was shown can be shown again.
                    del turn
                    gc.collect()
                    again = session.chat(session.messages + asked("More?"), **SHORT)
                    self.assertEqual(again.usage.media_tokens, TOKENS[SMALL])

    def test_results_without_pictures(self) -> None:
        forms: List[Any] = [
            str(SMALL), SMALL, b"bytes", [SMALL, b"x"], {"type": "image", "image": "a.png"}, {"type": "image", "image": [1]},
        ]
        for form in forms:
            with self.subTest(form), self.model.session() as session:
                turn = session.chat("Look.", [self.shots(form)], seed=1, **self.forced(step_limit=2, max_tokens=200))
                (result,) = [message for message in turn.messages if message["role"] == "tool"]
                self.assertIsInstance(result["content"], str)
                self.assertEqual(turn.usage.media_tokens, 0)

    def test_failures_are_told(self) -> None:
        returned = [{"type": "image", "image": Path("/no/such/shot.png")}]
        with self.model.session() as session:
            events = list(session.chat("Look.", [self.shots(returned)], stream=True, seed=1, **self.forced(step_limit=2)))
            (result,) = [event for event in events if isinstance(event, kimi.ToolResult)]
            self.assertEqual(result.status, "failed")
            self.assertIn("shot.png", result.text)

    def test_tools_of_a_session(self) -> None:
        for any_thread in (False, True):
            with self.subTest(any_thread=any_thread), self.model.session() as session:
                session.add_tool(self.shots(lambda: ["A window.", kimi.Image(SMALL), kimi.Image(WIDE)]), any_thread=any_thread)
                for used in (session, session.fork()):
                    turn = used.chat("Look.", seed=1, **self.forced(step_limit=2, max_tokens=200))
                    (result,) = [message for message in turn.messages if message["role"] == "tool"]
                    self.assertEqual([part["type"] for part in result["content"]], ["text", "image_url", "image_url"])
                    self.assertEqual(turn.usage.media_tokens, TOKENS[SMALL] + TOKENS[WIDE])
                    gc.collect()
                    again = used.chat(used.messages + asked("More?"), **SHORT)
                    self.assertEqual(again.usage.media_tokens, TOKENS[SMALL] + TOKENS[WIDE])
        with self.model.session() as session:
            session.add_tool(self.shots(kimi.Video(FRAMES)))
            events = list(session.chat("Look.", stream=True, seed=1, **self.forced(step_limit=2)))
            (result,) = [event for event in events if isinstance(event, kimi.ToolResult)]
            self.assertEqual(result.status, "failed")
            self.assertIn("videos", result.text)

    def test_submitted_and_in_the_next_request(self) -> None:
        schema = {"type": "object", "properties": {}, "additionalProperties": False}
        tool = {"type": "function", "function": {"name": "shot", "parameters": schema}}
        with self.model.session() as session:
            options = self.forced(step_limit=2)
            chat = session.chat("Look.", [tool], stream=True, seed=1, **options)
            for event in chat:
                if isinstance(event, kimi.ResultNeeded):
                    with self.fails(kimi.Status.INVALID_ARGUMENT):
                        chat.submit("no such call", kimi.Image(SMALL))
                    chat.submit(event.call_id, ["Here:", kimi.Image(SMALL), kimi.Video(FRAMES)])
            tokens = TOKENS[SMALL] + sum(NUMBERS["clip"]["chunk_tokens"])
            self.assertEqual(chat.turn.usage.media_tokens, tokens)

            turn = session.chat("Look.", [tool], seed=1, **self.forced())
            messages = [{"role": "user", "content": "Look."}, *turn.messages]
            messages += [{"role": "tool", "tool_call_id": call.id, "content": [SMALL]} for call in turn.tool_calls]
            after = session.chat(messages, [tool], seed=1, **self.forced(tool_choice="none", max_tokens=3))
            self.assertEqual(after.usage.media_tokens, TOKENS[SMALL] * len(turn.tool_calls))

    def test_tool_run(self) -> None:
        picture = kimi.Image(SMALL)
        tool = kimi.tool(self.shots([picture, "text"]))
        self.assertEqual(tool.run({"kind": "a"}), [picture, "text"])


class ManyThreads(KimiTest):
    def test_pictures_of_many_threads(self) -> None:
        picture = kimi.Image(WIDE)
        expected = self.model.encode_image(picture)
        failures: List[Any] = []

        def work() -> None:
            try:
                for _ in range(5):
                    rows = self.model.encode_image(picture)
                    if any(list(a) != list(b) for a, b in zip(rows, expected)):
                        failures.append("another result")
                    kimi.Image(SMALL).close()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    unittest.main()
