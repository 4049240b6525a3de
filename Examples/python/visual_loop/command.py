"""What visual_debug.py and video_to_code.py have in common: options, the loop with its report, and how it ends."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Sequence

# Ends of the program beside 0 (all targets reached) and 2 (wrong use).
_FAILED, _NOT_REACHED, _INTERRUPTED = 1, 3, 130


def parser(about: str | None, target: str) -> argparse.ArgumentParser:
    """The options; `about` is the program's docstring, whose first line ends with its usage."""
    made = argparse.ArgumentParser(description=(about or "").split("\n\n", 1)[-1])
    made.add_argument("target", type=Path, help=target)
    made.add_argument("dir", nargs="?", metavar="DIR", help="folder of a checkpoint with vision")
    made.add_argument("--generator", metavar="COMMAND", help="ask this command in place of a checkpoint: JSON in, HTML out")
    made.add_argument("--out", type=Path, metavar="FOLDER", help="where rounds and report.html go [TARGET's name]")
    made.add_argument("--threshold", type=float, default=0.98, metavar="SSIM", help="what is enough, for every state [0.98]")
    made.add_argument("--rounds", type=int, default=6, metavar="N", help="the most rounds, earlier ones included [6]")
    made.add_argument("--width", type=int, metavar="PIXELS", help="scale the target to this width, as of a screen with scale 2")
    made.add_argument("--hint", default="", metavar="TEXT", help="a word more for the model")
    made.add_argument("--seconds", type=float, default=15.0, metavar="S", help="the most to render a page [15]")
    made.add_argument("--memory", type=int, default=2048, metavar="MIB", help="the most that a page may take of it [2048]")
    made.add_argument("--patience", type=float, default=3600.0, metavar="S", help="the most that COMMAND may take a round [3600]")
    made.add_argument("--json", action="store_true", help="print the result as JSON")
    kimi = made.add_argument_group("of the checkpoint in DIR")
    kimi.add_argument("--mode", choices=("instant", "thinking"), default="instant", help="whether it thinks first [instant]")
    kimi.add_argument("--max-tokens", type=int, default=16_384, metavar="N", help="the most of an answer [16384]")
    kimi.add_argument("--temperature", type=float, metavar="T", help="0 takes the likeliest token [the mode's]")
    kimi.add_argument("--seed", type=int, metavar="N", help="equal seeds, equal answers")
    kimi.add_argument("--threads", type=int, metavar="N", help="how many compute [all cores]")
    kimi.add_argument("--load", choices=("map", "copy", "stream"), help="how weights are held")
    return made


def run(given: argparse.Namespace, program: str, targets: Callable[[], Sequence[Any]]) -> int:
    """Runs a loop as the options say; the exit status."""
    if (given.dir is None) == (given.generator is None):
        return _fail(program, "give either the folder of a checkpoint or --generator COMMAND", 2)
    if not 0 < given.threshold <= 1 or given.rounds < 1 or given.seconds <= 0 or given.memory < 64 or given.patience <= 0:
        return _fail(program, "--threshold must be above 0 and at most 1, --rounds, --seconds, --patience above 0, --memory 64", 2)
    try:
        import numpy  # noqa: F401
        import PIL  # noqa: F401
        import skimage  # noqa: F401
    except ImportError as error:
        return _fail(program, f"{error}; on Debian: apt-get install python3-skimage python3-pil python3-av", _FAILED)
    from .browser import NoBrowser
    from .rounds import Unusable

    # A loop that is ended from outside leaves its report as one that is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(given, program, targets)
    except (NoBrowser, Unusable, ValueError, OSError, ImportError) as error:
        return _fail(program, str(error), _FAILED)
    except KeyboardInterrupt:
        return _fail(program, "stopped before the first round", _INTERRUPTED)


def _run(given: argparse.Namespace, program: str, make_targets: Callable[[], Sequence[Any]]) -> int:
    from .browser import find_chromium
    from .loop import run_loop
    from .report import report
    from .store import Store
    from .terminal import Progress

    progress = Progress()
    targets = make_targets()
    chromium = find_chromium()
    if not chromium.sandboxed:
        progress.line(f"{program}: Chromium's sandbox does not work here; pages run with --no-sandbox")
    size = "%d x %d" % targets[0].picture.size
    progress.line(f"{given.target}: {size}{f', {len(targets)} states' if len(targets) > 1 else ''}; {chromium.description}")
    with ExitStack() as stack:
        store = stack.enter_context(Store(given.out or Path(given.target.stem + "-rounds")))
        there = len(store.load(targets))
        if there:
            progress.line(f"going on after {there} round{'s' * (there != 1)} in {store.folder}")
        generator, about = _generator(given, progress, stack)

        def write_report(rounds: Sequence[Any], state: str) -> Path:
            text = report(
                targets, rounds, threshold=given.threshold, state=state, title=given.target.name,
                about=f"Written by {about}; rendered by {chromium.description}; compared by scikit-image.",
            )
            return store.write("report.html", text)

        outcome = run_loop(
            targets, generator, chromium, threshold=given.threshold, limit=given.rounds, store=store, seconds=given.seconds,
            memory=given.memory << 20, progress=progress.loop,
            after_round=lambda rounds: write_report(rounds, f"Round {len(rounds)} of at most {given.rounds}"),
        )
        # From here on an interruption would only lose what is done.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        progress.clear()
        page = write_report(outcome.rounds, outcome.message)
        best = outcome.best
        if best is not None and best.html is not None:
            store.write("best.html", best.html)
        result = {
            "reason": outcome.reason, "message": outcome.message, "threshold": given.threshold,
            "best": None if best is None else {"round": best.number, "score": best.score, "lowest": best.lowest},
            "rounds": [
                {
                    "number": made.number, "score": made.score, "lowest": made.lowest, "page": made.html is not None,
                    "notes": made.notes + [note for view in made.views for note in view.notes],
                }
                for made in outcome.rounds
            ],
            "folder": str(store.folder), "report": str(page), "usage": getattr(generator, "usage", {}),
        }
        text = json.dumps(result, indent=1)
        store.write("result.json", text + "\n")
        print(text if given.json else f"{outcome.message}; {page}", flush=True)
    return {"threshold": 0, "interrupted": _INTERRUPTED, "generator": _FAILED}.get(outcome.reason, _NOT_REACHED)


def _generator(given: argparse.Namespace, progress: Any, stack: ExitStack) -> tuple[Any, str]:
    """The generator that the options name, and its name."""
    from .generators import CommandGenerator, KimiGenerator
    from .rounds import Unusable

    if given.generator is not None:
        command = shlex.split(given.generator)
        if not command:
            raise ValueError("--generator names no command")
        return CommandGenerator(command, given.patience, given.hint, progress=progress.tick), Path(command[0]).name
    try:
        import kimi
    except ImportError as error:
        raise ImportError(f"{error}; pip install ./Bindings/Python, or set PYTHONPATH to that folder") from error
    try:
        model = stack.enter_context(kimi.Model(given.dir, threads=given.threads, load=given.load))
        made = KimiGenerator(
            model, hint=given.hint, progress=progress.tokens, mode=given.mode, max_tokens=given.max_tokens,
            temperature=given.temperature, seed=given.seed,
        )
    except kimi.Error as error:
        raise Unusable(str(error)) from error
    stack.callback(made.close)
    return made, Path(given.dir).resolve().name


def _fail(program: str, message: str, status: int) -> int:
    print(f"{program}: {message}", file=sys.stderr)
    return status
