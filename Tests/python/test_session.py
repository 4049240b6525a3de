"""Sessions: logits against the reference, positions, forks, files, cancellation, statistics."""

import gc
import tempfile
import threading
import time
import unittest
from array import array
from pathlib import Path
from typing import Any

from common import PROMPTS, TIE, TINY, TOLERANCE, KimiTest, argmax, read_npy

import kimi

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]


def bits(logits: Any) -> bytes:
    return bytes(logits.tobytes())


class Evaluation(KimiTest):
    def test_reference(self) -> None:
        for name, prompt in PROMPTS.items():
            with self.subTest(name), self.model.session() as session:
                logits = session.eval(prompt["ids"])
                expected = read_npy(f"{name}.logits_last.npy")
                self.assertEqual(len(logits), len(expected))
                worst = max(abs(float(a) - b) for a, b in zip(logits, expected))
                self.assertLessEqual(worst, TOLERANCE)
                self.assertLess(max(logits) - logits[argmax(expected)], TIE)
                self.assertEqual(session.position, len(prompt["ids"]))

    def test_kind_of_array(self) -> None:
        with self.model.session() as session:
            last = session.eval([1, 2])
            rows = session.eval_all([3, 4, 5])
        if numpy is not None:
            self.assertEqual((last.dtype, last.shape), (numpy.float32, (self.model.vocabulary_size,)))
            self.assertEqual((rows.dtype, rows.shape), (numpy.float32, (3, self.model.vocabulary_size)))
        else:
            self.assertIsInstance(last, array)
            self.assertEqual((last.typecode, len(last)), ("f", self.model.vocabulary_size))
            self.assertEqual([len(row) for row in rows], [self.model.vocabulary_size] * 3)

    def test_all_rows(self) -> None:
        ids = PROMPTS["medium"]["ids"]
        expected = read_npy("medium.argmax.npy")
        with self.model.session() as session:
            rows = session.eval_all(ids)
        with self.model.session() as session:
            for row, id, best in zip(rows, ids, expected):
                self.assertEqual(bits(row), bits(session.eval([id])))
                values = list(row)
                self.assertLess(max(values) - values[best], TIE)

    def test_ids_of_every_kind(self) -> None:
        kinds: list[Any] = [[5, 6, 7], (5, 6, 7), range(5, 8), array("i", [5, 6, 7]), array("q", [5, 6, 7]), iter([5, 6, 7])]
        if numpy is not None:
            kinds += [numpy.array([5, 6, 7]), numpy.array([5, 6, 7], dtype=numpy.int32), list(numpy.array([5, 6, 7]))]
        with self.model.session() as session:
            expected = bits(session.eval([5, 6, 7]))
            for ids in kinds:
                session.reset()
                self.assertEqual(bits(session.eval(ids)), expected)

    def test_bad_ids(self) -> None:
        with self.model.session() as session:
            for ids in ([-1], [self.model.vocabulary_size], [1, 2, 2**31 - 1]):
                with self.fails(kimi.Status.INVALID_ARGUMENT) as failure:
                    session.eval(ids)
                self.assertIn(str(ids[-1]), failure.error.message)
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                session.eval([])
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                session.eval_all([])
            # What C would cut off to a valid id is refused.
            for ids in ([2**32 + 5], [2**31], [-(2**63)]):
                with self.assertRaises(ValueError):
                    session.eval(ids)
            for bad in ("text", [1.0], None, 5):
                with self.assertRaises(TypeError):
                    session.eval(bad)  # type: ignore[arg-type]
            self.assertEqual(session.position, 0)

    def test_fork_truncate_save_load(self) -> None:
        ids = PROMPTS["page"]["ids"]
        with self.model.session() as session, tempfile.TemporaryDirectory() as folder:
            whole = bits(session.eval(ids))
            session.truncate(70)
            self.assertEqual(session.position, 70)
            self.assertEqual(session.ids, ids[:70])
            fork = session.fork()
            path = Path(folder) / "session"
            session.save(path)
            self.assertEqual(bits(session.eval(ids[70:])), whole)
            self.assertEqual(fork.position, 70)
            self.assertEqual(bits(fork.eval(ids[70:])), whole)
            fork.close()
            with self.model.session() as loaded:
                loaded.eval([1, 2, 3])
                loaded.load(str(path))
                self.assertEqual(loaded.ids, ids[:70])
                self.assertEqual(bits(loaded.eval(ids[70:])), whole)
                stats = loaded.stats
                self.assertEqual(stats["reused_tokens"], 70)
            session.reset()
            self.assertEqual((session.position, session.ids), (0, []))
            self.assertEqual(bits(session.eval(ids)), whole)
            path.write_bytes(path.read_bytes()[:-5])
            with self.fails(kimi.Status.FORMAT) as failure:
                session.load(path)
            self.assertIn(str(path), failure.error.file)
            self.assertEqual(session.position, len(ids))
            for position in (-1, len(ids) + 1):
                with self.fails(kimi.Status.INVALID_ARGUMENT):
                    session.truncate(position)
            with self.assertRaises(ValueError):
                session.truncate(2**64)

    def test_context_limit(self) -> None:
        with self.model.session(context_limit=4) as session:
            with self.fails(kimi.Status.CONTEXT_FULL):
                session.eval([1, 2, 3, 4, 5])
            session.eval([1, 2, 3, 4])
            with self.fails(kimi.Status.CONTEXT_FULL):
                session.eval([1])
        with self.assertRaises(ValueError):
            self.model.session(context_limit=0)

    def test_stats(self) -> None:
        with self.model.session() as session:
            session.eval([1, 2, 3])
            list(session.generate([4], max_tokens=3, ignore_end=True))
            stats = session.stats
            self.assertEqual((stats["prompt_tokens"], stats["generated_tokens"], stats["position"]), (4, 3, 7))
            self.assertGreater(stats["bytes_read"], 0)
            self.assertGreater(stats["steps"], 0)
            self.assertGreater(stats["cache_bytes"], 0)
            # The last token is not evaluated yet.
            self.assertEqual(stats["rows_exact"] + stats["rows_fast"], 6)
            self.assertNotIn("struct_size", stats)

    def test_closed(self) -> None:
        session = self.model.session()
        session.close()
        session.close()
        self.assertEqual(session.position, -1)
        for call in (
            lambda: session.eval([1]),
            session.fork,
            session.reset,
            lambda: session.truncate(0),
            session.cancel,
            lambda: session.ids,
            lambda: session.stats,
            lambda: session.save("/tmp/kimi-never"),
            lambda: list(session.generate("a")),
        ):
            with self.fails(kimi.Status.INVALID_HANDLE):
                call()

    def test_many_sessions_leave_nothing(self) -> None:
        for _ in range(50):
            session = self.model.session()
            session.eval([1, 2, 3])
            session.fork()
            session.generate([1])
        del session
        gc.collect()


class Threads(KimiTest):
    def test_prefixes(self) -> None:
        """A prompt that begins as another session's did takes that over, with the same bits."""
        prompt = PROMPTS["long"]["ids"][:200]
        with kimi.Model(TINY, exact=True, prefix_limit=1 << 20) as model:
            with model.session() as first, model.session() as second:
                alone = first.eval(prompt)
                self.assertEqual(bits(second.eval(prompt)), bits(alone))
                self.assertEqual((second.stats["reused_tokens"], second.stats["prompt_tokens"]), (192, 8))
            prefixes = model.info["prefixes"]
            self.assertEqual((prefixes["limit"], prefixes["hits"], prefixes["misses"]), (1 << 20, 1, 1))
            self.assertEqual((prefixes["blocks"], prefixes["reused_tokens"], prefixes["evictions"]), (3, 192, 0))
        with kimi.Model(TINY, prefix_limit=0) as model:
            self.assertIsNone(model.info["prefixes"])
        with self.assertRaises(ValueError):
            kimi.Model(TINY, prefix_limit=-1)

    def test_shortage(self) -> None:
        """Sessions that wait take turns with memory for few of them, and have the tokens of a lone run."""
        ids = PROMPTS["long"]["ids"]
        prompts = [ids[300 * index : 300 * index + 250] for index in range(6)]

        def tokens(session: kimi.Session, prompt: list[int]) -> list[int]:
            events = list(session.generate(prompt, max_tokens=8, temperature=0, ignore_end=True))
            return [event.id for event in events if isinstance(event, kimi.TokenEvent)]

        alone = []
        with kimi.Model(TINY, exact=True, prefix_limit=0) as model:
            for prompt in prompts:
                with model.session() as session:
                    alone.append(tokens(session, prompt))
            used = sum(model.info["memory"]["used"].values()) - model.info["memory"]["used"]["cache"]
        with kimi.Model(TINY, exact=True, memory_limit=used + (3 << 20) // 2) as model:
            sessions = [model.session(on_shortage="wait") for _ in prompts]
            found: dict[int, list[int]] = {}
            threads = [
                threading.Thread(target=lambda index=index: found.__setitem__(index, tokens(sessions[index], prompts[index])))
                for index in range(len(prompts))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual([found.get(index) for index in range(len(prompts))], alone)
            self.assertGreater(sum(session.stats["preemptions"] for session in sessions), 0)
            for session in sessions:
                session.close()
        with self.assertRaisesRegex(ValueError, "on_shortage"):
            self.model.session(on_shortage="never")

    def test_many_at_once(self) -> None:
        """Threads that generate at the same time have the tokens of a lone run, in shared steps."""
        def tokens(index: int) -> list[int]:
            ids = PROMPTS["long"]["ids"][50 * index : 50 * index + 30]
            with self.model.session(priority=index % 3 - 1) as session:
                events = list(session.generate(ids, max_tokens=12, temperature=0, ignore_end=True))
                return [event.id for event in events if isinstance(event, kimi.TokenEvent)]

        alone = [tokens(index) for index in range(8)]
        before = self.model.info["steps"]
        found: dict[int, list[int]] = {}
        threads = [threading.Thread(target=lambda index=index: found.__setitem__(index, tokens(index))) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([found[index] for index in range(8)], alone)
        after = self.model.info["steps"]
        self.assertEqual(after["waiting"], 0)
        self.assertEqual(after["shares"] - before["shares"], 8 * 12)
        self.assertGreaterEqual(after["shares"], after["passes"])
        for priority in (-101, 101):
            with self.assertRaisesRegex(ValueError, "priority"):
                self.model.session(priority=priority)

    def test_cancel_from_another_thread(self) -> None:
        ids = PROMPTS["long"]["ids"]
        # On the fast path a token's last places depend on the length of the step in which it was evaluated.
        model = kimi.Model(TINY, threads=2, exact=True)
        with model.session() as session:
            caught: list[BaseException] = []

            def work() -> None:
                try:
                    session.eval(ids)
                except BaseException as error:
                    caught.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            while session.position == 0 and thread.is_alive():
                time.sleep(0.001)
            # The interpreter is free while the other thread computes; a second call is told that the session is in use.
            with self.fails(kimi.Status.BUSY):
                session.eval([1])
            session.cancel()
            thread.join()
            self.assertEqual([getattr(error, "code", error) for error in caught], [kimi.Status.CANCELLED])
            held = session.position
            self.assertTrue(0 < held < len(ids), held)
            # It goes on where it was.
            self.assertEqual(session.ids, ids[:held])
            session.truncate(10)
            after = bits(session.eval([1, 2]))
        with model.session() as session:
            self.assertEqual(bits(session.eval(ids[:10] + [1, 2])), after)

    def test_close_during_a_call(self) -> None:
        session = self.model.session()
        # Backwards: of what another session evaluated it would take over all but the last token, and be done before the close.
        ids = PROMPTS["long"]["ids"][::-1]
        caught: list[BaseException] = []

        def work() -> None:
            try:
                session.eval(ids)
            except BaseException as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        while session.position == 0 and thread.is_alive():
            time.sleep(0.001)
        session.close()
        thread.join()
        self.assertEqual([getattr(error, "code", error) for error in caught], [kimi.Status.CANCELLED])

    def test_sessions_side_by_side(self) -> None:
        ids = PROMPTS["page"]["ids"]
        with self.model.session() as session:
            expected = bits(session.eval(ids))
        results: list[bytes] = []

        def work() -> None:
            with self.model.session() as session:
                for at in range(0, len(ids), 20):
                    logits = session.eval(ids[at : at + 20])
                results.append(bits(logits))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [expected] * 4)


if __name__ == "__main__":
    unittest.main()
