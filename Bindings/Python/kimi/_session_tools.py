"""Tools that a session declares for all its requests, run by the library's own calls of C."""

from __future__ import annotations

import ctypes
import json
import weakref
from typing import TYPE_CHECKING, Any, Callable, Literal, Mapping, Optional, Union

from ._arguments import choice
from ._chat_structures import ToolCallback, ToolStruct
from ._library import Library, keep_callback_exception
from ._tool_runs import run
from .errors import Error, Status
from .media import Image, Video
from .tools import Agent, Tool, called_by, failure_text

if TYPE_CHECKING:
    from typing_extensions import TypeAlias

    from .conversation import Conversation

#: Whose tool it is in a swarm.
Scope: TypeAlias = Literal["all", "main", "agents"]

_SCOPES = {"all": 0, "main": 1, "agents": 2}


class SessionTool:
    """One declared tool. It holds the C callback, which the library may call as long as the tool is declared."""

    def __init__(self, given: Union[Tool, Mapping[str, Any]], any_thread: bool, scope: Scope, session: Conversation) -> None:
        self.given, self.any_thread, self.scope = given, any_thread, scope
        schema = given.schema if isinstance(given, Tool) else given
        function = schema.get("function", schema) if isinstance(schema, Mapping) else {}
        self.name: str = function.get("name", "")
        if not isinstance(self.name, str) or "\0" in self.name:
            raise ValueError(f"a tool cannot be called {self.name!r}")
        self.has_function = isinstance(given, Tool)
        struct = self.struct = ToolStruct()
        struct.struct_size = ctypes.sizeof(struct)
        struct.name = self.name.encode()
        description = function.get("description")
        if description is not None:
            struct.description = str(description).encode("utf-8", "replace")
        parameters = function.get("parameters")
        if parameters is not None:
            struct.parameters = json.dumps(parameters, ensure_ascii=False, allow_nan=False).encode()
        struct.scope = choice(scope, "scope", _SCOPES)
        if isinstance(given, Tool):
            any_thread = any_thread or given.parallel is not None
            struct.callback = ToolCallback(_trampoline(given, any_thread or given.timeout is not None, session))
            struct.any_thread = 1 if any_thread else 0
            struct.parallel_limit = given.parallel or 0
            struct.timeout_milliseconds = 0 if given.timeout is None else max(1, round(given.timeout * 1000))


def _trampoline(tool: Tool, other_thread: bool, session: Conversation) -> Callable[[Any, Optional[int], Any], int]:
    # The session holds the tool, not the tool the session.
    library, owner = session._library, weakref.ref(session)

    def trampoline(call: Any, handle: Optional[int], user_data: Any) -> int:
        arguments = ctypes.string_at(call[0].arguments, call[0].arguments_length).decode("utf-8", "replace")
        name = (call[0].agent_name or b"").decode("utf-8", "replace")
        try:
            with called_by(Agent(call[0].agent, name) if name else None):
                result, failed = run(tool, arguments)
            text = _add_pictures(library, handle, result, owner())
        except Error as error:
            text, failed = failure_text(error), True
        except BaseException as error:
            # On a thread of the library's nobody is there to raise it to.
            if not other_thread:
                keep_callback_exception(error)
            text, failed = "interrupted", True
        data = text.encode("utf-8", "replace")
        library.kimi_tool_result_set(handle, data, len(data), None)
        return 1 if failed else 0

    return trampoline


def _add_pictures(
    library: Library, handle: Optional[int], result: Union[str, list[Any]], session: Optional[Conversation]
) -> str:
    """Hands a result's pictures over; its text, which the model reads before them."""
    if isinstance(result, str):
        return result
    if any(isinstance(part, Video) for part in result):
        raise Error(Status.UNSUPPORTED, "a tool that a session declares can return pictures, not videos")
    for part in result:
        if isinstance(part, Image):
            library.call("kimi_tool_result_add_image", handle, part._handle)
            if session is not None:
                session._show(part)
    return "\n".join(part for part in result if isinstance(part, str))
