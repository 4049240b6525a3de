"""The benchmark's report: that it measures what it says, not how fast; and what it refuses."""

import signal
import time

from common import TINY, ProgramTest


def kind_of(told: dict, **wanted: object) -> dict:
    """The one result with these members."""
    (result,) = [each for each in told["results"] if all(each[name] == value for name, value in wanted.items())]
    return result


class Report(ProgramTest):
    def check_measurement(self, result: dict, unit: str, count: int, repeats: int) -> None:
        """What every result has, and that its figures agree with each other."""
        for name in (f"{unit}_per_second", "seconds", "bytes_per_second", "plain_read", "share_of_plain_read",
                     "multiply_adds_per_second", "peak_f32", "share_of_peak", "share_of_limit"):
            spread = result[name]
            self.assertLessEqual(spread["min"], spread["median"], name)
            self.assertLessEqual(spread["median"], spread["max"], name)
            self.assertGreaterEqual(spread["min"], 0, name)
        self.assertEqual(result["repeats"], repeats)
        self.assertGreater(result["plain_read_before"], 0)
        self.assertGreater(result["plain_read_after"], 0)
        self.assertAlmostEqual(result["seconds"]["min"] * result[f"{unit}_per_second"]["max"], count, delta=1e-6 * count)
        # No peak can be beaten, but neighbours may slow its measuring and not the work between.
        self.assertLessEqual(result["share_of_peak"]["min"], 4)

    def test_every_depth_and_batch_is_reported_with_its_limits(self) -> None:
        told = self.json(
            "bench", TINY, "--prompt", 20, "--tokens", 3, "--depth", 0, "--depth", 70, "--batch", 1, "--batch", 5,
            "--repeats", 2, "--threads", 1)
        self.assertEqual(told["threads"], 1)
        self.assertEqual(told["machine"]["threads"], 1)
        self.assertRegex(told["machine"]["date"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(
            [(each["work"], each["depth"], each["batch"]) for each in told["results"]],
            [(work, depth, batch) for depth in (0, 70) for work, batch in (("prefill", 1), ("decode", 1), ("decode", 5))])
        for result in told["results"]:
            tokens = 20 if result["work"] == "prefill" else 3 * result["batch"]
            self.assertEqual(result["tokens"], tokens)
            self.check_measurement(result, "tokens", tokens, repeats=2)
        memory = told["memory"]
        stored = self.json("inspect", TINY)["bytes"]
        self.assertEqual((memory["copied"], memory["converted"]), (0, 0))
        self.assertAlmostEqual(memory["mapped"], stored["all"] - stored["vision"], delta=20_000)
        self.assertGreater(memory["cache"], 0)
        self.assertGreater(memory["workspace"], 0)
        self.assertGreaterEqual(memory["most_resident"], memory["resident"])

    def test_decoding_reads_what_inspect_says_and_the_cache(self) -> None:
        told = self.json("bench", TINY, "--prompt", 1, "--tokens", 2, "--depth", 100, "--repeats", 1)
        sizes = self.json("inspect", TINY)
        # Tokens 100 and 101 read 101 and 102 cached ones.
        expected = 2 * sizes["token_reads"]["all"] + (101 + 102) * sizes["cache_bytes"]["token_f32"]
        # Norms are not counted while running, and are well under a hundredth.
        self.assertAlmostEqual(kind_of(told, work="decode")["bytes"], expected, delta=expected / 100)

    def test_multiplications_are_those_of_the_shapes(self) -> None:
        told = self.json("bench", TINY, "--prompt", 2, "--tokens", 1, "--batch", 3, "--depth", 10, "--repeats", 1)
        # The sizes of the fixture, see its config.json.
        hidden, layers, dense, heads, rank, latent, nope, rope, value = 192, 4, 1, 4, 96, 64, 32, 16, 32
        attention = (
            hidden * rank + rank * heads * (nope + rope) + hidden * (latent + rope) + heads * (nope + value) * latent
            + heads * value * hidden)
        moe = 16 * hidden + (4 + 1) * 3 * hidden * 96
        row = layers * attention + dense * 3 * hidden * 320 + (layers - dense) * moe
        seen = layers * heads * (2 * latent + rope)
        head = hidden * 1792
        self.assertEqual(kind_of(told, work="decode")["multiply_adds"], 3 * (row + head + 11 * seen))
        # Only the last token of a prompt has logits.
        self.assertEqual(kind_of(told, work="prefill")["multiply_adds"], 2 * row + head + (11 + 12) * seen)

    def test_many_sequences_read_their_weights_once(self) -> None:
        told = self.json("bench", TINY, "--prompt", 1, "--tokens", 1, "--batch", 1, "--batch", 32, "--repeats", 1)
        one, many = kind_of(told, work="decode", batch=1)["bytes"], kind_of(told, work="decode", batch=32)["bytes"]
        self.assertGreater(many, one)
        self.assertLess(many, 8 * one)

    def test_weights_that_fit_the_cache_are_told(self) -> None:
        arguments = ("bench", TINY, "--prompt", 8, "--tokens", 2, "--repeats", 1)
        told = self.json(*arguments)
        if told["machine"]["last_level_cache_bytes"] >= told["memory"]["mapped"]:
            self.assertIn("not a memory figure", told["notes"][0])
            self.assertIn("not a memory figure", self.output(*arguments).decode())

    def test_a_table_for_people(self) -> None:
        text = self.output("bench", TINY, "--prompt", 8, "--tokens", 2, "--repeats", 1).decode()
        for word in ("prompt of 8", "single tokens", "plain read", "opening", "thread", "GMAC/s", "work space"):
            self.assertIn(word, text)

    def test_bytes_in_place_of_stored_weights_are_told(self) -> None:
        arguments = ("bench", TINY, "--prompt", 8, "--tokens", 2, "--repeats", 1)
        stored, made = self.json(*arguments), self.json(*arguments, "--dense", "int8")
        self.assertEqual((stored["dense"], made["dense"]), ("stored", "int8"))
        self.assertGreater(made["memory"]["converted"], 0)
        self.assertLess(made["memory"]["mapped"], stored["memory"]["mapped"])
        self.assertIn("made while opening", self.output(*arguments, "--dense", "int8").decode())

    def test_tokens_of_fewer_bits_are_told(self) -> None:
        arguments = ("bench", TINY, "--prompt", 8, "--tokens", 2, "--repeats", 1, "--batch", 3)
        for bits, rounded in ((24, False), (8, True)):
            told = self.json(*arguments, "--decode-bits", bits)
            self.assertEqual(told["decode_bits"], bits)
            self.assertEqual([each["fast_rows"] > 0 for each in told["results"] if each["work"] == "decode"], [rounded])
        self.assertIn("decode_bits", self.failure("bench", TINY, "--decode-bits", "8", "--exact"))

    def test_streamed_experts_are_told_beside_each_row(self) -> None:
        arguments = ("bench", TINY, "--prompt", 8, "--tokens", 16, "--repeats", 2)
        self.assertNotIn("expert_store", self.json(*arguments)["results"][0])
        whole = self.json(*arguments, "--load", "stream")
        store = whole["expert_store"]
        self.assertEqual((store["slots"], store["experts"]), (48, 48))
        few = self.json(*arguments, "--load", "stream", "--resident", 5 * store["slot_bytes"])
        for told in (whole, few):
            for result in told["results"]:
                self.check_measurement(result, "tokens", result["tokens"], repeats=2)
                figures = result["expert_store"]
                self.assertEqual(set(figures), {"hit_share", "bytes_read_per_second", "stall_share"})
                for name in ("hit_share", "stall_share"):
                    self.assertTrue(0 <= figures[name]["min"] <= figures[name]["median"] <= figures[name]["max"] <= 1, name)
        # Once all are in memory nothing is read; five have no room for what a token chooses in three layers.
        self.assertEqual([each["expert_store"]["hit_share"]["min"] for each in whole["results"]], [1, 1])
        self.assertEqual([each["expert_store"]["bytes_read_per_second"]["max"] for each in whole["results"]], [0, 0])
        for result in few["results"]:
            self.assertLess(result["expert_store"]["hit_share"]["max"], 0.5)
            self.assertGreater(result["expert_store"]["bytes_read_per_second"]["min"], 0)
            self.assertGreater(result["expert_store"]["stall_share"]["min"], 0)
        text = self.output(*arguments, "--resident", 5 * store["slot_bytes"]).decode()
        for word in ("in memory", "from files", "waited", "room for experts"): self.assertIn(word, text)
        self.assertRegex(text, r"room for experts +5 of 48")

    def test_layers_with_experts_alone(self) -> None:
        told = self.json("bench", TINY, "--experts", "--repeats", 1)
        self.assertEqual([each["rows"] for each in told["results"]], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
        hidden, width, experts, chosen = 192, 96, 16, 4
        # int4 experts with a scale of two bytes for 32 weights; the router and the shared expert in bf16.
        expert, fixed = 3 * hidden * width * (16 + 2) // 32, 2 * hidden * (experts + 3 * width)
        for result in told["results"]:
            rows, calls = result["rows"], result["calls"]
            self.check_measurement(result, "rows", rows * calls, repeats=1)
            self.assertEqual(result["multiply_adds"], calls * rows * hidden * (experts + 3 * width * (1 + chosen)))
            read = result["experts_read"]["max"]
            self.assertTrue(min(experts, chosen) <= read <= min(experts, chosen * rows), read)
            self.assertTrue(calls * (fixed + chosen * expert) <= result["bytes"] <= calls * (fixed + experts * expert))
        # One row chooses four, and many rows choose all, or nearly.
        self.assertEqual(told["results"][0]["experts_read"]["max"], chosen)
        self.assertGreater(told["results"][-1]["experts_read"]["max"], experts - 1)

    def test_kernels_alone(self) -> None:
        told = self.json("bench", "--kernel", "--repeats", 1, "--threads", 1, "--isa", "scalar")
        names = [each["kernel"] for each in told["results"]]
        for name in ("matmul bf16", "matmul_split int4 24 bits", "matmul_narrow bf16 16 bits", "matmul_narrow int8 8 bits",
                     "split 24 bits", "narrow 16 bits", "rms_norm", "swiglu", "cache_token int8", "attention f32", "attention bf16"):
            self.assertIn(name, names)
        for result in told["results"]:
            self.assertEqual(result["isa"], "scalar")
            self.check_measurement(result, "calls", result["calls"], repeats=1)

    def check_slots(self, trace: dict) -> dict:
        """The hit rates by policy and share, after what any such table must be."""
        rates = {(each["policy"], each["share"]): each["hit_rate"] for each in trace["policies"]}
        for (policy, share), rate in rates.items():
            self.assertLessEqual(rate, rates["optimum", share], policy)
        self.assertEqual(len(rates), 9 * 6)
        return rates

    def test_slots_of_a_model_are_replayed_the_same_each_time(self) -> None:
        arguments = ("bench", TINY, "--slots", "--prompt", 20, "--tokens", 60, "--seed", 7)
        told = self.json(*arguments)
        (trace,) = told["traces"]
        self.assertEqual((trace["trace"], trace["layers"], trace["experts"]), ("model", 3, 16))
        # The last token that was drawn is not evaluated any more.
        self.assertEqual((trace["steps"], trace["steps_counted"]), (60, 59))
        self.check_slots(trace)
        self.assertEqual(self.json(*arguments), told)
        self.assertNotEqual(self.json(*arguments[:-1], 8)["traces"], told["traces"])
        given = self.json("bench", TINY, "--slots", "--ids", "5 6 7", "--tokens", 5)["traces"][0]
        self.assertEqual(given["steps_counted"], 4)

    def test_slots_without_a_folder_are_about_traces_made_by_rules(self) -> None:
        told = self.json("bench", "--slots")
        self.assertEqual(
            [each["trace"] for each in told["traces"]], ["uniform", "zipf", "topics", "repeats", "blend", "chapters"])
        for trace in told["traces"]:
            rates = self.check_slots(trace)
            if trace["trace"] == "uniform":
                for (policy, share), rate in rates.items():
                    if policy != "optimum":
                        self.assertAlmostEqual(rate, share, delta=0.02, msg=policy)

    def test_the_exact_model_is_equal_to_itself(self) -> None:
        told = self.json("bench", TINY, "--accuracy", "--prompt", 300, "--exact")
        self.assertEqual(told["tokens"], 300)
        self.assertEqual((told["same_choice"], told["same_clear_choice"]), (300, told["clear_rows"]))
        self.assertAlmostEqual(told["cosine"]["min"], 1, delta=1e-12)
        self.assertAlmostEqual(told["divergence"]["max"], 0, delta=1e-12)

    def test_the_fast_path_is_near_but_not_equal(self) -> None:
        told = self.json("bench", TINY, "--accuracy", "--prompt", 300)
        self.assertLess(told["cosine"]["min"], 1 - 1e-9)
        # The ids are random, another time others, and a tie of two experts that falls the other way costs 1e-3 by itself.
        self.assertLess(told["divergence"]["mean"], 2e-2)
        self.assertGreaterEqual(told["same_choice"], 280)

    def test_a_rounded_cache_is_near_but_not_equal(self) -> None:
        for what in (("--text", "The quick brown fox jumps over the lazy dog."), ("--ids", "5 6 7, 8 9 10 11 12 13 14")):
            told = self.json("bench", TINY, "--accuracy", *what, "--cache", "bf16")
            self.assertEqual(told["cache_type"], "bf16")
            self.assertGreater(told["tokens"], 5)
            self.assertLess(told["cosine"]["min"], 1 - 1e-9)
            self.assertGreater(told["cosine"]["min"], 0.99)
            self.assertGreater(told["divergence"]["mean"], 0)
        self.assertEqual(told["tokens"], 10)
        self.assertIn("cosine", self.output("bench", TINY, "--accuracy", "--prompt", 9).decode())


class Refusals(ProgramTest):
    def test_numbers_out_of_range_are_named_with_the_range(self) -> None:
        for option, value, most in (
                ("--repeats", 0, "1 to 100"), ("--repeats", 101, "1 to 100"), ("--tokens", 0, "1 to"), ("--prompt", 0, "1 to"),
                ("--depth", 1 << 40, "0 to"), ("--batch", 0, "1 to 256"), ("--batch", 257, "1 to 256"),
                ("--threads", 0, "1 to 4096"), ("--threads", 10000, "1 to 4096")):
            text = self.failure("bench", TINY, option, value, code=64)
            self.assertIn(f"{option} is {value}", text)
            self.assertIn(most, text)
        self.assertIn("--depth is -1; it must be 0 to", self.failure("bench", TINY, "--depth=-1", code=64))

    def test_options_that_do_not_go_together(self) -> None:
        self.assertIn("folder", self.failure("bench", code=64))
        self.assertIn("folder", self.failure("bench", "--experts", code=64))
        self.assertIn("--accuracy", self.failure("bench", TINY, "--text", "x", code=64))
        self.assertIn("--slots", self.failure("bench", "--slots", "--text", "x", code=64))
        self.assertIn("not both", self.failure("bench", TINY, "--accuracy", "--text", "x", "--ids", "1", code=64))
        self.failure("bench", TINY, "--accuracy", "--experts", code=64)
        self.failure("bench", TINY, "--accuracy", "--text", "")
        self.failure("bench", TINY, "--accuracy", "--ids", "1 x")
        self.failure("bench", TINY, "--accuracy", "--ids", "1 99999999")

    def test_a_depth_beyond_the_context_is_refused_before_it_starts(self) -> None:
        self.assertIn("context limit", self.failure("bench", TINY, "--depth", 262144))

    def test_weights_beyond_the_memory_are_refused_before_it_starts(self) -> None:
        self.output("synth", "--geometry", "k25", "--headers-only", self.folder / "big")
        for part in ((), ("--experts",), ("--accuracy",)):
            text = self.failure("bench", self.folder / "big", *part)
            self.assertIn("are missing", text)
            self.assertIn("k25-slice", text)

    def test_caches_beyond_the_memory_are_refused_before_it_starts(self) -> None:
        # 256 sequences of 256 K tokens, 1,280 bytes each.
        text = self.failure("bench", TINY, "--depth", 262000, "--tokens", 8, "--prompt", 8, "--batch", 256)
        self.assertIn("is missing", text)
        self.assertIn("--batch", text)

    def test_an_interrupt_ends_it(self) -> None:
        bench = self.start("bench", TINY, "--repeats", 100, "--tokens", 100000)
        time.sleep(1.5)
        bench.send_signal(signal.SIGINT)
        bench.communicate(timeout=60)
        self.assertEqual(bench.returncode, 130)
