"""`kimi chat` at a terminal: a pseudo-terminal types and reads as a person would."""

import json
import os
import re
import signal
import termios
import time
import unittest

from common import TINY, ProgramTest
from terminal import Person

COLOURS = re.compile(rb"\x1b\[[0-9;]*m")


class TerminalTest(ProgramTest):
    def person(self, *options: object, **environment: str) -> Person:
        person = Person(self.environment | {"TERM": "xterm", "XDG_STATE_HOME": str(self.folder / "state")} | environment, *options)
        self.addCleanup(person.close)
        person.prompt()
        return person

    @property
    def history(self) -> str:
        return (self.folder / "state" / "kimi" / "history").read_text()


SHORT = ("--seed", 1, "--max-tokens", 60, "--budget", 9)
# The likeliest token again and again: without an end of its own.
ENDLESS = ("--temperature", 0, "--mode", "instant")


class Talking(TerminalTest):
    def test_an_answer_with_its_reasoning_folded(self) -> None:
        person = self.person(*SHORT)
        person.say("Hello")
        screen = person.wait_for("/think shows it")
        self.assertRegex(screen, rb"thought for \d+ tokens, ")
        self.assertIn(b"\x1b[2m", person.seen)
        # The rows of the thought were taken away.
        self.assertIn(b"\x1b[J", screen)
        person.wait_for("cut at --max-tokens")
        person.prompt()
        person.say("/think")
        reasoning = person.prompt()
        person.say(f"/save {self.folder}/a.json")
        person.wait_for("saved 2 messages")
        saved = json.loads((self.folder / "a.json").read_text())
        words = [word for word in saved["messages"][1]["reasoning_content"].split() if word.isprintable()]
        self.assertIn(max(words, key=len).encode(), reasoning)
        person.say("/quit")
        self.assertEqual(person.end(), 0)

    def test_no_colour(self) -> None:
        person = self.person(*SHORT, NO_COLOR="1")
        person.say("Hello")
        person.wait_for("/think shows it")
        person.prompt()
        self.assertIsNone(COLOURS.search(person.seen))

    def test_reasoning_that_stays(self) -> None:
        person = self.person(*SHORT, "--think")
        person.say("Hello")
        self.assertNotIn(b"\x1b[J", person.wait_for("thought for"))

    def test_a_message_as_argument(self) -> None:
        person = Person(self.environment | {"TERM": "xterm"}, *SHORT, "--no-history", "Hello")
        self.addCleanup(person.close)
        person.wait_for("cut at")
        person.prompt()

    def test_text_does_not_drive_the_terminal(self) -> None:
        evil = "\x1b[31mred\x1b]0;title\x07 \x9b2J a\rb\u202egnp"
        path = self.folder / "evil.json"
        path.write_text(json.dumps([
            {"role": "user", "content": "x"}, {"role": "assistant", "content": evil, "reasoning_content": evil}]))
        person = self.person()
        person.say(f"/load {path}")
        person.wait_for("^[[31mred^[]0;title^G <U+009B>2J a^Mb<U+202E>gnp")
        person.prompt()
        person.say("/think")
        person.wait_for("^[[31mred")
        person.prompt()
        for harmful in (b"\x1b[31m", b"\x1b]0;", b"\x07", "\x9b".encode(), "\u202e".encode()): self.assertNotIn(harmful, person.seen)

    def test_mistakes_do_not_end_it(self) -> None:
        person = self.person("--context", 60)
        person.say("/foo")
        person.wait_for("/help lists the commands")
        person.prompt()
        person.say("many words " * 40)
        person.wait_for("/undo takes back")
        person.prompt()
        person.type("\x04")
        self.assertEqual(person.end(), 0)


class Stopping(TerminalTest):
    def test_ctrl_c_stops_the_answer_and_not_the_program(self) -> None:
        person = self.person(*ENDLESS)
        for _ in range(3):
            person.say("Hello")
            person.wait_for("Hello")
            time.sleep(0.3)
            before = time.monotonic()
            person.type("\x03")
            person.wait_for("taken back")
            self.assertLess(time.monotonic() - before, 5)
            person.prompt()
        person.say("/stats")
        person.wait_for("nothing has been answered")
        person.prompt()
        person.say(f"/save {self.folder}/a.json")
        person.wait_for("saved 0 messages")
        person.say("/quit")
        self.assertEqual(person.end(), 0)

    def test_ctrl_c_discards_a_line(self) -> None:
        person = self.person()
        person.type("half a thought")
        person.wait_for("thought")
        person.type("\x03")
        person.prompt()
        person.say("/system")
        person.wait_for("there is no system text")
        person.prompt()
        person.type("\x03")
        person.wait_for("Ctrl-C once more")
        person.prompt()
        person.type("\x03")
        self.assertEqual(person.end(), 130)

    def test_the_terminal_is_given_back(self) -> None:
        person = self.person(*ENDLESS)
        person.say("Hello")
        person.wait_for("Hello")
        time.sleep(0.3)
        # Typing waits unseen while an answer runs.
        self.assertFalse(person.modes() & termios.ECHO)
        self.assertTrue(person.modes() & termios.ISIG)
        person.type("unseen")
        time.sleep(0.2)
        person.type("\x03")
        self.assertNotIn(b"unseen", person.prompt())
        os.kill(person.pid, signal.SIGTERM)
        self.assertEqual(person.end(), 130)
        self.assertTrue(person.modes() & termios.ECHO)
        self.assertTrue(person.modes() & termios.ICANON)

    def test_suspending(self) -> None:
        for options, line in (((), ""), (ENDLESS, "Hello\r")):
            with self.subTest(line):
                person = self.person(*options)
                person.type(line)
                time.sleep(0.3)
                person.type("\x1a")
                until = time.monotonic() + 30
                while time.monotonic() < until:
                    pid, status = os.waitpid(person.pid, os.WNOHANG | os.WUNTRACED)
                    if pid: break
                    person.read(0.05)
                self.assertTrue(pid and os.WIFSTOPPED(status))
                self.assertTrue(person.modes() & termios.ECHO)
                os.kill(person.pid, signal.SIGCONT)
                if line:
                    time.sleep(0.2)
                    person.type("\x03")
                    person.wait_for("taken back")
                else:
                    person.wait_for("> ")
                person.say("/quit")
                self.assertEqual(person.end(), 0)


class Typing(TerminalTest):
    def saved(self, person: Person) -> list[dict]:
        person.say(f"/save {self.folder}/a.json")
        person.wait_for("saved")
        person.prompt()
        return json.loads((self.folder / "a.json").read_text())["messages"]

    def test_lines_of_one_message(self) -> None:
        for keys, wanted in (
            ("one\\\rtwo\r", "one\ntwo"), ("\x1b[200~one\rtwo\r\x1b[201~\r", "one\ntwo"), ("one\x1b\rtwo\r", "one\ntwo"),
            ("\x1b[200~a\tb\x07\x1b[201~ c\r", "a    b c"), ("na\xefve \u4eba\U0001f600\r", "na\xefve \u4eba\U0001f600"), ("ac\x1b[Db\r", "abc"),
        ):
            with self.subTest(wanted):
                person = self.person(*SHORT)
                person.type(keys)
                person.prompt()
                self.assertEqual(self.saved(person)[0]["content"], wanted)

    def test_history(self) -> None:
        person = self.person(*SHORT)
        for line in ("first message", "/mode", "first message"):
            person.say(line)
            person.wait_for(line[:5])
            person.prompt()
        person.type("\x04")
        self.assertEqual(person.end(), 0)
        self.assertEqual(self.history.splitlines()[1:], ["/mode", "first\\040message"])
        path = self.folder / "state" / "kimi" / "history"
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        person = self.person(*SHORT)
        person.type("\x1b[A")
        person.wait_for("first message")
        person.type("\x1b[A\r")
        person.wait_for("thinking: reasons")
        person.prompt()
        person.type("\x04")
        self.assertEqual(person.end(), 0)
        self.assertEqual(sorted(os.listdir(path.parent)), ["history"])

    def test_no_history(self) -> None:
        person = self.person("--no-history")
        person.say("/mode")
        person.wait_for("thinking: reasons")
        person.prompt()
        person.type("\x04")
        self.assertEqual(person.end(), 0)
        self.assertFalse((self.folder / "state").exists())

    def test_a_file_of_somebody_else_is_left_alone(self) -> None:
        path = self.folder / "state" / "kimi" / "history"
        path.parent.mkdir(parents=True)
        path.write_text("not a history\n")
        person = self.person()
        person.say("/mode")
        person.wait_for("thinking: reasons")
        person.prompt()
        person.type("\x04")
        self.assertEqual(person.end(), 0)
        self.assertEqual(self.history, "not a history\n")

    def test_completion(self) -> None:
        person = self.person()
        person.type("/mo\t")
        person.wait_for("de ")
        person.type("\t")
        person.wait_for("instant  thinking  agent")
        person.type("ag\t\r")
        person.wait_for("agent: reasons")


class Permission(TerminalTest):
    options = ("--mode", "instant", "--tools", "--seed", 1, "--max-tokens", 300)

    def test_yes_no_always(self) -> None:
        person = self.person(*self.options)
        for answer, words, asks in (("n", "the user did not allow it", True), ("y", "UTC", True), ("a", "UTC", True), (None, "UTC", False)):
            with self.subTest(answer):
                person.say("/tools use current_time")
                person.wait_for("begins with a call")
                person.prompt()
                person.say("Hello")
                if asks:
                    person.wait_for("run current_time?")
                    person.wait_for_editor()
                    person.say(answer)
                screen = person.wait_for(words)
                self.assertEqual(asks, b"lways" in screen)
                # What the model calls after that is its own affair.
                person.type("\x03")
                person.prompt()

    def test_ctrl_c_at_the_question(self) -> None:
        person = self.person(*self.options)
        person.say("/tools use current_time")
        person.prompt()
        person.say("Hello")
        person.wait_for("run current_time?")
        person.wait_for_editor()
        person.type("\x03")
        person.wait_for("taken back")
        person.prompt()
        person.say("/quit")
        self.assertEqual(person.end(), 0)


if __name__ == "__main__":
    unittest.main()
