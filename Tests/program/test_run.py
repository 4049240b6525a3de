"""Generating, against the reference's greedy tokens."""

import json
import os
import pty
import re
import signal
import subprocess
import time
import unittest

from common import FIXTURES, KIMI, TINY, ProgramTest

PROMPTS = json.loads((FIXTURES / "tiny-kimi-expected" / "prompts.json").read_text())


class Generating(ProgramTest):
    def test_greedy_tokens_of_the_reference(self) -> None:
        for name in ("one", "short", "medium", "special"):
            prompt = PROMPTS[name]
            ids = " ".join(map(str, prompt["ids"])).encode()
            # Where the margin is narrow another arithmetic may choose otherwise.
            sure = next((i for i, margin in enumerate(prompt["margin"]) if margin < 5e-3), len(prompt["greedy"]))
            with self.subTest(name):
                told = self.json("run", TINY, "--ids", "--greedy", "--ignore-end", "--max-tokens", 32, input=ids)
                self.assertGreater(sure, 8)
                self.assertEqual(told["ids"][:sure], prompt["greedy"][:sure])
                self.assertEqual(told["finish_reason"], "length")
                self.assertEqual(told["statistics"]["prompt_tokens"], len(prompt["ids"]))
                self.assertEqual(told["statistics"]["generated_tokens"], 32)

    def test_stream_is_what_the_ids_stand_for(self) -> None:
        options = ("Hello, Kimi", "--seed", 7, "--max-tokens", 40)
        told = self.json("run", TINY, *options)
        wanted = self.output("tokenize", TINY, "--decode", *told["ids"])
        streamed = self.output("run", TINY, *options)
        self.assertEqual(streamed, wanted if wanted.endswith(b"\n") else wanted + b"\n")
        self.assertEqual(told["text"], wanted.decode(errors="replace"))
        self.assertEqual(self.output("run", TINY, "-", *options[1:], input=b"Hello, Kimi"), streamed)

    def test_seed_repeats_and_settings_do_not_change_it(self) -> None:
        def ids(*options: object) -> list[int]:
            return self.json("run", TINY, "Hello", "--max-tokens", 24, *options)["ids"]
        first = ids("--seed", 3)
        for options in (["--threads", 1], ["--threads", 2], ["--isa", "scalar"], ["--load", "copy"], ["--context", 100]):
            with self.subTest(options):
                self.assertEqual(ids("--seed", 3, *options), first)
        self.assertNotEqual(ids("--seed", 4), first)
        self.assertEqual(ids("--temperature", 0), ids("--greedy"))
        self.assertEqual(ids("--top-k", 1), ids("--greedy"))

    def test_prefixes_of_an_earlier_run(self) -> None:
        text = "A heat pump suits the flat. " * 20
        file = self.folder / "prefixes"
        def told(*options: object) -> tuple[list[int], int]:
            found = self.json("run", TINY, text, "--exact", "--greedy", "--max-tokens", 8, *options)
            return found["ids"], found["statistics"]["reused_tokens"]
        alone, reused = told()
        self.assertEqual(reused, 0)
        self.assertEqual(told("--prefixes", file), (alone, 0))
        again, reused = told("--prefixes", file)
        self.assertEqual(again, alone)
        self.assertGreater(reused, 100)
        self.assertIn(b"beside it at hand", self.run_kimi("run", TINY, text, "--exact", "--max-tokens", 8, "--prefixes", file, "--stats").stderr)
        # Those of other latents are not mixed with its own, and the file stays.
        self.assertIn("computed with f32", self.failure("run", TINY, text, "--exact", "--cache", "bf16", "--prefixes", file))
        self.assertGreater(told("--prefixes", file)[1], 100)

    def test_dense_int8(self) -> None:
        def told(*options: str) -> tuple[list[int], tuple[int, int], int]:
            result = self.json(
                "run", TINY, "Hello, Kimi. " * 30, "--greedy", "--max-tokens", 8, "--dense", "int8", *options)
            counts = result["statistics"]
            return result["ids"], (counts["rows_exact"], counts["rows_fast"]), counts["prompt_tokens"]
        # A prompt of many tokens goes the fast way if it may, generated ones never; and the last one is not read.
        for options, rows in ((["--exact"], lambda prompt: (prompt + 7, 0)), ([], lambda prompt: (7, prompt))):
            with self.subTest(options):
                ids, counts, prompt = told(*options)
                self.assertGreater(prompt, 64)
                self.assertEqual(counts, rows(prompt))
                self.assertEqual(told(*options, "--load", "copy"), (ids, counts, prompt))
        self.failure("run", TINY, "x", "--dense", "int4", code=64)

    def test_memory(self) -> None:
        options = ("Hello", "--greedy", "--max-tokens", 8)
        text = self.failure("run", TINY, *options, "--memory", "1MB")
        self.assertIn("the limit is 976.6 KiB (memory_limit)", text)
        self.assertIn("--memory", text.splitlines()[1])
        least = int(re.search(r"a memory_limit of (\d+) bytes", text)[1])
        self.failure("run", TINY, *options, "--memory", least - 1)
        # Enough to open, and for one session of a block or two.
        enough = least + 400_000
        expected = self.output("run", TINY, *options)
        for size in (enough, f"{enough}B", f"{enough / 1000:.3f}kB", "1.5GB", "1GiB", "2 TiB"):
            with self.subTest(size): self.assertEqual(self.output("run", TINY, *options, "--memory", size), expected)
        text = self.failure("run", TINY, *options, "--memory", enough, "--context", 4000)
        longest = int(re.search(r"(\d+) tokens at most", text)[1])
        self.assertTrue(64 <= longest < 4000 and longest % 64 == 0, text)
        self.assertEqual(self.output("run", TINY, *options, "--memory", enough, "--context", longest), expected)

    def test_sizes_that_are_none(self) -> None:
        for size, words in (("16G", "16GB or 16GiB"), ("2t", "2TB or 2TiB"), ("", "empty"), ("GB", "GB is not a size"),
                            ("1.5", "1.5 is not"), (".5GB", "is not"), ("1.2.3GB", "is not"), ("1e9", "is not"), ("1,5GB", "is not"),
                            ("10XB", "is not"), ("１GB", "is not"), ("9300PB", "beyond"), ("8EiB", "is not"),
                            ("99999999999999999999", "is not"), ("9223372036854775808", "beyond")):
            with self.subTest(size): self.assertIn(words, self.failure("run", TINY, "x", "--memory", size, code=64))
        self.failure("run", TINY, "x", "--memory=-1", code=64)

    def test_heat_is_saved(self) -> None:
        path = self.folder / "heat.json"
        told = self.json("run", TINY, "Hello, Kimi", "--greedy", "--max-tokens", 8, "--ignore-end", "--save-heat", path)
        heat = json.loads(path.read_text())
        counts = told["statistics"]
        config = json.loads((TINY / "config.json").read_text())["text_config"]
        rows = counts["rows_exact"] + counts["rows_fast"]
        self.assertEqual([sum(row) for row in heat["counts"]], [0] + [rows * config["num_experts_per_tok"]] * 3)
        self.assertEqual(self.listing(), ["heat.json"])

    def test_streamed_experts(self) -> None:
        path = self.folder / "heat.json"
        # A prompt of one token: each step has one, so that every choice of the router is a use.
        options = ("run", TINY, "--ids", "17", "--greedy", "--ignore-end", "--max-tokens", 24)
        self.assertNotIn("expert_store", self.json(*options)["statistics"])
        statistics = self.json(*options, "--load", "stream", "--save-heat", path)["statistics"]
        store, counts = statistics["expert_store"], sum(json.loads(path.read_text())["counts"], [])
        self.assertEqual((store["slots"], store["experts"]), (48, 48))
        self.assertEqual(store["uses"], sum(counts))
        self.assertEqual(store["uses"] - store["hits"] - store["on_the_way"], sum(count > 0 for count in counts))
        self.assertTrue(0 < store["stall_seconds"] < statistics["seconds"])
        # With room for few, more is read, of the same choices.
        few = self.json(*options, "--load", "stream", "--resident", 6 * store["slot_bytes"])["statistics"]["expert_store"]
        self.assertEqual((few["slots"], few["uses"]), (6, store["uses"]))
        self.assertGreater(few["bytes_read"], store["bytes_read"])
        self.assertLess(few["hits"], store["hits"])
        text = self.run_kimi(*options, "--load", "stream", "--stats").stderr.decode()
        row = re.search(r"experts in memory +([\d,]+) of ([\d,]+) +(\S+) %", text)
        hits, uses = (int(row[place].replace(",", "")) for place in (1, 2))
        self.assertEqual((hits, uses), (store["hits"], store["uses"]))
        self.assertAlmostEqual(float(row[3]), 100 * hits / uses, delta=0.51)
        self.assertRegex(text, r"read from files +\S+ [KM]iB +\S+ [KMG]?i?B/s")
        self.assertRegex(text, r"waited for reads +\S+ m?s +\S+ %")

    def test_stop_strings(self) -> None:
        whole = self.json("run", TINY, "Hello", "--greedy", "--max-tokens", 40)["text"]
        stop = whole[len(whole) // 2:][:3]
        told = self.json("run", TINY, "Hello", "--greedy", "--max-tokens", 40, "--stop", "never to be found", "--stop", stop)
        self.assertEqual((told["finish_reason"], told["stop_string"]), ("stop", 1))
        self.assertEqual(told["text"], whole[:whole.index(stop)])

    def test_context_ends_it(self) -> None:
        told = self.json("run", TINY, "Hello", "--context", 20, "--max-tokens", 100, "--greedy", "--ignore-end")
        self.assertEqual(told["finish_reason"], "context")
        self.assertEqual(told["statistics"]["prompt_tokens"] + len(told["ids"]), 20)

    def test_logprobs(self) -> None:
        told = self.json("run", TINY, "Hello", "--greedy", "--max-tokens", 3, "--logprobs", 2)
        for token in told["tokens"]:
            self.assertEqual(token["id"], token["top"][0]["id"])
            self.assertEqual(token["logprob"], token["top"][0]["logprob"])
            self.assertGreaterEqual(token["top"][0]["logprob"], token["top"][1]["logprob"])

    def test_statistics_go_to_the_error_stream(self) -> None:
        result = self.run_kimi("run", TINY, "Hello", "--max-tokens", 4, "--stats", "--seed", 1)
        self.assertEqual(result.stdout, self.output("run", TINY, "Hello", "--max-tokens", 4, "--seed", 1))
        for words in ("prompt", "tokens/s", "bytes read", "ended by"): self.assertIn(words, result.stderr.decode())
        self.assertNotIn(b"\x1b", result.stderr)

    def test_special_names_only_when_asked(self) -> None:
        plain = self.json("run", TINY, "<|im_end|>", "--max-tokens", 1)["statistics"]["prompt_tokens"]
        special = self.json("run", TINY, "--special", "<|im_end|>", "--max-tokens", 1)["statistics"]["prompt_tokens"]
        self.assertGreater(plain, 1)
        self.assertEqual(special, 1)


class Ending(ProgramTest):
    def test_interrupt_ends_the_answer(self) -> None:
        process = self.start("run", TINY, "Hello", "--max-tokens", 200000, "--ignore-end", "--stats")
        first = os.read(process.stdout.fileno(), 1)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, error.decode())
        self.assertTrue((first + out).endswith(b"\n"))
        self.assertIn("cancelled", error.decode())

    def test_interrupt_in_the_prompt(self) -> None:
        process = self.start("run", TINY, "-", "--json", stdin=subprocess.PIPE)
        process.stdin.write(b"many words " * 20000)
        process.stdin.close()
        process.stdin = None
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, error.decode())
        if out: self.assertEqual(json.loads(out)["finish_reason"], "cancelled")

    def test_a_reader_that_goes_away(self) -> None:
        process = self.start("run", TINY, "Hello", "--max-tokens", 100000, "--ignore-end")
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        process.stdout = None
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, -signal.SIGPIPE)


class Refusals(ProgramTest):
    def test_messages(self) -> None:
        for arguments, words in (
            (["x", "--temperature", "200"], "temperature is 200"), (["x", "--top-p", "nan"], "top_p"), (["x", "--min-p", "2"], "min_p"),
            (["x", "--max-tokens", "0"], "max_tokens"), (["x", "--threads", "0"], "threads"), (["x", "--context", "0"], "context"),
            (["x", "--context", "300000"], "262144"), ([""], "empty"), (["--ids", "1 2 x"], '"x"'), (["--ids", "5000"], "5000"),
            (["many words to go on from", "--context", "2"], "context limit of 2"), (["x", "--json", "--logprobs", "21"], "top_logprobs"),
            (["x", "--stop", ""], "stop_strings"), (["x", "--top-k", "0", "--threads", "5000"], "4096"),
        ):
            with self.subTest(arguments): self.assertIn(words, self.failure("run", TINY, *arguments))
        self.assertIn("UTF-8", self.failure("run", TINY, input=b"\xff\xfe"))
        self.failure("run", self.folder, "x")

    def test_usage(self) -> None:
        for arguments in ([], [TINY, "x", "y"], [TINY, "x", "--isa", "sse"], [TINY, "x", "--logprobs", "1"], [TINY, "x", "--seed", "-1"],
                          [TINY, "1", "--ids", "--special"], [TINY, "x", "--temperature", "warm"]):
            with self.subTest(arguments): self.failure("run", *arguments, code=64)

    def test_no_prompt_at_a_keyboard(self) -> None:
        leader, follower = pty.openpty()
        result = subprocess.run([KIMI, "run", TINY], env=self.environment, stdin=follower, capture_output=True, timeout=60)
        os.close(leader)
        os.close(follower)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no prompt", result.stderr.decode())


if __name__ == "__main__":
    unittest.main()
