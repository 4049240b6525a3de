"""One sequence of tokens and its cache, and the conversation on it."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Iterable, Optional, SupportsIndex, Union

from . import _arrays
from ._arguments import INT64, Path, Text, choice, id_array, id_pointer, integer, path_bytes
from ._structures import SessionOptions, SessionStats
from .conversation import Conversation
from .generation import Generation

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .generation import GenerationOptions
    from .model import Model

Prompt = Union[Text, Iterable[SupportsIndex]]

_EVALUATE_ALL = 1

_SHORTAGE = {"fail": 0, "wait": 1}

class Session(Conversation):
    """A sequence of tokens, made by `Model.session`. One call at a time: a second caller gets Error, Status.BUSY.

    Close it, use it in a `with` block, or let it go. `cancel`, `position` and `close` may be called from any thread.
    """

    _release = "kimi_session_destroy"

    def __init__(
        self,
        model: Model,
        context_limit: Optional[int] = None,
        *,
        priority: int = 0,
        on_shortage: str = "fail",
        _handle: Optional[int] = None,
    ) -> None:
        super().__init__()
        self._handle = _handle
        self._model = model
        self._library = model._library
        if _handle is not None:
            return
        options = SessionOptions()
        self._library.kimi_session_options_init(ctypes.byref(options), ctypes.sizeof(options))
        if context_limit is not None:
            options.context_limit = integer(context_limit, "context_limit", (1, INT64[1]))
        options.priority = integer(priority, "priority", (-100, 100))
        options.on_shortage = choice(on_shortage, "on_shortage", _SHORTAGE)
        handle = ctypes.c_void_p()
        try:
            self._library.call("kimi_session_create", model._handle, ctypes.byref(options), ctypes.byref(handle))
        finally:
            self._handle = handle.value

    @property
    def model(self) -> Model:
        """The model this session runs on."""
        return self._model

    @property
    def position(self) -> int:
        """How many tokens the session holds; -1 once closed."""
        return int(self._library.kimi_session_position(self._handle))

    @property
    def ids(self) -> list[int]:
        """The tokens the session holds."""
        ids, count = self._library.counted(
            "kimi_session_ids",
            self._handle,
            buffer=lambda capacity: (ctypes.c_int32 * capacity)(),
            guess=max(self.position, 0) + 1,
        )
        return list(ids[:count])

    def eval(self, ids: Iterable[SupportsIndex]) -> Any:
        """Appends tokens and gives the logits after the last one: float32 [vocabulary], NumPy's or `array`."""
        given = id_array(ids)
        values, view = _arrays.vector(self._model._width)
        self._evaluate(given, 0, view, len(values))
        return values

    def eval_all(self, ids: Iterable[SupportsIndex]) -> Any:
        """Appends tokens and gives the logits after each of them: [tokens, vocabulary], or a list of `array`."""
        given = id_array(ids)
        width = self._model._width
        values, view = _arrays.vector(len(given) * width)
        self._evaluate(given, _EVALUATE_ALL, view, len(values))
        return _arrays.rows(values, len(given), width)

    def _evaluate(self, ids: Any, flags: int, view: Any, capacity: int) -> None:
        self._library.call("kimi_session_evaluate", self._handle, id_pointer(ids), len(ids), flags, view, capacity)

    def generate(self, prompt: Prompt = (), **options: Unpack[GenerationOptions]) -> Generation:
        """Evaluates a prompt (a text, or ids) and generates: an iterator of events that computes only when read.

        The options are those of `GenerationOptions`. The session is busy until the iterator has finished, is closed or is
        dropped, and then holds the prompt and the tokens generated so far.
        """
        return Generation(self, self._prompt(prompt), options)

    def generate_text(self, prompt: Prompt = (), **options: Unpack[GenerationOptions]) -> str:
        """The whole generated text at once."""
        with Generation(self, self._prompt(prompt), options) as generation:
            raw = b"".join(event.raw for event in generation)
        return raw.decode("utf-8", "replace")

    def _prompt(self, prompt: Prompt) -> Any:
        if isinstance(prompt, (str, bytes, bytearray)):
            return id_array(self._model.encode(prompt))
        return id_array(prompt, "prompt")

    def fork(self) -> Session:
        """A second session with the same past, which is shared, not copied."""
        handle = ctypes.c_void_p()
        try:
            self._library.call("kimi_session_fork", self._handle, ctypes.byref(handle))
        except BaseException:
            self._library.kimi_session_destroy(handle)
            raise
        fork = Session(self._model, _handle=handle.value)
        # A fork has the tools, too: as its own, for they must live as long as it does, and what they show is shown there.
        for tool in self._tools.values():
            fork.add_tool(tool.given, any_thread=tool.any_thread)
        fork._shown = dict(self._shown)
        return fork

    def reset(self) -> None:
        """Forgets all tokens."""
        self._library.call("kimi_session_reset", self._handle)

    def truncate(self, position: SupportsIndex) -> None:
        """Keeps the first `position` tokens."""
        self._library.call("kimi_session_truncate", self._handle, integer(position, "position", INT64))

    def cancel(self) -> None:
        """Stops what runs on this session, from any thread: it raises Error, Status.CANCELLED, within one layer of one step;
        a generation ends with a FinishEvent whose reason is "cancelled". A chat no longer waits for functions on other threads."""
        status = self._library.kimi_session_cancel(self._handle)
        self._wake_chat()
        if status != 0:
            raise self._library._error(status, ctypes.c_void_p())

    def save(self, path: Path) -> None:
        """Writes tokens and cache to a file that only this checkpoint can load."""
        name = path_bytes(path)
        self._library.call("kimi_session_save", self._handle, name, len(name))

    def load(self, path: Path) -> None:
        """Replaces the session's content by a saved one; unchanged if that fails."""
        name = path_bytes(path)
        self._library.call("kimi_session_load", self._handle, name, len(name))

    @property
    def stats(self) -> dict[str, int]:
        """Tokens, steps, nanoseconds and bytes of this session so far, by the names of kimi_session_stats."""
        stats = SessionStats()
        stats.struct_size = ctypes.sizeof(stats)
        self._library.call("kimi_session_get_stats", self._handle, ctypes.byref(stats))
        return {
            name: getattr(stats, name) for name, *_ in SessionStats._fields_ if name != "struct_size"
        }
