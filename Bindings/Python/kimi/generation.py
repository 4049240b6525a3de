"""A generation that its reader drives, and the options that steer it."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Optional, SupportsFloat, SupportsIndex, TypedDict, Union

from ._arguments import INT64, UINT64, Text, id_array, id_pointer, integer, real, text_bytes
from ._handle import Owned
from ._structures import EventStruct, GenerationOptionsStruct, LogitBias, StringView
from .errors import Error, Status
from .events import Event, FinishEvent, PromptEvent, TokenEvent, TokenLogprob

if TYPE_CHECKING:
    from .session import Session

_PROMPT, _TOKEN, _FINISH = 1, 2, 3
_FINISH_REASONS = {1: "stop", 2: "length", 3: "context", 4: "cancelled"}

# kimi.h keeps 0 for "a new seed each time". A 0 given in Python is a seed like any other, so it becomes this one.
SEED_ZERO = 0x9E3779B97F4A7C15


class GenerationOptions(TypedDict, total=False):
    """What `Session.generate` takes. An option that is None or left out has the value in brackets.

    In this order: penalties, logit_bias, temperature, top_k, top_p, min_p, draw.
    """

    max_tokens: Optional[int]
    """The most tokens to generate [as many as the context holds]."""
    temperature: Optional[SupportsFloat]
    """0 is greedy; at most 100 [1]."""
    top_p: Optional[SupportsFloat]
    """Keeps the most likely tokens that together reach this probability [off]."""
    top_k: Optional[int]
    """Keeps the k most likely tokens [all]."""
    min_p: Optional[SupportsFloat]
    """Drops tokens less likely than min_p times the most likely one [0]."""
    repetition_penalty: Optional[SupportsFloat]
    """Divides positive, multiplies negative logits of every token in the session [1]."""
    presence_penalty: Optional[SupportsFloat]
    """Subtracted once from the logit of each generated token [0]."""
    frequency_penalty: Optional[SupportsFloat]
    """Subtracted for each time the token was generated [0]."""
    logit_bias: Optional[Mapping[int, SupportsFloat]]
    """Added to the logits of these ids; -inf forbids one [none]."""
    seed: Optional[int]
    """Equal seeds give equal draws, 0 to 2**64 - 1 [a new one each time]."""
    stop: Optional[Union[Text, Iterable[Text]]]
    """Ends before the first of these strings appears in the text [none]."""
    stop_ids: Optional[Union[int, Iterable[SupportsIndex]]]
    """Ends at any of these tokens, besides the checkpoint's own end tokens [none]."""
    logprobs: Optional[Union[bool, int]]
    """True reports each token's log-probability; a number also asks for so many alternatives, 0 to 20 [False]."""
    top_logprobs: Optional[int]
    """How many alternatives to report for each token, 0 to 20; turns `logprobs` on [none]."""
    greedy: Optional[bool]
    """Always the most likely token [False]."""
    ignore_end: Optional[bool]
    """The checkpoint's own end tokens do not end the generation [False]."""


_FLOATS = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


def _fill(struct: GenerationOptionsStruct, options: Mapping[str, Any]) -> None:
    """Writes the given options into a struct that holds the defaults. The struct keeps the arrays it points to alive."""
    unknown = set(options) - set(GenerationOptions.__annotations__)
    if unknown:
        raise TypeError(f"generate() has no option {', '.join(map(repr, sorted(unknown)))}")
    given = {name: value for name, value in options.items() if value is not None}

    for name in _FLOATS:
        if name in given:
            setattr(struct, name, real(given[name], name))
    if "max_tokens" in given:
        struct.max_tokens = integer(given["max_tokens"], "max_tokens", (1, INT64[1]))
    if "top_k" in given:
        struct.top_k = integer(given["top_k"], "top_k")
    if "seed" in given:
        struct.seed = integer(given["seed"], "seed", UINT64) or SEED_ZERO
    struct.greedy = 1 if given.get("greedy") else 0
    struct.ignore_end = 1 if given.get("ignore_end") else 0
    struct.top_logprobs = _top_logprobs(given.get("logprobs"), given.get("top_logprobs"))

    bias = given.get("logit_bias")
    if bias:
        pairs = [LogitBias(integer(id, "logit_bias id"), real(value, "logit_bias")) for id, value in bias.items()]
        struct.logit_bias, struct.logit_bias_count = (LogitBias * len(pairs))(*pairs), len(pairs)
    stop = given.get("stop")
    if stop is not None:
        strings = [stop] if isinstance(stop, (str, bytes, bytearray)) else list(stop)
        views = [StringView(data, len(data)) for data in (text_bytes(string, "stop") for string in strings)]
        if views:
            struct.stop_strings, struct.stop_string_count = (StringView * len(views))(*views), len(views)
    stop_ids = given.get("stop_ids")
    if stop_ids is not None:
        ids = id_array(stop_ids if isinstance(stop_ids, Iterable) else [stop_ids], "stop_ids")
        if len(ids):
            struct.stop_ids, struct.stop_id_count = id_pointer(ids), len(ids)


def _top_logprobs(logprobs: Optional[Union[bool, int]], top: Optional[int]) -> int:
    if top is not None:
        return integer(top, "top_logprobs", (0, 20))
    if logprobs is None or logprobs is False:
        return -1
    return 0 if logprobs is True else integer(logprobs, "logprobs", (0, 20))


class Generation(Owned, Iterator[Event]):
    """The events of one generation, computed when they are asked for.

    Its session is busy until it has finished, is closed or is dropped. `cancel` on the session ends it from any thread.
    """

    _release = "kimi_generation_destroy"

    def __init__(self, session: Session, ids: Any, options: Mapping[str, Any]) -> None:
        self._session = session
        self._library = session._library
        self._reading = threading.Lock()
        struct = GenerationOptionsStruct()
        self._library.kimi_generation_options_init(ctypes.byref(struct), ctypes.sizeof(struct))
        _fill(struct, options)
        self._with_logprobs = struct.top_logprobs >= 0
        handle = ctypes.c_void_p()
        try:
            self._library.call(
                "kimi_generation_start",
                session._handle,
                id_pointer(ids),
                len(ids),
                ctypes.byref(struct),
                ctypes.byref(handle),
            )
        except BaseException:
            self._library.kimi_generation_destroy(handle)
            raise
        self._handle = handle.value

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> Event:
        # One reader at a time: the event's text is borrowed until the next poll.
        with self._reading:
            if self._handle is None:
                raise StopIteration
            struct = EventStruct()
            struct.struct_size = ctypes.sizeof(struct)
            try:
                self._library.call("kimi_generation_next", self._handle, ctypes.byref(struct))
                event = _event(struct, self._with_logprobs)
            except BaseException:
                self.close()
                raise
        if isinstance(event, FinishEvent):
            self.close()
        return event


def _event(struct: EventStruct, with_logprobs: bool) -> Event:
    raw = ctypes.string_at(struct.text, struct.text_length) if struct.text_length else b""
    text = raw.decode("utf-8", "replace")
    done, total = struct.done, struct.total
    if struct.type == _PROMPT:
        return PromptEvent(done, total)
    if struct.type == _TOKEN:
        if not with_logprobs:
            return TokenEvent(done, total, raw, text, struct.id)
        top = tuple(TokenLogprob(struct.top[i].id, struct.top[i].logprob) for i in range(struct.top_count))
        return TokenEvent(done, total, raw, text, struct.id, struct.logprob, top)
    if struct.type == _FINISH:
        reason = _FINISH_REASONS.get(struct.finish_reason, str(struct.finish_reason))
        ended_by = struct.id if struct.id >= 0 else None
        stop_string = struct.stop_string if struct.stop_string >= 0 else None
        return FinishEvent(done, total, raw, text, ended_by, None, (), reason, stop_string)
    raise Error(Status.UNSUPPORTED, f"event type {struct.type} is unknown to this package; it needs to be newer")
