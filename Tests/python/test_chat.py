"""Conversations on the fixture, whose weights are random: calls are forced, and what comes is checked, not what it says."""

import gc
import json
import threading
import time
import unittest
from typing import Any, Dict, List, Literal

from common import KimiTest

import kimi

# Small enough that a babbling model soon gets to the point.
SHORT: Dict[str, Any] = {"reasoning_budget": 8, "max_tokens": 400}

class Chats(KimiTest):
    def test_turn_and_stream_are_the_same(self) -> None:
        cases: List[Any] = [
            {"mode": "instant", "max_tokens": 20}, {"mode": "thinking", "max_tokens": 40, "reasoning_budget": 10},
        ]
        for options in cases:
            with self.subTest(options), self.model.session() as session:
                turn = session.chat("Hello", seed=7, **options)
                session.reset()
                chat = session.chat([{"role": "user", "content": "Hello"}], seed=7, stream=True, **options)
                events: List[Any] = list(chat)
                self.assertEqual(chat.turn, turn)
                self.assertEqual("".join(map(str, events)), turn.content)
                self.assertEqual(str(turn), turn.content)
                kinds = [type(event) for event in events]
                self.assertIs(kinds[0], kimi.Start)
                self.assertIs(kinds[-1], kimi.Finish)
                self.assertEqual(kinds.count(kimi.Finish), 1)
                self.assertIn(turn.finish_reason, ("stop", "length"))
                thinking = options["mode"] == "thinking"
                self.assertEqual(events[0].thinking, thinking)
                self.assertEqual(turn.reasoning is not None, thinking)
                self.assertEqual("".join(e.text for e in events if isinstance(e, kimi.Reasoning)), turn.reasoning or "")
                start = events[0]
                prompt = self.model.render_ids("Hello", mode=options["mode"])
                self.assertEqual((start.total, turn.usage.prompt_tokens), (len(prompt), len(prompt)))
                self.assertLessEqual(turn.usage.generated_tokens, options["max_tokens"])
                self.assertGreaterEqual(turn.usage.generated_tokens, turn.usage.reasoning_tokens)

    def test_messages_and_turn(self) -> None:
        with self.model.session() as session:
            messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
            first = session.chat(messages, seed=1, **SHORT)
            self.assertEqual(first.message, first.messages[-1])
            self.assertEqual(session.turn, first.message)
            second = session.say("Go on.", seed=2, **SHORT)
            roles = [message["role"] for message in session.messages]
            self.assertEqual(roles, ["system", "user", "assistant", "user", "assistant"])
            contents = [message["content"] for message in session.messages]
            self.assertEqual(contents, ["Be brief.", "Hello", first.content, "Go on.", second.content])
            # What was said before is in the cache, but for what the prompt shows differently: past thoughts.
            self.assertGreater(second.usage.cached_tokens, 0)
            # The whole conversation at once is another way to say the same.
            again = session.chat(session.messages + [{"role": "user", "content": "More."}], seed=3, **SHORT)
            self.assertGreater(again.usage.cached_tokens, 0)
            self.assertEqual(len(session.messages), 7)

    def test_budget_notice(self) -> None:
        with self.model.session() as session:
            turn = session.chat("Hello", seed=1, **SHORT)
            if turn.usage.reasoning_tokens >= 8:
                self.assertIn("reasoning_budget", [notice.kind for notice in turn.notices])
            self.assertLessEqual(turn.usage.reasoning_tokens, 8)

    def test_unknown_fields_are_noticed(self) -> None:
        with self.model.session() as session:
            turn = session.chat("Hello", max_tokens=1, frobnicate=5)  # type: ignore[call-overload]
            notices = [notice for notice in turn.notices if notice.kind == "ignored_field"]
            self.assertEqual(len(notices), 1)
            self.assertIn("frobnicate", notices[0].text)

    def test_response_format(self) -> None:
        schema = {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
            "required": ["name", "age"],
            "additionalProperties": False,
        }
        form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
        with self.model.session() as session:
            options = {**self.forced(), "tool_choice": None}
            for seed in range(12):
                turn = session.chat("Who?", response_format=form, seed=seed, **options)
                self.assertEqual(turn.finish_reason, "stop")
                person = json.loads(turn.content)
                self.assertEqual(set(person), {"name", "age"})
                self.assertIsInstance(person["name"], str)
                self.assertLessEqual(len(person["name"]), 12)
                self.assertIs(type(person["age"]), int)
                self.assertTrue(0 <= person["age"] <= 150)

    def test_json_object(self) -> None:
        with self.model.session() as session:
            # Brackets that close are likely, so that objects do not grow for ever.
            options = self.forced(tool_choice=None, max_tokens=2000)
            for piece in ("}", '"', '"}', "]"):
                try:
                    options["logit_bias"][self.model.token_id(piece)] = 8
                except kimi.Error:
                    continue
            for seed in range(6):
                turn = session.chat("What?", response_format={"type": "json_object"}, seed=seed, **options)
                self.assertEqual(turn.finish_reason, "stop")
                self.assertIsInstance(json.loads(turn.content), dict)

    def test_stop_strings(self) -> None:
        with self.model.session() as session:
            whole = session.chat("Hello", mode="instant", seed=4, max_tokens=40).content
            stop = whole[len(whole) // 2 :][:2]
            turn = session.chat("Hello", mode="instant", seed=4, max_tokens=40, stop=[stop])
            self.assertEqual((turn.content, turn.finish_reason), (whole[: whole.index(stop)], "stop"))

    def test_options_out_of_range(self) -> None:
        with self.model.session() as session:
            out_of_range: List[Any] = [
                {"mode": "deep"}, {"max_tokens": 0}, {"reasoning_budget": -1}, {"seed": -1}, {"seed": 2**64}, {"step_limit": 0},
                {"step_limit": 10_001}, {"parallel_tools": 65}, {"context": "forget"}, {"temperature": float("nan")},
            ]
            for options in out_of_range:
                with self.subTest(options), self.assertRaises(ValueError):
                    session.chat("x", **options)
            refused: List[Any] = [
                {"temperature": -1.0}, {"top_p": 2.0}, {"tool_choice": "required"}, {"response_format": {"type": "x"}},
            ]
            for options in refused:
                with self.subTest(options), self.fails(kimi.Status.INVALID_ARGUMENT):
                    session.chat("x", **options)
            no_messages: List[Any] = [5, [5], None]
            for bad in no_messages:
                with self.subTest(bad), self.assertRaises((TypeError, kimi.Error)):
                    session.chat(bad)
            with self.assertRaises(TypeError):
                session.say(5)  # type: ignore[call-overload]
            # A refused request leaves the session free.
            session.chat("x", mode="instant", max_tokens=1)


class Endings(KimiTest):
    def usable(self, session: kimi.Session, messages: int = 0) -> None:
        """The session is free, and the conversation is what it was."""
        self.assertEqual(len(session.messages), messages)
        session.say("Hello", mode="instant", max_tokens=2)

    def test_abandoned_chat(self) -> None:
        with self.model.session() as session:
            chat = session.chat("Hello", stream=True, mode="instant")
            next(chat)
            with self.fails(kimi.Status.BUSY):
                session.chat("Hello")
            with self.fails(kimi.Status.BUSY):
                chat.turn
            del chat
            gc.collect()
            self.usable(session)
            for event in session.chat("Hello", stream=True, mode="instant"):
                break
            del event
            gc.collect()
            self.usable(session, 2)

    def test_closed_chat(self) -> None:
        with self.model.session() as session:
            with session.chat("Hello", stream=True) as chat:
                next(chat)
            self.assertEqual(list(chat), [])
            self.usable(session)

    def test_interrupted_tool(self) -> None:
        def find(kind: Literal["a"]) -> str:
            raise KeyboardInterrupt

        with self.model.session() as session:
            for parallel in (1, 2):
                with self.assertRaises(KeyboardInterrupt):
                    session.chat("Find.", [find], parallel_tools=parallel, seed=1, **self.forced())
                self.assertEqual(session.messages, [])
            session.add_tool(find)
            with self.assertRaises(KeyboardInterrupt):
                session.chat("Find.", seed=1, **self.forced())
            session.remove_tool("find")
            self.usable(session)

    def test_exception_of_the_reader(self) -> None:
        with self.model.session() as session:
            with self.assertRaises(ZeroDivisionError):
                for _ in session.chat("Hello", stream=True):
                    1 / 0
            self.usable(session)

    def test_cancel_from_another_thread(self) -> None:
        with self.model.session() as session:
            endless = dict.fromkeys(self.model.info["end_tokens"], -100)
            threading.Timer(0.1, session.cancel).start()
            self.cancelled(session, "Hello", reasoning_budget=100_000, logit_bias=endless)
            self.usable(session)

    def test_cancel_while_a_tool_runs(self) -> None:
        release = threading.Event()

        @kimi.tool(timeout=60)
        def find(kind: Literal["a"]) -> str:
            threading.Timer(0.05, session.cancel).start()
            release.wait(50)
            return "late"

        try:
            with self.model.session() as session:
                begin = time.monotonic()
                self.cancelled(session, "Find.", [find], seed=1, **self.forced())
                self.assertLess(time.monotonic() - begin, 30)
                self.usable(session)
        finally:
            release.set()

    def cancelled(self, session: kimi.Session, *arguments: Any, **options: Any) -> None:
        try:
            turn = session.chat(*arguments, **options)
        except kimi.Error as error:
            self.assertEqual(error.code, kimi.Status.CANCELLED)
        else:
            self.assertEqual(turn.finish_reason, "cancelled")

    def test_context(self) -> None:
        with self.model.session(context_limit=64) as session:
            with self.fails(kimi.Status.CONTEXT_FULL):
                session.chat("Hello " * 200)
            turn = session.chat("Hello", seed=1, reasoning_budget=10_000)
            self.assertIn(turn.finish_reason, ("context", "stop"))

    def test_results_that_do_not_fit(self) -> None:
        asked: List[Any] = []

        def find() -> str:
            return "word " * 200

        def drop(needed: int, limit: int) -> Literal["stop", "drop_results"]:
            asked.append((needed, limit))
            return "drop_results"

        def broken(needed: int, limit: int) -> Any:
            raise ZeroDivisionError

        policies: List[Any] = ["stop", "drop_results", drop]
        for context in policies:
            with self.subTest(context), self.model.session(context_limit=2000) as session:
                turn = session.chat("Find.", [find], seed=1, step_limit=12, context=context, **self.forced(always=True))
                if context == "stop":
                    self.assertEqual(turn.finish_reason, "context")
                else:
                    self.assertIn("results_dropped", [notice.kind for notice in turn.notices])
                    self.assertEqual(turn.finish_reason, "steps")
        self.assertGreater(len(asked), 0)
        for needed, limit in asked:
            self.assertEqual(limit, 2000)
            self.assertGreater(needed, 1500)
        with self.model.session(context_limit=2000) as session:
            with self.assertRaises(ZeroDivisionError):
                session.chat("Find.", [find], seed=1, step_limit=12, context=broken, **self.forced(always=True))
            self.usable(session)

    def test_closed_session(self) -> None:
        session = self.model.session()
        session.close()
        calls: Any = (
            lambda: session.chat("x"), lambda: session.say("x"), lambda: session.messages, lambda: session.turn,
            lambda: session.add_tool({"name": "find"}), lambda: session.remove_tool("find"),
        )
        for call in calls:
            with self.fails(kimi.Status.INVALID_HANDLE):
                call()


if __name__ == "__main__":
    unittest.main()
