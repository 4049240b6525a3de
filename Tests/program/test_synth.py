"""Checkpoints of random weights: the published layout, sane numbers, and nothing half-done left behind."""

import hashlib
import json
import math
import os
import random
import re
import resource
import signal
import statistics
import time
import unittest

from common import ROOT, TINY, ProgramTest, Safetensors, ranks


def digest(folder) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


class Layout(ProgramTest):
    def test_tiny_has_the_tensors_of_the_fixture(self) -> None:
        """The fixture was written by the reference's own tools; tiny has its sizes, without a vision tower."""
        out = self.folder / "tiny"
        told = self.json("synth", "--geometry", "tiny", out)
        made, wanted = Safetensors(out), Safetensors(TINY)
        forms = {name: form for name, form in wanted.forms().items() if name.startswith("language_model.")}
        self.assertEqual(made.forms(), forms)
        self.assertEqual([path.name for path in made.files], [path.name for path in wanted.files])
        self.assertEqual(told["weight_bytes"], made.size)
        self.assertEqual(told["tensors"], len(made.tensors))
        self.assertEqual(told["file_bytes"], sum(path.stat().st_size for path in made.files))
        for name, (path, dtype, shape, _, _) in made.tensors.items():
            if name.endswith(".weight_shape"):
                rows, packed = made.tensors[name.replace("_shape", "_packed")][2]
                self.assertEqual(made.values(name), [rows, packed * 8], name)

    def test_tiny_has_the_configuration_of_the_fixture(self) -> None:
        out = self.folder / "tiny"
        self.output("synth", "--geometry", "tiny", out)
        made = json.loads((out / "config.json").read_text())
        wanted = json.loads((TINY / "config.json").read_text())
        self.assertEqual(made["text_config"], wanted["text_config"])
        for key in ("architectures", "model_type", "quantization_config", "media_placeholder_token_id", "eos_token_id"):
            self.assertEqual(made[key], wanted[key], key)
        self.assertNotIn("vision_config", made)
        for name in ("generation_config.json",):
            self.assertEqual(json.loads((out / name).read_text()), json.loads((TINY / name).read_text()))
        made, wanted = (json.loads((folder / "tokenizer_config.json").read_text()) for folder in (out, TINY))
        self.assertEqual(made["added_tokens_decoder"], wanted["added_tokens_decoder"])

    def test_tiny_with_a_tower_has_all_tensors_and_the_configuration_of_the_fixture(self) -> None:
        out = self.folder / "tiny"
        told = self.json("synth", "--geometry", "tiny", "--vision", out)
        self.assertTrue(told["vision"])
        made, wanted = Safetensors(out), Safetensors(TINY)
        self.assertEqual(made.forms(), wanted.forms())
        made, wanted = (json.loads((folder / "config.json").read_text()) for folder in (out, TINY))
        self.assertEqual(made["vision_config"], wanted["vision_config"])
        made, wanted = (json.loads((folder / "preprocessor_config.json").read_text()) for folder in (out, TINY))
        self.assertEqual(made, wanted)
        self.assertIn(b"3 layers of 96, 4 heads", self.output("inspect", out))

    def test_the_published_tower(self) -> None:
        """335 tensors and their shapes, as known of the published checkpoint."""
        out = self.folder / "vision"
        self.output("synth", "--geometry", "vision", "--headers-only", out)
        forms = {name: form for name, form in Safetensors(out).forms().items() if re.match("vision_tower|mm_projector", name)}
        self.assertEqual(len(forms), 335)
        for name, shape in {
            "vision_tower.patch_embed.proj.weight": [1152, 3, 14, 14],
            "vision_tower.patch_embed.pos_emb.weight": [64, 64, 1152],
            "vision_tower.encoder.blocks.26.wqkv.weight": [3456, 1152],
            "mm_projector.proj.0.weight": [4608, 4608],
            "mm_projector.proj.2.weight": [7168, 4608],
        }.items():
            self.assertEqual(forms[name], ("BF16", shape), name)
        self.assertIn(b"27 layers of 1,152, 16 heads", self.output("inspect", out))

    def test_index_names_every_tensor(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", "--shards", "5", out)
        made = Safetensors(out)
        self.assertEqual(len(made.files), 5)
        self.assertEqual(made.files[0].name, "model-00001-of-000005.safetensors")
        index = json.loads((out / "model.safetensors.index.json").read_text())
        self.assertEqual(index["weight_map"], {name: entry[0].name for name, entry in made.tensors.items()})
        self.assertEqual(index["metadata"], {"total_size": made.size})

    def test_as_many_files_as_tensors(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", "--layers", "1", "--shards", "15", out)
        self.assertEqual(len(Safetensors(out).files), 15)
        text = self.failure("synth", "--geometry", "tiny", "--layers", "1", "--shards", "16", self.folder / "more")
        self.assertIn("only 15 tensors", text)
        self.assertEqual(self.listing(), ["out"])

    def test_one_shard_is_a_single_file(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", "--shards", "1", out)
        self.assertEqual([path.name for path in Safetensors(out).files], ["model.safetensors"])
        self.assertFalse((out / "model.safetensors.index.json").exists())
        self.assertEqual(self.json("inspect", out)["shards"], 1)

    def test_sizes_can_be_changed(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", "--layers", "2", "--experts", "5", "--vocab", "777", out)
        forms = Safetensors(out).forms()
        self.assertEqual(forms["language_model.lm_head.weight"], ("BF16", [777, 192]))
        self.assertEqual(forms["language_model.model.layers.1.mlp.gate.e_score_correction_bias"], ("F32", [5]))
        self.assertNotIn("language_model.model.layers.2.input_layernorm.weight", forms)
        self.assertEqual(len(ranks(out)), 777 - 256)
        told = self.json("inspect", out)
        self.assertEqual((told["sizes"]["layers"], told["sizes"]["experts"], told["vocabulary"]), (2, 5, 777))
        self.output("run", out, "Hello", "--max-tokens", "4")

    def test_widths_can_be_changed(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", "--hidden", "256", "--expert-width", "64", out)
        forms = Safetensors(out).forms()
        self.assertEqual(forms["language_model.lm_head.weight"], ("BF16", [1792, 256]))
        layer = "language_model.model.layers.1.mlp."
        self.assertEqual(forms[layer + "gate.weight"], ("BF16", [16, 256]))
        self.assertEqual(forms[layer + "experts.15.up_proj.weight_packed"], ("I32", [64, 32]))
        self.assertEqual(forms[layer + "experts.15.down_proj.weight_scale"], ("BF16", [256, 2]))
        self.assertEqual(forms[layer + "shared_experts.gate_proj.weight"], ("BF16", [64, 256]))
        self.output("run", out, "Hello", "--max-tokens", "4")

    def test_stream_is_nearly_all_routed_experts(self) -> None:
        out = self.folder / "out"
        told = self.json("synth", "--geometry", "stream", "--headers-only", out)
        made = Safetensors(out)
        routed = sum(entry[4] for name, entry in made.tensors.items() if ".mlp.experts." in name)
        self.assertTrue(2.5e9 < told["file_bytes"] < 3e9, told["file_bytes"])
        self.assertGreater(routed / made.size, 0.85)
        self.assertEqual(self.json("inspect", out)["sizes"]["hidden"], 2048)

    def test_a_single_dense_layer(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", "--layers", "1", out)
        self.assertEqual(self.json("inspect", out)["sizes"]["dense_layers"], 1)
        self.output("run", out, "Hello", "--max-tokens", "4")

    def test_headers_only_are_those_of_the_whole(self) -> None:
        whole, sparse = self.folder / "whole", self.folder / "sparse"
        self.output("synth", "--geometry", "tiny", whole)
        self.output("synth", "--geometry", "tiny", "--headers-only", sparse)
        self.assertEqual(Safetensors(sparse).forms(), Safetensors(whole).forms())
        told = self.json("synth", "--geometry", "k25", "--layers", "3", "--headers-only", self.folder / "large")
        shards = Safetensors(self.folder / "large").files
        self.assertGreater(sum(path.stat().st_size for path in shards), 10 << 30)
        self.assertLess(sum(path.stat().st_blocks * 512 for path in shards), 16 << 20, "no holes in the files")
        self.assertEqual(told["headers_only"], True)


class Values(ProgramTest):
    def test_deviations(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", out)
        made = Safetensors(out)
        layer = "language_model.model.layers.1."

        def check(name: str, mean: float, deviation: float, slack: float = 0.06) -> None:
            values = made.values(name)
            scale = max(abs(mean), deviation)
            self.assertAlmostEqual(statistics.fmean(values), mean, delta=slack * scale, msg=name)
            self.assertAlmostEqual(statistics.pstdev(values), deviation, delta=slack * scale, msg=name)

        check("language_model.model.embed_tokens.weight", 0, 1)
        check("language_model.lm_head.weight", 0, 2 / 192**0.5)
        check(layer + "self_attn.q_a_proj.weight", 0, 1.2 / 192**0.5)
        check(layer + "self_attn.kv_b_proj.weight", 0, 1.2 / 64**0.5)
        check(layer + "input_layernorm.weight", 1, 0.1)
        check(layer + "mlp.experts.3.gate_proj.weight_packed", 0, 4.18)
        check(layer + "mlp.experts.3.gate_proj.weight_scale", 1.2 / 192**0.5 / 4.18, 1.2 / 192**0.5 / 4.18 / 4 / 3**0.5)
        biases = made.values(layer + "mlp.gate.e_score_correction_bias")
        self.assertTrue(all(abs(bias) < 0.1 for bias in biases) and len(set(biases)) > 10)

    def test_all_sixteen_packed_values_occur(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", out)
        made = Safetensors(out)
        seen = set()
        for name in made.tensors:
            if name.endswith(".weight_packed"): seen.update(made.values(name))
        self.assertEqual(seen, set(range(-8, 8)))

    def test_tensors_differ(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", out)
        made = Safetensors(out)
        data = [made.bytes(name) for name in made.tensors if not name.endswith(".weight_shape")]
        self.assertEqual(len(set(data)), len(data))

    def test_a_tensor_does_not_depend_on_its_place(self) -> None:
        one, five = self.folder / "one", self.folder / "five"
        self.output("synth", "--geometry", "tiny", "--shards", "1", one)
        self.output("synth", "--geometry", "tiny", "--shards", "5", five)
        a, b = Safetensors(one), Safetensors(five)
        self.assertEqual({name: a.bytes(name) for name in a.tensors}, {name: b.bytes(name) for name in b.tensors})

    def test_a_large_tensor_does_not_repeat(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "mini", "--layers", "1", "--vocab", "8192", out)
        data = Safetensors(out).bytes("language_model.lm_head.weight")
        self.assertEqual(len(data), 16 << 20)
        rows = [data[at:at + 2048] for at in range(0, len(data), 2048)]
        self.assertEqual(len(set(rows)), len(rows))

    def test_bytes_of_earlier_versions(self) -> None:
        """Digests of what the program wrote before it could skew heat."""
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", out)
        made = digest(out)
        shards = [made[f"model-0000{number}-of-000002.safetensors"] for number in (1, 2)]
        self.assertEqual(shards, [
            "9911fca4bbc18d53fb24e39d77028d2a80fbea6fffffabd0443ad684f9d41a78",
            "d1b3730f4a1ceaba1fc6efa053a4c1edec4d0d4e1c2bfe4fcd002e8978bb5946"])

    def test_seed_decides_and_threads_do_not(self) -> None:
        paths = [self.folder / name for name in "abc"]
        self.output("synth", "--geometry", "mini", "--layers", "2", "--seed", "5", paths[0])
        one = os.sched_getaffinity(0).pop()
        self.run_kimi(
            "synth", "--geometry", "mini", "--layers", "2", "--seed", "5", paths[1],
            preexec_fn=lambda: os.sched_setaffinity(0, {one}))
        self.output("synth", "--geometry", "mini", "--layers", "2", "--seed", "6", paths[2])
        a, b, c = map(digest, paths)
        self.assertEqual(a, b)
        self.assertEqual(a["tiktoken.model"], c["tiktoken.model"])
        shards = [name for name in a if name.endswith(".safetensors")]
        self.assertTrue(shards and all(a[name] != c[name] for name in shards))


class Heat(ProgramTest):
    """How evenly experts are chosen."""

    options = ("synth", "--geometry", "mini", "--layers", "3", "--vocab", "1024")

    def make(self, name: str, *more: str):
        self.output(*self.options, *more, self.folder / name)
        return self.folder / name

    def biases(self, folder) -> list[list[float]]:
        made = Safetensors(folder)
        return [made.values(f"language_model.model.layers.{layer}.mlp.gate.e_score_correction_bias") for layer in (1, 2)]

    def test_only_biases_are_skewed(self) -> None:
        uniform, skewed = Safetensors(self.make("uniform")), Safetensors(self.make("skewed", "--heat", "skewed"))
        self.assertEqual(uniform.forms(), skewed.forms())
        different = {name for name in uniform.tensors if uniform.bytes(name) != skewed.bytes(name)}
        self.assertEqual(different, {
            f"language_model.model.layers.{layer}.mlp.gate.e_score_correction_bias" for layer in (1, 2)})

    def test_the_seed_deals_ranks_anew_in_each_layer(self) -> None:
        one = self.biases(self.make("one", "--heat", "skewed"))
        again = self.biases(self.make("again", "--heat", "skewed"))
        other = self.biases(self.make("other", "--heat", "skewed", "--seed", "2"))
        self.assertEqual(one, again)
        self.assertEqual(len({tuple(layer) for layer in one + other}), 4)
        # The same biases each time, to other experts; no last bit of any mathematical library is in them.
        self.assertEqual(len({tuple(sorted(layer)) for layer in one + other}), 1)
        self.assertTrue(all((bias * 4096).is_integer() for bias in one[0]))

    def test_zipf_s_law(self) -> None:
        """Tokens with normally distributed router logits, which choose the eight highest of sigmoid plus bias."""
        (biases, _) = self.biases(self.make("out", "--heat", "skewed"))
        draw = random.Random(1)
        counts, tokens = [0] * 64, 4000
        for _ in range(tokens):
            scores = [1 / (1 + math.exp(-draw.gauss(0, 1.2))) + bias for bias in biases]
            for expert in sorted(range(64), key=scores.__getitem__)[-8:]: counts[expert] += 1
        hottest_first = sorted(range(64), key=biases.__getitem__, reverse=True)
        shares = [counts[expert] / tokens for expert in hottest_first]
        # 1.91 / rank, at most 0.9, adds up to 8. That always eight are chosen moves it a little.
        for rank, share in enumerate(shares, 1):
            wanted = min(0.9, 1.91 / rank)
            self.assertAlmostEqual(share, wanted, delta=0.15 * wanted + 0.02, msg=f"rank {rank}")
        self.assertAlmostEqual(sum(shares[:16]) / 8, 0.67, delta=0.05)

    def test_heat_of_a_run(self) -> None:
        draw = random.Random(1)
        ids = " ".join(str(draw.randrange(768)) for _ in range(256))
        quarter = {}
        for heat in ("uniform", "skewed"):
            path = self.folder / f"{heat}.json"
            self.output("run", self.make(heat, "--heat", heat), "--ids", ids, "--max-tokens", "1", "--save-heat", path)
            counts = json.loads(path.read_text())["counts"][1:]
            quarter[heat] = [sum(sorted(layer)[-16:]) / sum(layer) for layer in counts]
            self.assertTrue(all(max(layer) < 256 for layer in counts), "an expert that every token chooses")
        self.assertTrue(all(share < 0.5 for share in quarter["uniform"]), quarter)
        self.assertTrue(all(0.6 < share < 0.75 for share in quarter["skewed"]), quarter)


class Tokens(ProgramTest):
    def check(self, vocabulary: int) -> list[bytes]:
        out = self.folder / str(vocabulary)
        self.output("synth", "--geometry", "tiny", "--layers", "1", "--vocab", vocabulary, out)
        tokens = ranks(out)
        self.assertEqual(len(tokens), vocabulary - 256)
        self.assertEqual(tokens[:256], [bytes([byte]) for byte in range(256)])
        known = set(tokens[:256])
        for token in tokens[256:]:
            self.assertNotIn(token, known)
            self.assertTrue(any(token[:cut] in known and token[cut:] in known for cut in range(1, len(token))), token)
            known.add(token)
        return tokens

    def test_each_token_consists_of_two_lower_ones(self) -> None:
        for vocabulary in (512, 513, 1792, 4096, 20_000):
            with self.subTest(vocabulary): self.check(vocabulary)

    def test_full_vocabulary(self) -> None:
        tokens = self.check(163_840)
        for token in (" the", " return", "你", "é", "123", "\n\n", "    "):
            self.assertIn(token.encode(), tokens)

    def test_text_survives(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", out)
        text = "The naïve 你好\n\treturn x[1] += 2; \U0001F600  <|im_end|>".encode()
        ids = self.json("tokenize", out, input=text)["ids"]
        self.assertLess(max(ids), 1536, "text became a special token")
        self.assertEqual(self.output("tokenize", out, "--decode", input=" ".join(map(str, ids)).encode()), text)


class Refusals(ProgramTest):
    def test_what_is_there_stays(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "tiny", out)
        before = digest(out)
        text = self.failure("synth", "--geometry", "tiny", "--seed", "2", out)
        self.assertIn("--force", text)
        self.assertEqual(digest(out), before)
        self.output("synth", "--geometry", "tiny", "--seed", "2", "--force", out)
        self.assertNotEqual(digest(out), before)
        self.assertEqual(self.listing(), ["out"])

    def test_an_empty_folder_is_filled(self) -> None:
        out = self.folder / "out"
        out.mkdir()
        self.output("synth", "--geometry", "tiny", str(out) + "/")
        self.assertTrue((out / "config.json").exists())
        self.assertEqual(self.listing(), ["out"])

    def test_force_removes_nothing_foreign(self) -> None:
        out = self.folder / "out"
        out.mkdir()
        (out / "thesis.txt").write_text("years of work")
        text = self.failure("synth", "--geometry", "tiny", "--force", out)
        self.assertIn("thesis.txt", text)
        self.assertEqual((out / "thesis.txt").read_text(), "years of work")
        self.assertEqual(self.listing(), ["out"])

    def test_a_leftover_is_named(self) -> None:
        partial = self.folder / "out.partial"
        partial.mkdir()
        (partial / "config.json").write_text("{")
        self.assertIn("out.partial", self.failure("synth", "--geometry", "tiny", self.folder / "out"))
        self.output("synth", "--geometry", "tiny", "--force", self.folder / "out")
        self.assertEqual(self.listing(), ["out"])

    def test_places_that_cannot_be(self) -> None:
        (self.folder / "file").write_text("")
        self.assertIn("no folder", self.failure("synth", "--geometry", "tiny", self.folder / "file"))
        self.assertIn("No such file", self.failure("synth", "--geometry", "tiny", self.folder / "a" / "b"))
        self.assertEqual(self.listing(), ["file"])

    def test_too_little_space(self) -> None:
        free = os.statvfs(self.folder)
        if free.f_bavail * free.f_frsize > 600 << 30: self.skipTest("this disk would hold it")
        text = self.failure("synth", "--geometry", "k25", self.folder / "out")
        self.assertRegex(text, r"needs 553\.\d GiB, but only [\d.]+ [GMK]iB are free")
        self.assertEqual(self.listing(), [])

    def test_a_failing_write_leaves_nothing(self) -> None:
        def limit() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        text = self.failure("synth", "--geometry", "mini", self.folder / "out", preexec_fn=limit)
        self.assertIn("File too large", text)
        self.assertEqual(self.listing(), [])

    def test_interrupts_leave_nothing(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number.name):
                process = self.start("synth", "--geometry", "k25-slice", self.folder / "out")
                partial = self.folder / "out.partial"
                while not list(partial.glob("*.safetensors")) and process.poll() is None: time.sleep(0.001)
                process.send_signal(number)
                out, error = process.communicate(timeout=60)
                self.assertEqual((process.returncode, out), (130, b""), error.decode())
                self.assertIn("interrupted", error.decode())
                self.assertEqual(self.listing(), [])

    def test_usage(self) -> None:
        out = self.folder / "out"
        for arguments in (
            [out], ["--geometry", "huge", out], ["--geometry", "tiny"], ["--geometry", "tiny", ""],
            ["--geometry", "tiny", "--layers", "0", out], ["--geometry", "tiny", "--layers", "-1", out],
            ["--geometry", "tiny", "--layers", "1025", out], ["--geometry", "mini", "--experts", "7", out],
            ["--geometry", "tiny", "--experts", "9999999999999999999", out], ["--geometry", "tiny", "--vocab", "511", out],
            ["--geometry", "tiny", "--seed", "x", out], ["--geometry", "tiny", "--shards", "0", out],
            ["--geometry", "tiny", "--hidden", "100", out], ["--geometry", "tiny", "--hidden", "0", out],
            ["--geometry", "tiny", "--hidden", "16448", out], ["--geometry", "tiny", "--expert-width", "48", out],
            ["--geometry", "tiny", "--heat", "cold", out],
        ):
            with self.subTest(arguments): self.failure("synth", *arguments, code=64)
        self.assertIn("at most 2,000,000", self.failure("synth", "--geometry", "k25", "--layers", "1024", "--experts", "8192", out))
        self.assertEqual(self.listing(), [])


class Help(ProgramTest):
    def test_version_is_the_header_s(self) -> None:
        header = (ROOT / "Include" / "kimi.h").read_text()
        parts = [re.search(rf"#define KIMI_VERSION_{part} (\d+)", header).group(1) for part in ("MAJOR", "MINOR", "PATCH")]
        self.assertEqual(self.output("--version").decode(), "kimi " + ".".join(parts) + "\n")

    def test_help_shows_every_command_with_examples(self) -> None:
        text = self.output("--help").decode()
        for command in ("run", "inspect", "tokenize", "synth"):
            self.assertIn(command, text)
            self.assertIn(f"  kimi {command} ", self.output(command, "--help").decode())
        self.assertTrue(all(len(line) <= 80 for line in self.output("synth", "--help").decode().splitlines()
                            if not line.startswith("USAGE")))


if __name__ == "__main__":
    unittest.main()
