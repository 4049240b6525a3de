"""Runs the functions behind the calls of one step: on this thread, or several at once on threads of their own."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Iterator, Optional, Union

from .tools import Tool, failure_text


@dataclass(frozen=True)
class Call:
    """A call that waits for its function to run."""

    id: str
    tool: Tool
    arguments: str


@dataclass(frozen=True)
class Result:
    """What the model is told about a call."""

    call_id: str
    content: Union[str, list[Any]]
    failed: bool


def run(tool: Tool, arguments: str) -> tuple[Union[str, list[Any]], bool]:
    """The result, as `Tool.run` gives it, and whether it is a failure. KeyboardInterrupt and its like are none and propagate."""
    try:
        return tool.run(arguments), False
    except Exception as error:
        return failure_text(error), True


class ToolRuns:
    """Results of calls, as they come.

    A function without a time limit runs on the calling thread as long as one runs at a time; every other one on a thread of its
    own, with a copy of the caller's context variables. A thread that outlives its limit goes on, and what it returns is ignored.
    """

    def __init__(self, calls: list[Call], parallel: int) -> None:
        self._waiting = deque(calls)
        self._parallel = parallel
        self._running: dict[str, tuple[Tool, float]] = {}
        self._done: queue.SimpleQueue[tuple[Optional[str], object]] = queue.SimpleQueue()
        self._stopped = False

    def stop(self) -> None:
        """Ends `results` without waiting for what still runs. Any thread."""
        self._stopped = True
        self._done.put((None, None))

    def results(self) -> Iterator[Result]:
        """The results in the order in which they come."""
        while (self._waiting or self._running) and not self._stopped:
            if self._waiting and self._parallel == 1 and self._waiting[0].tool.timeout is None and not self._running:
                call = self._waiting.popleft()
                yield Result(call.id, *run(call.tool, call.arguments))
                continue
            while self._waiting and len(self._running) < self._parallel and self._has_room(self._waiting[0].tool):
                self._start(self._waiting.popleft())
            yield from self._await()

    def _has_room(self, tool: Tool) -> bool:
        return tool.parallel is None or sum(running is tool for running, _ in self._running.values()) < tool.parallel

    def _start(self, call: Call) -> None:
        def work() -> None:
            try:
                self._done.put((call.id, run(call.tool, call.arguments)))
            except BaseException as error:
                self._done.put((call.id, error))

        context = contextvars.copy_context()
        limit = call.tool.timeout
        self._running[call.id] = call.tool, float("inf") if limit is None else time.monotonic() + limit
        threading.Thread(target=context.run, args=(work,), name=f"kimi tool {call.tool.name}", daemon=True).start()

    def _await(self) -> Iterator[Result]:
        """Waits for the next result or the next time limit."""
        deadline = min(limit for _, limit in self._running.values())
        wait = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
        try:
            call_id, outcome = self._done.get(timeout=wait)
        except queue.Empty:
            late = [call_id for call_id, (_, limit) in self._running.items() if limit <= time.monotonic()]
            for call_id in late:
                tool, _ = self._running.pop(call_id)
                yield Result(call_id, f"{tool.name} did not answer within {tool.timeout:g} seconds", True)
            return
        if call_id is None or self._running.pop(call_id, None) is None:
            return
        if isinstance(outcome, BaseException):
            raise outcome
        assert isinstance(outcome, tuple)
        yield Result(call_id, *outcome)
