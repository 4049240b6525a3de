"""What a generation tells its reader, one event at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional


class TokenLogprob(NamedTuple):
    """A token and the natural logarithm of its probability in the model's own distribution, before any option."""

    id: int
    logprob: float


@dataclass(frozen=True)
class Event:
    """What every event has. `str(event)` is its text, so that joining all events gives the generated text.

    `raw` holds bytes that are complete now: no UTF-8 character is cut and no part of a stop string is in it, so it can lag
    behind the ids, and be empty. `text` is the same as str; bytes that are not UTF-8 show as U+FFFD.
    """

    done: int = 0
    """Prompt tokens evaluated, or tokens generated, so far."""
    total: int = 0
    """Prompt tokens to evaluate, or max_tokens; 0 without a limit."""
    raw: bytes = b""
    text: str = ""
    id: Optional[int] = None
    logprob: Optional[float] = None
    top: tuple[TokenLogprob, ...] = ()
    finish_reason: Optional[str] = None
    stop_string: Optional[int] = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class PromptEvent(Event):
    """A step of the prompt is done: `done` of `total` tokens."""


@dataclass(frozen=True)
class TokenEvent(Event):
    """One token was generated: `id`, and with log-probabilities on, `logprob` and the best alternatives in `top`."""

    id: int = -1


@dataclass(frozen=True)
class FinishEvent(Event):
    """The last event. `finish_reason` is "stop", "length", "context" or "cancelled".

    `id` is the token that ended it, if one did; `stop_string` the index of the stop string that did.
    """
