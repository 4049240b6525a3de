"""Chromium's DevTools protocol over two pipes (--remote-debugging-pipe): JSON messages that end with a zero byte.

No port is opened, so nobody else on the machine can connect, and Chromium ends by itself when this process does.
"""

from __future__ import annotations

import collections
import json
import os
import select
import time
from typing import Any, Callable

Message = dict[str, Any]

# A screenshot is one message; more than this is none that was asked for.
LARGEST_MESSAGE = 256 << 20


class BrowserGone(Exception):
    """The browser, or the page in it, has ended."""


class BrowserTimeout(Exception):
    """Something was not done in time."""


class ProtocolError(Exception):
    """The browser refused a command."""


class Pipe:
    """Commands and events of one browser. Not for several threads.

    `watch` is called about ten times a second while waiting; what it raises ends the wait.
    """

    def __init__(self, read: int, write: int, watch: Callable[[], None]) -> None:
        self._read, self._write, self._watch = read, write, watch
        self._buffer = bytearray()
        self._searched = 0
        self._number = 0
        self._answers: dict[int, Message] = {}
        self._events: collections.deque[Message] = collections.deque()
        os.set_blocking(read, False)
        os.set_blocking(write, False)

    def close(self) -> None:
        """Closes both pipes, on which the browser ends."""
        for descriptor in (self._read, self._write):
            os.close(descriptor)

    def send(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Sends a command and gives its number; its answer may be left unread."""
        self._number += 1
        message: Message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = memoryview(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 30
        while data:
            _, writable, _ = select.select([], [self._write], [], 0.1)
            self._watch()
            if not writable:
                # It may be waiting until its own messages are read.
                self._receive(0)
                if time.monotonic() > deadline:
                    raise BrowserTimeout("the browser reads no commands")
                continue
            try:
                data = data[os.write(self._write, data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise BrowserGone("the browser has ended") from error
        return self._number

    def call(
        self, method: str, session: str | None, deadline: float, handle: Callable[[Message], None] | None = None, **parameters: Any
    ) -> Message:
        """Sends a command and waits for its answer; events that come before it go to `handle`, or are kept."""
        number = self.send(method, session, **parameters)
        while number not in self._answers:
            if handle is not None:
                self._hand_out(handle)
            if number not in self._answers:
                self._wait(deadline, method)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise ProtocolError(f"{method}: {answer['error'].get('message', 'refused')}")
        result: Message = answer.get("result", {})
        return result

    def run_until(self, done: Callable[[], bool], deadline: float, handle: Callable[[Message], None], what: str) -> None:
        """Hands out events until `done`."""
        while True:
            self._hand_out(handle)
            if done():
                return
            self._wait(deadline, what)

    def _hand_out(self, handle: Callable[[Message], None]) -> None:
        while self._events:
            handle(self._events.popleft())

    def _wait(self, deadline: float, what: str) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise BrowserTimeout(f"{what} took too long")
        self._receive(min(left, 0.1))
        self._watch()

    def _receive(self, seconds: float) -> None:
        readable, _, _ = select.select([self._read], [], [], seconds)
        if not readable:
            return
        try:
            data = os.read(self._read, 1 << 20)
        except BlockingIOError:
            return
        if not data:
            raise BrowserGone("the browser has ended")
        self._buffer += data
        if len(self._buffer) > LARGEST_MESSAGE:
            raise BrowserGone("the browser sends a message without an end")
        while (end := self._buffer.find(0, self._searched)) >= 0:
            message = json.loads(self._buffer[:end])
            del self._buffer[: end + 1]
            self._searched = 0
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._events.append(message)
        self._searched = len(self._buffer)
