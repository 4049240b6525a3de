"""An opened checkpoint and its tokenizer."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Callable, Iterable, Optional, SupportsFloat, SupportsIndex, Union

from . import _arrays, _request
from ._arguments import INT64, Path, Text, c_path, choice, id_array, id_pointer, integer, path_bytes, real, text_bytes
from ._handle import Owned
from ._library import keep_callback_exception, library
from ._structures import LogCallback, ModelOptions, ProgressCallback
from .media import as_image, as_video
from .session import Session

if TYPE_CHECKING:
    from ._parts import Shown
    from ._request import Messages
    from .media import Image, Video
    from .tools import ToolLike

_ISA = {"auto": 0, "scalar": 1, "avx2": 2, "avx512": 3, "avx512vnni": 4, "amx": 5}
_CACHE = {"auto": 0, "f32": 1, "bf16": 2, "int8": 3}
_LOAD = {"auto": 0, "map": 1, "copy": 2, "stream": 3}
_PLACEMENT = {"auto": 0, "slice": 1, "expert": 2, "replicate": 3}
_PAGES = {"auto": 0, "small": 1, "huge": 2}
_DENSE = {"stored": 0, "int8": 1}
_VISION = {"full": 0, "bf16": 1}
_LOG_LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_LOG_NAMES = {number: name for name, number in _LOG_LEVELS.items()}

_SPECIAL = 1


class Model(Owned):
    """A checkpoint folder as it was published: weights, tokenizer, worker threads.

    It is immutable: threads may share it. Close it, use it in a `with` block, or let it go; sessions keep what they need.

    - threads: how many compute, 1 to 4096; None: one for each core the process may use.
    - isa: the highest instruction set to use: "scalar", "avx2", "avx512", "avx512vnni", "amx"; None: the best there is.
    - context_limit: the most tokens a session may hold; None: what the checkpoint allows.
    - cache_type: "f32" (exact), "bf16" (half the memory) or "int8" (a little over a quarter); None: "f32".
    - load: "map" (weights stay in the files), "copy" (weights are read into memory), "stream" (routed experts are read when they are
      chosen, all else is copied), "auto"; None: "auto".
    - chunk_size: the most prompt tokens in one step, 1 to 4096 (512 if not given); it does not change results of the exact path.
    - dense: how weights are kept that every token reads (attention, dense layers, shared experts, head): "stored", or "int8", made
      while opening: half the memory and reading, not exact; None: "stored".
    - exact: only the exact path, for long steps of a prompt too, which else take a faster one that rounds activations to 16 bits
      (8 with dense="int8"); generated tokens always take the exact one, unless decode_bits. And the same bits on every instruction
      set: without it processors with AMX add up the products of bfloat16 weights in another order.
    - decode_bits: to how many bits activations are rounded for generated tokens and short prompts: 24 (exact), 16 (not with
      dense="int8") or 8, what other engines compute with, for the most tokens of many sequences; None: 24. Not with exact=True.
    - memory_limit: the most bytes that the model and its sessions may use, mapped weights apart; None: what the machine and the
      process's cgroup allow. What would pass it is an Error (Status.OUT_OF_MEMORY), and sessions stay as they were.
    - placement: how weights are dealt over memory nodes: "slice" (all split), "expert" (experts whole, by heat), "replicate" (as
      "expert", the hottest on every node), "auto"; None: "auto".
    - nodes: the most memory nodes to compute on, 1 to 64; None: all.
    - replicate_bytes: with placement="replicate", bytes on each node for copies of experts; None: what is free.
    - resident_bytes: bytes for routed experts in memory; None: all of them, or as many as fit.
    - huge_pages: "auto" (transparent ones), "small", "huge" (hugetlbfs); None: "auto".
    - heat: the path of a heat file (`save_heat`); None: all experts are taken to be chosen alike.
    - features_limit: the most bytes to keep of what the vision tower made of pictures, for those that come again; 0 keeps nothing;
      None: 512 MiB.
    - vision_arithmetic: what the vision tower computes with on processors with AMX: "full" (features within 1e-3 of their scale)
      or "bf16" (the reference's own precision, 5e-3, half the multiplications; not with exact=True); None: "full".
    - prefix_limit: the most bytes of cache to keep of what sessions have evaluated, for prompts that begin alike; 0 keeps nothing;
      None: a sixteenth of the memory limit there is. `info["prefixes"]` tells how it fares.
    - log: called with a level ("debug", "info", "warning", "error") and a message, from `log_level` upwards.
    - progress: called with bytes done and total while opening; returning False stops it (Error, Status.CANCELLED).

    An exception raised in `log` or `progress` comes out of the call that ran it.
    """

    _release = "kimi_model_close"

    def __init__(
        self,
        path: Path,
        threads: Optional[int] = None,
        isa: Optional[str] = None,
        context_limit: Optional[int] = None,
        cache_type: Optional[str] = None,
        load: Optional[str] = None,
        chunk_size: Optional[int] = None,
        log: Optional[Callable[[str, str], object]] = None,
        log_level: str = "info",
        progress: Optional[Callable[[int, int], Optional[bool]]] = None,
        dense: Optional[str] = None,
        exact: bool = False,
        memory_limit: Optional[int] = None,
        placement: Optional[str] = None,
        nodes: Optional[int] = None,
        replicate_bytes: Optional[int] = None,
        resident_bytes: Optional[int] = None,
        huge_pages: Optional[str] = None,
        heat: Optional[Path] = None,
        features_limit: Optional[int] = None,
        vision_arithmetic: Optional[str] = None,
        prefix_limit: Optional[int] = None,
        decode_bits: Optional[int] = None,
    ) -> None:
        self._library = library()
        self._specials: Optional[dict[str, int]] = None
        self._hidden = 0

        options = ModelOptions()
        self._library.kimi_model_options_init(ctypes.byref(options), ctypes.sizeof(options))
        if threads is not None:
            options.threads = integer(threads, "threads", (1, 4096))
        if isa is not None:
            options.isa = choice(isa, "isa", _ISA)
        if context_limit is not None:
            options.context_limit = integer(context_limit, "context_limit", (1, INT64[1]))
        if cache_type is not None:
            options.cache_type = choice(cache_type, "cache_type", _CACHE)
        if load is not None:
            options.load_policy = choice(load, "load", _LOAD)
        if chunk_size is not None:
            options.chunk_size = integer(chunk_size, "chunk_size", (1, 4096))
        if dense is not None:
            options.dense = choice(dense, "dense", _DENSE)
        options.exact = 1 if exact else 0
        if memory_limit is not None:
            options.memory_limit = integer(memory_limit, "memory_limit", (1, INT64[1]))
        if placement is not None:
            options.placement = choice(placement, "placement", _PLACEMENT)
        if nodes is not None:
            options.nodes = integer(nodes, "nodes", (1, 64))
        if replicate_bytes is not None:
            options.replicate_bytes = integer(replicate_bytes, "replicate_bytes", (1, INT64[1]))
        if resident_bytes is not None:
            options.resident_bytes = integer(resident_bytes, "resident_bytes", (1, INT64[1]))
        if huge_pages is not None:
            options.huge_pages = choice(huge_pages, "huge_pages", _PAGES)
        if heat is not None:
            options.heat = c_path(heat, "heat")
        if features_limit is not None:
            # In C 0 is the default, which here is None.
            options.features_limit = integer(features_limit, "features_limit", (0, INT64[1])) or -1
        if vision_arithmetic is not None:
            options.vision_arithmetic = choice(vision_arithmetic, "vision_arithmetic", _VISION)
        if prefix_limit is not None:
            options.prefix_limit = integer(prefix_limit, "prefix_limit", (0, INT64[1])) or -1
        if decode_bits is not None:
            options.decode_bits = integer(decode_bits, "decode_bits", (8, 24))
        options.log_level = choice(log_level, "log_level", _LOG_LEVELS)
        # The library calls the log as long as a session of this model lives; sessions hold their model, and it the log.
        self._log = LogCallback(_log_trampoline(log)) if log is not None else LogCallback()
        options.log = self._log

        name = path_bytes(path)
        handle = ctypes.c_void_p()
        try:
            self._library.call(
                "kimi_model_open",
                name,
                len(name),
                ctypes.byref(options),
                ProgressCallback(_progress_trampoline(progress)) if progress is not None else ProgressCallback(),
                None,
                ctypes.byref(handle),
            )
        except BaseException:
            # The model is open if it was the log that raised.
            self._library.kimi_model_close(handle)
            raise
        self._handle = handle.value
        # Sessions go on when the model is closed, and still need to know how long a row of logits is.
        self._width = self.vocabulary_size

    @property
    def info(self) -> dict[str, Any]:
        """What was opened and how it runs: sizes, bytes by kind, context length, digest, isa, threads, memory in use.

        `vision` is None for a checkpoint without a vision tower, else a dict: sizes of the tower, its limits (`patch_limit`,
        `frame_patch_limit`, `side_limit`), `arithmetic` (what its products read: "floats", "integers", "pairs" or "bf16"), and
        `features`: bytes and pictures that are kept of what it made.

        With load="stream" it has `expert_store`, counted since the model was opened: `slots` (experts that have room in memory at
        once), `slot_bytes`, `experts` (in all layers), `uses` (an expert that a step chose in a layer is one), `hits` (uses whose
        expert was in memory), `on_the_way` (asked for by an earlier step), `bytes_read` from the files, `stall_seconds` (waited for
        reads), `retries` (of reads), `backend` ("io_uring" or "threads") and `direct` (past the page cache). Any thread may ask,
        while the model computes, too.
        """
        found: dict[str, Any] = self._library.json("kimi_model_info", self._handle)
        return found

    def heat(self) -> dict[str, Any]:
        """How often each expert was chosen since the model was opened: layers, experts, and counts, a list for each layer."""
        found: dict[str, Any] = self._library.json("kimi_model_heat", self._handle)
        return found

    def save_heat(self, path: Path) -> None:
        """Writes that to a file, which `heat` of another model reads."""
        name = path_bytes(path)
        self._library.call("kimi_model_save_heat", self._handle, name, len(name))

    def save_prefixes(self, path: Path) -> None:
        """Writes the beginnings that are kept at this moment (`prefix_limit`) to a file, for `load_prefixes` of a later process."""
        name = path_bytes(path)
        self._library.call("kimi_model_save_prefixes", self._handle, name, len(name))

    def load_prefixes(self, path: Path) -> None:
        """Takes in what such a file holds: prompts that begin so are not evaluated again, as if a session had been there before.

        Whoever can write the file decides what sessions go on from. Raises kimi.Error with MISMATCH for a file of another checkpoint or
        of a model that computes other bits, and then, as on any error, takes in nothing.
        """
        name = path_bytes(path)
        self._library.call("kimi_model_load_prefixes", self._handle, name, len(name))

    @property
    def vocabulary_size(self) -> int:
        """How many logits a token has; 0 once closed."""
        return int(self._library.kimi_model_vocabulary_size(self._handle))

    @property
    def context_limit(self) -> int:
        """The most tokens a session of this model may hold; 0 once closed."""
        return int(self._library.kimi_model_context_limit(self._handle))

    def encode(self, text: Text, special: bool = False) -> list[int]:
        """The ids of a text. With `special`, text that spells a special token becomes it: not for text from users."""
        data = text_bytes(text)
        ids, count = self._library.counted(
            "kimi_tokenize",
            self._handle,
            data,
            len(data),
            _SPECIAL if special else 0,
            buffer=lambda capacity: (ctypes.c_int32 * capacity)(),
            guess=len(data) // 2 + 16,
        )
        return list(ids[:count])

    def count(self, text: Text, special: bool = False) -> int:
        """How many ids `encode` would give."""
        data = text_bytes(text)
        count = ctypes.c_size_t()
        self._library.call(
            "kimi_tokenize", self._handle, data, len(data), _SPECIAL if special else 0, None, 0, ctypes.byref(count)
        )
        return count.value

    def decode(self, ids: Iterable[SupportsIndex]) -> bytes:
        """The exact bytes of ids, special tokens as their names. They need not be UTF-8 if a character was cut."""
        given = id_array(ids)
        data, length = self._library.counted(
            "kimi_detokenize",
            self._handle,
            id_pointer(given),
            len(given),
            buffer=ctypes.create_string_buffer,
            guess=8 * len(given) + 64,
        )
        return bytes(data.raw[:length])

    def piece(self, id: SupportsIndex) -> bytes:
        """The bytes of one id, or a special token's name."""
        data, length = self._library.counted(
            "kimi_token_piece", self._handle, integer(id, "id"), buffer=ctypes.create_string_buffer, guess=64
        )
        return bytes(data.raw[:length])

    def token_id(self, piece: Text) -> int:
        """The id whose bytes or special name are exactly `piece`; Error if there is none."""
        data = text_bytes(piece, "piece")
        id = ctypes.c_int32()
        self._library.call("kimi_token_id", self._handle, data, len(data), ctypes.byref(id))
        return id.value

    def is_special(self, id: SupportsIndex) -> bool:
        """Whether the id is a special token."""
        return bool(self._library.kimi_token_is_special(self._handle, integer(id, "id")))

    @property
    def special_tokens(self) -> dict[str, int]:
        """Names and ids of the special tokens."""
        if self._specials is None:
            self._specials = self._library.json("kimi_special_tokens", self._handle)
        return dict(self._specials or {})

    def render(
        self, messages: Messages, tools: Optional[Iterable[ToolLike]] = None, mode: Optional[str] = None, **fields: Any
    ) -> str:
        """The prompt of a request as text, special tokens by their names: not to be encoded again, use `render_ids`.

        Messages, tools, mode and further fields are those of `Session.chat`.
        """
        shown: Shown = {}
        data = _request.request(messages, tools, fields, shown)
        return self._library.text("kimi_render", self._handle, data, len(data), _request.mode_number(mode))

    def render_ids(
        self, messages: Messages, tools: Optional[Iterable[ToolLike]] = None, mode: Optional[str] = None, **fields: Any
    ) -> list[int]:
        """The prompt of a request as ids: text in it never becomes a special token, and pictures have as many as they take."""
        shown: Shown = {}
        data = _request.request(messages, tools, fields, shown)
        ids, count = self._library.counted(
            "kimi_render_ids",
            self._handle,
            data,
            len(data),
            _request.mode_number(mode),
            buffer=lambda capacity: (ctypes.c_int32 * capacity)(),
            guess=len(data) // 2 + 64,
        )
        return list(ids[:count])

    def media_tokens(self, width: SupportsIndex, height: SupportsIndex) -> int:
        """The tokens that a picture of so many pixels takes in a prompt, without the five around it.

        Error, Status.UNSUPPORTED, for a checkpoint without a vision tower, here and below.
        """
        tokens = ctypes.c_int64()
        sides = integer(width, "width", INT64), integer(height, "height", INT64)
        self._library.call("kimi_media_tokens", self._handle, *sides, ctypes.byref(tokens))
        return tokens.value

    def video_tokens(self, seconds: SupportsFloat, fps: SupportsFloat, width: SupportsIndex, height: SupportsIndex) -> int:
        """The same for a video: of all its chunks, without the time before each."""
        tokens = ctypes.c_int64()
        sides = integer(width, "width", INT64), integer(height, "height", INT64)
        times = real(seconds, "seconds"), real(fps, "fps")
        self._library.call("kimi_video_tokens", self._handle, *times, *sides, ctypes.byref(tokens), None)
        return tokens.value

    def encode_image(self, image: Any) -> Any:
        """What the vision tower makes of a picture (an `Image`, or what one is made of): float32 [tokens, hidden], which stand in a
        prompt in place of embeddings; NumPy's, or a list of `array`."""
        given = as_image(image)
        tokens = self.media_tokens(given.width, given.height) if given._handle is not None else 0
        return self._features("kimi_model_encode_image", given, tokens)

    def encode_video(self, video: Any, timestamps: Optional[Iterable[SupportsFloat]] = None) -> Any:
        """The same for a video (a `Video`, or what one is made of, with the timestamps of its frames): the rows of all chunks, one
        after another."""
        given = as_video(video, timestamps)
        tokens = ctypes.c_size_t()
        self._library.call("kimi_model_encode_video", self._handle, given._handle, None, 0, ctypes.byref(tokens))
        return self._features("kimi_model_encode_video", given, tokens.value)

    def _features(self, name: str, medium: Union[Image, Video], tokens: int) -> Any:
        self._hidden = self._hidden or int(self.info["sizes"]["hidden"])
        values, view = _arrays.vector(tokens * self._hidden)
        found = ctypes.c_size_t()
        self._library.call(name, self._handle, medium._handle, view, len(values), ctypes.byref(found))
        return _arrays.rows(values, found.value, self._hidden)

    def decoder(self) -> Decoder:
        """A decoder for a stream of ids."""
        return Decoder(self)

    def session(self, context_limit: Optional[int] = None, *, priority: int = 0, on_shortage: str = "fail") -> Session:
        """An empty session, holding at most `context_limit` tokens.

        Of sessions that compute at the same time, those of higher priority (-100 to 100) have their steps first.

        on_shortage: what a call does that finds no memory for its next tokens. "fail": it is an Error (Status.OUT_OF_MEMORY), and the
        session is as it was. "wait": it waits for other sessions' memory, and gives its own cache to those that came before, or while no
        call runs on it; that is evaluated again, to the same bits, when it goes on.
        """
        return Session(self, context_limit, priority=priority, on_shortage=on_shortage)


class Decoder(Owned):
    """Turns ids into bytes one at a time without ever cutting a UTF-8 character."""

    _release = "kimi_decoder_destroy"

    def __init__(self, model: Model) -> None:
        self._library = model._library
        handle = ctypes.c_void_p()
        self._library.call("kimi_decoder_create", model._handle, ctypes.byref(handle))
        self._handle = handle.value

    def feed(self, id: SupportsIndex) -> bytes:
        """The bytes that are complete with this id; maybe none."""
        return self._bytes("kimi_decoder_feed", integer(id, "id"))

    def finish(self) -> bytes:
        """What was held back: the bytes of an unfinished character. The decoder is then as new."""
        return self._bytes("kimi_decoder_finish")

    def _bytes(self, name: str, *arguments: Any) -> bytes:
        data, length = ctypes.c_void_p(), ctypes.c_size_t()
        self._library.call(name, self._handle, *arguments, ctypes.byref(data), ctypes.byref(length))
        return ctypes.string_at(data.value or 0, length.value) if length.value else b""


def _log_trampoline(log: Callable[[str, str], object]) -> Callable[[int, bytes, Any], None]:
    def trampoline(level: int, message: bytes, user_data: Any) -> None:
        try:
            log(_LOG_NAMES.get(level, str(level)), message.decode("utf-8", "replace"))
        except BaseException as error:
            keep_callback_exception(error)

    return trampoline


def _progress_trampoline(progress: Callable[[int, int], Optional[bool]]) -> Callable[[int, int, Any], int]:
    def trampoline(done: int, total: int, user_data: Any) -> int:
        try:
            answer = progress(done, total)
            return 1 if answer is not None and not answer else 0
        except BaseException as error:
            keep_callback_exception(error)
            return 1

    return trampoline


def parse_output(
    model: Union[Model, Text, None], output: Union[Text, Iterable[SupportsIndex], None] = None, thinking: bool = True
) -> dict[str, Any]:
    """What a model's output says: content, reasoning_content, tool_calls (id, name, arguments), finish_reason.

    output: ids, or a text in which the names of markers are those markers. thinking: the prompt ended within a thought. A text needs no
    model: parse_output(text, thinking=True) does as well.
    """
    if output is None:
        if not isinstance(model, (str, bytes, bytearray)):
            raise TypeError("parse_output takes a model and an output, or an output as text")
        model, output = None, model
    found: dict[str, Any]
    if isinstance(output, (str, bytes, bytearray)):
        data = text_bytes(output, "output")
        loaded = model._library if isinstance(model, Model) else library()
        found = loaded.json("kimi_parse_output_text", data, len(data), 1 if thinking else 0)
    elif isinstance(model, Model):
        ids = id_array(output, "output")
        found = model._library.json("kimi_parse_output", model._handle, id_pointer(ids), len(ids), 1 if thinking else 0)
    else:
        raise TypeError("ids are read with the tokenizer of a model: parse_output(model, ids)")
    return found
