"""What the tests of the visual loop share: the browser, folders, targets, and a look at what is left behind."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, Callable, Sequence

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "Examples" / "python"
sys.path.insert(0, str(EXAMPLES))

from visual_loop import Chromium, Round, Target, find_chromium, render  # noqa: E402

import pages  # noqa: E402

# What a page may take in tests that let it hang.
SHORT = 5.0


class LoopTest(unittest.TestCase):
    """A test with a browser and a folder of its own."""

    chromium: Chromium

    @classmethod
    def setUpClass(cls) -> None:
        # NoBrowser names the package.
        cls.chromium = find_chromium()

    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory(prefix="loop-test-")
        self.addCleanup(place.cleanup)
        self.folder = Path(place.name)

    def render(self, html: str, width: int = 200, height: int = 100, **options: Any) -> Any:
        """A page in a small window."""
        return render(html, width, height, self.chromium, **{"seconds": 20.0, **options})


_target: Target | None = None


def target(chromium: Chromium) -> Target:
    """The page of `pages` as a picture, made once."""
    global _target
    if _target is None:
        _target = Target(render(pages.TARGET, *pages.SIZE, chromium).picture)
    return _target


def scripted(answers: Sequence[Any]) -> Callable[..., str]:
    """A generator that gives these answers, one a round; an exception is raised."""

    def generate(targets: Sequence[Target], rounds: Sequence[Round]) -> str:
        answer = answers[len(rounds)]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return generate


def own_processes() -> set[int]:
    """Living processes that descend from this one, or run a browser for it in a temporary profile."""
    parents: dict[int, int] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat[0] not in "ZX":
            parents[int(entry)] = int(stat[1])
    mine: set[int] = set()
    for process in parents:
        at = process
        while at in parents and at != os.getpid():
            at = parents[at]
        if at == os.getpid() and process != os.getpid():
            mine.add(process)
    return mine


def profiles() -> set[Path]:
    """Profiles of browsers that are there."""
    return set(Path(tempfile.gettempdir()).glob("visual-loop-*"))
