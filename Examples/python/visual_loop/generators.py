"""Generators: Kimi through libkimi, and any other model behind a command."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from typing import Any, Callable, Sequence

from .prompt import data_url, feedback, messages, picture_part, task
from .rounds import Round, Target, Unusable

LARGEST_ANSWER = 16 << 20


class KimiGenerator:
    """Asks a model of libkimi (a `kimi.Model`), in one session, so that each round reads only what is new.

    options: those of `Session.chat`. progress: called while it works with "looking at" and a picture's tokens, "reading" and the
    tokens done and to do, or "thinking" or "writing" and the tokens so far. `Unusable` if the checkpoint has no vision, or the library
    cannot take pictures.
    """

    def __init__(
        self, model: Any, *, hint: str = "", shown: int = 2, progress: Callable[..., object] = lambda stage, *numbers: None,
        **options: Any,
    ) -> None:
        if not model.info.get("vision"):
            raise Unusable(
                f"{model.info.get('path', 'this checkpoint')} has no eyes: it is a text model, and the loop must show it pictures; "
                "open a checkpoint of Kimi K2.5"
            )
        self._session = model.session()
        self._hint, self._shown, self._progress, self._options = hint, shown, progress, options
        self.usage: dict[str, int] = {}
        """Tokens of all rounds, by the names of `kimi.Usage`."""

    def close(self) -> None:
        """Gives the session's memory back."""
        self._session.close()

    def __call__(self, targets: Sequence[Target], rounds: Sequence[Round]) -> str:
        import kimi

        answer: list[str] = []
        written = 0
        try:
            conversation = messages(targets, rounds, self._hint, self._shown, picture_part)
            for event in self._session.chat(conversation, stream=True, **self._options):
                if isinstance(event, kimi.Media):
                    self._progress("looking at", event.tokens)
                elif isinstance(event, kimi.Prompt):
                    self._progress("reading", event.done, event.total)
                elif isinstance(event, (kimi.Reasoning, kimi.Content)):
                    written += 1
                    self._progress("thinking" if isinstance(event, kimi.Reasoning) else "writing", written)
                    if isinstance(event, kimi.Content):
                        answer.append(event.text)
                elif isinstance(event, kimi.Finish):
                    for name, value in vars(event.usage).items():
                        self.usage[name] = self.usage.get(name, 0) + value
        except kimi.Error as error:
            # What it does not know or hold now it will not in the next round; there the conversation is longer.
            if error.code in (kimi.Status.UNSUPPORTED, kimi.Status.CONTEXT_FULL, kimi.Status.OUT_OF_MEMORY):
                raise Unusable(str(error)) from error
            raise
        return "".join(answer)


class CommandGenerator:
    """Asks a command: the request comes as JSON on its input, its output is the answer.

    The JSON has `messages` (the conversation in OpenAI's form, pictures as data: URLs), and the same in parts: `task`, `targets`
    (name, fragment, width, height, image) and `rounds` (number, answer, html, score, feedback, and `views`: score, regions, notes,
    image, difference). A status other than 0, or more than `seconds`, is a failure with the end of its errors as the reason.
    `progress` is called twice a second while it works.
    """

    def __init__(
        self, command: Sequence[str], seconds: float = 600.0, hint: str = "", shown: int = 2,
        progress: Callable[[], object] = lambda: None,
    ) -> None:
        self._command, self._seconds, self._hint, self._shown = list(command), seconds, hint, shown
        self._progress = progress

    def __call__(self, targets: Sequence[Target], rounds: Sequence[Round]) -> str:
        data = json.dumps(request(targets, rounds, self._hint, self._shown)).encode()
        try:
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise Unusable(f"{self._command[0]} does not start: {error.strerror}") from error
        try:
            deadline = time.monotonic() + self._seconds
            output, errors = _talk(process, data, deadline, self._progress)
            status = process.wait(max(0.1, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, TimeoutError):
            raise TimeoutError(f"{self._command[0]} was not done after {self._seconds:g} s") from None
        finally:
            # What it started and left behind goes with it.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        if status != 0:
            said = errors.decode("utf-8", "replace").strip().splitlines()
            raise RuntimeError(f"{self._command[0]} ended with status {status}" + (f": {said[-1]}" if said else ""))
        return output.decode("utf-8", "replace")


def _talk(
    process: "subprocess.Popen[bytes]", data: bytes, deadline: float, progress: Callable[[], object]
) -> tuple[bytes, bytes]:
    """Writes all of `data` and reads both outputs to their ends, at most `LARGEST_ANSWER` of them."""
    assert process.stdin and process.stdout and process.stderr
    rest = memoryview(data)
    read: dict[int, bytearray] = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    outputs = tuple(read.values())
    os.set_blocking(process.stdin.fileno(), False)
    while read:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        readable, writable, _ = select.select(list(read), [process.stdin] if rest else [], [], min(left, 0.5))
        progress()
        if writable:
            try:
                rest = rest[os.write(process.stdin.fileno(), rest[: 1 << 16]) :]
            except BlockingIOError:
                pass
            except BrokenPipeError:
                # It needs no more of the request.
                rest = memoryview(b"")
            if not rest:
                process.stdin.close()
        for descriptor in readable:
            chunk = os.read(descriptor, 1 << 16)
            if chunk:
                read[descriptor] += chunk
            else:
                del read[descriptor]
            if sum(map(len, outputs)) > LARGEST_ANSWER:
                raise RuntimeError(f"more than {LARGEST_ANSWER >> 20} MiB of output")
    return bytes(outputs[0]), bytes(outputs[1])


def request(targets: Sequence[Target], rounds: Sequence[Round], hint: str = "", shown: int = 2) -> dict[str, Any]:
    """What a command is given."""
    return {
        "task": task(targets, hint),
        "targets": [
            {
                "name": target.name, "fragment": target.fragment, "width": target.picture.width, "height": target.picture.height,
                "image": data_url(target.picture),
            }
            for target in targets
        ],
        "rounds": [
            {
                "number": made.number, "answer": made.answer, "html": made.html, "score": made.score,
                "feedback": feedback(targets, rounds, made.number),
                "views": [
                    {
                        "score": view.score, "regions": [vars(region) for region in view.regions], "notes": view.notes,
                        "image": data_url(view.render) if view.render is not None else None,
                        "difference": data_url(view.difference) if view.difference is not None else None,
                    }
                    for view in made.views
                ],
            }
            for made in rounds
        ],
        "messages": messages(targets, rounds, hint, shown),
    }
