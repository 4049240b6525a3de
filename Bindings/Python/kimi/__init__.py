"""Kimi K2.5 on ordinary CPU servers: the Python side of libkimi.

    import kimi

    with kimi.Model("Kimi-K2.5") as model, model.session() as session:
        for event in session.generate("Once upon a time", max_tokens=64):
            print(event, end="", flush=True)

    @kimi.tool
    def weather(city: str) -> str: ...

    turn = session.chat("Do I need an umbrella in Oslo?", tools=[weather])
    result = session.swarm("Compare the weather in the 50 largest cities.", tools=[weather])

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
from ._swarm_request import SwarmOptions
from .conversation import ChatOptions
from .errors import Error, Status
from .events import Event, FinishEvent, PromptEvent, TokenEvent, TokenLogprob
from .generation import Generation
from .media import Image, Video
from .model import Decoder, Model, parse_output
from .planning import plan
from .rewarding import Rewards, rewards
from .session import Session
from .swarm import Swarm, SwarmResult
from .swarm_events import (
    AgentCreated,
    AgentEvent,
    BudgetSpent,
    MemoryAwaited,
    SwarmEvent,
    SwarmFinish,
    TaskBegan,
    TaskEnded,
)
from .tools import Agent, Tool, calling_agent, tool, tools_to_typescript
from .turn import ToolCall, Turn

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AgentCreated",
    "AgentEvent",
    "BudgetSpent",
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
    "MemoryAwaited",
    "Model",
    "Notice",
    "Prompt",
    "PromptEvent",
    "Reasoning",
    "ResultNeeded",
    "Rewards",
    "Session",
    "Start",
    "Status",
    "Swarm",
    "SwarmEvent",
    "SwarmFinish",
    "SwarmOptions",
    "SwarmResult",
    "TaskBegan",
    "TaskEnded",
    "TokenEvent",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Turn",
    "Usage",
    "Video",
    "calling_agent",
    "features",
    "parse_output",
    "plan",
    "rewards",
    "tool",
    "tools_to_typescript",
    "version",
]
