"""Kimi K2.5 on ordinary CPU servers: the Python side of libkimi.

    import kimi

    with kimi.Model("Kimi-K2.5") as model, model.session() as session:
        for event in session.generate("Once upon a time", max_tokens=64):
            print(event, end="", flush=True)

    @kimi.tool
    def weather(city: str) -> str: ...

    turn = session.chat("Do I need an umbrella in Oslo?", tools=[weather])

The shared library is looked for when it is first needed: the environment variable KIMI_LIBRARY, next to this package,
the loader's path.
"""

from ._library import features, version
from .chat import Chat
from .chat_events import (
    CallArguments,
    CallBegin,
    CallEnd,
    CallEvent,
    CallRejected,
    ChatEvent,
    Content,
    Finish,
    Media,
    Notice,
    Prompt,
    Reasoning,
    ResultNeeded,
    Start,
    ToolResult,
    Usage,
)
from .conversation import ChatOptions
from .errors import Error, Status
from .events import Event, FinishEvent, PromptEvent, TokenEvent, TokenLogprob
from .generation import Generation
from .media import Image, Video
from .model import Decoder, Model, parse_output
from .planning import plan
from .session import Session
from .tools import Tool, tool, tools_to_typescript
from .turn import ToolCall, Turn

__version__ = "0.1.0"

__all__ = [
    "CallArguments",
    "CallBegin",
    "CallEnd",
    "CallEvent",
    "CallRejected",
    "Chat",
    "ChatEvent",
    "ChatOptions",
    "Content",
    "Decoder",
    "Error",
    "Event",
    "Finish",
    "FinishEvent",
    "Generation",
    "Image",
    "Media",
    "Model",
    "Notice",
    "Prompt",
    "PromptEvent",
    "Reasoning",
    "ResultNeeded",
    "Session",
    "Start",
    "Status",
    "TokenEvent",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Turn",
    "Usage",
    "Video",
    "features",
    "parse_output",
    "plan",
    "tool",
    "tools_to_typescript",
    "version",
]
