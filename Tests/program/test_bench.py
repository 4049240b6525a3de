"""The benchmark's report: that it measures what it says, not how fast; and what it refuses."""

import signal
import time

from common import TINY, ProgramTest


class Report(ProgramTest):
    def test_every_depth_and_kind_is_reported_with_its_limits(self) -> None:
        told = self.json(
            "bench", TINY, "--prompt", 20, "--tokens", 3, "--depth", 0, "--depth", 70, "--repeats", 2, "--threads", 1)
        self.assertEqual(told["threads"], 1)
        for kind, tokens in (("prefill", 20), ("decode", 3)):
            self.assertEqual(list(told[kind]), ["0", "70"])
            for work in told[kind].values():
                self.assertEqual(work["tokens"], tokens)
                self.assertLessEqual(work["slowest"], work["tokens_per_second"])
                self.assertLessEqual(work["tokens_per_second"], work["fastest"])
                self.assertGreater(work["plain_read_before"], 0)
                self.assertAlmostEqual(
                    work["bytes_per_second"], work["tokens_per_second"] * work["bytes_per_repeat"] / tokens, delta=1e-3 * work["bytes_per_second"])

    def test_decoding_reads_what_inspect_says_and_the_cache(self) -> None:
        told = self.json("bench", TINY, "--prompt", 1, "--tokens", 2, "--depth", 100, "--repeats", 1)
        sizes = self.json("inspect", TINY)
        # Tokens 100 and 101 read 101 and 102 cached ones.
        expected = 2 * sizes["token_reads"]["all"] + (101 + 102) * sizes["cache_bytes"]["token_f32"]
        # Norms are not counted while running, and are well under a hundredth.
        self.assertAlmostEqual(told["decode"]["100"]["bytes_per_repeat"], expected, delta=expected / 100)

    def test_a_table_for_people(self) -> None:
        text = self.output("bench", TINY, "--prompt", 8, "--tokens", 2, "--repeats", 1).decode()
        for word in ("prompt of 8", "single tokens", "plain read", "opening", "threads"):
            self.assertIn(word, text)


class Refusals(ProgramTest):
    def test_numbers_out_of_range_are_named_with_the_range(self) -> None:
        for option, value in (("--repeats", 0), ("--repeats", 101), ("--tokens", 0), ("--prompt", 0), ("--depth", 1 << 40)):
            text = self.failure("bench", TINY, option, value, code=64)
            self.assertIn(f"{option} is {value}", text)

    def test_a_depth_beyond_the_context_is_refused_before_it_starts(self) -> None:
        self.assertIn("context limit", self.failure("bench", TINY, "--depth", 262144))

    def test_weights_beyond_the_memory_are_refused_before_it_starts(self) -> None:
        self.output("synth", "--geometry", "k25", "--headers-only", self.folder / "big")
        text = self.failure("bench", self.folder / "big")
        self.assertIn("are missing", text)
        self.assertIn("k25-slice", text)

    def test_an_interrupt_ends_it(self) -> None:
        bench = self.start("bench", TINY, "--repeats", 100, "--tokens", 100000)
        time.sleep(1.5)
        bench.send_signal(signal.SIGINT)
        bench.communicate(timeout=60)
        self.assertEqual(bench.returncode, 130)
