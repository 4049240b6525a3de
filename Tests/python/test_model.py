"""Opening, the model's questions, the tokenizer, errors."""

import gc
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from common import EXPECTED, FIXTURES, PROMPTS, ROOT, TINY, KimiTest

import kimi


class Opening(KimiTest):
    def test_version_and_features(self) -> None:
        self.assertEqual(kimi.version(), "0.1.0")
        self.assertEqual(kimi.__version__, "0.1.0")
        features = kimi.features()
        self.assertIsInstance(features, dict)
        self.assertEqual(features["version"], "0.1.0")
        self.assertEqual(features["abi"], 1)
        self.assertIn("scalar", features["isa_available"])
        self.assertGreaterEqual(features["threads"], 1)

    def test_paths_of_every_kind(self) -> None:
        for path in (TINY, str(TINY), os.fsencode(TINY)):
            with kimi.Model(path, threads=1) as model:
                self.assertGreater(model.vocabulary_size, 1000)

    def test_info(self) -> None:
        info = self.model.info
        self.assertIsInstance(info, dict)
        for name in ("architecture", "model_type", "context_length", "context_limit", "end_tokens", "digest", "isa", "threads"):
            self.assertIn(name, info)
        self.assertEqual(self.model.context_limit, info["context_limit"])

    def test_options_take_effect(self) -> None:
        with kimi.Model(
            TINY, threads=2, isa="scalar", context_limit=99, cache_type="bf16", load="copy", chunk_size=5,
            dense="int8", exact=True,
        ) as model:
            info = model.info
            self.assertEqual((info["threads"], info["isa"], info["cache_type"]), (2, "scalar", "bf16"))
            self.assertEqual((info["load_policy"], info["dense"], info["exact"]), ("copy", "int8", True))
            self.assertEqual(info["weight_bytes"]["converted"], info["made_bytes"]["all"])
            self.assertEqual(model.context_limit, 99)
            with kimi.Model(TINY, cache_type="int8") as small:
                self.assertEqual(small.info["cache_type"], "int8")
                self.assertLess(small.info["cache_bytes_per_token"], info["cache_bytes_per_token"])
            with model.session() as session:
                prompts = [event.done for event in session.generate(range(12), max_tokens=1) if type(event) is kimi.PromptEvent]
                self.assertEqual(prompts, [5, 10, 12])

    def test_options_out_of_range(self) -> None:
        for options in (
            {"threads": 0},
            {"threads": 2**31},
            {"threads": 2**32 + 1},
            {"threads": -1},
            {"isa": "sse9"},
            {"isa": 1},
            {"cache_type": "f64"},
            {"dense": "int4"},
            {"dense": 1},
            {"load": "eager"},
            {"chunk_size": 0},
            {"chunk_size": 2**40},
            {"context_limit": 0},
            {"context_limit": 2**63},
            {"log_level": "loud"},
            {"memory_limit": 0},
            {"memory_limit": -1},
            {"memory_limit": 2**63},
            {"placement": "anywhere"},
            {"placement": 1},
            {"nodes": 0},
            {"nodes": 65},
            {"replicate_bytes": -1},
            {"resident_bytes": 2**63},
            {"huge_pages": "large"},
            {"heat": ""},
            {"heat": "a\0b"},
        ):
            with self.subTest(options), self.assertRaises(ValueError):
                kimi.Model(TINY, **options)  # type: ignore[arg-type]
        for threads in (1.5, "2"):
            with self.subTest(threads), self.assertRaises(TypeError):
                kimi.Model(TINY, threads=threads)  # type: ignore[arg-type]
        with self.fails(kimi.Status.INVALID_ARGUMENT) as failure:
            kimi.Model(TINY, context_limit=2**62)
        self.assertEqual(failure.error.subject, "context_limit")
        with self.assertRaises(TypeError):
            kimi.Model(12)  # type: ignore[arg-type]

    def test_expert_store(self) -> None:
        self.assertNotIn("expert_store", self.model.info)
        with kimi.Model(TINY, threads=2, load="stream") as model, model.session() as session:
            before = model.info["expert_store"]
            self.assertEqual(set(before), {
                "slots", "slot_bytes", "experts", "uses", "hits", "on_the_way", "bytes_read", "stall_seconds", "retries", "backend",
                "direct"})
            self.assertEqual((before["slots"], before["experts"], before["uses"], before["bytes_read"]), (48, 48, 0, 0))
            self.assertIn(before["backend"], ("io_uring", "threads"))
            self.assertIsInstance(before["direct"], bool)
            # A step of one token is as many uses as there are choices.
            for token in range(20):
                session.eval([token])
            store, counts = model.info["expert_store"], sum(model.heat()["counts"], [])
            self.assertEqual(store["uses"], sum(counts))
            self.assertEqual(store["uses"] - store["hits"] - store["on_the_way"], sum(count > 0 for count in counts))
            self.assertGreater(store["bytes_read"], 0)
            self.assertGreater(store["stall_seconds"], 0)
            self.assertEqual(store["retries"], 0)
            small = 9 * store["slot_bytes"]
        with kimi.Model(TINY, load="stream", resident_bytes=small) as model:
            self.assertEqual(model.info["expert_store"]["slots"], 9)

    def test_memory(self) -> None:
        memory = self.model.info["memory"]
        self.assertEqual(set(memory), {"limit", "limit_from", "used", "available"})
        with kimi.Model(TINY, threads=1, chunk_size=16) as model:
            own = sum(model.info["memory"]["used"].values())
            with model.session() as session:
                session.eval([1])
                used = model.info["memory"]["used"]
        block = used["cache"]
        # Room for two blocks of 64 tokens.
        limit = own + 2 * block + 3 * used["sessions"]
        with self.fails(kimi.Status.OUT_OF_MEMORY) as failure:
            kimi.Model(TINY, threads=1, chunk_size=16, memory_limit=own - 1)
        self.assertEqual(failure.error.subject, "memory_limit")
        # The limit that would do, which counts the vision tower, is known beforehand.
        self.assertIn(f"a memory_limit of {own} bytes", failure.error.message)
        self.assertIn("vision tower", failure.error.message)
        with kimi.Model(TINY, threads=1, chunk_size=16, memory_limit=limit) as model:
            memory = model.info["memory"]
            self.assertEqual((memory["limit"], memory["limit_from"]), (limit, "memory_limit"))
            self.assertEqual(memory["available"], limit - own)
            with self.fails(kimi.Status.OUT_OF_MEMORY) as failure:
                model.session(129)
            self.assertEqual(failure.error.subject, "context_limit")
            self.assertIn("128 tokens", failure.error.message)
            with model.session(128) as first, model.session() as second:
                first.eval(range(60))
                with self.fails(kimi.Status.OUT_OF_MEMORY):
                    second.eval(range(65))
                self.assertEqual(second.position, 0)
                logits = list(first.eval([3]))
                self.assertEqual(second.position, 0)
            with self.model.session() as session:
                self.assertEqual(list(session.eval([*range(60), 3])), logits)

    def test_heat(self) -> None:
        with kimi.Model(TINY, threads=1) as model, tempfile.TemporaryDirectory() as folder:
            config = json.loads((TINY / "config.json").read_text())["text_config"]
            with model.session() as session:
                session.eval(range(10))
            heat = model.heat()
            self.assertEqual((heat["format"], heat["version"]), ("kimi-heat", 1))
            layers, experts = config["num_hidden_layers"], config["n_routed_experts"]
            self.assertEqual((heat["layers"], heat["experts"]), (layers, experts))
            dense = config["first_k_dense_replace"]
            self.assertEqual(heat["counts"][:dense], [[0] * experts] * dense)
            self.assertEqual([sum(row) for row in heat["counts"][dense:]], [10 * config["num_experts_per_tok"]] * (layers - dense))
            path = Path(folder) / "heat.json"
            model.save_heat(path)
            self.assertEqual(json.loads(path.read_text()), heat)
            with self.fails(kimi.Status.IO) as failure:
                model.save_heat(Path(folder) / "no" / "heat.json")
            self.assertIn("heat.json", failure.error.file)
        with self.fails(kimi.Status.INVALID_HANDLE):
            model.heat()

    def test_prefixes(self) -> None:
        prompt = list(range(100, 300))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "prefixes"
            with kimi.Model(TINY, threads=1, exact=True) as model, model.session() as session:
                logits = list(session.eval(prompt))
                kept = model.info["prefixes"]["blocks"]
                model.save_prefixes(path)
            with kimi.Model(TINY, threads=1, exact=True) as model, model.session() as session:
                model.load_prefixes(path)
                self.assertEqual(model.info["prefixes"]["blocks"], kept)
                self.assertEqual(list(session.eval(prompt)), logits)
                # But for the last token, which has to be evaluated, and less than 16 of a block.
                self.assertEqual(model.info["prefixes"]["reused_tokens"], 192)
            with kimi.Model(TINY, threads=1, exact=True, cache_type="bf16") as model:
                with self.fails(kimi.Status.MISMATCH) as failure:
                    model.load_prefixes(path)
                self.assertEqual((failure.error.file, failure.error.subject), (str(path), "options"))
            with kimi.Model(TINY, threads=1, prefix_limit=0) as model:
                with self.fails(kimi.Status.UNSUPPORTED):
                    model.save_prefixes(path)
        with self.fails(kimi.Status.INVALID_HANDLE):
            model.load_prefixes(path)

    def test_instruction_sets(self) -> None:
        features = kimi.features()
        for isa in ("scalar", "avx2", "avx512", "avx512vnni", "amx"):
            with self.subTest(isa):
                if isa in features["isa_available"]:
                    with kimi.Model(TINY, isa=isa, threads=1) as model:
                        self.assertEqual(model.info["isa"], isa)
                else:
                    with self.fails(kimi.Status.UNSUPPORTED) as failure:
                        kimi.Model(TINY, isa=isa)
                    for name in (isa, features["isa_best"]):
                        self.assertIn(name, failure.error.message)

    def test_dense_int8(self) -> None:
        logits = {}
        for load in ("map", "copy"):
            with kimi.Model(TINY, dense="int8", load=load, threads=2) as model, model.session() as session:
                self.assertGreater(model.info["weight_bytes"]["converted"], 0)
                logits[load] = list(session.eval([1, 2, 3]))
        self.assertEqual(logits["map"], logits["copy"])
        with self.model.session() as session:
            stored = list(session.eval([1, 2, 3]))
        self.assertNotEqual(stored, logits["map"])

    def test_decode_bits(self) -> None:
        logits = {}
        for bits in (None, 24, 16, 8):
            with kimi.Model(TINY, decode_bits=bits, threads=2) as model, model.session() as session:
                self.assertEqual(model.info["decode_bits"], bits or 24)
                logits[bits] = list(session.eval([1, 2, 3]))
                counts = session.stats
                self.assertEqual((counts["rows_exact"], counts["rows_fast"]), (0, 3) if bits in (16, 8) else (3, 0))
        self.assertEqual(logits[None], logits[24])
        self.assertEqual(len({tuple(each) for each in logits.values()}), 3)
        for right, found in zip(logits[24], logits[16]):
            self.assertAlmostEqual(right, found, delta=2e-2)
        for options in ({"decode_bits": 8, "exact": True}, {"decode_bits": 16, "dense": "int8"}, {"decode_bits": 12}):
            with self.fails(kimi.Status.INVALID_ARGUMENT) as failure:
                kimi.Model(TINY, **options)
            self.assertIn("decode_bits", failure.error.message)
        with self.assertRaisesRegex(ValueError, "decode_bits"):
            kimi.Model(TINY, decode_bits=0)

    def test_missing_and_damaged(self) -> None:
        with self.fails(kimi.Status.IO) as failure:
            kimi.Model("/no-such-folder")
        self.assertIn("/no-such-folder", failure.error.file)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
            with self.fails(kimi.Status.UNSUPPORTED) as failure:
                kimi.Model(folder)
            self.assertIn("llama", failure.error.message.lower())
            (Path(folder) / "config.json").write_text("{")
            with self.fails(kimi.Status.FORMAT) as failure:
                kimi.Model(folder)
            self.assertIn("config.json", failure.error.file)
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            kimi.Model("a\0b")

    def test_errors_survive_pickling(self) -> None:
        with self.fails(kimi.Status.IO) as failure:
            kimi.Model("/no-such-folder")
        copy = pickle.loads(pickle.dumps(failure.error))
        self.assertEqual((copy.code, copy.name, copy.message, copy.file), (
            failure.error.code, failure.error.name, failure.error.message, failure.error.file))

    def test_progress(self) -> None:
        seen: list[tuple[int, int]] = []
        with kimi.Model(TINY, progress=lambda done, total: seen.append((done, total))):
            pass
        self.assertTrue(seen)
        self.assertEqual(seen[-1][0], seen[-1][1])
        self.assertEqual(seen, sorted(seen))
        with kimi.Model(TINY, progress=lambda done, total: True):
            pass
        with self.fails(kimi.Status.CANCELLED):
            kimi.Model(TINY, progress=lambda done, total: False)

    def test_exception_in_progress(self) -> None:
        def progress(done: int, total: int) -> None:
            raise KeyError("from progress")

        with self.assertRaisesRegex(KeyError, "from progress"):
            kimi.Model(TINY, progress=progress)

    def test_log(self) -> None:
        seen: list[tuple[str, str]] = []
        with kimi.Model(TINY, log=lambda level, message: seen.append((level, message)), log_level="debug") as model:
            model.session().eval([1, 2])
        self.assertTrue(seen)
        self.assertLessEqual({level for level, _ in seen}, {"debug", "info", "warning", "error"})
        self.assertTrue(all(isinstance(message, str) and message for _, message in seen))

    def test_exception_in_log(self) -> None:
        def log(level: str, message: str) -> None:
            raise RuntimeError("from the log")

        with self.assertRaisesRegex(RuntimeError, "from the log"):
            kimi.Model(TINY, log=log, log_level="debug")
        # It does not come up again in another call.
        kimi.Model(TINY).close()

    def test_closed(self) -> None:
        model = kimi.Model(TINY)
        session = model.session()
        model.close()
        model.close()
        with self.fails(kimi.Status.INVALID_HANDLE):
            model.encode("a")
        with self.fails(kimi.Status.INVALID_HANDLE):
            model.session()
        with self.fails(kimi.Status.INVALID_HANDLE):
            model.info
        self.assertEqual(model.vocabulary_size, 0)
        # Its sessions go on, also when nothing else holds the model.
        del model
        gc.collect()
        self.assertEqual(len(session.eval([1, 2, 3])), session.model._width)

    def test_many_threads_share_a_model(self) -> None:
        results: list[list[int]] = []

        def work() -> None:
            for _ in range(50):
                results.append(self.model.encode("Once upon a time"))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(results), 200)
        self.assertTrue(all(ids == results[0] for ids in results))


class Tokens(KimiTest):
    def test_vectors(self) -> None:
        vectors = json.loads((FIXTURES / "vectors" / "tokenizer.json").read_text())
        for case in vectors["cases"]:
            with self.subTest(case["text"][:40]):
                self.assertEqual(self.model.encode(case["text"]), case["ids"])
                self.assertEqual(self.model.encode(case["text"].encode()), case["ids"])
                self.assertEqual(self.model.encode(case["text"], special=True), case["ids_special"])
                self.assertEqual(self.model.count(case["text"]), len(case["ids"]))
                self.assertEqual(self.model.decode(case["ids"]), case["text"].encode())

    def test_specials(self) -> None:
        specials = self.model.special_tokens
        self.assertIsInstance(specials, dict)
        self.assertIn("<|im_end|>", specials)
        id = specials["<|im_end|>"]
        self.assertEqual(self.model.encode("<|im_end|>", special=True), [id])
        self.assertNotIn(id, self.model.encode("<|im_end|>"))
        self.assertEqual(self.model.piece(id), b"<|im_end|>")
        self.assertEqual(self.model.token_id("<|im_end|>"), id)
        self.assertTrue(self.model.is_special(id))
        self.assertFalse(self.model.is_special(0))

    def test_pieces_and_ids(self) -> None:
        for id in range(0, self.model.vocabulary_size, 97):
            piece = self.model.piece(id)
            self.assertIsInstance(piece, bytes)
            self.assertEqual(self.model.token_id(piece), id)
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            self.model.token_id("there is no such piece")
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            self.model.piece(self.model.vocabulary_size)
        with self.assertRaises(ValueError):
            self.model.piece(2**32)

    def test_decode(self) -> None:
        self.assertEqual(self.model.decode([]), b"")
        self.assertIsInstance(self.model.decode([1]), bytes)
        long = self.model.encode("word " * 5000)
        self.assertEqual(self.model.decode(long), b"word " * 5000)
        with self.fails(kimi.Status.INVALID_ARGUMENT) as failure:
            self.model.decode([1, -1])
        self.assertIn("-1", failure.error.message)
        for bad in ([2**31], [-(2**31) - 1], [2**64]):
            with self.assertRaises(ValueError):
                self.model.decode(bad)
        for wrong in ("text", [1.5], ["1"], 7, None):
            with self.assertRaises(TypeError):
                self.model.decode(wrong)  # type: ignore[arg-type]

    def test_text_of_every_kind(self) -> None:
        text = "漢字 and 🙂"
        ids = self.model.encode(text)
        self.assertIsInstance(ids, list)
        self.assertTrue(all(type(id) is int for id in ids))
        self.assertEqual(self.model.encode(text.encode()), ids)
        self.assertEqual(self.model.encode(bytearray(text.encode())), ids)
        self.assertEqual(self.model.encode(""), [])
        self.assertEqual(self.model.decode(self.model.encode("a\0b")), b"a\0b")
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            self.model.encode(b"\xff")
        with self.assertRaises(ValueError):
            self.model.encode("\ud800")
        with self.assertRaises(TypeError):
            self.model.encode(7)  # type: ignore[arg-type]

    def test_decoder(self) -> None:
        text = "漢字 and 🙂 é"
        decoder = self.model.decoder()
        pieces = [decoder.feed(id) for id in self.model.encode(text)]
        for piece in pieces:
            piece.decode()
        self.assertEqual(b"".join(pieces) + decoder.finish(), text.encode())
        decoder.close()
        with self.fails(kimi.Status.INVALID_HANDLE):
            decoder.feed(1)


class Loading(unittest.TestCase):
    """Finding the library, in a process of its own."""

    def run_python(self, code: str, **environment: str) -> str:
        given = {name: value for name, value in os.environ.items() if name != "KIMI_LIBRARY"}
        given.update(environment)
        path = str(ROOT / "Bindings" / "Python")
        result = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {path!r})\n{code}"], env=given, capture_output=True, text=True
        )
        return result.stdout + result.stderr

    def test_a_missing_library_is_named(self) -> None:
        out = self.run_python(
            "import kimi\ntry: kimi.version()\nexcept OSError as error: print(error)", KIMI_LIBRARY="/no/libkimi.so.1"
        )
        self.assertIn("/no/libkimi.so.1", out)
        self.assertIn("KIMI_LIBRARY", out)

    def test_the_loader_finds_it(self) -> None:
        library = Path(os.environ["KIMI_LIBRARY"]).resolve()
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "libkimi.so.1").symlink_to(library)
            out = self.run_python("import kimi; print(kimi.version())", LD_LIBRARY_PATH=folder)
        self.assertEqual(out.strip(), "0.1.0")

    def test_another_library_is_refused(self) -> None:
        out = self.run_python(
            "import kimi\ntry: kimi.version()\nexcept (OSError, kimi.Error) as error: print(type(error).__name__, error)",
            KIMI_LIBRARY="libm.so.6",
        )
        self.assertIn("Error", out)
        self.assertIn("kimi_abi_version", out)

    def test_a_missing_function_is_only_missed_when_used(self) -> None:
        out = self.run_python(
            "import kimi, kimi._structures as structures\n"
            "structures.PROTOTYPES['kimi_not_there'] = (None, [])\n"
            "print(kimi.version())\n"
            "from kimi._library import library\n"
            "try: library().kimi_not_there()\n"
            "except kimi.Error as error: print(error.code, error.subject)",
            KIMI_LIBRARY=os.environ["KIMI_LIBRARY"],
        )
        self.assertEqual(out.split(), ["0.1.0", str(int(kimi.Status.UNSUPPORTED)), "kimi_not_there"])


if __name__ == "__main__":
    unittest.main()
