"""The side-by-side script, on programs that print known figures: its ratios, what it leaves out, and that it says so."""

import json
import stat
import subprocess
import unittest

from common import ROOT, ProgramTest

SCRIPT = ROOT / "Examples" / "bench" / "against-peers.sh"

KIMI = """#!/usr/bin/env python3
import json, sys
if sys.argv[1] == "help": print("--prompt --tokens --repeats --depth --batch --experts"); sys.exit()
def spread(x): return {"median": x, "min": x, "max": x}
def result(work, depth, batch, tokens, seconds, bytes, adds, rows=0):
    return {"work": work, "depth": depth, "batch": batch, "tokens": tokens, "rows": rows, "bytes": bytes, "multiply_adds": adds,
            "tokens_per_second": spread(tokens / seconds), "seconds": spread(seconds), "plain_read": spread(50e9),
            "layer_seconds": spread(seconds), "peak_bf16": spread(100e9), "peak_f32": spread(50e9),
            "share_of_plain_read": spread(0.9), "share_of_peak": spread(0.3), "share_of_limit": spread(0.8)}
threads = int(sys.argv[sys.argv.index("--threads") + 1])
if "--experts" in sys.argv:
    print(json.dumps({"results": [result("experts", 0, 0, n, 0.004, 1, 1, n) for n in (1, 8, 32, 64, 512)]})); sys.exit()
batch = int(sys.argv[sys.argv.index("--batch") + 1]) if "--batch" in sys.argv else 1
results = [result("prefill", 0, 1, 512, 2.0 / threads, 1, 1)]
for depth in [int(sys.argv[i + 1]) for i, word in enumerate(sys.argv) if word == "--depth"] or [0]:
    # Behind 16,384 tokens each of 10 takes 5 ms more, reads 100 MB and multiplies 2e8 times more.
    deep = depth > 1000
    results.append(result("decode", depth, batch, 10, 0.1 + 0.05 * deep, 10**9 + 10**9 * deep, 10**9 + 2 * 10**9 * deep))
print(json.dumps({"results": results}))
"""

BENCH = """#!/usr/bin/env python3
import json, sys
speed = {speed}
if "{refused}" and "{refused}" in " ".join(sys.argv): sys.exit("the message")
print(json.dumps([{{"samples_ts": [speed, speed * 3, speed / 2]}}]))
"""

BATCHED = """#!/bin/sh
exec >&2
echo 'main: n_kv_max = 8192'
echo '|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |'
echo '|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|'
echo '|    64 |     32 |   64 |   6144 |   11.060 |   370.35 |    3.500 |    25.00 |   14.560 |   421.98 |'
"""


class AgainstPeers(ProgramTest):
    def setUp(self) -> None:
        super().setUp()
        for name in ("mini", "k25-slice"):
            (self.folder / name).mkdir()
            (self.folder / name / "config.json").write_text("{}")
        for geometry in ("mini", "slice"):
            for rest in ("BF16", "Q8_0"):
                (self.folder / f"{geometry}-{rest}.gguf").write_text("")
        self.program("kimi", KIMI)

    def program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def peer(self, name: str, speed: float, refused: str = "") -> None:
        self.program(f"{name}/llama-bench", BENCH.format(speed=speed, refused=refused))
        self.program(f"{name}/llama-batched-bench", BATCHED)

    def compare(self, *arguments: str) -> tuple[str, dict]:
        result = subprocess.run(
            [SCRIPT, "--kimi", self.folder / "kimi", "--folder", self.folder, "--json", self.folder / "out.json", *arguments],
            capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout + result.stderr, {
            row["row"]: row for row in json.loads((self.folder / "out.json").read_text())["rows"]}

    def test_the_ratio_is_over_the_faster_peer_and_the_slow_one_is_left_out(self) -> None:
        self.peer("llama", 20)
        self.peer("ik", 50)
        text, rows = self.compare(
            "--llama", self.folder / "llama", "--ik", self.folder / "ik", "--rounds", "3", "--rows", "mini-decode,mini-64")
        decode = rows["mini-decode"]
        self.assertEqual(decode["ours"], [100, 100, 100])
        self.assertEqual(decode["ratios"], [2, 2, 2])
        self.assertEqual(decode["share"], [0.9] * 3)
        self.assertEqual(decode["peers"], {"llama.cpp": [20], "ik_llama.cpp": [50, 50, 50]})
        self.assertIn("less than half as fast", text)
        self.assertIn("2.00 (2.00-2.00)", text)
        # 100 tokens a second beside 25 of the table; of the arithmetic peak, since many decode at once.
        self.assertEqual(rows["mini-64"]["ratios"], [4, 4, 4])
        self.assertEqual(rows["mini-64"]["share"], [0.3] * 3)

    def test_what_is_left_out_is_told(self) -> None:
        self.peer("ik", 50, refused="mini")
        (self.folder / "slice-BF16.gguf").unlink()
        text, rows = self.compare(
            "--ik", self.folder / "ik", "--rounds", "1", "--rows", "mini-decode,slice-decode,slice-decode-int8")
        self.assertIn("llama.cpp: its folder was not given", text)
        self.assertIn("ik_llama.cpp left out: llama-bench ended with 1: the message", text)
        self.assertIn("slice-BF16.gguf is not there", text)
        self.assertIn("slice-decode-int8", text)
        self.assertIn("no option --dense", text)
        self.assertEqual(sorted(rows), ["mini-decode", "slice-decode"])
        self.assertEqual(rows["mini-decode"]["ratios"], [])

    def test_rows_without_a_peer(self) -> None:
        text, rows = self.compare("--rounds", "2", "--rows", "mini-depth-cost,slice-experts,mini-threads")
        # 5 ms more a token, of which 100 MB at 50 GB/s and 2e8 multiplications at 1e11 a second need 2 ms each.
        self.assertAlmostEqual(rows["mini-depth-cost"]["ratios"][0], 2.5)
        self.assertEqual(rows["mini-threads"]["ratios"], [2, 2])
        self.assertIn("512 rows: 4.00 ms, 80% (80%-80%) of its limit", text)

    def test_nonsense_is_refused(self) -> None:
        for arguments, word in (
                (["--rows", "nonsense"], "no row is called nonsense"), (["--rounds", "0"], "must be 1 to 100"),
                (["--fast"], "no option"), (["--rows"], "needs a value")):
            result = subprocess.run(
                [SCRIPT, "--kimi", self.folder / "kimi", "--folder", self.folder, *arguments], capture_output=True, text=True)
            self.assertEqual(result.returncode, 2)
            self.assertIn(word, result.stderr)
        result = subprocess.run([SCRIPT, "--folder", self.folder], capture_output=True, text=True)
        self.assertIn("--kimi", result.stderr)


if __name__ == "__main__":
    unittest.main()
