"""From Python arguments to a request in JSON and the options beside it."""

from __future__ import annotations

import ctypes
import json
from typing import Any, Callable, Iterable, Literal, Mapping, Optional, Sequence, Union

from . import _parts
from ._arguments import INT64, UINT64, choice, integer
from ._chat_structures import ChatOptionsStruct, ContextCallback
from ._library import Library, keep_callback_exception
from .generation import SEED_ZERO
from .tools import Tool, ToolLike, as_tool

MODES = {"instant": 1, "thinking": 2, "agent": 3, "swarm": 4}
_POLICIES = {"stop": 0, "drop_results": 1}
_ASK = 2

#: OpenAI's messages, or one text of the user's.
Messages = Union[str, Sequence[Mapping[str, Any]]]
#: What one message says: a text, or parts: texts, pictures, videos, and OpenAI's objects.
Content = Union[str, Sequence[Any]]
ContextPolicy = Literal["stop", "drop_results"]
Context = Union[ContextPolicy, Callable[[int, int], ContextPolicy]]


def mode_number(mode: Optional[str]) -> int:
    """KIMI_MODE_... of a word; None leaves it to the request."""
    return 0 if mode is None else choice(mode, "mode", MODES)


def request(
    messages: Messages, tools: Optional[Iterable[ToolLike]], fields: Mapping[str, Any], shown: _parts.Shown
) -> bytes:
    """The request as JSON. Fields that are None are left out; ValueError for NaN, TypeError for what JSON cannot hold.

    `shown` gets the pictures and videos that the messages name by their URLs.
    """
    given = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    whole: dict[str, Any] = {"messages": [_parts.message(each, shown) for each in given]}
    if tools is not None:
        whole["tools"] = [each.schema if isinstance(each, Tool) else each for each in map(as_tool, tools)]
    for name, value in fields.items():
        if name in whole:
            raise TypeError(f"{name} is given twice")
        if value is not None:
            whole[name] = value
    return json.dumps(whole, ensure_ascii=False, allow_nan=False).encode("utf-8")


def tool_choice(given: Any) -> Any:
    """OpenAI's tool_choice; a tool or function stands for its name."""
    if isinstance(given, Tool) or (callable(given) and not isinstance(given, Mapping)):
        name = given.name if isinstance(given, Tool) else given.__name__
        return {"type": "function", "function": {"name": name}}
    return given


def options(
    library: Library,
    *,
    mode: Optional[str],
    max_tokens: Optional[int],
    reasoning_budget: Optional[int],
    seed: Optional[int],
    constrain: bool,
    step_limit: Optional[int],
    append: bool,
    parallel_tools: int,
    context: Context,
    allow_files: bool,
) -> ChatOptionsStruct:
    """The options as C has them. The struct keeps its callback alive."""
    struct = ChatOptionsStruct()
    library.kimi_chat_options_init(ctypes.byref(struct), ctypes.sizeof(struct))
    struct.mode = mode_number(mode)
    if max_tokens is not None:
        struct.max_tokens = integer(max_tokens, "max_tokens", (1, INT64[1]))
    if reasoning_budget is not None:
        struct.reasoning_budget = integer(reasoning_budget, "reasoning_budget", (0, INT64[1]))
    if seed is not None:
        struct.seed = integer(seed, "seed", UINT64) or SEED_ZERO
    struct.constrain = 1 if constrain else 0
    if step_limit is not None:
        struct.step_limit = integer(step_limit, "step_limit", (1, 10_000))
    struct.append = 1 if append else 0
    struct.allow_files = 1 if allow_files else 0
    struct.parallel_calls = integer(parallel_tools, "parallel_tools", (1, 64))
    if callable(context):
        struct.context_policy = _ASK
        struct.context_callback = ContextCallback(_context_trampoline(context))
    else:
        struct.context_policy = choice(context, "context", _POLICIES)
    return struct


def _context_trampoline(context: Callable[[int, int], ContextPolicy]) -> Callable[[int, int, Any], int]:
    def trampoline(needed: int, limit: int, user_data: Any) -> int:
        try:
            return choice(context(needed, limit), "what `context` returned", _POLICIES)
        except BaseException as error:
            keep_callback_exception(error)
            return _POLICIES["stop"]

    return trampoline
