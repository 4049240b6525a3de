"""Functions that the model may call: `@kimi.tool`."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import json
import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Optional, Union, overload

from . import _parts
from ._arguments import integer
from ._docstring import docstring
from ._library import library
from ._schema import Builder, Convert, Mismatch, Schema, described, hints_of, object_schema, with_default

if TYPE_CHECKING:
    from typing_extensions import TypeAlias

@dataclasses.dataclass(frozen=True)
class Agent:
    """An agent of a swarm."""

    number: int
    """0: the main agent."""
    name: str


_caller: ContextVar[Optional[Agent]] = ContextVar("kimi_agent", default=None)


def calling_agent() -> Optional[Agent]:
    """Within a tool's function: the agent of a swarm that calls it; None elsewhere."""
    return _caller.get()


@contextmanager
def called_by(agent: Optional[Agent]) -> Iterator[None]:
    """Runs a function for an agent."""
    token = _caller.set(agent)
    try:
        yield
    finally:
        _caller.reset(token)


_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")

#: OpenAI's form of a tool, a `Tool`, or a function with type hints.
ToolLike: TypeAlias = "Union[Mapping[str, Any], Tool, Callable[..., Any]]"


class Tool:
    """A function and what the model is told about it. Calling it calls the function.

    The JSON Schema comes from the function's type hints, descriptions from its docstring (Google's, NumPy's or Sphinx' layout) or
    from `Annotated[T, "text"]`. TypeError names a parameter whose hint is missing or has no JSON form.
    """

    name: str
    description: str
    parameters: Schema
    """The JSON Schema of the arguments, an object."""
    function: Callable[..., Any]
    timeout: Optional[float]
    """The most seconds a call may take; then the model is told that it timed out. None: no limit."""
    parallel: Optional[int]
    """The most calls at the same time, each on a thread of its own, whichever agents of a swarm they are of. None: no limit of its
    own."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: Optional[str] = None,
        description: Optional[str] = None,
        timeout: Optional[float] = None,
        parallel: Optional[int] = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"a tool is made of a function, not of {type(function).__name__}")
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__name__} is asynchronous; give a function that runs it, with asyncio.run for one")
        self.name = name if name is not None else getattr(function, "__name__", type(function).__name__)
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a tool cannot be called {self.name!r}: letters, digits, _, - and ., 1 to 128 of them")
        if timeout is not None and not 0.001 <= timeout <= 86_400:
            raise ValueError(f"timeout is {timeout}; it must lie between 0.001 and 86400 seconds")
        if parallel is not None:
            parallel = integer(parallel, "parallel", (1, 10_000))
        said, arguments = docstring(function)
        self.function = function
        self.description = said if description is None else description
        self.timeout = timeout
        self.parallel = parallel
        self._signature = inspect.signature(function)
        self._extra: Optional[Convert] = None
        self._converters: dict[str, Convert] = {}
        self.parameters = self._build(arguments)
        functools.update_wrapper(self, function, updated=())

    def _build(self, said: dict[str, str]) -> Schema:
        builder = Builder()
        thing = self.function
        while isinstance(thing, functools.partial):
            thing = thing.func
        if not inspect.isroutine(thing):
            thing = type(thing).__call__
        hints = hints_of(thing, f"{self.name}()")
        properties: dict[str, Schema] = {}
        required = []
        extra: Union[Schema, bool] = False
        for name, parameter in self._signature.parameters.items():
            what = f"{self.name}(): argument {name}"
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise TypeError(f"{self.name}(): *{name} has no name that a model could give; use a list")
            if parameter.kind is parameter.VAR_KEYWORD:
                extra, self._extra = builder.build(hints.get(name, Any), what)
                continue
            if name not in hints:
                raise TypeError(f"{what} has no type hint")
            schema, self._converters[name] = builder.build(hints[name], what)
            schema = described(schema, said.get(name))
            if parameter.default is parameter.empty:
                required.append(name)
            else:
                schema = with_default(schema, parameter.default)
            properties[name] = schema
        whole = object_schema(properties, required, extra)
        return {**whole, "$defs": builder.definitions} if builder.definitions else whole

    @property
    def schema(self) -> dict[str, Any]:
        """The tool as OpenAI's JSON has it."""
        function: dict[str, Any] = {"name": self.name, "parameters": self.parameters}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)

    def __repr__(self) -> str:
        return f"<kimi.Tool {self.name}>"

    def run(self, arguments: Union[str, bytes, Mapping[str, Any]]) -> Union[str, list[Any]]:
        """Calls the function with a JSON object, its members converted to the hinted types; the result as the model reads it: a
        text, or a list of texts and pictures (`Image`).

        ValueError if the arguments are none that the function takes; whatever the function raises.
        """
        given = json.loads(arguments) if isinstance(arguments, (str, bytes)) else arguments
        if not isinstance(given, Mapping):
            raise ValueError("the arguments are no JSON object")
        bound = self._signature.bind_partial()
        extra = {}
        for name, value in given.items():
            convert = self._converters.get(name, self._extra)
            if convert is None:
                raise ValueError(f"there is no argument {name}")
            try:
                converted = convert(value)
            except Mismatch as error:
                raise error.within(name) from None
            if name in self._converters:
                bound.arguments[name] = converted
            else:
                extra[name] = converted
        for name, parameter in self._signature.parameters.items():
            if name in self._converters and name not in given and parameter.default is parameter.empty:
                raise ValueError(f"the argument {name} is missing")
        return result_content(self.function(*bound.args, **bound.kwargs, **extra))


@overload
def tool(function: Callable[..., Any]) -> Tool: ...


@overload
def tool(
    *, name: Optional[str] = None, description: Optional[str] = None, timeout: Optional[float] = None,
    parallel: Optional[int] = None,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Optional[Callable[..., Any]] = None,
    *,
    name: Optional[str] = None,
    description: Optional[str] = None,
    timeout: Optional[float] = None,
    parallel: Optional[int] = None,
) -> Any:
    """Makes a `Tool` of a function: `@kimi.tool`, or `@kimi.tool(name=..., description=..., timeout=seconds, parallel=calls)`."""
    if function is None:
        return lambda function: Tool(function, name, description, timeout, parallel)
    return Tool(function, name, description, timeout, parallel)


def as_tool(given: ToolLike) -> Union[Tool, dict[str, Any]]:
    """A function as a Tool; OpenAI's form as it is, the library checks it."""
    if isinstance(given, Tool):
        return given
    if isinstance(given, Mapping):
        return dict(given)
    return Tool(given)


def declarations(tools: Iterable[ToolLike]) -> list[dict[str, Any]]:
    """Tools of every kind in OpenAI's form."""
    made = (as_tool(each) for each in tools)
    return [each.schema if isinstance(each, Tool) else each for each in made]


def result_content(result: Any) -> Union[str, list[Any]]:
    """What a function returned as the model reads it: a str as it is, pictures and lists with them as parts, all else as JSON."""
    return _parts.result(result, _jsonable)


def failure_text(error: BaseException) -> str:
    """What an exception tells the model: its kind and message, of arguments that do not fit the message alone."""
    text = str(error)
    if isinstance(error, Mismatch):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    return str(value)


def tools_to_typescript(tools: Iterable[ToolLike]) -> str:
    """Tools as the TypeScript namespace in which the model was trained to read them."""
    data = json.dumps(declarations(tools), ensure_ascii=False, allow_nan=False).encode()
    return library().text("kimi_tools_to_typescript", data, len(data))
