"""visual_debug.py and video_to_code.py as they are started in a shell."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path
from typing import Any

import pages
from common import EXAMPLES, ROOT, LoopTest, own_processes, profiles, target
from films import record, still
from visual_loop import render

LIBRARY = os.environ.get("KIMI_LIBRARY", "")

# Answers one after the other, as many rounds as there were.
_SCRIPTED = """
import json, sys
sys.path.insert(0, {tests!r})
import pages
request = json.load(sys.stdin)
print({answers}[len(request["rounds"])])
"""


class Programs(LoopTest):
    def setUp(self) -> None:
        super().setUp()
        self.picture = self.folder / "harbour.png"
        target(self.chromium).picture.save(self.picture)
        self.out = self.folder / "out"

    def generator(self, answers: str) -> str:
        """The command of a script; `answers` is an expression."""
        script = self.folder / "generator.py"
        script.write_text(_SCRIPTED.format(tests=str(Path(__file__).parent), answers=answers))
        return shlex.join([sys.executable, str(script)])

    def command(self, program: str, *arguments: str) -> list[str]:
        return [sys.executable, str(EXAMPLES / program), *arguments]

    def start(self, program: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(program, *arguments), capture_output=True, text=True, timeout=240, cwd=self.folder, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT / "Bindings" / "Python"), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        )

    def result(self, ran: Any) -> Any:
        self.assertTrue(ran.stdout.startswith("{"), ran.stdout + ran.stderr)
        return json.loads(ran.stdout)

    def test_a_picture_to_a_page_and_on_where_it_was(self) -> None:
        one = self.start(
            "visual_debug.py", str(self.picture), "--generator", self.generator("pages.REPAIR"), "--rounds", "1", "--json",
            "--out", str(self.out),
        )
        first = self.result(one)
        self.assertEqual((one.returncode, first["reason"], first["best"]["round"]), (3, "limit", 1), one.stderr)
        self.assertIn("round 1: SSIM 0.8", one.stderr)
        all_of_it = self.start(
            "visual_debug.py", str(self.picture), "--generator", self.generator("pages.REPAIR"), "--json", "--out", str(self.out)
        )
        last = self.result(all_of_it)
        self.assertEqual((all_of_it.returncode, last["reason"], len(last["rounds"])), (0, "threshold", 3), all_of_it.stderr)
        self.assertGreater(last["best"]["score"], 0.98)
        self.assertEqual(last["rounds"][0], first["rounds"][0])
        self.assertIn("going on after 1 round", all_of_it.stderr)
        self.assertEqual((self.out / "best.html").read_text(), pages.THIRD)
        self.assertEqual((self.out / "report.html").read_text("utf-8").count('class="round"'), 3)
        self.assertEqual(json.loads((self.out / "result.json").read_text()), last)

    def test_an_interruption_leaves_a_report(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number.name):
                out = self.folder / number.name
                waits = self.generator("[pages.FIRST][len(request['rounds']):] or __import__('time').sleep(100)")
                command = self.command("visual_debug.py", str(self.picture), "--generator", waits, "--json", "--out", str(out))
                process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for _ in range(600):
                    if (out / "report.html").exists():
                        break
                    time.sleep(0.1)
                # The second round has begun, or is about to.
                time.sleep(0.5)
                process.send_signal(number)
                output, errors = process.communicate(timeout=60)
                result = json.loads(output)
                self.assertEqual((process.returncode, result["reason"], len(result["rounds"])), (130, "interrupted", 1), errors)
                report = (out / "report.html").read_text("utf-8")
                self.assertIn("Stopped after 1 round", report)
                self.assertTrue(report.endswith("</html>\n"))
                self.assertNotIn("Traceback", errors)
        self.assertEqual((own_processes(), profiles()), (set(), set()))

    def test_a_recording_to_a_page(self) -> None:
        pictures = [render(pages.STATES, 400, 240, self.chromium, fragment=f"state-{number}").picture for number in (1, 2, 3)]
        film = record(self.folder / "mail.mp4", [frame for picture in pictures for frame in still(picture, 1)])
        ran = self.start(
            "video_to_code.py", str(film), "--generator", self.generator("['<p>no', pages.STATES]"), "--json", "--rounds", "2",
            "--threshold", "0.9",
        )
        result = self.result(ran)
        self.assertEqual((ran.returncode, result["reason"], result["best"]["round"]), (0, "threshold", 2), ran.stderr)
        self.assertIn("3 states", ran.stderr)
        self.assertGreater(result["best"]["lowest"], 0.9)
        folder = self.folder / "mail-rounds"
        self.assertEqual(len(list(folder.glob("round-02/render-*.png"))), 3)
        self.assertEqual((folder / "report.html").read_text("utf-8").count("<h3>state "), 9)

    def test_what_cannot_be_done(self) -> None:
        picture, false = str(self.picture), ("--generator", "false")
        for arguments, status, words in (
            ((picture,), 2, "--generator"),
            ((picture, "DIR", *false), 2, "either"),
            ((picture, *false, "--threshold", "2"), 2, "--threshold"),
            (("none.png", *false), 1, "none.png"),
            ((picture, "--generator", "/no-such-command"), 1, "no-such-command does not start"),
            ((picture, *false, "--out", picture), 1, "harbour.png"),
        ):
            with self.subTest(arguments):
                ran = self.start("visual_debug.py", *arguments)
                self.assertEqual(ran.returncode, status, ran.stderr)
                self.assertIn(words, ran.stderr + ran.stdout)
                self.assertNotIn("Traceback", ran.stderr)
        ran = self.start("visual_debug.py", picture, *false, KIMI_CHROMIUM="no-such-browser")
        self.assertEqual((ran.returncode, "no-such-browser" in ran.stderr), (1, True), ran.stderr)

    def test_no_browser_names_the_package(self) -> None:
        # An interpreter that finds no program but itself.
        ran = self.start("visual_debug.py", str(self.picture), "--generator", "false", PATH="/nowhere")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("apt-get install chromium-headless-shell", ran.stderr)

    @unittest.skipUnless(LIBRARY, "KIMI_LIBRARY is not set")
    def test_a_checkpoint_without_eyes(self) -> None:
        checkpoint = os.environ["KIMI_TEXT_CHECKPOINT"]
        ran = self.start("visual_debug.py", str(self.picture), checkpoint, "--out", str(self.out))
        self.assertEqual(ran.returncode, 1, ran.stderr)
        self.assertIn("has no eyes", ran.stderr)
        self.assertNotIn("Traceback", ran.stderr)

    @unittest.skipUnless(LIBRARY, "KIMI_LIBRARY is not set")
    def test_a_checkpoint_with_random_weights(self) -> None:
        """It writes noise; what it was shown is counted, and the loop goes on to its limit."""
        fixture = str(ROOT / "Tests" / "Fixtures" / "tiny-kimi")
        options = "--rounds", "2", "--max-tokens", "40", "--seed", "1", "--json"
        ran = self.start("visual_debug.py", str(self.picture), fixture, "--out", str(self.out), *options)
        self.assertEqual(ran.returncode, 3, ran.stderr)
        self.assertNotIn("Traceback", ran.stderr)
        result = self.result(ran)
        self.assertEqual([made["number"] for made in result["rounds"]], [1, 2])
        self.assertGreater(result["usage"]["media_tokens"], 0)
        self.assertEqual(result["usage"]["generated_tokens"], 80)


if __name__ == "__main__":
    unittest.main()
