"""A request that a main agent with sub-agents works on, driven by its reader, and what comes of it."""

from __future__ import annotations

import asyncio
import ctypes
import json
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, AsyncIterator, Iterable, Iterator, Optional, SupportsFloat, SupportsIndex, Union

from . import _parts
from ._agent_calls import AgentCalls
from ._arguments import integer, text_bytes
from ._handle import Owned
from ._swarm_structures import SwarmEventStruct, SwarmOptionsStruct
from .chat import FINISH_REASONS, chat_event
from .chat_events import ChatEvent, ResultNeeded, Usage
from .errors import Error, Status
from .rewarding import Rewards, rewards
from .swarm_events import (
    AgentCreated, AgentEvent, BudgetSpent, MemoryAwaited, SwarmEvent, SwarmFinish, TaskBegan, TaskEnded,
)
from .tools import Agent, Tool, result_content
from .turn import Turn, TurnBuilder

if TYPE_CHECKING:
    from .conversation import Conversation

_OUTCOMES = (
    "finished", "failed", "cancelled", "steps", "tokens", "all_tokens", "time", "all_time", "length", "context", "memory",
)
_BUDGETS = ("", "main_steps", "task_steps", "task_tokens", "all_tokens", "task_time", "all_time", "agents")

# How long one call of the library waits at most, in milliseconds: signals and late functions are looked at in between.
_PATIENCE = 100


@dataclass
class SwarmResult:
    """What came of a swarm. `str(result)` is the main agent's answer."""

    turn: Turn
    """The main agent's: answer, messages, notices."""
    account: dict[str, Any]
    """Steps, tokens and times of all agents, tasks and stages; see SWARM.md."""
    trace: dict[str, Any]
    """The timeline in Chrome's trace format: `json.dump` it for chrome://tracing or Perfetto."""
    tasks: list[TaskEnded] = field(default_factory=list)
    """The tasks of sub-agents in the order in which they ended."""

    @property
    def text(self) -> str:
        """The main agent's answer."""
        return self.turn.content

    @property
    def finish_reason(self) -> str:
        """Of the main agent."""
        return self.turn.finish_reason

    @property
    def usage(self) -> Usage:
        """Tokens of all agents. Reasoning and media are not told apart there: see `turn.usage` for the main agent's."""
        tokens = self.account["tokens"]
        return Usage(tokens["prompt"], tokens["cached"], tokens["generated"])

    def rewards(self, quality: SupportsFloat, **options: Any) -> Rewards:
        """`kimi.rewards` of this run."""
        return rewards(self.account, quality, **options)

    def __str__(self) -> str:
        return self.text


class Swarm(Owned, Iterator[SwarmEvent], AsyncIterator[SwarmEvent]):
    """The events of a swarm, for `for` or `async for`. Its agents compute on threads of the library's, and wait while nobody reads.

    Functions among the tools are called while events are read, see `Session.swarm`; what they return or raise is the agent's answer
    to its call. The session is busy until the last event was read or the swarm is closed or dropped; then, unless it had finished,
    the conversation is as before it. `cancel`, `submit`, `account`, `trace` and `close` are for any thread.
    """

    _release = "kimi_swarm_destroy"

    def __init__(
        self, session: Conversation, request: bytes, options: SwarmOptionsStruct, tools: Iterable[Tool],
        agent_tools: Iterable[Tool], parallel: int, shown: _parts.Shown,
    ) -> None:
        self._session = session
        self._library = session._library
        self._reading = threading.Lock()
        # The library calls the context callback that the options hold.
        self._options = options
        self._tools = {tool.name: tool for tool in tools}, {tool.name: tool for tool in agent_tools}
        # Weak: a swarm that its reader drops ends at once, not when cycles are looked for.
        answer = weakref.WeakMethod(self._answer)

        def submit(agent: int, call_id: str, content: Union[str, list[Any]], failed: bool) -> None:
            found = answer()
            if found is not None:
                found(agent, call_id, content, failed)

        self._calls = AgentCalls(submit, parallel)
        # Pictures and videos of the request and of results. The library holds what it was shown; these keep their URLs valid.
        self._shown = shown
        self._builder = TurnBuilder()
        self._tasks: list[TaskEnded] = []
        self._result: Optional[SwarmResult] = None
        self._executor: Optional[ThreadPoolExecutor] = None
        handle = ctypes.c_void_p()
        try:
            self._library.call(
                "kimi_swarm_open", session._handle, request, len(request), ctypes.byref(options), ctypes.byref(handle)
            )
        except BaseException:
            self._library.kimi_swarm_destroy(handle)
            raise
        self._handle = handle.value

    # Reading

    def __iter__(self) -> Swarm:
        return self

    def __next__(self) -> SwarmEvent:
        event = self._step()
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> Swarm:
        return self

    async def __anext__(self) -> SwarmEvent:
        """Reads on one thread of the swarm's own, where functions of tools then run, too."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "kimi swarm")
        try:
            event = await asyncio.get_running_loop().run_in_executor(self._executor, self._step)
        except asyncio.CancelledError:
            self.close()
            raise
        if event is None:
            self._end_executor()
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Swarm:
        return self

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _step(self) -> Optional[SwarmEvent]:
        """The next event; None after the last."""
        with self._alone():
            if self._handle is None:
                return None
            try:
                event = self._next()
                if isinstance(event, SwarmFinish):
                    self._finish(event)
            except BaseException as error:
                # Closed by another thread: that is the end, not a failure.
                closed = self._handle is None and isinstance(error, Error) and error.code == Status.INVALID_HANDLE
                self.close()
                if closed:
                    return None
                raise
        return event

    def _next(self) -> SwarmEvent:
        while True:
            soon = self._calls.look()
            patience = _PATIENCE if soon is None else min(_PATIENCE, int(soon * 1000) + 1)
            struct = SwarmEventStruct()
            struct.struct_size = ctypes.sizeof(struct)
            self._library.call("kimi_swarm_next", self._handle, patience, ctypes.byref(struct))
            event = _event(struct)
            if isinstance(event, AgentEvent):
                if event.agent == 0:
                    self._builder.add(event.event)
                if isinstance(event.event, ResultNeeded):
                    tool = self._tools[0 if event.agent == 0 else 1].get(event.event.name)
                    if tool is not None:
                        self._calls.add(Agent(event.agent, event.name), event.event.call_id, tool, _text(struct.chat[0]))
                        continue
            elif isinstance(event, TaskEnded):
                self._tasks.append(event)
            elif struct.type == 7:
                reason = FINISH_REASONS.get(struct.finish_reason, str(struct.finish_reason))
                return SwarmFinish(0, None, "main", 0, reason, self.account)
            if event is not None:
                return event

    def _finish(self, event: SwarmFinish) -> None:
        result = SwarmResult(self._builder.turn, event.account, self.trace, self._tasks)
        # What was asked for may be looked at once there is a result.
        self._result = result
        self.close()
        if event.finish_reason != "cancelled":
            messages = self._session.messages
            self._builder.replace_messages(messages)
            self._session._keep_shown(self._shown, messages)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One reader at a time, as in C."""
        if not self._reading.acquire(blocking=False):
            raise Error(Status.BUSY, "the swarm is being read: by another thread, or by the function that it is calling")
        try:
            yield
        finally:
            self._reading.release()

    # Any thread

    def submit(self, agent: SupportsIndex, call_id: str, result: Any, failed: bool = False) -> None:
        """The result of a call that an agent reported as `ResultNeeded`: a str as it is, a picture or a list with pictures in it as
        parts, anything else as JSON. `failed`: the reason why there is none."""
        self._submit(integer(agent, "agent"), call_id, result_content(result), failed)

    def cancel(self, agent: SupportsIndex = 0) -> None:
        """Ends what a sub-agent does and has in line; its other tasks and the other agents go on. 0: ends the swarm."""
        self._library.call("kimi_swarm_cancel", self._handle, integer(agent, "agent"))

    @property
    def account(self) -> dict[str, Any]:
        """What was done so far."""
        if self._result is not None:
            return self._result.account
        found: dict[str, Any] = self._library.json("kimi_swarm_account", self._handle)
        return found

    @property
    def trace(self) -> dict[str, Any]:
        """The timeline so far in Chrome's trace format."""
        if self._result is not None:
            return self._result.trace
        found: dict[str, Any] = self._library.json("kimi_swarm_trace", self._handle)
        return found

    def close(self) -> None:
        """Ends the swarm: no agent computes any more when this returns. Functions on other threads are left alone."""
        self._calls.stop()
        super().close()
        self._end_executor()

    def _end_executor(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def _submit(self, agent: int, call_id: str, content: Union[str, list[Any]], failed: bool) -> None:
        name = "kimi_swarm_submit"
        if not isinstance(content, str):
            name, content = "kimi_swarm_submit_content", json.dumps(_parts.content(content, self._shown), ensure_ascii=False)
        # A str may hold halves of surrogate pairs, which have no UTF-8; a result is never lost over them.
        data, id = content.encode("utf-8", "replace"), text_bytes(call_id, "call_id")
        self._library.call(name, self._handle, agent, id, len(id), data, len(data), 1 if failed else 0)

    def _answer(self, agent: int, call_id: str, content: Union[str, list[Any]], failed: bool) -> None:
        """The result of a function. What the library refuses is told to the model; nobody waits any more for that of a task that
        has ended."""
        try:
            self._submit(agent, call_id, content, failed)
        except Error as error:
            try:
                self._submit(agent, call_id, str(error), True)
            except Error:
                pass

    def _wake(self) -> None:
        """After a cancellation of the session: the library ends the swarm by itself."""

    # The result

    @property
    def result(self) -> SwarmResult:
        """What came of it; Error, Status.BUSY before the last event was read."""
        if self._result is None:
            raise Error(Status.BUSY, "the swarm has not finished; read its events to the end")
        return self._result

    def finish(self) -> SwarmResult:
        """Reads all events that are left and gives the result."""
        for _ in self:
            pass
        return self.result


def _text(struct: Any) -> str:
    return ctypes.string_at(struct.text, struct.text_length).decode("utf-8", "replace") if struct.text_length else ""


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else str(number)


def _event(struct: SwarmEventStruct) -> Optional[SwarmEvent]:
    """The typed event; None for no event, for the last, and for a kind that only newer packages know."""
    kind = struct.type
    who = (
        struct.agent, None if struct.parent < 0 else struct.parent, (struct.name or b"").decode("utf-8", "replace"), struct.task,
    )
    if kind == 1:
        event: Optional[ChatEvent] = chat_event(struct.chat[0])
        return None if event is None else AgentEvent(*who, event)
    if kind == 2:
        return AgentCreated(*who, _text(struct))
    if kind == 3:
        return TaskBegan(*who, _text(struct))
    if kind == 4:
        return TaskEnded(*who, _name(_OUTCOMES, struct.outcome), _text(struct), struct.cut != 0)
    if kind == 5:
        return BudgetSpent(*who, _name(_BUDGETS, struct.budget), _text(struct))
    if kind == 6:
        return MemoryAwaited(*who)
    return None
