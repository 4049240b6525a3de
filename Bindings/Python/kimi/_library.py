"""Finds the shared library, loads it once, and turns its statuses into exceptions."""

from __future__ import annotations

import ctypes
import json
import os
import threading
from pathlib import Path
from typing import Any, Optional

from ._structures import ABI_VERSION, PROTOTYPES, SIZED_STRUCTURES
from .errors import Error, Status


class Library:
    """One loaded libkimi. Its functions are attributes (`library.kimi_version()`).

    Each is declared when it is first used: a library without one of them still serves everything else.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._binary = ctypes.CDLL(path)
        self._check_layouts()

    def __getattr__(self, name: str) -> Any:
        prototype = PROTOTYPES.get(name)
        if prototype is None:
            raise AttributeError(name)
        try:
            function = getattr(self._binary, name)
        except AttributeError:
            raise Error(
                Status.UNSUPPORTED, f"{self.path} has no function {name}; a newer libkimi is needed", subject=name
            ) from None
        function.restype, function.argtypes = prototype
        setattr(self, name, function)
        return function

    def _check_layouts(self) -> None:
        """Refuses a library whose structs are not those of this package, before anything is read through them."""
        found = self.kimi_abi_version()
        if found != ABI_VERSION:
            raise Error(
                Status.UNSUPPORTED, f"{self.path} has binary interface {found}; this package needs {ABI_VERSION}"
            )
        for name, structure in SIZED_STRUCTURES.items():
            size = self.kimi_struct_size(name.encode())
            # Fields are only appended, so a library with longer structs is a newer one and serves this package.
            if size < ctypes.sizeof(structure):
                raise Error(
                    Status.UNSUPPORTED,
                    f"{self.path} knows {size} bytes of {name}; this package needs {ctypes.sizeof(structure)}: "
                    "the library is older than the package",
                    subject=name,
                )

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a fallible function with an error object behind `arguments`; raises what it or a callback reports."""
        error = ctypes.c_void_p()
        status = getattr(self, name)(*arguments, ctypes.byref(error))
        exception = take_callback_exception()
        if status != Status.OK or error.value is not None:
            failure = self._error(status, error)
            if exception is None:
                raise failure
        if exception is not None:
            raise exception

    def release(self, name: str, handle: Optional[int]) -> None:
        """Calls a function that frees a handle; raises what a log callback raised meanwhile."""
        getattr(self, name)(handle)
        exception = take_callback_exception()
        if exception is not None:
            raise exception

    def _error(self, status: int, error: ctypes.c_void_p) -> Error:
        def text(value: Optional[bytes]) -> Optional[str]:
            return None if value is None else value.decode("utf-8", "replace")

        name = text(self.kimi_status_name(status)) or "unknown status"
        if error.value is None:
            return Error(status, name, name)
        try:
            return Error(
                status,
                text(self.kimi_error_message(error)) or name,
                name,
                text(self.kimi_error_file(error)),
                text(self.kimi_error_subject(error)),
            )
        finally:
            self.kimi_error_destroy(error)

    def json(self, name: str, *arguments: Any) -> Any:
        """Calls a function whose results are a transferred JSON text and its length."""
        return json.loads(self._transferred(name, *arguments))

    def text(self, name: str, *arguments: Any) -> str:
        """Calls a function whose results are a transferred text and its length."""
        return self._transferred(name, *arguments).decode("utf-8", "replace")

    def _transferred(self, name: str, *arguments: Any) -> bytes:
        memory, length = ctypes.c_void_p(), ctypes.c_size_t()
        try:
            self.call(name, *arguments, ctypes.byref(memory), ctypes.byref(length))
            return ctypes.string_at(memory.value or 0, length.value) if length.value else b""
        finally:
            self.kimi_free(memory)

    def counted(self, name: str, *arguments: Any, buffer: Any, guess: int) -> Any:
        """Calls a function that fills `buffer(capacity)`; again with the count it asks for, if `guess` was too small.

        Returns the buffer and the count that was stored in it.
        """
        count = ctypes.c_size_t()
        capacity = guess
        while True:
            target = buffer(capacity)
            try:
                self.call(name, *arguments, target, capacity, ctypes.byref(count))
                return target, count.value
            except Error as error:
                if error.code != Status.TOO_SMALL or count.value <= capacity:
                    raise
                capacity = count.value


_callbacks = threading.local()


def keep_callback_exception(exception: BaseException) -> None:
    """Remembers, on this thread, what a callback raised: it cannot cross C, so `call` raises it afterwards."""
    if getattr(_callbacks, "exception", None) is None:
        _callbacks.exception = exception


def take_callback_exception() -> Optional[BaseException]:
    """What a callback raised on this thread since the last call, if anything."""
    exception: Optional[BaseException] = getattr(_callbacks, "exception", None)
    _callbacks.exception = None
    return exception


def _find() -> str:
    named = os.environ.get("KIMI_LIBRARY")
    if named:
        return named
    for name in ("libkimi.so.1", "libkimi.so"):
        beside = Path(__file__).resolve().parent / name
        if beside.exists():
            return str(beside)
    return "libkimi.so.1"


_loaded: Optional[Library] = None
_loading = threading.Lock()


def library() -> Library:
    """The library, loaded when first asked for. OSError if there is none to load."""
    global _loaded
    with _loading:
        if _loaded is None:
            path = _find()
            try:
                _loaded = Library(path)
            except OSError as error:
                raise OSError(
                    f"libkimi could not be loaded: {error}. Set KIMI_LIBRARY to the path of libkimi.so.1, "
                    "put it next to this package, or install it where the loader looks"
                ) from None
        return _loaded


def version() -> str:
    """The version of the loaded library, "0.1.0"."""
    text: bytes = library().kimi_version()
    return text.decode()


def features() -> dict[str, Any]:
    """What the library finds on this machine: instruction sets, processor, nodes, cores, threads, its build."""
    found: dict[str, Any] = library().json("kimi_features")
    return found
