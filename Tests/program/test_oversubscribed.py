"""The script that measures streaming with too little memory: its figures on known runs, its checks, and one small true run."""

import contextlib
import io
import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

from common import KIMI, ROOT, TINY, ProgramTest

BENCH = ROOT / "Examples" / "bench"
SCRIPT = BENCH / "oversubscribed.sh"
sys.path.insert(0, str(BENCH))

import limited_memory  # noqa: E402
import oversubscribed  # noqa: E402


class Figures(unittest.TestCase):
    def measure(self, rounds: int = 2, **changes: object) -> tuple[oversubscribed.Outcome, list[str]]:
        """Mapped 2 tokens/s and 300 MB a token, streamed 5 and 160, on a disk that gives 0.5 and 1 GB/s around it."""
        order: list[str] = []
        bandwidths = iter([0.5e9, 1e9, 1e9, 0.7e9] * rounds)

        def run(load: str, limited: bool) -> dict:
            order.append(load + (" limited" if limited else ""))
            told = {"tokens": 10, "seconds": 2, "read": 1.6e9, "logits": ["a", "b", "c"]}
            if load == "map": told |= {"seconds": 5, "read": 3e9, "logits": ["a"]}
            if load == "stream":
                told["store"] = {"slots": 140, "uses": 880, "hits": 220, "stall_seconds": 0.5, "direct": True}
            return told | changes.get(load, {})

        def disk() -> float:
            order.append("disk")
            return next(bandwidths)

        outcome = oversubscribed.Outcome("/data/stream-uniform", 3_000_000_000, 1_000_000_000)
        with contextlib.redirect_stderr(io.StringIO()):
            oversubscribed.measure(outcome, run, disk, lambda: changes.get("left", 0.0), rounds)
        return outcome, order

    def test_sides_take_turns_around_the_disk(self) -> None:
        _, order = self.measure()
        stream = ["disk", "stream limited", "disk"]
        self.assertEqual(order, ["copy", "map limited", *stream, *stream, "map limited"])

    def test_figures(self) -> None:
        told = self.measure()[0].as_json()
        self.assertEqual((told["mapped"], told["streamed"], told["ratio"]), ([2, 2], [5, 5], [2.5, 2.5]))
        self.assertEqual((told["mapped_read_per_token"], told["streamed_read_per_token"]), ([300e6] * 2, [160e6] * 2))
        # 5 tokens of 160 MB are 0.8 GB a second of 1.
        self.assertEqual((told["streamed_read"], told["disk"]), ([0.8e9] * 2, [1e9] * 2))
        for share in told["share"]: self.assertAlmostEqual(share, 0.8)
        self.assertEqual((told["hits"], told["stalls"], told["slots"], told["same_logits"]), ([0.25] * 2, [0.25] * 2, 140, True))

    def test_table(self) -> None:
        outcome, _ = self.measure()
        text = oversubscribed.table([outcome, outcome])
        lines = {line[:30].strip(): line[30:].split("  ")[0].strip() for line in text.splitlines()}
        self.assertEqual(lines["ratio"], "2.50 (2.50-2.50)")
        self.assertEqual(lines["share of what the disk allows"], "80% (80%-80%)")
        self.assertEqual((lines["at least 2"], lines["at least 70%"]), ("met", "met"))
        self.assertEqual(lines["streamed, MB read a token"], "160 (160-160)")
        self.assertEqual(lines["logits as without a limit"], "the same bits")

    def test_what_is_wrong_is_told(self) -> None:
        slow, _ = self.measure(stream={"seconds": 2.6, "logits": ["a", "b", "d"]}, left=0.2)
        text = oversubscribed.table([slow])
        self.assertEqual(text.count("not met"), 2)
        self.assertIn("DIFFERENT", text)
        self.assertIn("note, stream-uniform: round 1, map: 20% of the checkpoint stayed in the page cache", text)
        self.assertIn("through the page cache", oversubscribed.table([self.measure(
            stream={"store": {"slots": 1, "uses": 1, "hits": 0, "stall_seconds": 0, "direct": False}})[0]]))


class Script(ProgramTest):
    def script(self, *arguments: object, code: int = 0) -> str:
        result = subprocess.run(
            [SCRIPT, *map(str, arguments)], env=self.environment, capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        return result.stdout + result.stderr

    def test_nonsense_is_refused(self) -> None:
        for arguments, word in (
                (["--fast"], "--fast is no option"), (["--rounds"], "needs a value"),
                (["--kimi", "/nowhere"], "must be the program kimi"), (["--heat", "cold"], "must be uniform, skewed or both"),
                (["--library", "/nowhere.so"], "must be libkimi.so"), (["--rounds", "0"], "must be 1 to 100"),
                (["--tokens", "0"], "must be 1 to 4096"), (["--limit", "-5"], "must be a number of bytes"),
                (["--limit", "1GB"], "invalid int"),
                (["--folder", ""], "--folder or --checkpoint is missing"), (["--checkpoint", self.folder], "has no config.json")):
            with self.subTest(arguments):
                self.assertIn(word, self.script("--kimi", KIMI, "--folder", self.folder / "out", *arguments, code=2))
        self.assertEqual(self.listing(), [])
        self.assertIn("--rounds N", self.script("--help"))

    def test_a_cgroup_that_cannot_be_is_told(self) -> None:
        text = self.script("--kimi", KIMI, "--cgroup", self.folder / "none", "--folder", self.folder / "out", code=1)
        self.assertIn("no memory cgroup can be made", text)
        self.assertIn("Delegate=memory", text)
        self.assertEqual(self.listing(), [])

    def test_a_small_run(self) -> None:
        try:
            os.close(os.open(TINY / "config.json", os.O_RDONLY | os.O_DIRECT))
            with limited_memory.Cgroup(1 << 30): pass
        except (OSError, limited_memory.Unavailable) as reason:
            self.skipTest(f"no direct reads, or no cgroup: {reason}")
        out = self.folder / "out.json"
        text = self.script(
            "--kimi", KIMI, "--checkpoint", TINY, "--limit", 400_000_000, "--resident", 300_000, "--rounds", 1, "--warm", 4,
            "--tokens", 8, "--json", out)
        self.assertIn("the same bits", text)
        (told,) = json.loads(out.read_text())["checkpoints"]
        self.assertEqual((told["limit"], told["same_logits"]), (400_000_000, True))
        for name in ("mapped", "streamed", "ratio", "share", "disk"):
            self.assertEqual(len(told[name]), 1)
            self.assertGreater(told[name][0], 0, name)

    def test_files_leave_the_page_cache(self) -> None:
        path = self.folder / "file"
        path.write_bytes(os.urandom(1 << 20))
        self.assertGreater(limited_memory.cached_share(path), 0.9)
        if limited_memory.chill([path]) > 0: self.skipTest("this file system keeps its files in memory")
        self.assertEqual(limited_memory.cached_share(path), 0)


if __name__ == "__main__":
    unittest.main()
