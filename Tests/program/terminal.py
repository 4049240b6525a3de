"""A person at a terminal, for tests of what the program shows and takes there."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

from common import KIMI, TINY


class Person:
    """A chat, or another command, on a terminal of 100 columns and 40 rows."""

    def __init__(self, environment: dict, *options: object, command: str = "chat") -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            try: os.execve(KIMI, [KIMI, command, str(TINY), *map(str, options)], environment)
            finally: os._exit(127)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.seen = b""
        self.place = 0
        self.status: int | None = None

    def read(self, seconds: float) -> bool:
        """More of the screen; False at the end."""
        if not select.select([self.terminal], [], [], seconds)[0]: return True
        try: data = os.read(self.terminal, 65536)
        except OSError: data = b""
        self.seen += data
        return bool(data)

    def wait_for(self, words: str | bytes, seconds: float = 20) -> bytes:
        """What comes up to these words, which must come; later waits begin after them."""
        words = words.encode() if isinstance(words, str) else words
        end = time.monotonic() + seconds
        while words not in self.plain[self.place:]:
            if time.monotonic() > end or not self.read(0.2):
                raise AssertionError(f"{words!r} did not come after {self.plain[:self.place][-200:]!r}; there is {self.plain[self.place:][-2000:]!r}")
        begin, self.place = self.place, self.plain.index(words, self.place) + len(words)
        return self.plain[begin:self.place]

    @property
    def plain(self) -> bytes:
        # Colours, and the switch for marked pasting, leave nothing on the screen.
        return re.sub(rb"\x1b\[[0-9;]*m|\x1b\[\?2004[hl]", b"", self.seen)

    def prompt(self) -> bytes:
        """What comes up to the prompt, once keys go to the editor: before that the terminal would act on some of them itself."""
        screen = self.wait_for("\n> ")
        self.wait_for_editor()
        return screen

    def wait_for_editor(self) -> None:
        end = time.monotonic() + 20
        while self.modes() & termios.ICANON:
            if time.monotonic() > end: raise AssertionError("the editor does not take the terminal")
            time.sleep(0.005)

    def type(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def say(self, line: str) -> None:
        self.type(line + "\r")

    def modes(self) -> int:
        return termios.tcgetattr(self.terminal)[3]

    def end(self, seconds: float = 60) -> int:
        """The exit code."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                while self.read(0.05) and select.select([self.terminal], [], [], 0.05)[0]: pass
                return os.waitstatus_to_exitcode(status)
            self.read(0.05)
        raise AssertionError("it did not end: " + repr(self.plain[-2000:]))

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)
