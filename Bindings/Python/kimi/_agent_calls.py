"""Runs the functions that agents of a swarm call: on the thread that reads events, or on threads of their own within limits."""

from __future__ import annotations

import contextvars
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

from ._tool_runs import run
from .tools import Agent, Tool, called_by

#: Takes a result to the library: agent, id of the call, content, whether it is a failure.
Submit = Callable[[int, str, Union[str, list[Any]], bool], None]


@dataclass(eq=False)
class _Call:
    agent: Agent
    id: str
    tool: Tool
    arguments: str
    deadline: float
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


class AgentCalls:
    """Calls of a swarm's agents.

    With `parallel` 1 a function runs on the calling thread, unless it has a time limit or says how many of it may run: such ones,
    and all with more, run on threads of their own. A thread that outlives its limit goes on, in its place among those that run, and
    what it returns is ignored.
    """

    def __init__(self, submit: Submit, parallel: int) -> None:
        self._submit, self._parallel = submit, parallel
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        # Calls whose results are expected, and how many threads are inside each function.
        self._open: set[_Call] = set()
        self._inside: Counter[int] = Counter()
        self._failure: Optional[BaseException] = None

    def add(self, agent: Agent, call_id: str, tool: Tool, arguments: str) -> None:
        """Runs the function of one call, or puts it in line."""
        limit = float("inf") if tool.timeout is None else time.monotonic() + tool.timeout
        call = _Call(agent, call_id, tool, arguments, limit)
        if self._parallel == 1 and tool.timeout is None and tool.parallel is None:
            self._submit(agent.number, call_id, *self._run(call))
            return
        with self._lock:
            self._waiting.append(call)
            self._open.add(call)
        self._start()

    def look(self) -> Optional[float]:
        """Tells agents whose functions are late; the seconds until the next would be. Raises what a function raised that is no
        `Exception`."""
        if self._failure is not None:
            raise self._failure
        now = time.monotonic()
        with self._lock:
            late = [call for call in self._open if call.deadline <= now]
            self._open.difference_update(late)
            self._waiting = [call for call in self._waiting if call in self._open]
            deadline = min((call.deadline for call in self._open), default=float("inf"))
        for call in late:
            words = f"{call.tool.name} did not answer within {call.tool.timeout:g} seconds"
            self._submit(call.agent.number, call.id, words, True)
        return None if deadline == float("inf") else max(0.0, deadline - now)

    def stop(self) -> None:
        """Begins no more of them and expects nothing from those that run. Any thread."""
        with self._lock:
            self._waiting.clear()
            self._open.clear()

    def _run(self, call: _Call) -> tuple[Union[str, list[Any]], bool]:
        with called_by(call.agent):
            return run(call.tool, call.arguments)

    def _start(self) -> None:
        """Gives threads to those in line that have room."""
        while True:
            with self._lock:
                room = self._parallel == 1 or sum(self._inside.values()) < self._parallel
                call = next((call for call in self._waiting if self._has_room(call.tool)), None) if room else None
                if call is None:
                    return
                self._waiting.remove(call)
                self._inside[id(call.tool)] += 1
            name = f"kimi tool {call.tool.name}"
            threading.Thread(target=call.context.run, args=(self._work, call), name=name, daemon=True).start()

    def _has_room(self, tool: Tool) -> bool:
        limit = (1 if self._parallel == 1 else self._parallel) if tool.parallel is None else tool.parallel
        return self._inside[id(tool)] < limit

    def _work(self, call: _Call) -> None:
        """On a thread of its own."""
        outcome: Optional[tuple[Union[str, list[Any]], bool]] = None
        try:
            outcome = self._run(call)
        except BaseException as error:
            self._failure = error
        with self._lock:
            self._inside[id(call.tool)] -= 1
            wanted = call in self._open
            self._open.discard(call)
        if wanted and outcome is not None:
            self._submit(call.agent.number, call.id, *outcome)
        self._start()
