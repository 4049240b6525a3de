"""From Python arguments to a swarm: the main agent's request, what those of sub-agents have, and the options beside them."""

from __future__ import annotations

import ctypes
import json
from typing import TYPE_CHECKING, Any, Iterable, Literal, Mapping, Optional, SupportsFloat, SupportsIndex, TypedDict, Union

from . import _request
from ._arguments import INT64, choice, integer, real
from ._library import Library
from ._request import MODES
from ._swarm_structures import SwarmOptionsStruct
from .tools import Tool, ToolLike, as_tool

if TYPE_CHECKING:
    from ._request import Context

_LARGEST = INT64[1]
# Limits that have their names in C, with their ranges.
_LIMITS = {
    "agent_limit": (1, 1000), "main_steps": (1, 10_000), "task_steps": (1, 10_000), "task_tokens": (1, _LARGEST),
    "all_tokens": (1, _LARGEST), "result_bytes": (1, 16 << 20), "parallel_agents": (1, 1000), "queue_limit": (1, 1_000_000),
    "context_limit": (1, _LARGEST),
}
_TIMES = {"task_seconds": "task_milliseconds", "all_seconds": "all_milliseconds"}
_LONGEST = 7 * 86_400
#: Members of a request that hold for all agents.
_SHARED = (
    "max_tokens", "reasoning_budget", "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty",
    "repetition_penalty",
)
FLOATS = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")


class SwarmOptions(TypedDict, total=False):
    """What `Session.swarm` takes besides task and tools. An option that is None or left out has the value in brackets.

    Any other keyword becomes a field of the main agent's request (tool_choice, logit_bias, stop, response_format...).
    """

    agent_limit: Optional[int]
    """Sub-agents that may be created, 1 to 1000 [100]."""
    main_steps: Optional[int]
    """Steps of the main agent, 1 to 10,000 [15]."""
    task_steps: Optional[int]
    """Steps of a sub-agent's task, 1 to 10,000 [100]."""
    task_tokens: Optional[int]
    """Generated tokens of a task [no limit]."""
    all_tokens: Optional[int]
    """Generated tokens of all agents together [no limit]."""
    task_seconds: Optional[SupportsFloat]
    """Of a task from its beginning, up to 7 days [no limit]."""
    all_seconds: Optional[SupportsFloat]
    """Of the whole run [no limit]."""
    result_bytes: Optional[int]
    """The most bytes of a task's result that the main agent reads, up to 16 MiB; the rest is cut, with a note [32 KiB]."""
    parallel_agents: Optional[int]
    """Sub-agents that work at the same time, 1 to 1000; others wait in line [all]."""
    parallel_tools: Optional[int]
    """Functions that run at the same time, 1 to 10,000; above 1 on threads of their own [1: on the thread that reads events]."""
    queue_limit: Optional[int]
    """Events that wait to be read before agents do, 1 to 1,000,000 [1024]."""
    context_limit: Optional[int]
    """Of sub-agents' sessions [the model's]."""
    priority: Optional[int]
    """Of sub-agents' sessions, -100 to 100 [0]."""
    mode: Optional[Literal["instant", "thinking", "agent", "swarm"]]
    """Of the main agent ["swarm"]."""
    agent_mode: Optional[Literal["instant", "thinking", "agent", "swarm"]]
    """Of sub-agents ["agent"]."""
    agent_options: Optional[Mapping[str, Any]]
    """Fields of sub-agents' requests: a response_format that every result then satisfies, tool_choice, max_tokens... [none]."""
    max_tokens: Optional[int]
    """This and the following six hold for all agents, unless `agent_options` has another for sub-agents; as in `ChatOptions`."""
    reasoning_budget: Optional[int]
    temperature: Optional[SupportsFloat]
    top_p: Optional[SupportsFloat]
    top_k: Optional[int]
    min_p: Optional[SupportsFloat]
    presence_penalty: Optional[SupportsFloat]
    frequency_penalty: Optional[SupportsFloat]
    repetition_penalty: Optional[SupportsFloat]
    seed: Optional[int]
    """Of the run: equal seeds give equal runs, where tools answer alike [a new one each time]."""
    append: Optional[bool]
    """The messages follow what was said on this session before [False]."""
    constrain: Optional[bool]
    context: Optional[Context]
    allow_files: Optional[bool]
    """These as in `ChatOptions`."""


def tools_of(given: Optional[Iterable[ToolLike]]) -> list[Union[Tool, dict[str, Any]]]:
    """Tools of every kind."""
    return [as_tool(tool) for tool in given or ()]


def fields(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members of the main agent's request, which are all that is left of the options, and of sub-agents' requests."""
    of_agents = dict(options.pop("agent_options", None) or {})
    of_main = dict(options)
    for name in _SHARED:
        if of_main.get(name) is not None:
            of_agents.setdefault(name, of_main[name])
    for each in (of_main, of_agents):
        each["tool_choice"] = _request.tool_choice(each.get("tool_choice"))
        for name in FLOATS:
            if each.get(name) is not None:
                each[name] = real(each[name], name)
    return of_main, of_agents


def agent_request(of_agents: Mapping[str, Any], tools: list[Union[Tool, dict[str, Any]]]) -> bytes:
    """What sub-agents' requests have beside their messages, as JSON."""
    whole = {name: value for name, value in of_agents.items() if value is not None}
    if "tools" in whole or "messages" in whole:
        raise TypeError("agent_options has tools or messages: tools are agent_tools, and messages the tasks'")
    if tools:
        whole["tools"] = [tool.schema if isinstance(tool, Tool) else tool for tool in tools]
    return json.dumps(whole, ensure_ascii=False, allow_nan=False).encode("utf-8")


def options(library: Library, given: dict[str, Any], parallel: Optional[SupportsIndex]) -> SwarmOptionsStruct:
    """The options as C has them; takes those that it knows out of `given`. The struct keeps what it points to alive."""
    struct = SwarmOptionsStruct()
    library.kimi_swarm_options_init(ctypes.byref(struct), ctypes.sizeof(struct))
    for name, limits in _LIMITS.items():
        value = given.pop(name, None)
        if value is not None:
            setattr(struct, name, integer(value, name, limits))
    for name, field in _TIMES.items():
        value = given.pop(name, None)
        if value is not None:
            setattr(struct, field, _milliseconds(value, name))
    struct.priority = integer(given.pop("priority", None) or 0, "priority", (-100, 100))
    for name, field in (("mode", "main_mode"), ("agent_mode", "agent_mode")):
        value = given.pop(name, None)
        if value is not None:
            setattr(struct, field, choice(value, name, MODES))
    threads = 1
    if parallel is not None:
        struct.parallel_tools = threads = integer(parallel, "parallel_tools", (1, 10_000))
    constrain = given.pop("constrain", None)
    chat = _request.options(
        library, mode=None, max_tokens=None, reasoning_budget=None, seed=given.pop("seed", None),
        constrain=constrain is None or constrain, step_limit=None, append=bool(given.pop("append", None)),
        parallel_tools=min(threads, 64), context=given.pop("context", None) or "stop",
        allow_files=bool(given.pop("allow_files", None)),
    )
    struct.chat = ctypes.pointer(chat)
    return struct


def _milliseconds(value: SupportsFloat, name: str) -> int:
    seconds = real(value, name)
    if not 0.001 <= seconds <= _LONGEST:
        raise ValueError(f"{name} is {seconds}; it must lie between 0.001 and {_LONGEST}")
    return round(seconds * 1000)
