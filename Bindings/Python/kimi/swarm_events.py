"""What a swarm tells its reader, one event at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from .chat_events import ChatEvent


@dataclass(frozen=True)
class SwarmEvent:
    """What every event has. `str(event)` is the text of the main agent's answer in it, so that printing all prints the answer."""

    agent: int
    """0: the main agent; sub-agents count from 1 in the order of their creation."""
    parent: Optional[int]
    """The agent that created it; None: the host did."""
    name: str
    """Of the agent, "main" for the first."""
    task: int
    """The number of the agent's task, from 1; 0 for the main agent, and before the first."""

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True)
class AgentEvent(SwarmEvent):
    """What an agent's own request reports."""

    event: ChatEvent

    def __str__(self) -> str:
        return str(self.event) if self.agent == 0 else ""


@dataclass(frozen=True)
class AgentCreated(SwarmEvent):
    """The sub-agent is there."""

    system_prompt: str


@dataclass(frozen=True)
class TaskBegan(SwarmEvent):
    """The agent begins its task."""

    prompt: str


@dataclass(frozen=True)
class TaskEnded(SwarmEvent):
    """The agent's task is over."""

    outcome: str
    """"finished", "failed", "cancelled", "steps", "tokens", "all_tokens", "time", "all_time", "length", "context" or "memory"."""
    result: str
    """What the main agent reads."""
    cut: bool
    """Whether that is not the whole."""


@dataclass(frozen=True)
class BudgetSpent(SwarmEvent):
    """A budget is used up."""

    budget: str
    """"main_steps", "task_steps", "task_tokens", "all_tokens", "task_time", "all_time" or "agents"."""
    text: str
    """The same in words."""


@dataclass(frozen=True)
class MemoryAwaited(SwarmEvent):
    """The agent waits for memory until another's task ends."""


@dataclass(frozen=True)
class SwarmFinish(SwarmEvent):
    """The last event."""

    finish_reason: str
    """Of the main agent: "stop", "length", "context", "cancelled" (by the host, or its time was over), "tool_calls" or "steps"."""
    account: dict[str, Any]
    """What was done: steps, tokens, times; see SWARM.md."""
