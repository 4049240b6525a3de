"""What the library says when a call fails."""

from __future__ import annotations

import enum
from typing import Optional


class Status(enum.IntEnum):
    """The status codes of kimi.h. They are never reused, so an unknown one is a newer library's."""

    OK = 0
    INVALID_ARGUMENT = -1
    INVALID_HANDLE = -2
    BUSY = -3
    CANCELLED = -4
    OUT_OF_MEMORY = -5
    IO = -6
    FORMAT = -7
    UNSUPPORTED = -8
    CONTEXT_FULL = -9
    NUMERIC = -10
    MISMATCH = -11
    INTERNAL = -12
    TOO_SMALL = -13


class Error(Exception):
    """A call of libkimi failed.

    `code` is the status (compare it with `Status`), `name` its name in kimi.h, `message` one line that says what was found
    and what would be right. `file` and `subject` name the file and the tensor, field, option or argument at fault, or are
    None.
    """

    code: int
    name: str
    message: str
    file: Optional[str]
    subject: Optional[str]

    def __init__(
        self, code: int, message: str, name: Optional[str] = None, file: Optional[str] = None, subject: Optional[str] = None
    ) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message
        self.file = file
        self.subject = subject
        if name is None:
            known = {int(status): status.name for status in Status}
            name = "KIMI_ERROR_" + known[self.code] if self.code in known else "unknown status"
        self.name = name

    def __str__(self) -> str:
        return f"{self.message} ({self.name})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.code, self.message, self.name, self.file, self.subject)
