"""What a chat tells its reader, one event at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatEvent:
    """What every event has. `str(event)` is the text of the answer in it, so that printing all events prints the answer."""

    step: int
    """The pass through the model it belongs to, from 0: an answer to tool results is the next one."""

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True)
class Start(ChatEvent):
    """A step's prompt is rendered: `total` tokens, `cached` of which the session holds already."""

    cached: int
    total: int
    thinking: bool
    """Whether reasoning comes first."""


@dataclass(frozen=True)
class Prompt(ChatEvent):
    """`done` of `total` new tokens of the prompt are evaluated."""

    done: int
    total: int


@dataclass(frozen=True)
class Media(ChatEvent):
    """`done` of `total` pictures, and chunks of videos, in the prompt are ready."""

    done: int
    total: int
    path: str
    """The part it belongs to: "messages[0].content[1]"."""
    kind: str
    """"image", or "video" for a chunk of one."""
    time: str
    """When the chunk begins, "00:00:02.000"; "" for a picture."""
    tokens: int
    """That it takes in the prompt."""
    cached: bool
    """Whether the vision tower had nothing to do for it."""


@dataclass(frozen=True)
class Reasoning(ChatEvent):
    """More of the thought."""

    text: str


@dataclass(frozen=True)
class Content(ChatEvent):
    """More of the answer."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class CallEvent(ChatEvent):
    """An event of one call of a tool."""

    call: int
    """The number of the call in the request, from 0."""
    call_id: str
    """"functions.NAME:INDEX"."""
    name: str
    """Of the tool."""


@dataclass(frozen=True)
class CallBegin(CallEvent):
    """The model begins to call a tool."""


@dataclass(frozen=True)
class CallArguments(CallEvent):
    """More of a call's arguments."""

    text: str


@dataclass(frozen=True)
class CallEnd(CallEvent):
    """A call is complete: all of its arguments, a JSON object as text."""

    arguments: str


@dataclass(frozen=True)
class CallRejected(ChatEvent):
    """What looked like a call is none."""

    reason: str
    """"unknown_tool", "arguments" (no JSON object) or "unfinished" (the answer ended within it)."""
    text: str
    """How it begins."""


@dataclass(frozen=True)
class ResultNeeded(CallEvent):
    """A call of a tool that has no function: `Chat.submit` must be called for it before the next event is read."""


@dataclass(frozen=True)
class ToolResult(CallEvent):
    """What a tool answered."""

    text: str
    status: str
    """"ok", "failed" or "timed_out"."""


@dataclass(frozen=True)
class Notice(ChatEvent):
    """Something worth knowing, in words."""

    kind: str
    """"ignored_field", "schema", "reasoning_budget", "context", "results_dropped", "mode" or "unanswered"."""
    text: str


@dataclass(frozen=True)
class Usage:
    """Tokens of all steps of a turn."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Those of the prompts that were found in the session's cache."""
    generated_tokens: int = 0
    """Reasoning included."""
    reasoning_tokens: int = 0
    media_tokens: int = 0
    """Of prompt_tokens, those of pictures and videos."""


@dataclass(frozen=True)
class Finish(ChatEvent):
    """The last event."""

    finish_reason: str
    """"stop", "length", "context", "cancelled", "tool_calls" (the caller is to answer them) or "steps" (no more were allowed)."""
    usage: Usage
