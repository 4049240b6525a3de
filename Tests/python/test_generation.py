"""Generation: events, options, laziness, stopping."""

import math
import threading
import time
import unittest
from typing import Any

from common import PROMPTS, TIE, TINY, KimiTest

import kimi

MEDIUM = PROMPTS["medium"]["ids"]


class Generation(KimiTest):
    def tokens(self, prompt: Any = MEDIUM, **options: Any) -> list[int]:
        options = {"max_tokens": 16, "greedy": True, "ignore_end": True, **options}
        with self.model.session() as session:
            return [event.id for event in session.generate(prompt, **options) if isinstance(event, kimi.TokenEvent)]

    def test_greedy_is_the_reference(self) -> None:
        for name, prompt in PROMPTS.items():
            if "greedy" not in prompt:
                continue
            with self.subTest(name):
                generated = self.tokens(prompt["ids"], max_tokens=32)
                self.assertEqual(len(generated), 32)
                sure = next((i for i, margin in enumerate(prompt["margin"]) if margin <= TIE), 32)
                self.assertEqual(generated[:sure], prompt["greedy"][:sure])

    def test_events(self) -> None:
        with self.model.session() as session:
            events = list(session.generate(MEDIUM, max_tokens=8, greedy=True, ignore_end=True))
            self.assertEqual(session.position, len(MEDIUM) + 8)
        kinds = [type(event) for event in events]
        self.assertEqual(kinds, [kimi.PromptEvent] + [kimi.TokenEvent] * 8 + [kimi.FinishEvent])
        prompt, finish = events[0], events[-1]
        tokens = [event for event in events if isinstance(event, kimi.TokenEvent)]
        self.assertEqual((prompt.done, prompt.total), (len(MEDIUM), len(MEDIUM)))
        self.assertEqual([event.done for event in tokens], list(range(1, 9)))
        self.assertTrue(all(event.total == 8 for event in tokens))
        self.assertTrue(all(event.logprob is None and event.top == () for event in tokens))
        self.assertEqual((finish.finish_reason, finish.id, finish.stop_string), ("length", None, None))
        self.assertEqual(b"".join(event.raw for event in events), self.model.decode([event.id for event in tokens]))
        for event in events:
            self.assertIsInstance(event, kimi.Event)
            self.assertEqual(str(event), event.text)
            self.assertEqual(event.text, event.raw.decode("utf-8", "replace"))
        with self.assertRaises(AttributeError):
            prompt.done = 3  # type: ignore[misc]

    def test_prompts_of_every_kind(self) -> None:
        text = "Once upon a time"
        ids = self.model.encode(text)
        expected = self.tokens(ids)
        for prompt in (text, text.encode(), tuple(ids), iter(ids)):
            self.assertEqual(self.tokens(prompt), expected)
        # Text never becomes a special token.
        with self.model.session() as session:
            list(session.generate("<|im_end|>", max_tokens=1, ignore_end=True))
            self.assertNotIn(self.model.special_tokens["<|im_end|>"], session.ids[:-1])

    def test_going_on_without_a_prompt(self) -> None:
        whole = self.tokens(max_tokens=16)
        with self.model.session() as session:
            session.eval(MEDIUM)
            parts = [e.id for e in session.generate(max_tokens=6, greedy=True, ignore_end=True) if type(e) is kimi.TokenEvent]
            parts += [e.id for e in session.generate([], max_tokens=10, greedy=True, ignore_end=True) if type(e) is kimi.TokenEvent]
        self.assertEqual(parts, whole)
        with self.model.session() as session, self.fails(kimi.Status.INVALID_ARGUMENT):
            list(session.generate([], max_tokens=1))

    def test_generate_text(self) -> None:
        with self.model.session() as session:
            text = session.generate_text("Once upon a time", max_tokens=12, greedy=True, ignore_end=True)
        ids = self.tokens("Once upon a time", max_tokens=12)
        self.assertEqual(text, self.model.decode(ids).decode("utf-8", "replace"))

    def test_lazy(self) -> None:
        with self.model.session() as session:
            generation = session.generate(MEDIUM, max_tokens=8, ignore_end=True)
            self.assertEqual(session.position, 0)
            self.assertIsInstance(next(generation), kimi.PromptEvent)
            self.assertEqual(session.position, len(MEDIUM))
            next(generation)
            # In use until it has finished or is closed.
            with self.fails(kimi.Status.BUSY):
                session.eval([1])
            with self.fails(kimi.Status.BUSY):
                session.generate([1])
            generation.close()
            generation.close()
            self.assertEqual(list(generation), [])
            self.assertEqual(session.position, len(MEDIUM) + 1)
            session.eval([1])

    def test_abandoned(self) -> None:
        with self.model.session() as session:
            for event in session.generate(MEDIUM, max_tokens=8):
                break
            session.eval([1])
            with session.generate([1], max_tokens=8) as generation:
                next(generation)
            session.eval([1])
            list(session.generate([1], max_tokens=2))
            session.eval([1])

    def test_cancel(self) -> None:
        with self.model.session() as session:
            generation = session.generate(MEDIUM, max_tokens=100, ignore_end=True)
            next(generation)
            next(generation)
            session.cancel()
            rest = list(generation)
            self.assertEqual([event.finish_reason for event in rest], ["cancelled"])
            session.eval([1])

    def test_cancel_from_another_thread(self) -> None:
        with self.model.session() as session:
            reasons: list[Any] = []

            def work() -> None:
                for event in session.generate(PROMPTS["long"]["ids"], max_tokens=5000, ignore_end=True):
                    reasons.append(event.finish_reason)

            thread = threading.Thread(target=work)
            thread.start()
            while session.position == 0 and thread.is_alive():
                time.sleep(0.001)
            session.cancel()
            thread.join()
            self.assertEqual(reasons[-1], "cancelled")
            self.assertLess(session.position, 6000)

    def test_session_closed_first(self) -> None:
        session = self.model.session()
        generation = session.generate(MEDIUM)
        next(generation)
        session.close()
        try:
            self.assertEqual([event.finish_reason for event in generation], ["cancelled"])
        except kimi.Error as error:
            self.assertIn(error.code, (kimi.Status.CANCELLED, kimi.Status.INVALID_HANDLE))
        generation.close()

    def test_sampling(self) -> None:
        greedy = self.tokens()
        for options in ({"temperature": 0}, {"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}):
            with self.subTest(options):
                self.assertEqual(self.tokens(greedy=False, **options), greedy)
        for seed in (0, 1, 2**64 - 1):
            draws = self.tokens(greedy=False, seed=seed)
            self.assertEqual(self.tokens(greedy=False, seed=seed), draws)
            self.assertNotEqual(draws, greedy)
        self.assertNotEqual(self.tokens(greedy=False, seed=1), self.tokens(greedy=False, seed=2))
        self.assertNotEqual(self.tokens(greedy=False), self.tokens(greedy=False))

    def test_top_k_stays_within(self) -> None:
        with self.model.session() as session:
            for event in session.generate(MEDIUM, max_tokens=40, top_k=3, temperature=5, seed=3, top_logprobs=3, ignore_end=True):
                if isinstance(event, kimi.TokenEvent):
                    self.assertIn(event.id, [one.id for one in event.top])

    def test_bias_and_penalties(self) -> None:
        greedy = self.tokens()
        self.assertNotIn(greedy[0], self.tokens(logit_bias={greedy[0]: -math.inf}))
        self.assertEqual(self.tokens(logit_bias={77: 1000}), [77] * 16)
        self.assertEqual(self.tokens(logit_bias={77: 60}, presence_penalty=100).count(77), 1)
        self.assertEqual(self.tokens(logit_bias={77: 60}, frequency_penalty=100).count(77), 1)
        unrepeated = self.tokens(repetition_penalty=100)
        self.assertEqual(len(set(unrepeated + MEDIUM)), len(set(MEDIUM)) + 16)

    def test_stop_strings(self) -> None:
        with self.model.session() as session:
            whole = b"".join(event.raw for event in session.generate("Hello", max_tokens=40, greedy=True, ignore_end=True))
        tried = 0
        for at in range(1, len(whole) - 3):
            wanted = whole[at : at + 3]
            if max(wanted) > 127 or whole.find(wanted) != at:
                continue
            tried += 1
            stop: Any = wanted.decode() if tried % 3 == 0 else ["never in it", wanted.decode()] if tried % 3 == 1 else [wanted]
            with self.model.session() as session:
                events = list(session.generate("Hello", max_tokens=40, greedy=True, ignore_end=True, stop=stop))
            self.assertEqual(b"".join(event.raw for event in events), whole[:at])
            self.assertEqual(events[-1].finish_reason, "stop")
            self.assertEqual(events[-1].stop_string, 1 if tried % 3 == 1 else 0)
            if tried == 12:
                break
        self.assertGreater(tried, 0)

    def test_stop_ids(self) -> None:
        greedy = self.tokens()
        for stop in (greedy[4], [greedy[4]], (greedy[4], 3)):
            with self.model.session() as session:
                events = list(session.generate(MEDIUM, max_tokens=16, greedy=True, ignore_end=True, stop_ids=stop))
                self.assertEqual([e.id for e in events[1:-1]], greedy[:4])
                self.assertEqual((events[-1].finish_reason, events[-1].id), ("stop", greedy[4]))
                self.assertEqual(session.ids, MEDIUM + greedy[:5])

    def test_end_tokens(self) -> None:
        end = self.model.info["end_tokens"][0]
        with self.model.session() as session:
            events = list(session.generate(MEDIUM, max_tokens=5, greedy=True, logit_bias={end: 1000}))
            self.assertEqual((events[-1].finish_reason, events[-1].id), ("stop", end))
        self.assertEqual(self.tokens(logit_bias={end: 1000}, max_tokens=5), [end] * 5)

    def test_context(self) -> None:
        with self.model.session(context_limit=len(MEDIUM) + 3) as session:
            events = list(session.generate(MEDIUM, greedy=True, ignore_end=True))
            self.assertEqual((len(events), events[-1].finish_reason), (5, "context"))
            with self.fails(kimi.Status.CONTEXT_FULL):
                list(session.generate([1]))
            # After an error the session is free.
            session.truncate(3)

    def test_logprobs(self) -> None:
        for options, count in (
            ({"logprobs": True}, 0),
            ({"logprobs": 2}, 2),
            ({"top_logprobs": 20}, 20),
            ({"logprobs": True, "top_logprobs": 4}, 4),
        ):
            with self.subTest(options), self.model.session() as session:
                for event in session.generate(MEDIUM, max_tokens=4, greedy=True, ignore_end=True, **options):
                    if not isinstance(event, kimi.TokenEvent):
                        continue
                    self.assertEqual(len(event.top), count)
                    assert event.logprob is not None
                    self.assertLess(event.logprob, 0)
                    values = [one.logprob for one in event.top]
                    self.assertEqual(values, sorted(values, reverse=True))
                    self.assertLessEqual(sum(map(math.exp, values)), 1 + 1e-5)
                    if count:
                        self.assertEqual(event.top[0], (event.id, event.logprob))

    def test_logprobs_are_those_of_the_logits(self) -> None:
        with self.model.session() as session:
            logits = [float(value) for value in session.eval(MEDIUM)]
            event = next(session.generate(max_tokens=1, top_logprobs=20, temperature=3, seed=5))
        peak = max(logits)
        norm = peak + math.log(sum(math.exp(value - peak) for value in logits))
        # The token may have been an end token: then there is no token event.
        if isinstance(event, kimi.TokenEvent):
            assert event.logprob is not None
            self.assertAlmostEqual(event.logprob, logits[event.id] - norm, delta=1e-4)
            for one in event.top:
                self.assertAlmostEqual(one.logprob, logits[one.id] - norm, delta=1e-4)

    def test_options_out_of_range(self) -> None:
        with self.model.session() as session:
            for options in (
                {"max_tokens": 0},
                {"max_tokens": -1},
                {"max_tokens": 2**63},
                {"top_k": 2**31},
                {"seed": -1},
                {"seed": 2**64},
                {"top_logprobs": 21},
                {"logprobs": 2**32},
                {"logit_bias": {2**32: 1.0}},
                {"stop_ids": [2**32]},
                {"temperature": 1e39},
                {"stop": "\udc00"},
            ):
                with self.subTest(options), self.assertRaises(ValueError):
                    session.generate([1], **options)  # type: ignore[arg-type]
            for options in (  # type: ignore[assignment]
                {"temperature": -1.0},
                {"temperature": math.nan},
                {"temperature": 101},
                {"top_p": 1.5},
                {"top_k": -1},
                {"min_p": 2},
                {"repetition_penalty": -1},
                {"presence_penalty": math.inf},
                {"frequency_penalty": 101},
                {"logit_bias": {-1: 1.0}},
                {"logit_bias": {1: math.nan}},
                {"stop_ids": [-1]},
                {"stop": ""},
                {"stop": ["a"] * 65},
                {"stop": b"\xff"},
            ):
                with self.subTest(options), self.fails(kimi.Status.INVALID_ARGUMENT) as failure:
                    session.generate([1], **options)  # type: ignore[arg-type]
                    self.assertTrue(failure.error.subject)
            for options in ({"tempreature": 1}, {"temperature": "hot"}, {"max_tokens": 1.5}, {"stop": 5}, {"stop_ids": "5"}):
                with self.subTest(options), self.assertRaises(TypeError):
                    session.generate([1], **options)  # type: ignore[arg-type]
            with self.fails(kimi.Status.INVALID_ARGUMENT):
                session.generate([1, -5])
            # None is the default, and a refused generation leaves the session free.
            names = kimi.generation.GenerationOptions.__annotations__
            list(session.generate([1], **{**dict.fromkeys(names), "max_tokens": 1}))  # type: ignore[arg-type]

    def test_exception_of_the_reader(self) -> None:
        with self.model.session() as session:
            with self.assertRaises(ZeroDivisionError):
                for _ in session.generate(MEDIUM, max_tokens=4):
                    1 / 0
            session.reset()


if __name__ == "__main__":
    unittest.main()
