"""`kimi chat` from a pipe: answers, commands, files, tools. test_chat_terminal.py has what a person sees."""

import json
import math
import os
import signal
import subprocess
import time
import unittest

from common import TINY, ProgramTest


class ChatTest(ProgramTest):
    def setUp(self) -> None:
        super().setUp()
        self.environment = self.environment | {"XDG_STATE_HOME": str(self.folder / "state"), "TZ": "UTC"}

    def chat(self, *lines: str, options: tuple = ()) -> bytes:
        return self.output("chat", TINY, *options, input="".join(line + "\n" for line in lines).encode())

    def events(self, *lines: str, options: tuple = ()) -> list[dict]:
        """What --json prints; each line must be an object."""
        out = self.chat(*lines, options=("--json", *options))
        return [json.loads(line) for line in out.decode().splitlines()]

    def refusal(self, *lines: str, options: tuple = ()) -> str:
        return self.failure("chat", TINY, *options, input="".join(line + "\n" for line in lines).encode())


def named(events: list[dict], name: str) -> list[dict]:
    return [event for event in events if event["event"] == name]


def text(events: list[dict], name: str = "content") -> str:
    return "".join(event["text"] for event in named(events, name))


SHORT = ("--seed", 5, "--max-tokens", 40, "--mode", "instant")


class Answering(ChatTest):
    def test_answers_and_nothing_else_on_the_output(self) -> None:
        result = self.run_kimi("chat", TINY, *SHORT, "--stats", input=b"Hello\n\n   \nAnd you?\n")
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        first, second = self.answers(self.events("Hello", "And you?", options=SHORT))
        wanted = "".join(answer if answer.endswith("\n") else answer + "\n" for answer in (first, second))
        self.assertEqual(result.stdout.decode(), wanted)
        self.assertNotIn(b"\x1b", result.stdout.replace(first.encode(), b"").replace(second.encode(), b""))
        self.assertNotIn(b"\x1b", result.stderr)
        self.assertEqual(result.stderr.count(b"of them in the cache"), 2)

    @staticmethod
    def answers(events: list[dict]) -> list[str]:
        answers = []
        for event in events:
            if event["event"] == "message": answers.append("")
            if event["event"] == "content": answers[-1] += event["text"]
        return answers

    def test_first_message_as_arguments(self) -> None:
        wanted = self.chat("Hello there", options=SHORT)
        self.assertEqual(self.output("chat", TINY, "Hello", "there", *SHORT), wanted)

    def test_seed_repeats(self) -> None:
        self.assertEqual(self.chat("Hello", options=SHORT), self.chat("Hello", options=SHORT))
        self.assertNotEqual(self.chat("Hello", options=SHORT), self.chat("Hello", options=(*SHORT[2:], "--seed", 6)))

    def test_order_of_events(self) -> None:
        events = self.events("Hello", options=("--seed", 1, "--max-tokens", 60, "--budget", 9))
        names = [event["event"] for event in events]
        self.assertEqual(names[:4], ["ready", "message", "start", "prompt"])
        self.assertTrue(events[2]["reasoning"])
        self.assertLess(max(i for i, name in enumerate(names) if name == "reasoning"), names.index("content"))
        self.assertIn("its budget", named(events, "notice")[0]["text"])
        finish = named(events, "finish")[0]
        self.assertEqual((finish["finish_reason"], finish["generated_tokens"]), ("length", 60))
        self.assertGreaterEqual(finish["reasoning_tokens"], 9)
        self.assertEqual(finish["prompt_tokens"], named(events, "start")[0]["prompt_tokens"])

    def test_reasoning_only_when_asked(self) -> None:
        options = ("--seed", 1, "--max-tokens", 60, "--budget", 9)
        events = self.events("Hello", options=options)
        content, reasoning = text(events), text(events, "reasoning")
        self.assertTrue(content and reasoning)
        self.assertEqual(self.chat("Hello", options=options).decode().rstrip("\n"), content.rstrip("\n"))
        shown = self.chat("Hello", options=(*options, "--think")).decode()
        self.assertTrue(shown.startswith(f"<think>\n{reasoning}"), shown)
        self.assertIn("\n</think>\n" + content, shown)
        self.assertEqual(text(self.events("Hello", options=SHORT), "reasoning"), "")

    def test_the_conversation_goes_on(self) -> None:
        events = self.events("Hello", "And you?", options=SHORT)
        first, second = named(events, "finish")
        self.assertEqual(first["cached_tokens"], 0)
        self.assertGreater(second["prompt_tokens"], first["prompt_tokens"] + first["generated_tokens"])
        self.assertGreaterEqual(second["cached_tokens"], first["prompt_tokens"])
        self.assertEqual(second["context_used"], second["prompt_tokens"] + second["generated_tokens"])

    def test_lines_that_go_on(self) -> None:
        events = self.events("one\\", "two", "//x", options=SHORT)
        self.assertEqual([event["text"] for event in named(events, "message")], ["one\ntwo", "/x"])
        self.assertEqual([event["text"] for event in named(self.events("end\\", options=SHORT), "message")], ["end\n"])

    def test_context_is_full(self) -> None:
        words = self.refusal("many words " * 100, options=("--context", 50))
        self.assertIn("50", words)
        self.assertIn("/undo", words)
        events = self.events("Hello", options=("--context", 40, "--seed", 1))
        self.assertEqual(named(events, "finish")[0]["finish_reason"], "context")

    def test_interrupt_ends_a_script(self) -> None:
        process = self.start("chat", TINY, "--temperature", 0, "--mode", "instant", "Hello", stdin=subprocess.PIPE)
        os.read(process.stdout.fileno(), 1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, error.decode())

    def test_interrupt_while_waiting_for_input(self) -> None:
        process = self.start("chat", TINY, "--json", stdin=subprocess.PIPE)
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=60), 130)
        process.communicate()


class Commands(ChatTest):
    def reply(self, *lines: str, options: tuple = ()) -> str:
        return "\n".join(event["text"] for event in self.events(*lines, options=options) if event["event"] in ("reply", "note"))

    def test_help_names_all(self) -> None:
        told = self.reply("/help")
        for name in ("mode", "think", "tools", "system", "budget", "seed", "temperature", "stats", "retry", "undo", "reset", "save", "load",
                     "quit"):
            self.assertIn("/" + name, told)

    def test_modes(self) -> None:
        self.assertIn("thinking", self.reply("/mode"))
        options = ("--seed", 1, "--max-tokens", 8)
        starts = named(self.events("a", "/mode instant", "a", "/mode agent", "a", options=options), "start")
        self.assertEqual([start["reasoning"] for start in starts], [True, False, True])

    def test_settings(self) -> None:
        self.assertEqual(self.reply("/temperature", "/temperature 0.5", "/temperature", "/temperature off", "/seed 7", "/seed").splitlines(), [
            "the temperature is not set", "the temperature is 0.5", "the temperature is 0.5", "the temperature is what the mode has",
            "the seed is 7", "the seed is 7"])
        wanted = text(self.events("Hello", options=SHORT))
        options = ("--max-tokens", 40, "--mode", "instant")
        self.assertEqual(text(self.events("/seed 5", "Hello", options=options)), wanted)
        events = self.events("/budget 4", "/seed 1", "Hello", options=("--max-tokens", 30))
        self.assertIn("after 4 tokens", named(events, "notice")[0]["text"])

    def test_system_text(self) -> None:
        def tokens(*lines: str, options: tuple = ()) -> list[int]:
            return [event["prompt_tokens"] for event in named(self.events(*lines, options=(*SHORT, *options)), "start")]
        (plain,) = tokens("Hello")
        (told,) = tokens("/system Be brief.", "Hello")
        self.assertGreater(told, plain)
        self.assertEqual(tokens("Hello", options=("--system", "Be brief.")), [told])
        self.assertEqual(tokens("/system off", "Hello", options=("--system", "Be brief.")), [plain])
        self.assertEqual(self.reply("/system", options=("--system", "Be brief.")), "Be brief.")
        self.assertEqual(tokens("Hello", "/reset", "Hello", options=("--system", "Be brief.")), [told, told])

    def test_undo_retry_reset(self) -> None:
        events = self.events("Hello", "/undo", "Hello", options=SHORT)
        first, second = named(events, "finish")
        self.assertEqual(first["prompt_tokens"], second["prompt_tokens"])
        events = self.events("Hello", "/retry", "/stats", options=SHORT)
        first, second = Answering.answers(events)
        self.assertEqual(text(self.events("Hello", options=(*SHORT[2:], "--seed", 6))), second)
        self.assertNotEqual(first, second)
        starts = named(self.events("Hello", "/retry", "/retry", options=SHORT), "start")
        self.assertEqual(len({start["prompt_tokens"] for start in starts}), 1)
        for line, words in (("/undo", "nothing to take back"), ("/retry", "no message")):
            with self.subTest(line): self.assertIn(words, self.refusal(line, options=SHORT))

    def test_statistics(self) -> None:
        events = self.events("Hello", "/stats", options=SHORT)
        told = named(events, "reply")[0]["text"]
        for words in ("prompt, new", "answer", "tokens/s", "context used"): self.assertIn(words, told)
        rows = {line[:22].strip(): line[22:].split() for line in told.splitlines()}
        finish = named(events, "finish")[0]
        self.assertEqual(int(rows["answer"][0]), finish["generated_tokens"])
        self.assertEqual(int(rows["context used"][0]), finish["context_used"])

    def test_statistics_of_streamed_experts(self) -> None:
        self.assertNotIn("expert_store", named(self.events("Hello", options=SHORT), "finish")[0])
        events = self.events("Hello", "And you?", "/stats", options=(*SHORT, "--load", "stream"))
        stores = [event["expert_store"] for event in named(events, "finish")]
        # Each turn has its own counts; all experts have room, so that none is read twice.
        self.assertTrue(0 < sum(store["uses"] - store["hits"] - store["on_the_way"] for store in stores) <= 48)
        self.assertGreater(stores[1]["hits"] / stores[1]["uses"], 0.9)
        told = named(events, "reply")[0]["text"]
        rows = {line[:22].strip(): line[22:].split() for line in told.splitlines()}
        self.assertEqual(rows["experts in memory"][:3], [f"{stores[1][name]:,}" if name else "of" for name in ("hits", "", "uses")])
        self.assertIn("waited for reads", rows)

    def test_quit(self) -> None:
        self.assertEqual(len(named(self.events("Hello", "/quit", "never", options=SHORT), "message")), 1)

    def test_refusals_end_a_script_and_teach(self) -> None:
        for line, words in (
            ("/foo", "/help"), ("/", "/help"), ("/mode fast", "instant, thinking and agent"), ("/mode swarm", "instant"), ("/seed x", "whole number"),
            ("/temperature 200", "temperature is 200"), ("/temperature nan", "temperature"), ("/budget -1", "0 or more"), ("/stats", "Ask something"),
            ("/save", "/save"), ("/save x.txt", ".json"), ("/save /nowhere/x.md", "/nowhere"), ("/load", "/load"), ("/load none.json", "none.json"),
            ("/tools on nothing", "calculator"), ("/tools on read_file", "--folder"), ("/tools use", "/tools on"), ("/tools jump", "try"),
            ("/tools try calculator {", "calculator"), ("/think maybe", "on, off"), ("/think", "no reasoning"),
        ):
            with self.subTest(line): self.assertIn(words, self.refusal(line))
        result = self.run_kimi("chat", TINY, "--json", input=b"/foo\nnever\n")
        self.assertEqual(result.returncode, 1)
        last = json.loads(result.stdout.splitlines()[-1])
        self.assertEqual(last["event"], "error")
        self.assertIn("/help", last["next"])

    def test_input_that_is_no_text(self) -> None:
        self.assertIn("UTF-8", self.failure("chat", TINY, input=b"\xff\xfe\n"))

    def test_usage(self) -> None:
        for arguments in (["--mode", "swarm"], ["--seed", "-1"], ["--budget", "x"]):
            with self.subTest(arguments): self.failure("chat", TINY, *arguments, code=64)
        for arguments, words in ((["--temperature", "200"], "temperature is 200"), (["--top-p", "2"], "top_p"), (["--max-tokens", "0"], "max_tokens"),
                                 (["--budget=-1"], "0 or more"), (["--folder", "/nowhere"], "/nowhere"), (["--folder", "/etc/passwd"], "not a folder")):
            with self.subTest(arguments): self.assertIn(words, self.failure("chat", TINY, *arguments))
        self.failure("chat", self.folder)


class Files(ChatTest):
    def test_a_saved_conversation_goes_on(self) -> None:
        path = self.folder / "talk.json"
        whole = self.events("Hello", "And you?", "/seed 9", f"/save {path}", "Last", options=(*SHORT, "--system", "Be brief."))
        saved = json.loads(path.read_text())
        self.assertEqual([message["role"] for message in saved["messages"]], ["system", "user", "assistant", "user", "assistant"])
        self.assertEqual([saved["messages"][i]["content"] for i in (0, 1, 3)], ["Be brief.", "Hello", "And you?"])
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        loaded = self.events(f"/load {path}", "/seed 9", "Last", options=SHORT)
        self.assertEqual(Answering.answers(loaded)[-1], Answering.answers(whole)[-1])
        self.assertEqual(named(loaded, "finish")[-1]["prompt_tokens"], named(whole, "finish")[-1]["prompt_tokens"])

    def test_markdown(self) -> None:
        path = self.folder / "talk.md"
        events = self.events("Hello", f"/save {path}", options=("--seed", 1, "--max-tokens", 60, "--budget", 9))
        told = path.read_text()
        self.assertTrue(told.startswith("## You\n\nHello\n\n## Kimi\n\n<details><summary>Reasoning</summary>"), told)
        self.assertNotIn("\x1b", told)

    def test_other_programs_conversations(self) -> None:
        path = self.folder / "other.json"
        path.write_text(json.dumps([
            {"role": "user", "content": [{"type": "text", "text": "What "}, {"type": "text", "text": "time?"}]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call_abc", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call_abc", "content": "noon"}, {"role": "assistant", "content": "It is noon."}]))
        events = self.events(f"/load {path}", "Thanks", options=SHORT)
        self.assertEqual(named(events, "reply")[0]["text"], "It is noon.")
        self.assertEqual(len(named(events, "finish")), 1)

    def test_files_that_are_no_conversations(self) -> None:
        path = self.folder / "bad.json"
        for content, words in (
            ("", "JSON"), ("[", "JSON"), ("3", "messages"), ("{}", "messages"), ('[{"role":"king","content":"x"}]', "messages[0].role"),
            ('[{"content":"x"}]', "messages[0].role"), ('[{"role":"user","content":4}]', "messages[0].content"),
            ('[{"role":"assistant","tool_calls":[{}]}]', "tool_calls[0]"), ('[{"role":"tool","tool_call_id":"nobody","content":"x"}]', "messages[0]"),
            ("[" * 10000, "JSON"),
        ):
            with self.subTest(content[:40]):
                path.write_text(content)
                self.assertIn(words, self.refusal(f"/load {path}"))

    def test_nothing_is_left_beside(self) -> None:
        self.chat("Hello", f"/save {self.folder}/a.json", f"/save {self.folder}/a.json", options=SHORT)
        self.assertEqual(self.listing(), ["a.json"])


class Tools(ChatTest):
    def tried(self, name: str, arguments: dict, options: tuple = ()) -> str:
        return self.chat(f"/tools try {name} {json.dumps(arguments)}", options=options).decode().rstrip("\n")

    def test_calculator(self) -> None:
        lines, wanted = [], []
        for expression, value in (
            ("1+2*3", 7), ("(1+2)*3", 9), ("-2^2", -4), ("2^3^2", 512), ("2**10", 1024), ("7 % 4", 3), ("10/4", 2.5), ("0.1+0.2", 0.3),
            ("1e3", 1000), ("2e", None), ("2*e", 2 * math.e), ("sqrt(2)", math.sqrt(2)), ("max(3, 4)", 4), ("sin(pi/2)", 1), ("factorial(5)", 120),
            ("1_000 × 3 − 1", 2999), ("atan2(1,1)", math.pi / 4), ("9007199254740991", 9007199254740991), ("--3", 3), (".5+1.", 1.5),
            ("2^0.5", math.sqrt(2)), ("ln(e)", 1), ("log(1000)", 3), ("5!", None), ("1/0", None), ("sqrt(-1)", None), ("", None), ("(" * 5000, None),
            ("(1", None), ("1)", None), ("__import__('os')", None), ("min(1)", None), ("1 2", 12), ("x", None), ("1..2", None),
        ):
            lines.append(expression)
            wanted.append(value)
        for expression, value in zip(lines, wanted):
            with self.subTest(expression[:40]):
                line = f"/tools try calculator {json.dumps({'expression': expression})}"
                if value is None:
                    self.refusal(line)
                else:
                    self.assertAlmostEqual(float(self.chat(line)), value, places=12)

    def test_clock(self) -> None:
        told = self.tried("current_time", {})
        self.assertIn(time.strftime("%Y-%m-%d", time.gmtime()), told)
        self.assertIn("UTC", told)

    def folder_with_files(self) -> tuple:
        root = self.folder / "shared"
        (root / "sub").mkdir(parents=True)
        (root / "a.txt").write_text("one\nTwo words\nthree\n")
        (root / "sub" / "b.txt").write_text("two again\n")
        (root / "binary").write_bytes(b"\0\1\2two")
        (self.folder / "secret.txt").write_text("two secrets\n")
        (self.folder / "shared2").mkdir()
        (self.folder / "shared2" / "c.txt").write_text("two\n")
        (root / "out").symlink_to(self.folder / "secret.txt")
        (root / "up").symlink_to(self.folder)
        (root / "in").symlink_to("a.txt")
        os.mkfifo(root / "pipe")
        return ("--folder", root)

    def test_files(self) -> None:
        options = self.folder_with_files()
        listed = self.tried("list_files", {}, options).splitlines()
        self.assertEqual([line.split()[0] for line in listed], ["a.txt", "binary", "in", "out", "pipe", "sub/", "up"])
        self.assertEqual(self.tried("read_file", {"path": "a.txt"}, options), "1\tone\n2\tTwo words\n3\tthree")
        self.assertEqual(self.tried("read_file", {"path": "in", "first_line": 2, "lines": 1}, options).splitlines()[0], "2\tTwo words")
        self.assertEqual(self.tried("search_files", {"text": "TWO"}, options).splitlines(), ["a.txt:2: Two words", "sub/b.txt:1: two again"])
        self.assertEqual(self.tried("search_files", {"text": "two", "path": "sub"}, options), "sub/b.txt:1: two again")
        self.assertIn("no line", self.tried("search_files", {"text": "four"}, options))

    def test_the_folder_is_not_left(self) -> None:
        options = self.folder_with_files()
        for path in ("../secret.txt", "out", "up/secret.txt", "/etc/passwd", "sub/../../secret.txt", "../shared2/c.txt", f"{self.folder}/shared2/c.txt",
                     "up", "..", "/", "up/shared2", "a.txt/..", "pipe", "a\0b", "/proc/self/environ", "sub", "none", "binary", ""):
            with self.subTest(path):
                told = self.refusal(f"/tools try read_file {json.dumps({'path': path})}", options=options)
                self.assertNotIn("secrets", told)
        for name, path in (("list_files", "up"), ("list_files", ".."), ("search_files", "up"), ("search_files", "../shared2"), ("list_files", "a.txt")):
            with self.subTest((name, path)):
                self.refusal(f"/tools try {name} {json.dumps({'path': path, 'text': 'two'})}", options=options)

    def test_arguments_of_the_wrong_kind(self) -> None:
        options = self.folder_with_files()
        for call in ("read_file {}", "read_file []", "read_file {\"path\":3}", "calculator {}", "search_files {\"text\":\"\"}", "read_file x",
                     'read_file {"path":"a.txt","first_line":9223372036854775807}'):
            with self.subTest(call): self.refusal("/tools try " + call, options=options)

    def test_tools_are_off_until_asked_for(self) -> None:
        (plain,) = named(self.events("Hello", options=SHORT), "start")
        (more,) = named(self.events("Hello", options=(*SHORT, "--tools")), "start")
        self.assertGreater(more["prompt_tokens"], plain["prompt_tokens"])
        starts = named(self.events("/tools on calculator", "Hello", "/undo", "/tools off", "Hello", options=SHORT), "start")
        self.assertEqual(starts[1]["prompt_tokens"], plain["prompt_tokens"])
        self.assertTrue(plain["prompt_tokens"] < starts[0]["prompt_tokens"] < more["prompt_tokens"])

    def test_a_call_and_its_result(self) -> None:
        events = self.events("/tools use current_time", "Hello", options=("--mode", "instant", "--tools", "--yes", "--seed", 1, "--max-tokens", 300))
        names = [event["event"] for event in events]
        begin, end, result = (named(events, name)[0] for name in ("call_begin", "call_end", "result"))
        self.assertEqual({event["call_id"] for event in (begin, end, result)}, {"functions.current_time:0"})
        self.assertEqual(json.loads(end["arguments"]), {})
        self.assertEqual(result["outcome"], "ok")
        self.assertIn("UTC", result["text"])
        self.assertLess(names.index("call_end"), names.index("result"))
        # The step after it evaluates only what is new.
        first, second = named(events, "start")[:2]
        self.assertGreaterEqual(second["cached_tokens"], first["prompt_tokens"])

    def test_nobody_to_ask(self) -> None:
        events = self.events("/tools use current_time", "Hello", options=("--mode", "instant", "--tools", "--seed", 1, "--max-tokens", 300))
        result = named(events, "result")[0]
        self.assertEqual(result["outcome"], "failed")
        self.assertIn("--yes", text(events, "note"))


if __name__ == "__main__":
    unittest.main()
