"""What everything that holds a handle of the library has in common."""

from __future__ import annotations

from types import TracebackType
from typing import ClassVar, Optional, TypeVar

from ._library import Library

_Own = TypeVar("_Own", bound="Owned")


class Owned:
    """Owns one handle: frees it once, by `close`, at the end of a `with` block, or when nothing refers to it any more."""

    #: The C function that frees the handle.
    _release: ClassVar[str]
    _library: Library
    _handle: Optional[int] = None

    def close(self) -> None:
        """Frees what is held; a second time does nothing. What is still in use elsewhere goes on working."""
        handle, self._handle = self._handle, None
        self._library.release(self._release, handle)

    def __enter__(self: _Own) -> _Own:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._handle is not None:
            self.close()
