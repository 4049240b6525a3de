"""The loop with scripted generators and a real browser: it improves, it stops, and nothing that a generator does breaks it."""

from __future__ import annotations

import json
import unittest
from typing import Any

import pages
from common import SHORT, LoopTest, scripted, target
from visual_loop import Round, Store, Target, Unusable, View, render, run_loop


class Loop(LoopTest):
    def run_it(self, answers: list[Any], **options: Any) -> Any:
        return run_loop([target(self.chromium)], scripted(answers), self.chromium, **{"limit": len(answers), **options})

    def test_a_repair_in_three_rounds(self) -> None:
        seen: list[tuple[str, Any]] = []
        given: list[int] = []
        generate = scripted([*pages.REPAIR, AssertionError("asked again")])

        def generator(targets: Any, rounds: Any) -> str:
            given.append(len(rounds))
            return generate(targets, rounds)

        outcome = run_loop(
            [target(self.chromium)], generator, self.chromium, threshold=0.98, limit=6,
            progress=lambda stage, what: seen.append((stage, what)),
        )
        self.assertEqual((outcome.reason, given), ("threshold", [0, 1, 2]))
        scores = [made.score for made in outcome.rounds]
        self.assertEqual(scores, sorted(scores))
        self.assertLess(scores[0], 0.9)
        self.assertGreater(scores[2], 0.98)
        self.assertIs(outcome.best, outcome.rounds[2])
        self.assertEqual([stage for stage, _ in seen], ["ask", "render", "round"] * 3)
        # The first page has no chart: the largest difference lies where it is missing.
        chart = outcome.rounds[0].views[0].regions[0]
        self.assertTrue(chart.top > 250 and chart.bottom > 400, chart)

    def test_the_best_is_kept_and_the_limit_ends_it(self) -> None:
        outcome = self.run_it([pages.SECOND, pages.FIRST])
        self.assertEqual((outcome.reason, outcome.best.number, len(outcome.rounds)), ("limit", 1, 2))

    def test_what_generators_do(self) -> None:
        outcome = self.run_it([
            "", "I see a page with three cards.", RuntimeError("the server is away"), None, "<table><b>x</i><div", pages.THIRD,
        ])
        self.assertEqual(outcome.reason, "threshold")
        notes = [" ".join(made.notes) for made in outcome.rounds]
        self.assertEqual(notes[0], "the answer is empty")
        self.assertEqual(notes[1], "there is no HTML in the answer")
        self.assertEqual(notes[2], "the generator failed: RuntimeError: the server is away")
        self.assertIn("NoneType", notes[3])
        self.assertEqual([made.score for made in outcome.rounds[:4]], [0, 0, 0, 0])
        self.assertGreater(outcome.rounds[4].score, 0)

    def test_a_page_that_hangs_or_has_no_picture_is_a_round(self) -> None:
        huge = "<p>x" * (3 << 20)
        outcome = self.run_it(["<h1>Harbour</h1><script>while(true);</script>", huge, huge], seconds=SHORT)
        first, second, third = outcome.rounds
        self.assertIn("without scripts", first.views[0].notes[0])
        self.assertGreater(first.score, 0.5)
        self.assertIsNone(second.views[0].render)
        self.assertIn("no picture", second.views[0].notes[0])
        self.assertEqual((second.score, outcome.best.number), (0, 1))
        self.assertEqual(third.notes, ["the same page as in round 2"])

    def test_a_generator_that_cannot_work(self) -> None:
        outcome = self.run_it([pages.FIRST, Unusable("no eyes")])
        self.assertEqual((outcome.reason, outcome.message, len(outcome.rounds)), ("generator", "no eyes", 1))
        outcome = self.run_it([OSError("away")] * 9)
        self.assertEqual((outcome.reason, len(outcome.rounds)), ("generator", 3))
        self.assertIn("away", outcome.message)
        self.assertIsNone(outcome.best)

    def test_every_state_must_be_reached(self) -> None:
        def state(number: int, page: str) -> Target:
            picture = render(page, 400, 240, self.chromium, fragment=f"state-{number}").picture
            return Target(picture, f"state {number}", f"state-{number}")

        targets = [state(number, pages.STATES) for number in (1, 2, 3)]
        self.assertEqual(len({each.picture.tobytes() for each in targets}), 3)
        without = pages.STATES.replace('"#state-3": "sent"', "")
        outcome = run_loop(targets, scripted([without, pages.STATES]), self.chromium, limit=2)
        first, second = outcome.rounds
        self.assertEqual((outcome.reason, second.number), ("threshold", 2))
        self.assertGreater(first.views[1].score, 0.999)
        self.assertEqual(first.lowest, first.views[2].score)
        self.assertLess(first.lowest, 0.98)
        self.assertGreater(second.lowest, 0.999)


class Stored(LoopTest):
    def run_it(self, answers: list[Any], **options: Any) -> Any:
        with Store(self.folder) as store:
            return run_loop([target(self.chromium)], scripted(answers), self.chromium, store=store, **options)

    def test_it_goes_on_where_it_was_stopped(self) -> None:
        stopped = self.run_it([pages.REPAIR[0], KeyboardInterrupt()])
        self.assertEqual((stopped.reason, len(stopped.rounds)), ("interrupted", 1))
        # The first answer is not asked for again.
        ended = self.run_it([AssertionError, pages.REPAIR[1], pages.REPAIR[2]])
        self.assertEqual((ended.reason, [made.number for made in ended.rounds]), ("threshold", [1, 2, 3]))
        self.assertEqual(vars(ended.rounds[0].views[0].regions[0]), vars(stopped.rounds[0].views[0].regions[0]))
        self.assertEqual(ended.rounds[0].views[0].render.tobytes(), stopped.rounds[0].views[0].render.tobytes())
        self.assertEqual((ended.rounds[0].answer, ended.rounds[0].html), (stopped.rounds[0].answer, stopped.rounds[0].html))
        # All is done: nobody is asked.
        self.assertEqual(self.run_it([]).reason, "threshold")

        # A damaged round is made anew, with what came after it.
        (self.folder / "round-02" / "round.json").write_text('{"views": [')
        again = self.run_it([AssertionError, OSError("away")], limit=2)
        self.assertEqual([made.number for made in again.rounds], [1, 2])
        self.assertIn("generator failed", again.rounds[1].notes[0])

    def test_texts_and_rounds_without_a_page_come_back(self) -> None:
        there = target(self.chromium)
        rounds = [
            Round(1, None, notes=["the generator failed"]), Round(2, "no\r\n\ud800 page \0"),
            Round(3, "<b>", "<b>\n", [View(notes=["no"])]),
        ]
        with Store(self.folder) as store:
            store.load([there])
            for made in rounds:
                store.save(made)
            self.assertEqual(store.load([there]), rounds)
            json.loads((self.folder / "round-03" / "round.json").read_text())

    def test_one_loop_at_a_time_and_its_own_target(self) -> None:
        with Store(self.folder) as store:
            store.load([target(self.chromium)])
            with self.assertRaisesRegex(ValueError, "another loop"):
                Store(self.folder)
        other = Target(target(self.chromium).picture.crop((0, 0, 100, 100)))
        with Store(self.folder) as store, self.assertRaisesRegex(ValueError, "other targets"):
            store.load([other])
        (self.folder / "loop.json").write_text("{")
        with Store(self.folder) as store, self.assertRaisesRegex(ValueError, "damaged"):
            store.load([other])


if __name__ == "__main__":
    unittest.main()
