"""Tools in conversations on the fixture: calls are forced, and what functions receive and return is checked."""

import gc
import json
import threading
import unittest
from typing import Any, Dict, List, Literal

from common import KimiTest

import kimi

# Small enough that a babbling model soon gets to the point.
SHORT: Dict[str, Any] = {"reasoning_budget": 8, "max_tokens": 400}

FIND = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Finds.",
        "parameters": {
            "type": "object",
            "properties": {"kind": {"enum": ["a", "b"]}, "count": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["kind", "count"],
            "additionalProperties": False,
        },
    },
}


def valid_find(arguments: Any) -> bool:
    return (
        isinstance(arguments, dict)
        and set(arguments) == {"kind", "count"}
        and arguments["kind"] in ("a", "b")
        and type(arguments["count"]) is int
        and 1 <= arguments["count"] <= 9
    )


class Tools(KimiTest):
    def test_calls_for_the_caller(self) -> None:
        with self.model.session() as session:
            for seed in range(10):
                turn = session.chat("Find it.", [FIND], seed=seed, **self.forced())
                self.assertEqual(turn.finish_reason, "tool_calls")
                self.assertGreater(len(turn.tool_calls), 0)
                for at, call in enumerate(turn.tool_calls):
                    self.assertEqual((call.id, call.name), (f"functions.find:{at}", "find"))
                    self.assertTrue(valid_find(call.values), call.arguments)
                self.assertEqual(turn.message["tool_calls"], [call.message for call in turn.tool_calls])
            # The caller answers with a next request, in OpenAI's form.
            messages = [{"role": "user", "content": "Find it."}, *turn.messages]
            messages += [{"role": "tool", "tool_call_id": call.id, "content": "found"} for call in turn.tool_calls]
            after = session.chat(messages, [FIND], seed=3, **self.forced(tool_choice="none"))
            self.assertEqual(after.tool_calls, [])
            self.assertGreater(after.usage.cached_tokens, 0)

    def test_functions_are_called(self) -> None:
        calls: List[Any] = []

        @kimi.tool
        def find(kind: Literal["a", "b"], count: int, exact: bool = False) -> Dict[str, Any]:
            """Finds."""
            calls.append((kind, count, exact, threading.current_thread()))
            return {"kind": kind, "found": [1, 2]}

        with self.model.session() as session:
            for mode in ("instant", "thinking", "agent"):
                calls.clear()
                turn = session.chat(
                    "Find it.", [find], seed=5, step_limit=3, **self.forced(mode=mode, tool_choice=find, reasoning_budget=8)
                )
                self.assertGreater(len(calls), 0)
                for kind, count, exact, thread in calls:
                    self.assertIn(kind, ("a", "b"))
                    self.assertIs(type(count), int)
                    self.assertIs(type(exact), bool)
                    # Where a connection of SQLite's could be used.
                    self.assertIs(thread, threading.current_thread())
                results = [message for message in turn.messages if message["role"] == "tool"]
                self.assertEqual(len(results), len(calls))
                self.assertEqual(json.loads(results[0]["content"]), {"kind": calls[0][0], "found": [1, 2]})
                self.assertEqual(results[0]["tool_call_id"], "functions.find:0")
                self.assertEqual(turn.messages[0]["tool_calls"][0]["id"], "functions.find:0")

    def test_messages_of_a_turn(self) -> None:
        def find(kind: Literal["a"]) -> str:
            raise LookupError("nothing")

        with self.model.session() as session:
            question = {"role": "user", "content": "Find."}
            turn = session.chat([question], [find], seed=1, step_limit=3, **self.forced(always=True))
            self.assertEqual(session.messages, [question, *turn.messages])
            self.assertEqual(session.turn, turn.message)
            self.assertEqual([message["role"] for message in turn.messages], ["assistant", "tool"] * 2 + ["assistant"])
            self.assertIn("LookupError: nothing", turn.messages[1]["content"])
            # Said again as a request they are a conversation like any other.
            results = [{"role": "tool", "tool_call_id": call.id, "content": "Found."} for call in turn.tool_calls]
            after = session.chat([question, *turn.messages, *results], [find], **self.forced(tool_choice="none"))
            self.assertEqual(session.messages, [question, *turn.messages, *results, *after.messages])

    def test_without_constraint(self) -> None:
        calls: List[str] = []

        def find(kind: Literal["a"], count: int) -> str:
            calls.append(kind)
            return "found"

        with self.model.session() as session:
            rejected = set()
            for seed in range(8):
                # Its markers are likely, and what stands between them is noise.
                options = self.forced(tool_choice="auto", max_tokens=60)
                for marker in ("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"):
                    options["logit_bias"][self.model.token_id(marker)] = 8
                turn = session.chat("Find.", [find], seed=seed, constrain=False, step_limit=2, **options)
                self.assertEqual(turn.tool_calls, [])
                rejected |= {event.reason for event in turn.rejected}
                for event in turn.rejected:
                    self.assertIsInstance(event.text, str)
        self.assertTrue(rejected and rejected <= {"unknown_tool", "arguments", "unfinished"}, rejected)
        self.assertEqual(calls, [])

    def test_three_hundred_calls(self) -> None:
        calls: List[int] = []

        def count() -> int:
            calls.append(len(calls))
            return calls[-1]

        with self.model.session() as session:
            turn = session.chat("Count.", [count], seed=1, **self.forced(always=True))
        self.assertEqual((turn.finish_reason, calls), ("steps", list(range(299))))
        ids = [call["id"] for message in turn.messages for call in message.get("tool_calls", [])]
        self.assertEqual(ids, [f"functions.count:{number}" for number in range(300)])
        # Each step evaluates only what is new: about forty tokens.
        self.assertLess(turn.usage.prompt_tokens - turn.usage.cached_tokens, 300 * 60)

    def test_events_of_a_call(self) -> None:
        def find(kind: Literal["a", "b"]) -> str:
            return "found"

        with self.model.session() as session:
            events = list(session.chat("Find.", [find], stream=True, seed=1, step_limit=2, **self.forced()))
        kinds = [type(event).__name__ for event in events if not isinstance(event, (kimi.Prompt, kimi.Content))]
        self.assertEqual(kinds[:2], ["Start", "CallBegin"])
        end = next(event for event in events if isinstance(event, kimi.CallEnd))
        deltas = [e.text for e in events if isinstance(e, kimi.CallArguments) and e.call_id == end.call_id]
        self.assertEqual("".join(deltas), end.arguments)
        result = next(event for event in events if isinstance(event, kimi.ToolResult))
        self.assertEqual((result.call_id, result.name, result.text, result.status), (end.call_id, "find", "found", "ok"))
        self.assertEqual([event.step for event in events if isinstance(event, kimi.Start)], [0, 1])

    def test_failures_are_told_to_the_model(self) -> None:
        def find(kind: Literal["a"]) -> str:
            raise LookupError("nothing of this kind")

        with self.model.session() as session:
            events = list(session.chat("Find.", [find], stream=True, seed=1, step_limit=2, **self.forced()))
        results = [event for event in events if isinstance(event, kimi.ToolResult)]
        self.assertGreater(len(results), 0)
        for result in results:
            self.assertEqual((result.status, result.text), ("failed", "LookupError: nothing of this kind"))

    def test_time_limit(self) -> None:
        release = threading.Event()

        @kimi.tool(timeout=0.05)
        def find(kind: Literal["a"]) -> str:
            release.wait(30)
            return "late"

        try:
            with self.model.session() as session:
                turn = session.chat("Find.", [find], seed=1, step_limit=2, **self.forced())
            result = next(message for message in turn.messages if message["role"] == "tool")
            self.assertIn("0.05 seconds", result["content"])
        finally:
            release.set()

    def test_several_at_the_same_time(self) -> None:
        # Each waits for the others: they only come back if they run together.
        with self.model.session() as session:
            options = self.forced(parallel_tool_calls=True, max_tokens=2000, seed=1)
            chat = session.chat("Find.", [FIND], stream=True, **options)
            count = sum(isinstance(event, kimi.CallEnd) for event in chat)
            self.assertTrue(2 <= count <= 64, count)
            barrier = threading.Barrier(count)

            @kimi.tool
            def find(kind: Literal["a", "b"], count: int) -> str:
                barrier.wait(30)
                return threading.current_thread().name

            find.parameters = FIND["function"]["parameters"]  # type: ignore[index]
            find.description = "Finds."
            turn = session.chat("Find.", [find], step_limit=2, parallel_tools=count, **options)
            results = [message for message in turn.messages if message["role"] == "tool"]
            self.assertEqual([result["content"] for result in results[:count]], ["kimi tool find"] * count)

    def test_tools_without_functions_beside_others(self) -> None:
        def other(x: int) -> str:
            return "other"

        with self.model.session() as session:
            with self.assertRaises(ValueError) as caught:
                session.chat("x", [other, FIND])
            self.assertIn("find", str(caught.exception))
            needed = 0
            with session.chat(
                "Find.", [other, FIND], stream=True, seed=1, step_limit=2,
                **self.forced(tool_choice={"type": "function", "function": {"name": "find"}}),
            ) as chat:
                for event in chat:
                    if isinstance(event, kimi.ResultNeeded):
                        needed += 1
                        with self.fails(kimi.Status.INVALID_ARGUMENT):
                            chat.submit("functions.find:99", "no")
                        chat.submit(event.call_id, {"found": needed})
            self.assertGreater(needed, 0)
            results = [message for message in chat.turn.messages if message["role"] == "tool"]
            self.assertEqual(results[0]["content"], '{"found": 1}')

    def test_tools_of_the_session(self) -> None:
        calls: List[Any] = []

        def find(kind: Literal["a", "b"]) -> str:
            """Finds."""
            calls.append((kind, threading.current_thread()))
            if kind == "b":
                raise ValueError("no b")
            return "found"

        with self.model.session() as session:
            session.add_tool(find)
            gc.collect()
            results = []
            for seed in range(6):
                for event in session.chat("Find.", stream=True, seed=seed, step_limit=2, **self.forced()):
                    if isinstance(event, kimi.ToolResult):
                        results.append((event.status, event.text))
            self.assertGreater(len(results), 0)
            self.assertEqual(
                results, [("ok", "found") if kind == "a" else ("failed", "ValueError: no b") for kind, _ in calls]
            )
            self.assertEqual({thread for _, thread in calls}, {threading.current_thread()})
            session.remove_tool("find")
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                session.remove_tool("find")
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                session.chat("Find.", **self.forced())

    def test_tools_of_the_session_may_not_use_it(self) -> None:
        errors: List[Any] = []

        with self.model.session() as session:

            def find(kind: Literal["a"]) -> str:
                try:
                    session.chat("Me too.")
                except kimi.Error as error:
                    errors.append(error.code)
                return "found"

            for declare in (True, False):
                if declare:
                    session.add_tool(find)
                else:
                    session.remove_tool("find")
                session.chat("Find.", None if declare else [find], seed=1, step_limit=2, **self.forced())
                self.assertGreater(len(errors), 0)
                self.assertEqual(set(errors), {kimi.Status.BUSY})
                errors.clear()


if __name__ == "__main__":
    unittest.main()
