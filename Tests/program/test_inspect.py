"""The figures of a checkpoint, against sums over its headers made here."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import unittest

from common import KIMI, TINY, ProgramTest, Safetensors


class Figures(ProgramTest):
    def check(self, folder, experts: int, top: int, vocabulary: int) -> None:
        told = self.json("inspect", folder)
        stored = Safetensors(folder)
        patterns = {
            "embedding": r"model\.embed_tokens\.", "attention": r"self_attn\.[a-z_]+_(proj|mqa)\.", "router": r"mlp\.gate\.",
            "dense_mlp": r"mlp\.(gate|up|down)_proj\.", "shared_experts": r"mlp\.shared_experts\.",
            "routed_experts": r"mlp\.experts\.", "norms": r"(layernorm|model\.norm)\.weight$", "head": r"lm_head\.",
            "vision": r"^(vision_tower|mm_projector)\.",
        }
        sums = dict.fromkeys(patterns, 0)
        for name, entry in stored.tensors.items():
            vision = re.search(patterns["vision"], name)
            kinds = ["vision"] if vision else [kind for kind, pattern in patterns.items() if re.search(pattern, name)]
            self.assertEqual(len(kinds), 1, name)
            sums[kinds[0]] += entry[4]
        self.assertEqual({kind: told["bytes"].get(kind, 0) for kind in patterns}, sums)
        self.assertEqual(told["bytes"]["all"], stored.size)
        self.assertEqual(told["tensors"], len(stored.tensors))
        reads = dict(sums) | {"vision": 0}
        reads["embedding"] = sums["embedding"] // vocabulary
        reads["routed_experts"] = sums["routed_experts"] // experts * top
        self.assertEqual({kind: told["token_reads"].get(kind, 0) for kind in patterns}, reads)
        self.assertEqual(told["token_reads"]["all"], sum(reads.values()))
        sizes = told["sizes"]
        self.assertEqual(told["cache_bytes"]["token_bf16"], sizes["layers"] * (sizes["latent"] + sizes["rope"]) * 2)
        self.assertEqual(told["cache_bytes"]["context_f32"], told["cache_bytes"]["token_f32"] * told["context_length"])

    def test_fixture(self) -> None:
        self.check(TINY, experts=16, top=4, vocabulary=1792)

    def test_dense_int8(self) -> None:
        stored, told = self.json("inspect", TINY), self.json("inspect", TINY, "--dense", "int8")
        self.assertEqual((stored["dense"], told["dense"]), ("stored", "int8"))
        self.assertNotIn("made_bytes", stored)
        made = dict.fromkeys(("attention", "dense_mlp", "shared_experts", "head"), 0)
        kept = dict.fromkeys(made, 0)
        names = {"attention": "self_attn", "shared_experts": "shared_experts", "head": "lm_head", "dense_mlp": "layers.0.mlp"}
        for name, entry in Safetensors(TINY).tensors.items():
            kind = next((kind for kind, part in names.items() if part in name and "layernorm" not in name), None)
            if kind is None or "vision" in name: continue
            rows, columns = entry[2]
            if "kv_b_proj" in name: kept[kind] += entry[4]
            else: made[kind] += rows * ((columns + 511) // 512 * 512 + columns // 16)
        self.assertEqual({kind: told["made_bytes"][kind] for kind in made}, made)
        self.assertEqual(told["made_bytes"]["all"], sum(made.values()))
        self.assertEqual({kind: told["token_reads"][kind] for kind in made}, {kind: made[kind] + kept[kind] for kind in made})
        self.assertEqual(told["bytes"], stored["bytes"])
        self.assertIn("made", self.output("inspect", TINY, "--dense", "int8").decode())

    def test_slice_of_the_full_size(self) -> None:
        out = self.folder / "out"
        self.output("synth", "--geometry", "k25", "--layers", "3", "--headers-only", out)
        self.check(out, experts=384, top=8, vocabulary=163_840)

    def test_full_size(self) -> None:
        """Against what is known of the published checkpoint: 208,550 tensors, 335 of them of the vision tower."""
        out = self.folder / "out"
        self.output("synth", "--geometry", "k25", "--headers-only", out)
        told = self.json("inspect", out)
        self.assertEqual((told["tensors"], told["shards"]), (208_550 - 335, 64))
        self.assertAlmostEqual(told["bytes"]["all"] / 595e9, 1, delta=0.005)
        self.assertAlmostEqual(told["token_reads"]["all"] / 32e9, 1, delta=0.04)
        self.assertEqual(told["cache_bytes"]["token_bf16"], 61 * 576 * 2)
        self.assertEqual(told["cache_bytes"]["token_int8"], 61 * 656)


class Tables(ProgramTest):
    def test_plain_in_a_pipe(self) -> None:
        text = self.output("inspect", TINY).decode()
        self.assertTrue(text.isascii())
        for words in ("KimiK25ForConditionalGeneration", "1-3 experts", "routed experts", "bf16"): self.assertIn(words, text)

    def on_terminal(self, columns: int, *arguments: object) -> str:
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = self.environment | {"TERM": "xterm"}
        process = subprocess.Popen([KIMI, *map(str, arguments)], env=environment, stdout=follower, stderr=follower)
        os.close(follower)
        data = b""
        while True:
            try: block = os.read(leader, 65536)
            except OSError: break  # the other side is closed
            if not block: break
            data += block
        os.close(leader)
        self.assertEqual(process.wait(timeout=60), 0)
        return data.decode().replace("\r\n", "\n")

    def test_boxes_on_a_terminal(self) -> None:
        text = self.on_terminal(110, "inspect", TINY)
        self.assertIn("╭", text)
        for box in re.findall(r"╭.*?╯", text, re.S):
            self.assertEqual(len({len(line) for line in box.splitlines()}), 1, box)

    def test_tables_keep_to_the_width(self) -> None:
        for columns in (80, 100):
            tables = [line for line in self.on_terminal(columns, "inspect", TINY).splitlines() if re.search(r"\d [KMG]?i?B|[╭│]", line)]
            self.assertTrue(tables and all(len(line) <= columns for line in tables), tables)

    def test_wide_characters_take_two_columns(self) -> None:
        text = self.on_terminal(60, "tokenize", TINY, "今天天气怎")
        rows = [line for line in text.splitlines() if line.startswith("│")]
        self.assertGreater(len(rows), 1)
        wide = lambda line: sum(2 if "\u4e00" <= character <= "\u9fff" else 1 for character in line)
        self.assertEqual(len({wide(row) for row in rows}), 1, rows)


class Refusals(ProgramTest):
    def test_no_checkpoint(self) -> None:
        (self.folder / "file").write_text("")
        self.assertIn("config.json", self.failure("inspect", self.folder))
        self.failure("inspect", self.folder / "nowhere")
        self.failure("inspect", self.folder / "file")
        self.failure("inspect", code=64)

    def test_another_family_is_named(self) -> None:
        (self.folder / "config.json").write_text('{"model_type": "llama"}')
        self.assertIn("llama", self.failure("inspect", self.folder))


if __name__ == "__main__":
    unittest.main()
