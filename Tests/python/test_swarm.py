"""Swarms on the fixture: calls are forced, and events, functions, results, limits and rewards are checked."""

import asyncio
import json
import threading
import time
import unittest
from collections import Counter
from typing import Any, Dict, List, Optional

from common import KimiTest

import kimi

LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {
            "type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"], "additionalProperties": False,
        },
    },
}
PLAIN: Dict[str, Any] = {"mode": "instant", "max_tokens": 2, "seed": 1}

# Two stages with work of two agents at the same time, of five that would earn the whole; every other number is counted by hand.
ACCOUNT = {
    "agent_limit": 5,
    "agents": [{"steps": 3}, {"steps": 4}, {"steps": 2}, {"steps": 1}],
    "tasks": [
        {"agent": 1, "task": 1, "stage": 0, "steps": 3, "outcome": "finished"},
        {"agent": 2, "task": 1, "stage": 0, "steps": 2, "outcome": "finished"},
        {"agent": 1, "task": 2, "stage": 1, "steps": 1, "outcome": "failed"},
        {"agent": 3, "task": 1, "stage": 1, "steps": 1, "outcome": "cancelled"},
    ],
}


class Swarms(KimiTest):
    @classmethod
    def swarming(cls, **options: Any) -> Dict[str, Any]:
        """Options by which random weights make a swarm: the main agent creates one in its first step and gives it a task in the
        others; a task calls a tool in its first step, and its second ends the answer. Texts of calls are " "."""
        blank = {id: -100 for id in range(cls.model.vocabulary_size) if not cls.model.piece(id).strip()}
        blank[cls.model.token_id(' "')] = 100
        calls, end = cls.model.token_id("<|tool_calls_section_begin|>"), cls.model.token_id("<|im_end|>")
        agent_options = {
            "max_tokens": 400, "tool_choice": "required", "parallel_tool_calls": False, "logit_bias": {**blank, end: 100},
            **options.pop("agent_options", {}),
        }
        return {
            "mode": "instant", "agent_mode": "instant", "main_steps": 4, "max_tokens": 1500, "parallel_tool_calls": False,
            "tool_choice": {"type": "function", "function": {"name": "create_subagent"}}, "logit_bias": {**blank, calls: 100},
            "seed": 3, "agent_options": agent_options, **options,
        }

    def test_functions_events_and_result(self) -> None:
        calls: List[Any] = []
        events: List[kimi.SwarmEvent] = []

        def look(kind: str) -> Dict[str, int]:
            calls.append((kind, kimi.calling_agent(), threading.current_thread()))
            return {"seen": len(calls)}

        with self.model.session() as session:
            result = session.swarm("Look.", agent_tools=[look], on_event=events.append, **self.swarming())
            self.assertEqual([(kind, who.number, who.name) for kind, who, _ in calls], [(" ", 1, " ")] * 2)
            # Where a connection of SQLite's could be used.
            self.assertTrue(all(thread is threading.current_thread() for _, _, thread in calls))
            self.assertIsNone(kimi.calling_agent())
            self.assertEqual(result.finish_reason, "steps")
            self.assertEqual([(task.agent, task.parent, task.task, task.outcome, task.cut) for task in result.tasks],
                             [(1, 0, 1, "finished", False), (1, 0, 2, "finished", False)])
            self.assertEqual(str(result), result.text)
            # Two stages with a task of two steps, two without: 4 of the main agent's and 4.
            self.assertEqual((result.account["critical_steps"], result.account["total_steps"]), (8, 8))
            self.assertEqual(result.usage.generated_tokens, result.account["tokens"]["generated"])
            self.assertGreater(len(result.trace["traceEvents"]), 8)
            self.assertEqual(session.messages, [{"role": "user", "content": "Look."}, *result.turn.messages])
            self.assertEqual([call["function"]["name"] for message in session.messages for call in message.get("tool_calls", [])],
                             ["create_subagent"] + ["assign_task"] * 3)

            kinds = Counter(type(event).__name__ for event in events)
            self.assertEqual((kinds["AgentCreated"], kinds["TaskBegan"], kinds["TaskEnded"], kinds["SwarmFinish"]), (1, 2, 2, 1))
            self.assertIsInstance(events[-1], kimi.SwarmFinish)
            self.assertEqual([event.budget for event in events if isinstance(event, kimi.BudgetSpent)], ["main_steps"])
            # Of all its steps; the answer is the last one's.
            self.assertTrue("".join(map(str, events)).endswith(result.text))
            results = [event.event for event in events if isinstance(event, kimi.AgentEvent) and event.agent == 1
                       and isinstance(event.event, kimi.ToolResult)]
            self.assertEqual([json.loads(event.text) for event in results], [{"seen": 1}, {"seen": 2}])

            # A seed repeats it.
            again: List[kimi.SwarmEvent] = []
            calls.clear()
            session.swarm("Look.", agent_tools=[look], on_event=again.append, **self.swarming())
            for kind in (kimi.AgentCreated, kimi.TaskBegan, kimi.TaskEnded):
                self.assertEqual([event for event in events if isinstance(event, kind)],
                                 [event for event in again if isinstance(event, kind)])

    def test_tools_of_whom(self) -> None:
        def look(kind: str) -> str:
            return "seen"

        named = {"type": "function", "function": {"name": "look"}}
        with self.model.session() as session:
            # Those of `tools` are everybody's, unless sub-agents have others.
            session.swarm("Hi", [look], tool_choice=named, agent_options={"tool_choice": named}, **PLAIN)
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                session.swarm("Hi", [look], agent_tools=[], agent_options={"tool_choice": named}, **PLAIN)
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                session.swarm("Hi", agent_tools=[look], tool_choice=named, **PLAIN)
            for scope, main, agents in (("all", True, True), ("main", True, False), ("agents", False, True)):
                session.add_tool(look, scope=scope)  # type: ignore[arg-type]
                for allowed, options in ((main, {"tool_choice": named}), (agents, {"agent_options": {"tool_choice": named}})):
                    if allowed:
                        session.swarm("Hi", **options, **PLAIN)
                    else:
                        with self.fails(kimi.Status.INVALID_ARGUMENT):
                            session.swarm("Hi", **options, **PLAIN)
            with self.assertRaises(ValueError):
                session.add_tool(look, scope="nobody")  # type: ignore[arg-type]
            # A session's function is called for sub-agents.
            session.add_tool(look, scope="agents")
            result = session.swarm("Look.", **self.swarming())
            self.assertEqual([task.outcome for task in result.tasks], ["finished"] * 2)

    def test_functions_that_fail(self) -> None:
        def look(kind: str) -> str:
            raise LookupError("nothing there")

        failures: List[str] = []

        def keep(event: kimi.SwarmEvent) -> None:
            if isinstance(event, kimi.AgentEvent) and event.agent == 1 and isinstance(event.event, kimi.ToolResult):
                failures.append(event.event.text if event.event.status == "failed" else "")

        with self.model.session() as session:
            for options in ({}, {"parallel_tools": 4}):
                failures.clear()
                result = session.swarm("Look.", agent_tools=[look], on_event=keep, **self.swarming(**options))
                self.assertEqual([task.outcome for task in result.tasks], ["finished"] * 2)
                self.assertEqual(len(failures), 2)
                for text in failures:
                    self.assertIn("LookupError: nothing there", text)

            # What is no Exception is not the model's business: it ends the swarm, and comes out. So does what on_event raises.
            def leave(kind: str) -> str:
                raise SystemExit(5)

            leave.__name__ = "look"
            for options in ({}, {"parallel_tools": 4}):
                with self.assertRaises(SystemExit):
                    session.swarm("Look.", agent_tools=[leave], **self.swarming(**options))
                self.assertEqual(session.swarm("Hi", **PLAIN).finish_reason, "length")

            def stop(event: kimi.SwarmEvent) -> None:
                if isinstance(event, kimi.TaskBegan):
                    raise ZeroDivisionError

            before = session.messages
            with self.assertRaises(ZeroDivisionError):
                session.swarm("Look.", agent_tools=[look], on_event=stop, **self.swarming())
            self.assertEqual(session.messages, before)

            # Late: the model is told, and the thread is left to itself.
            @kimi.tool(name="look", timeout=0.02)
            def late(kind: str) -> str:
                time.sleep(0.3)
                return "late"

            failures.clear()
            result = session.swarm("Look.", agent_tools=[late], on_event=keep, **self.swarming(main_steps=3))
            self.assertEqual([task.outcome for task in result.tasks], ["finished"])
            self.assertIn("did not answer within 0.02 seconds", failures[0])

            # A function of the swarm's cannot use the session, or wait for the swarm.
            def reenter(kind: str) -> str:
                session.chat("Me too.", max_tokens=1)
                return "never"

            reenter.__name__ = "look"
            failures.clear()
            session.swarm("Look.", agent_tools=[reenter], on_event=keep, **self.swarming(main_steps=3))
            self.assertIn("KIMI_ERROR_BUSY", failures[0])

    def test_submitting_and_cancelling(self) -> None:
        with self.model.session() as session:
            with self.assertRaises(ValueError):
                session.swarm("Look.", agent_tools=[LOOK], **self.swarming())
            swarm = session.swarm_stream("Look.", agent_tools=[LOOK], **self.swarming())
            answers = iter([("a text", True), ({"a": "value"}, False)])
            seen: List[str] = []
            with self.fails(kimi.Status.BUSY):
                swarm.result
            with self.fails(kimi.Status.BUSY):
                session.chat("Hi", max_tokens=1)
            for event in swarm:
                if isinstance(event, kimi.AgentEvent) and isinstance(event.event, kimi.ResultNeeded):
                    self.assertEqual((event.agent, event.event.name), (1, "look"))
                    with self.fails(kimi.Status.INVALID_ARGUMENT):
                        swarm.submit(2, event.event.call_id, "x")
                    answer, failed = next(answers)
                    swarm.submit(event.agent, event.event.call_id, answer, failed)
                elif isinstance(event, kimi.AgentEvent) and event.agent == 1 and isinstance(event.event, kimi.ToolResult):
                    seen.append(event.event.status + " " + event.event.text)
            self.assertEqual(len(seen), 2)
            self.assertTrue(seen[0].startswith("failed") and "a text" in seen[0], seen[0])
            self.assertEqual(seen[1], 'ok {"a": "value"}')
            self.assertEqual([task.outcome for task in swarm.result.tasks], ["finished"] * 2)
            self.assertIs(swarm.finish(), swarm.result)
            self.assertEqual(swarm.account, swarm.result.account)

            # One agent, or all of it, is ended while it waits for a result.
            for whom, outcomes, finish in ((1, ["cancelled"] * 2, "steps"), (0, ["cancelled"], "cancelled")):
                swarm = session.swarm_stream("Look.", agent_tools=[LOOK], **self.swarming())
                before = session.messages if whom == 0 else None
                for event in swarm:
                    if isinstance(event, kimi.AgentEvent) and isinstance(event.event, kimi.ResultNeeded):
                        swarm.cancel(whom)
                self.assertEqual([task.outcome for task in swarm.result.tasks], outcomes)
                self.assertEqual(swarm.result.finish_reason, finish)
                if before is not None:
                    self.assertEqual(session.messages, before)
            with self.fails(kimi.Status.INVALID_HANDLE):
                swarm.cancel(1)

            # Left at any event: dropped, closed, by an exception in the loop. The session is usable at once.
            for end in range(0, 40, 5):
                with session.swarm_stream("Look.", agent_tools=[LOOK], **self.swarming()) as swarm:
                    for at, _ in enumerate(swarm):
                        if at == end:
                            break
                self.assertEqual(list(swarm), [])
                session.swarm("Hi", **PLAIN)
            swarm = session.swarm_stream("Look.", agent_tools=[LOOK], **self.swarming())
            next(swarm)
            del swarm
            session.swarm("Hi", **PLAIN)

    def test_async(self) -> None:
        threads = set()

        def look(kind: str) -> str:
            threads.add(threading.current_thread())
            return "seen"

        async def read(session: kimi.Session) -> "tuple[kimi.SwarmResult, int]":
            turns = 0

            async def others() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            beside = asyncio.ensure_future(others())
            async with session.swarm_stream("Look.", agent_tools=[look], **self.swarming()) as swarm:
                async for event in swarm:
                    last = event
            beside.cancel()
            self.assertIsInstance(last, kimi.SwarmFinish)
            return swarm.result, turns

        async def give_up(session: kimi.Session) -> None:
            async def forever() -> None:
                async for _ in session.swarm_stream("Look.", agent_tools=[LOOK], **self.swarming()):
                    pass

            # Nobody answers the first call.
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(forever(), 0.5)

        with self.model.session() as session:
            result, turns = asyncio.run(read(session))
            self.assertEqual([task.outcome for task in result.tasks], ["finished"] * 2)
            self.assertGreater(turns, 10)
            self.assertEqual(len(threads), 1)
            self.assertNotIn(threading.current_thread(), threads)
            asyncio.run(give_up(session))
            session.swarm("Hi", **PLAIN)

    def test_limits_of_functions(self) -> None:
        inside, most = 0, 0
        lock = threading.Lock()

        def count(kind: str) -> str:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with lock:
                inside -= 1
            return "seen"

        # Several agents at the same time: names "as ", "asas "... from a seed that is looked for.
        seed: Optional[int] = None
        with self.model.session() as session:
            for function, options, wanted in (
                (kimi.tool(name="look")(count), {"parallel_tools": 8}, None),
                (kimi.tool(name="look", parallel=1)(count), {"parallel_tools": 8}, 1),
                (kimi.tool(name="look")(count), {}, 1),
                (kimi.tool(name="look")(count), {"parallel_tools": 8, "parallel_agents": 1}, 1),
            ):
                for attempt in range(1, 40) if seed is None else (seed,):
                    most = 0
                    given = self.swarming(seed=attempt, parallel_tool_calls=True, **options)
                    given["logit_bias"][self.model.token_id("as")] = 100
                    session.swarm("Look.", agent_tools=[function], **given)
                    if wanted is None and most > 1:
                        seed = attempt
                        break
                self.assertIsNotNone(seed, "no seed had agents that call at the same time")
                if wanted is not None:
                    self.assertEqual(most, wanted, options)

    def test_budgets_and_wrong_options(self) -> None:
        def look(kind: str) -> str:
            return "seen"

        with self.model.session() as session:
            for options, outcome, budget in (
                ({"task_steps": 1}, "steps", "task_steps"), ({"task_tokens": 5}, "tokens", "task_tokens"),
                ({"agent_options": {"max_tokens": 3}}, "length", None),
            ):
                spent: List[Optional[str]] = [None]
                result = session.swarm(
                    "Look.", agent_tools=[look],
                    on_event=lambda event: spent.append(event.budget) if isinstance(event, kimi.BudgetSpent) else None,
                    **self.swarming(main_steps=3, **options),
                )
                self.assertEqual([task.outcome for task in result.tasks], [outcome])
                self.assertIn(budget, spent)
            cases: List[Dict[str, Any]] = [
                {"agent_limit": 0}, {"agent_limit": 1001}, {"main_steps": 0}, {"task_steps": 10_001}, {"task_tokens": 0},
                {"all_tokens": -1}, {"task_seconds": 0}, {"all_seconds": float("nan")}, {"all_seconds": 604_801},
                {"result_bytes": 0}, {"parallel_agents": 0}, {"parallel_tools": 0}, {"queue_limit": 0}, {"priority": 101},
                {"mode": "deep"}, {"agent_mode": "deep"}, {"temperature": float("nan")},
            ]
            for case in cases:
                with self.assertRaises(ValueError, msg=str(case)):
                    session.swarm("Hi", **{**PLAIN, **case})
            for case in ({"agent_options": {"messages": []}}, {"agent_options": {"tools": []}}):
                with self.assertRaises(TypeError):
                    session.swarm("Hi", **PLAIN, **case)
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                session.swarm("Hi", agent_options={"max_tokens": -1}, **PLAIN)
            with self.assertRaises(ValueError):
                kimi.tool(parallel=0)(look)
            self.assertEqual(session.swarm("Hi", **PLAIN).finish_reason, "length")

    def test_closed_by_others(self) -> None:
        with self.model.session() as session:
            # By another thread, while this one waits for an event.
            swarm = session.swarm_stream("Look.", agent_tools=[LOOK], **self.swarming())
            for event in swarm:
                if isinstance(event, kimi.AgentEvent) and isinstance(event.event, kimi.ResultNeeded):
                    break
            timer = threading.Timer(0.1, swarm.close)
            timer.start()
            self.assertLess(sum(1 for _ in swarm), 20)
            timer.join()
            # By a function that it calls.
            stream: List[kimi.Swarm] = []

            def look(kind: str) -> str:
                stream[0].close()
                return "closed"

            stream.append(session.swarm_stream("Look.", agent_tools=[look], **self.swarming()))
            self.assertFalse(any(isinstance(event, kimi.SwarmFinish) for event in stream[0]))
            session.swarm("Hi", **PLAIN)
            swarm = session.swarm_stream("Look.", agent_tools=[LOOK], **self.swarming())
        # By its session's end.
        for event in swarm:
            pass
        swarm.close()

    def test_rewards(self) -> None:
        found = kimi.rewards(ACCOUNT, 0.8)
        self.assertAlmostEqual(found.parallel, 0.25)
        self.assertAlmostEqual(found.finish, 0.5)
        # 3 of the main agent, 3 and 1; all are 10.
        self.assertAlmostEqual(found.efficiency, 0.3)
        self.assertAlmostEqual(found.training, 0.1 * 0.25 + 0.1 * 0.5 + 0.8)
        self.assertAlmostEqual(found.final, 0.8 * 0.8 + 0.2 * 0.3)
        found = kimi.rewards(json.dumps(ACCOUNT), 1, lambda1=2, lambda2=0, annealing="cosine", progress=1 / 3, width=2)
        self.assertAlmostEqual(found.parallel, 1)
        self.assertAlmostEqual(found.lambda1, 1.5)
        self.assertAlmostEqual(found.training, 2.5)
        for options in ({"lambda1": float("nan")}, {"lambda2": -1}, {"progress": 1.1}, {"width": 1}):
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                kimi.rewards(ACCOUNT, 1, **options)
        for quality in (float("nan"), -0.1, 1.1):
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                kimi.rewards(ACCOUNT, quality)
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            kimi.rewards({}, 1)
        with self.assertRaises(ValueError):
            kimi.rewards(ACCOUNT, 1, annealing="steps")


if __name__ == "__main__":
    unittest.main()
