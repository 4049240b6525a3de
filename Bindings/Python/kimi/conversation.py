"""The conversation of a session: `chat`, `say`, `swarm`, and tools that all its requests know."""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING, Any, Callable, Iterable, Literal, Mapping, Optional, SupportsFloat, TypedDict, Union, overload

from . import _parts, _request, _swarm_request
from ._arguments import real, text_bytes
from ._handle import Owned
from ._session_tools import Scope, SessionTool
from ._swarm_request import FLOATS, SwarmOptions
from .chat import Chat
from .swarm import Swarm, SwarmResult
from .swarm_events import SwarmEvent
from .tools import Tool, ToolLike, as_tool
from .turn import Turn

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._parts import Shown
    from ._request import Content, Context, Messages
    from .media import Image

# Functions are there to be called: where no mode says how often, as an agent's.
_STEPS_WITH_FUNCTIONS = 300


class ChatOptions(TypedDict, total=False):
    """What `Session.chat` takes besides messages and tools. An option that is None or left out has the value in brackets.

    Any other keyword becomes a field of the request; one that the library does not know gives a `Notice`.
    """

    mode: Optional[Literal["instant", "thinking", "agent", "swarm"]]
    """Fixes reasoning, sampling and steps [what other fields of the request say, else "thinking"]."""
    tool_choice: Any
    """"none", "auto", "required", OpenAI's object, or a tool that must be called ["auto"]."""
    parallel_tool_calls: Optional[bool]
    """Whether an answer may hold several calls [True]."""
    response_format: Optional[Mapping[str, Any]]
    """{"type": "json_object"}, or "json_schema" with a schema that the answer satisfies [text]."""
    max_tokens: Optional[int]
    """The most tokens of one step's answer, reasoning included [as many as the context holds]."""
    reasoning_budget: Optional[int]
    """The most reasoning tokens of a step; then the thought is closed and the answer follows [the mode's]."""
    temperature: Optional[SupportsFloat]
    """0 is greedy [the mode's]."""
    top_p: Optional[SupportsFloat]
    """Keeps the most likely tokens that together reach this probability [the mode's]."""
    top_k: Optional[int]
    min_p: Optional[SupportsFloat]
    presence_penalty: Optional[SupportsFloat]
    frequency_penalty: Optional[SupportsFloat]
    repetition_penalty: Optional[SupportsFloat]
    logit_bias: Optional[Mapping[int, SupportsFloat]]
    """These as in `GenerationOptions`."""
    seed: Optional[int]
    """Equal seeds give equal draws, 0 to 2**64 - 1 [a new one each time]."""
    stop: Union[None, str, list[str]]
    """Ends the answer before the first of these strings appears in it [none]."""
    step_limit: Optional[int]
    """The most steps, 1 to 10,000. With 1, calls end the turn, and the caller answers them with a next request
    [with functions among the tools the mode's, 300 in modes without a loop; else 1]."""
    append: Optional[bool]
    """The messages follow what was said on this session before [False: they are the whole conversation]."""
    constrain: Optional[bool]
    """A call names a declared tool and its arguments satisfy the schema; an answer satisfies response_format [True]."""
    context: Optional[Context]
    """When the next step does not fit: "stop", "drop_results" (notes take the place of the oldest tool results), or a function
    of the tokens needed and the limit that returns one of the two ["stop"]."""
    allow_files: Optional[bool]
    """Whether a str in the place of a picture's or video's URL may be a path or a file: URL. Not for messages from others: they
    could show the model any file of yours. A `pathlib.Path` is read in any case: only a program writes one [False]."""
    parallel_tools: Optional[int]
    """How many functions may run at the same time, 1 to 64; above 1 on threads of their own [1: on the calling thread]."""


class Conversation(Owned):
    """What a session offers in OpenAI's terms."""

    def __init__(self) -> None:
        self._tools: dict[str, SessionTool] = {}
        self._chat: Optional[weakref.ref[Union[Chat, Swarm]]] = None
        # What the conversation shows, by URLs: its messages name them, and may be given again.
        self._shown: Shown = {}

    @overload
    def chat(
        self, messages: Messages, tools: Optional[Iterable[ToolLike]] = None, *, stream: Literal[False] = False,
        **options: Unpack[ChatOptions],
    ) -> Turn: ...

    @overload
    def chat(
        self, messages: Messages, tools: Optional[Iterable[ToolLike]] = None, *, stream: Literal[True],
        **options: Unpack[ChatOptions],
    ) -> Chat: ...

    def chat(
        self, messages: Messages, tools: Optional[Iterable[ToolLike]] = None, *, stream: bool = False, **options: Any
    ) -> Union[Turn, Chat]:
        """Answers messages: OpenAI's, or one text of the user's. Gives the `Turn`, with `stream` the events as they come.

        The content of a message may be a list of parts: texts, pictures and videos. A picture is a `pathlib.Path`, the bytes of a
        file, an `Image`, an image of PIL's or an array of uint8, [height, width, 3 or 4]; a video is a `Video`. They stand in the
        list by themselves or in OpenAI's objects, in place of the URL ({"type": "image", "image": path} is one, too). A str there
        is a data: URL; see `allow_files`.

        tools: OpenAI's objects, `@kimi.tool` functions, or functions with type hints. Functions are called when the model calls
        them, and it goes on with what they return; what they raise is told to the model. Calls of tools without a function end
        the turn, and the caller answers them with a next request; mixed with functions they come as `ResultNeeded` and need
        `stream` and `Chat.submit`. The options are those of `ChatOptions`.
        """
        return self._ask(messages, tools, stream, options)

    @overload
    def say(
        self, content: Content, tools: Optional[Iterable[ToolLike]] = None, *, stream: Literal[False] = False,
        **options: Unpack[ChatOptions],
    ) -> Turn: ...

    @overload
    def say(
        self, content: Content, tools: Optional[Iterable[ToolLike]] = None, *, stream: Literal[True],
        **options: Unpack[ChatOptions],
    ) -> Chat: ...

    def say(
        self, content: Content, tools: Optional[Iterable[ToolLike]] = None, *, stream: bool = False, **options: Any
    ) -> Union[Turn, Chat]:
        """`chat` with one user message that follows what was said on this session before: a text, or a list of parts."""
        if not isinstance(content, (str, list, tuple)):
            raise TypeError(f"content must be a str or a list of parts, not {type(content).__name__}")
        options.setdefault("append", True)
        return self._ask([{"role": "user", "content": content}], tools, stream, options)

    def _ask(
        self, messages: Messages, given: Optional[Iterable[ToolLike]], stream: bool, options: dict[str, Any]
    ) -> Union[Turn, Chat]:
        tools = None if given is None else [as_tool(tool) for tool in given]
        functions = [tool for tool in tools or () if isinstance(tool, Tool)]
        mode = options.pop("mode", None)
        parallel = options.pop("parallel_tools", None) or 1
        steps = options.pop("step_limit", None)
        if steps is None:
            mine = [tool for tool in self._tools.values() if tool.scope != "agents"]
            if functions or any(tool.has_function for tool in mine):
                steps = None if mode in ("agent", "swarm") else _STEPS_WITH_FUNCTIONS
            elif tools or mine:
                steps = 1
        without = [str(name) for name in map(_name_without_function, tools or ()) if name is not None]
        without += [tool.name for tool in self._tools.values() if not tool.has_function and tool.scope != "agents"]
        if without and steps != 1 and not stream:
            raise ValueError(
                f"no function for the tool {without[0]}: with step_limit=1 its calls end the turn; where functions are called "
                "beside it, use stream=True and Chat.submit"
            )
        constrain, append = options.pop("constrain", None), options.pop("append", None)
        struct = _request.options(
            self._library,
            mode=mode,
            max_tokens=options.pop("max_tokens", None),
            reasoning_budget=options.pop("reasoning_budget", None),
            seed=options.pop("seed", None),
            constrain=constrain is None or constrain,
            step_limit=steps,
            append=bool(append),
            parallel_tools=parallel,
            context=options.pop("context", None) or "stop",
            allow_files=bool(options.pop("allow_files", None)),
        )
        fields = {"tool_choice": _request.tool_choice(options.pop("tool_choice", None)), **options}
        for name in FLOATS:
            if fields.get(name) is not None:
                fields[name] = real(fields[name], name)
        shown: Shown = {}
        chat = Chat(self, _request.request(messages, tools, fields, shown), struct, functions, parallel, shown)
        self._chat = weakref.ref(chat)
        if stream:
            return chat
        with chat:
            return chat.finish()

    def swarm(
        self, task: Messages, tools: Optional[Iterable[ToolLike]] = None, *, agent_tools: Optional[Iterable[ToolLike]] = None,
        on_event: Optional[Callable[[SwarmEvent], Any]] = None, **options: Unpack[SwarmOptions],
    ) -> SwarmResult:
        """Answers a task, a text or messages as in `chat`, by a main agent that creates sub-agents and gives them tasks.

        tools: of the main agent and of sub-agents, as in `chat`; agent_tools: if given, sub-agents have these instead. Functions
        run on this thread, one at a time, or with `parallel_tools` on threads of their own; `kimi.calling_agent()` tells which agent
        called. What they raise is told to their agent. on_event is called with every event, on this thread; what it raises ends the
        swarm. The options are those of `SwarmOptions`.
        """
        with self._swarm(task, tools, agent_tools, options, False) as swarm:
            for event in swarm:
                if on_event is not None:
                    on_event(event)
            return swarm.result

    def swarm_stream(
        self, task: Messages, tools: Optional[Iterable[ToolLike]] = None, *, agent_tools: Optional[Iterable[ToolLike]] = None,
        **options: Unpack[SwarmOptions],
    ) -> Swarm:
        """The same as events, for `for` or `async for`. Tools without a function are answered by `Swarm.submit`."""
        return self._swarm(task, tools, agent_tools, options, True)

    def _swarm(
        self, task: Messages, given: Optional[Iterable[ToolLike]], given_agents: Optional[Iterable[ToolLike]], options: Any,
        stream: bool,
    ) -> Swarm:
        tools = _swarm_request.tools_of(given)
        agent_tools = tools if given_agents is None else _swarm_request.tools_of(given_agents)
        without = [str(name) for name in map(_name_without_function, [*tools, *agent_tools]) if name is not None]
        without += [tool.name for tool in self._tools.values() if not tool.has_function]
        if without and not stream:
            raise ValueError(f"no function for the tool {without[0]}; use swarm_stream and Swarm.submit")
        options = dict(options)
        struct = _swarm_request.options(self._library, options, options.pop("parallel_tools", None))
        of_main, of_agents = _swarm_request.fields(options)
        struct.agent_request = request = _swarm_request.agent_request(of_agents, agent_tools)
        struct.agent_request_length = len(request)
        shown: Shown = {}
        swarm = Swarm(
            self, _request.request(task, tools, of_main, shown), struct, [tool for tool in tools if isinstance(tool, Tool)],
            [tool for tool in agent_tools if isinstance(tool, Tool)], struct.parallel_tools or 1, shown,
        )
        self._chat = weakref.ref(swarm)
        return swarm

    def add_tool(self, tool: ToolLike, *, any_thread: bool = False, scope: Scope = "all") -> None:
        """Declares a tool for all requests of this session, after theirs; one of the same name is replaced.

        Its function is called within the library's call, on the thread that reads events. With `any_thread`, or a time limit, on
        a thread of the library's; with `parallel_tools` at the same time as others. In a swarm it is a tool of all agents, of the
        main one, or of sub-agents alone, as `scope` says; other requests have those of the main agent.
        """
        made = SessionTool(as_tool(tool), any_thread, scope, self)
        self._library.call("kimi_session_add_tool", self._handle, ctypes.byref(made.struct))
        self._tools[made.name] = made

    def remove_tool(self, name: str) -> None:
        """Takes a tool away that `add_tool` declared; Error if there is none of this name."""
        data = text_bytes(name, "name")
        self._library.call("kimi_session_remove_tool", self._handle, data, len(data))
        self._tools.pop(name, None)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The whole conversation in OpenAI's form."""
        found: list[dict[str, Any]] = self._library.json("kimi_session_messages", self._handle)
        return found

    @property
    def turn(self) -> dict[str, Any]:
        """The last assistant message in OpenAI's form: role, content, reasoning_content, tool_calls."""
        found: dict[str, Any] = self._library.json("kimi_session_turn", self._handle)
        return found

    def _answers(self, name: str) -> bool:
        """Whether calls of this tool are answered within the library's call."""
        tool = self._tools.get(name)
        return tool is not None and tool.has_function

    def close(self) -> None:
        super().close()
        self._shown = {}

    def _show(self, image: Image) -> None:
        """A tool of this session has returned a picture, which the running chat's conversation names from now on."""
        chat = self._chat() if self._chat is not None else None
        if chat is not None:
            chat._shown[image.url] = image

    def _keep_shown(self, shown: Shown, messages: list[dict[str, Any]]) -> None:
        """After a chat: of what was shown before and in it, what the conversation still has."""
        self._shown = _parts.kept({**self._shown, **shown}, messages)

    def _wake_chat(self) -> None:
        """After a cancellation: the open chat no longer waits for functions."""
        chat = self._chat() if self._chat is not None else None
        if chat is not None:
            chat._wake()


def _name_without_function(tool: Union[Tool, Mapping[str, Any]]) -> Optional[object]:
    if isinstance(tool, Tool):
        return None
    function = tool.get("function", tool)
    return function.get("name", "") if isinstance(function, Mapping) else ""
