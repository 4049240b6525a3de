"""What the library finds on a machine: this one, a part of it, and described ones."""

import json
import os
import subprocess
import sys
import unittest
from typing import Any, Optional

from common import FIXTURES

PROGRAM = """
import json, sys
import common, kimi
try:
    print(json.dumps(kimi.features()))
except kimi.Error as error:
    print(json.dumps({"error": error.name, "subject": error.subject, "text": str(error)}))
"""


def features(processors: Optional[set] = None, **environment: str) -> Any:
    """`kimi.features()` of a process of its own; what it writes to standard error counts too."""
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=os.path.dirname(os.path.abspath(__file__)), capture_output=True, timeout=120,
        env={**os.environ, **environment},
        preexec_fn=None if processors is None else lambda: os.sched_setaffinity(0, processors))
    if child.returncode != 0 or child.stderr:
        raise AssertionError((child.returncode, child.stderr))
    return json.loads(child.stdout)


class Machines(unittest.TestCase):
    def test_a_part_of_this_machine(self) -> None:
        allowed = os.sched_getaffinity(0)
        for processor in (min(allowed), max(allowed)):
            found = features({processor})
            self.assertEqual((found["cores"], found["threads"]), (1, 1))
        self.assertLessEqual(features()["cores"], len(allowed))

    def test_described_machines(self) -> None:
        found = features(HWLOC_SYNTHETIC="pack:2 [numa(memory=512GB)] core:48 pu:2")
        self.assertEqual((found["nodes"], found["cores"], found["threads"]), (2, 96, 96))
        # A description is of another machine: this process's processors do not cut it.
        found = features({min(os.sched_getaffinity(0))}, HWLOC_SYNTHETIC="pack:2 [numa(memory=512GB)] core:48 pu:2")
        self.assertEqual(found["cores"], 96)
        found = features(HWLOC_XMLFILE=str(FIXTURES / "topology" / "memory-only.xml"))
        self.assertEqual((found["nodes"], found["cores"]), (3, 8))

    def test_what_describes_nothing(self) -> None:
        for name, value in (
            ("HWLOC_SYNTHETIC", "pack:two"), ("HWLOC_SYNTHETIC", "pack:2 [numa]core:100000000 pu:1"),
            ("HWLOC_SYNTHETIC", "core:2 pu:1(indexes=0,4294967290)"), ("HWLOC_XMLFILE", "/nowhere/machine.xml"),
            ("HWLOC_XMLFILE", str(FIXTURES)), ("HWLOC_XMLFILE", str(FIXTURES / "tiny-kimi" / "config.json")),
        ):
            with self.subTest(name=name, value=value):
                found = features(**{name: value})
                self.assertEqual((found.get("error"), found.get("subject")), ("KIMI_ERROR_INVALID_ARGUMENT", name), found)


if __name__ == "__main__":
    unittest.main()
