"""Tools that a session declares for all its requests, run by the library's own calls of C."""

from __future__ import annotations

import ctypes
import json
from typing import Any, Callable, Mapping, Optional, Union

from ._chat_structures import ToolCallback, ToolStruct
from ._library import Library, keep_callback_exception
from ._tool_runs import run
from .tools import Tool


class SessionTool:
    """One declared tool. It holds the C callback, which the library may call as long as the tool is declared."""

    def __init__(self, given: Union[Tool, Mapping[str, Any]], any_thread: bool, library: Library) -> None:
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
        if isinstance(given, Tool):
            struct.callback = ToolCallback(_trampoline(given, any_thread or given.timeout is not None, library))
            struct.any_thread = 1 if any_thread else 0
            struct.timeout_milliseconds = 0 if given.timeout is None else max(1, round(given.timeout * 1000))


def _trampoline(tool: Tool, other_thread: bool, library: Library) -> Callable[[Any, Optional[int], Any], int]:
    def trampoline(call: Any, result: Optional[int], user_data: Any) -> int:
        arguments = ctypes.string_at(call[0].arguments, call[0].arguments_length).decode("utf-8", "replace")
        try:
            text, failed = run(tool, arguments)
        except BaseException as error:
            # On a thread of the library's nobody is there to raise it to.
            if not other_thread:
                keep_callback_exception(error)
            text, failed = "interrupted", True
        data = text.encode("utf-8", "replace")
        library.kimi_tool_result_set(result, data, len(data), None)
        return 1 if failed else 0

    return trampoline
