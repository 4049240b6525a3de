"""What came of one request, as a whole."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Optional

from .chat_events import CallEnd, CallRejected, ChatEvent, Content, Finish, Notice, Reasoning, Start, ToolResult, Usage


@dataclass(frozen=True)
class ToolCall:
    """A finished call of a tool."""

    id: str
    name: str
    arguments: str
    """A JSON object as text."""

    @property
    def values(self) -> dict[str, Any]:
        """The arguments, read."""
        values: dict[str, Any] = json.loads(self.arguments)
        return values

    @property
    def message(self) -> dict[str, Any]:
        """The call as OpenAI's messages have it."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass
class Turn:
    """What came of one request: the last step's answer, and the messages of all. `str(turn)` is the answer."""

    content: str = ""
    reasoning: Optional[str] = None
    """The thought before the answer; None if there was none."""
    tool_calls: list[ToolCall] = field(default_factory=list)
    """The calls of the last step, which the caller is to answer; those of steps before it were answered."""
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    messages: list[dict[str, Any]] = field(default_factory=list)
    """What the turn adds to the conversation, in OpenAI's form: answers and tool results of all steps, in order."""
    notices: list[Notice] = field(default_factory=list)
    rejected: list[CallRejected] = field(default_factory=list)

    @property
    def message(self) -> dict[str, Any]:
        """The last answer as OpenAI's messages have it."""
        return next((message for message in reversed(self.messages) if message["role"] == "assistant"), {})

    def __str__(self) -> str:
        return self.content


class TurnBuilder:
    """Puts a turn together from its events."""

    def __init__(self) -> None:
        self._turn = Turn()
        self._reasoning: Optional[list[str]] = None
        self._content: list[str] = []
        self._open = False

    def add(self, event: ChatEvent) -> None:
        """Takes in the next event."""
        turn = self._turn
        if isinstance(event, Start):
            self._close()
            self._reasoning, self._content = [] if event.thinking else None, []
            self._open = True
            turn.tool_calls = []
        elif isinstance(event, Reasoning):
            self._reasoning = self._reasoning or []
            self._reasoning.append(event.text)
        elif isinstance(event, Content):
            self._content.append(event.text)
        elif isinstance(event, CallEnd):
            turn.tool_calls.append(ToolCall(event.call_id, event.name, event.arguments))
        elif isinstance(event, ToolResult):
            self._close()
            turn.messages.append({"role": "tool", "content": event.text, "tool_call_id": event.call_id})
        elif isinstance(event, Notice):
            turn.notices.append(event)
        elif isinstance(event, CallRejected):
            turn.rejected.append(event)
        elif isinstance(event, Finish):
            self._close()
            turn.finish_reason, turn.usage = event.finish_reason, event.usage

    def _close(self) -> None:
        """Writes the answer of the step that ends here."""
        if not self._open:
            return
        self._open = False
        turn = self._turn
        turn.content = "".join(self._content)
        turn.reasoning = None if self._reasoning is None else "".join(self._reasoning)
        message: dict[str, Any] = {"role": "assistant", "content": turn.content or (None if turn.tool_calls else "")}
        if turn.reasoning is not None:
            message["reasoning_content"] = turn.reasoning
        if turn.tool_calls:
            message["tool_calls"] = [call.message for call in turn.tool_calls]
        turn.messages.append(message)

    def replace_messages(self, conversation: list[dict[str, Any]]) -> None:
        """Takes the turn's messages from the session's conversation, which ends with them: there results are as the model read
        them, failures with a word in front, so that a request that repeats them finds all of it in the cache."""
        count = len(self._turn.messages)
        end = conversation[-count:] if count else []
        if [message["role"] for message in end] == [message["role"] for message in self._turn.messages]:
            self._turn.messages = end

    @property
    def turn(self) -> Turn:
        """The turn; complete after its Finish."""
        return self._turn
