"""A request that its reader drives, and the functions that answer its calls."""

from __future__ import annotations

import ctypes
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Optional, Union

from . import _parts
from ._arguments import text_bytes
from ._chat_structures import ChatEventStruct, ChatOptionsStruct
from ._handle import Owned
from ._tool_runs import Call, ToolRuns
from .chat_events import (
    CallArguments, CallBegin, CallEnd, CallRejected, ChatEvent, Content, Finish, Media, Notice, Prompt, Reasoning,
    ResultNeeded, Start, ToolResult, Usage,
)
from .errors import Error, Status
from .tools import Tool, result_content
from .turn import Turn, TurnBuilder

if TYPE_CHECKING:
    from .conversation import Conversation

FINISH_REASONS = {1: "stop", 2: "length", 3: "context", 4: "cancelled", 5: "tool_calls", 6: "steps"}
_REJECTED = {1: "unknown_tool", 2: "arguments", 3: "unfinished"}
_RESULTS = {0: "ok", 1: "failed", 2: "timed_out"}
_MEDIA = {1: "image", 2: "video"}
_NOTICES = {
    1: "ignored_field", 2: "schema", 3: "reasoning_budget", 4: "context", 5: "results_dropped", 6: "mode", 7: "unanswered",
}


class Chat(Owned, Iterator[ChatEvent]):
    """The events of one request, computed when they are asked for.

    Functions among the tools are called between events, on the thread that reads, and what they return or raise is the model's
    answer to its call. Its session is busy until the last event was read or the chat is closed or dropped; then, unless it had
    finished, the conversation is as before it. An exception that is no `Exception` (KeyboardInterrupt) closes the chat.
    """

    _release = "kimi_chat_destroy"

    def __init__(
        self, session: Conversation, request: bytes, options: ChatOptionsStruct, tools: Iterable[Tool], parallel: int,
        shown: _parts.Shown,
    ) -> None:
        self._session = session
        self._library = session._library
        self._reading = threading.Lock()
        # The library calls the context callback that the options hold.
        self._options = options
        self._tools = {tool.name: tool for tool in tools}
        self._parallel = parallel
        # Pictures and videos of the request and of results. The library holds what it was shown; these keep their URLs valid.
        self._shown = shown
        self._builder = TurnBuilder()
        self._finished = False
        # Of the step: calls that this session's own callbacks do not answer, those announced, and what is left to run.
        self._calls: dict[str, str] = {}
        self._announced = 0
        self._queued: list[Call] = []
        self._runs: Optional[ToolRuns] = None
        handle = ctypes.c_void_p()
        try:
            self._library.call(
                "kimi_chat_start", session._handle, request, len(request), ctypes.byref(options), ctypes.byref(handle)
            )
        except BaseException:
            self._library.kimi_chat_destroy(handle)
            raise
        self._handle = handle.value

    def __iter__(self) -> Chat:
        return self

    def __next__(self) -> ChatEvent:
        with self._alone():
            if self._handle is None:
                raise StopIteration
            try:
                event = self._next()
            except BaseException:
                self.close()
                raise
        if isinstance(event, Finish):
            self._finished = True
            self.close()
            if event.finish_reason != "cancelled":
                messages = self._session.messages
                self._builder.replace_messages(messages)
                self._session._keep_shown(self._shown, messages)
        return event

    def _next(self) -> ChatEvent:
        while True:
            # One at a time as they are announced; several once all of the step's are.
            if self._queued and (self._parallel == 1 or self._announced >= len(self._calls)):
                self._answer()
            struct = ChatEventStruct()
            struct.struct_size = ctypes.sizeof(struct)
            self._library.call("kimi_chat_next", self._handle, ctypes.byref(struct))
            event = chat_event(struct)
            if event is None:
                continue
            self._builder.add(event)
            if isinstance(event, Start):
                self._calls, self._announced = {}, 0
            elif isinstance(event, CallEnd) and not self._session._answers(event.name):
                self._calls[event.call_id] = event.arguments
            elif isinstance(event, ResultNeeded):
                self._announced += 1
                tool = self._tools.get(event.name)
                if tool is not None:
                    self._queued.append(Call(event.call_id, tool, self._calls.get(event.call_id, "{}")))
                    continue
            return event

    def _answer(self) -> None:
        """Runs the functions that are called for and hands their results over."""
        calls, self._queued = self._queued, []
        self._runs = ToolRuns(calls, self._parallel)
        try:
            for result in self._runs.results():
                self._submit(result.call_id, result.content, result.failed)
        finally:
            self._runs = None

    def submit(self, call_id: str, result: Any, failed: bool = False) -> None:
        """The result of a call that came as `ResultNeeded`: a str as it is, a picture or a list with pictures in it as parts,
        anything else as JSON. `failed`: the reason why there is none."""
        with self._alone():
            self._submit(call_id, result_content(result), failed)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One call at a time, as in C: an event's text is borrowed until the next one, and functions run within a call."""
        if not self._reading.acquire(blocking=False):
            raise Error(Status.BUSY, "the chat is in use: by another thread, or by the function that it is calling")
        try:
            yield
        finally:
            self._reading.release()

    def close(self) -> None:
        """Ends the chat; unless it had finished, the conversation is as before it. Functions on other threads are left alone."""
        super().close()
        self._wake()

    def _submit(self, call_id: str, content: Union[str, list[Any]], failed: bool) -> None:
        name = "kimi_chat_submit"
        if not isinstance(content, str):
            name, content = "kimi_chat_submit_content", json.dumps(_parts.content(content, self._shown), ensure_ascii=False)
        # A str may hold halves of surrogate pairs, which have no UTF-8; a result is never lost over them.
        data, id = content.encode("utf-8", "replace"), text_bytes(call_id, "call_id")
        self._library.call(name, self._handle, id, len(id), data, len(data), 1 if failed else 0)

    def _wake(self) -> None:
        """Ends the wait for functions on other threads."""
        runs = self._runs
        if runs is not None:
            runs.stop()

    @property
    def turn(self) -> Turn:
        """What the events that were read make up; Error, Status.BUSY before the last one was."""
        if not self._finished:
            raise Error(Status.BUSY, "the turn has not finished; read its events to the end")
        return self._builder.turn

    def finish(self) -> Turn:
        """Reads all events that are left and gives the turn."""
        for _ in self:
            pass
        return self.turn


def chat_event(struct: ChatEventStruct) -> Optional[ChatEvent]:
    """The typed event; None for a kind that only newer packages know."""
    text = ctypes.string_at(struct.text, struct.text_length).decode("utf-8", "replace") if struct.text_length else ""
    kind, step = struct.type, struct.step
    of_call = step, struct.call, (struct.call_id or b"").decode("utf-8", "replace"), (struct.name or b"").decode("utf-8", "replace")
    if kind == 1:
        return Start(step, struct.done, struct.total, struct.code == 1)
    if kind == 2:
        return Prompt(step, struct.done, struct.total)
    if kind == 3:
        return Reasoning(step, text)
    if kind == 4:
        return Content(step, text)
    if kind == 5:
        return CallBegin(*of_call)
    if kind == 6:
        return CallArguments(*of_call, text)
    if kind == 7:
        return CallEnd(*of_call, text)
    if kind == 8:
        return CallRejected(step, _REJECTED.get(struct.code, str(struct.code)), text)
    if kind == 9:
        return ResultNeeded(*of_call)
    if kind == 10:
        return ToolResult(*of_call, text, _RESULTS.get(struct.code, str(struct.code)))
    if kind == 11:
        return Notice(step, _NOTICES.get(struct.code, str(struct.code)), text)
    if kind == 12:
        usage = Usage(
            struct.prompt_tokens, struct.cached_tokens, struct.generated_tokens, struct.reasoning_tokens, struct.media_tokens
        )
        return Finish(step, FINISH_REASONS.get(struct.finish_reason, str(struct.finish_reason)), usage)
    if kind == 13:
        found = _MEDIA.get(struct.code, str(struct.code))
        return Media(step, struct.done, struct.total, text, found, of_call[-1], struct.media_tokens, struct.cached_tokens > 0)
    return None
