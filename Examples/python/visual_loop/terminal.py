"""Progress in a terminal: a line for each finished round, and below it one that tells what goes on."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any, TextIO

from .rounds import Round


class Progress:
    """Writes to `stream`; the moving line only where that is a terminal."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._moving = stream.isatty()
        self._next = self._begin = 0.0
        self._round = 1
        self._best = 0.0
        self._text = ""
        self._shown = False

    def loop(self, stage: str, what: Any) -> None:
        """`progress` of `run_loop`."""
        if stage == "ask":
            self._round, self._begin = what, time.monotonic()
            self._move("asking", force=True)
        elif stage == "render":
            self._move("rendering" + (f" state {what}" if what > 1 else ""), force=True)
        elif stage == "round":
            self.line(self._finished(what))

    def tokens(self, stage: str, done: int, total: int = 0) -> None:
        """`progress` of `KimiGenerator`."""
        self._move(f"{stage} {done:,}{f' of {total:,}' if total else ''} tokens")

    def tick(self) -> None:
        """Shows that time goes on."""
        self._move(self._text)

    def line(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        print(text, file=self._stream, flush=True)

    def clear(self) -> None:
        """Takes the moving line away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False

    def _move(self, text: str, force: bool = False) -> None:
        now = time.monotonic()
        self._text = text
        if not self._moving or (now < self._next and not force):
            return
        self._next = now + 0.1
        self._stream.write(f"\r\x1b[Kround {self._round}: {text}, {now - self._begin:.0f} s")
        self._stream.flush()
        self._shown = True

    def _finished(self, made: Round) -> str:
        text = f"round {made.number}: "
        if made.views:
            text += f"SSIM {made.score:.4f}"
            if self._best:
                text += f" ({made.score - self._best:+.4f})"
            if len(made.views) > 1:
                text += f", lowest {made.lowest:.4f}"
            self._best = max(self._best, made.score)
        notes = made.notes + [note for view in made.views for note in view.notes]
        if notes:
            # Of a page's making: no control characters to the terminal.
            said = "".join(letter if letter.isprintable() else "?" for letter in notes[0])
            more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
            text += "; " if made.views else ""
            room = max(20, (shutil.get_terminal_size().columns if self._moving else 200) - len(text) - len(more))
            text += (said if len(said) <= room else said[: room - 3] + "...") + more
        return text
