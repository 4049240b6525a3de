"""`kimi swarm`: a scripted main agent with sub-agents, their tools, limits and accounts; and `kimi bench --swarm`."""

import json
import os
import re
import signal
import time
from pathlib import Path

from common import TINY, ProgramTest
from terminal import Person


def call(name: str, /, **arguments: object) -> dict:
    return {"name": name, "arguments": arguments}


def plan(agents: dict[str, list], *, end: str = "The end.") -> dict:
    """The script of a main agent that makes these agents, gives each a task, and says the end."""
    make = {"calls": [call("create_subagent", name=name, system_prompt="You work.") for name in agents]}
    ask = {"calls": [call("assign_task", agent=name, prompt=f"Work, {name}.") for name in agents]}
    return {"main": [[make, ask, end]]} | {name: [steps] for name, steps in agents.items()}


class SwarmTest(ProgramTest):
    def script(self, script: object) -> Path:
        path = self.folder / "script.json"
        path.write_text(json.dumps(script))
        return path

    def tool(self, name: str, command: list[str], **members: object) -> Path:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({"name": name, "description": "A tool.", "command": command} | members))
        return path

    def events(self, script: object, *options: object, code: int = 0) -> list[dict]:
        result = self.run_kimi("swarm", TINY, "Go", "--script", self.script(script), "--json", "--seed", 1, *options)
        self.assertEqual(result.returncode, code, result.stderr.decode())
        return [json.loads(line) for line in result.stdout.splitlines()]

    @staticmethod
    def outcomes(account: dict) -> list[str]:
        return [task["outcome"] for task in account["tasks"]]


# Steps counted by hand: the main agent makes 3, "long" 3.
UNEVEN = {"short": ["done"], "long": [{"calls": [call("say")]}, {"calls": [call("say")]}, "done at last"]}


class Working(SwarmTest):
    def test_account_is_what_was_counted_by_hand(self) -> None:
        *events, last = self.events(plan(UNEVEN), "--tool", self.tool("say", ["echo", "said"]))
        self.assertEqual(last["event"], "finish")
        self.assertEqual((last["answer"], last["finish"]), ("The end.", "stop"))
        self.assertEqual((last["critical_steps"], last["total_steps"], last["stages"]), (3 + 3, 3 + 1 + 3, 3))
        self.assertEqual([agent["name"] for agent in last["agents"]], ["main", "short", "long"])
        self.assertEqual([agent["steps"] for agent in last["agents"]], [3, 1, 3])
        self.assertEqual(self.outcomes(last), ["finished", "finished"])
        by_name = {name: [each for each in events if each["event"] == name] for name in {each["event"] for each in events}}
        self.assertEqual([(each["agent"], each["name"]) for each in by_name["created"]], [(1, "short"), (2, "long")])
        self.assertTrue(all(each["parent"] == 0 for each in by_name["created"]))
        self.assertEqual({each["prompt"] for each in by_name["task_began"]}, {"Work, short.", "Work, long."})
        self.assertEqual({each["result"] for each in by_name["task_ended"]}, {"done", "done at last"})
        results = [each for each in by_name["result"] if each["agent"] == 2]
        self.assertEqual([(each["text"], each["outcome"]) for each in results], [("said\n", "ok")] * 2)
        text = "".join(each["text"] for each in by_name["content"] if each["agent"] == 2)
        self.assertEqual(text, "done at last")

    def test_answer_and_log(self) -> None:
        result = self.run_kimi(
            "swarm", TINY, "-", "--script", self.script(plan(UNEVEN)), "--tool", self.tool("say", ["echo", "said"]), input=b"Go")
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stdout, b"The end.\n")
        log = result.stderr.decode()
        self.assertNotIn("\x1b", log)
        for words in ("short: created: You work.", "long: begins: Work, long.", "long: calls say {}", "long: say ok: said",
                      "long: step 3, prompt of", "short: done, 1 steps", "main: ends: stop"):
            self.assertIn(words, log)
        self.assertRegex(log, r"\ncritical steps +6\n")
        self.assertRegex(log, r"\nsteps of all agents +7\n")
        self.assertRegex(log, r"\nlong +1 +finished +3 ")

    def test_trace_nests_and_names_all(self) -> None:
        trace = self.folder / "trace.json"
        self.events(plan(UNEVEN), "--tool", self.tool("say", ["sleep", "0.2"]), "--trace", trace)
        events = json.loads(trace.read_text())["traceEvents"]
        names = {each["tid"]: each["args"]["name"] for each in events if each["name"] == "thread_name"}
        self.assertEqual(names, {0: "main", 1: "short", 2: "long"})
        spans = [each for each in events if each["ph"] == "X"]
        tools = [each for each in spans if each["cat"] == "tool" and each["tid"] == 2]
        self.assertEqual(len(tools), 2)
        self.assertTrue(all(each["dur"] >= 200_000 for each in tools), tools)
        (task,) = [each for each in spans if each["cat"] == "task" and each["tid"] == 2]
        for tool in tools:
            self.assertTrue(task["ts"] <= tool["ts"] and tool["ts"] + tool["dur"] <= task["ts"] + task["dur"])

    def test_waits_of_many_agents_overlap(self) -> None:
        agents = {f"a{n}": [{"calls": [call("nap")]}, "ok"] for n in range(20)}
        nap = self.tool("nap", ["sleep", "0.5"])
        last = self.events(plan(agents), "--tool", nap)[-1]
        busy = sum(agent["busy_seconds"] for agent in last["agents"][1:])
        self.assertGreater(busy, 20 * 0.5)
        # In line they overlap no more.
        begun = {}
        for task in self.events(plan(dict(list(agents.items())[:4])), "--tool", nap, "--parallel", 1)[-1]["tasks"]:
            begun[task["start_us"]] = task["end_us"]
        ends = [begun[start] for start in sorted(begun)]
        self.assertTrue(all(end <= start for end, start in zip(ends, sorted(begun)[1:])))
        self.assertGreaterEqual(ends[-1], 4 * 500_000)

    def test_built_in_tools_and_folder(self) -> None:
        (self.folder / "notes").mkdir()
        (self.folder / "notes" / "a.txt").write_text("the answer is 42\n")
        steps = [{"calls": [call("calculator", expression="6 * 7"), call("search_files", text="answer")]}, "found"]
        events = self.events(plan({"a": steps}), "--tools", "--folder", self.folder / "notes")
        results = {each["call_id"].split(":")[0]: each["text"] for each in events if each["event"] == "result" and each["agent"] == 1}
        self.assertEqual(results["functions.calculator"], "42")
        self.assertIn("a.txt:1: the answer is 42", results["functions.search_files"])

    def test_seed_repeats_what_the_model_chooses(self) -> None:
        # "a" is the model's own.
        script = plan({"a": []})
        del script["a"]
        def said() -> str:
            return next(each["result"] for each in self.events(script, "--tokens", 30) if each["event"] == "task_ended")
        self.assertEqual(said(), said())


class Programs(SwarmTest):
    """Tools that are programs of the user's."""

    def results(self, tool: Path, arguments: dict | None = None) -> list[dict]:
        name = tool.stem
        events = self.events(plan({"a": [{"calls": [call(name, **(arguments or {}))]}, "ok"]}), "--tool", tool)
        return [(each["outcome"], each["text"]) for each in events if each["event"] == "result" and each["agent"] == 1]

    def test_arguments_come_on_the_standard_input(self) -> None:
        schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        (result,) = self.results(self.tool("cat", ["cat"], parameters=schema), {"text": "a \"quoted\" word\n"})
        self.assertEqual((result[0], json.loads(result[1])), ("ok", {"text": "a \"quoted\" word\n"}))

    def test_failures_are_told(self) -> None:
        for command, wanted in (
            (["sh", "-c", "echo trouble >&2; exit 3"], ("failed", "it ended with exit code 3: trouble\n")),
            (["sh", "-c", "kill -9 $$"], ("failed", "signal 9 ended it")),
            (["/no/such/program"], ("failed", "cannot run /no/such/program: No such file or directory")),
        ):
            with self.subTest(command):
                self.assertEqual(self.results(self.tool("bad", command)), [wanted])

    def test_time_and_children(self) -> None:
        # The shell's own child holds the output open; both end.
        marker = f"{os.getpid()}.5"
        tool = self.tool("slow", ["sh", "-c", f"sleep {marker} & wait"], timeout=0.3)
        begin = time.monotonic()
        self.assertEqual(self.results(tool)[0][0], "timed_out")
        self.assertLess(time.monotonic() - begin, 60)
        self.assertEqual(self.sleepers(marker), [])

    def test_nothing_outlives_the_run(self) -> None:
        marker = f"{os.getpid()}.25"
        tool = self.tool("slow", ["sh", "-c", f"sleep {marker} & wait"])
        last = self.events(plan({"a": [{"calls": [call("slow")]}, "ok"]}), "--tool", tool, "--time", 1)[-1]
        self.assertEqual((last["finish"], self.outcomes(last)), ("cancelled", ["all_time"]))
        time.sleep(0.2)
        self.assertEqual(self.sleepers(marker), [])

    @staticmethod
    def sleepers(marker: str) -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try: words = path.read_bytes().split(b"\0")
            except OSError: continue
            if words[:2] == [b"sleep", marker.encode()]: found.append(str(path))
        return found

    def test_long_output_and_unread_input(self) -> None:
        # What the model reads of it is more than its context, so the task ends there.
        (result,) = self.results(self.tool("yes", ["sh", "-c", "exec <&-; yes | head -c 5000000"]))
        self.assertEqual(result[0], "ok")
        self.assertTrue(result[1].endswith("[cut: the tool printed more]"))
        self.assertEqual(len(result[1]), (4 << 20) + len("\n[cut: the tool printed more]"))

    def test_bad_descriptions_are_refused(self) -> None:
        for members, words in (
            ({"command": []}, "command is an array; it must be a list of texts"), ({"command": "ls"}, "command is a string"),
            ({"timeout": 0}, "timeout is"), ({"timeout": "long"}, "timeout is"), ({"shell": True}, "there is no \"shell\" in a tool"),
            ({"name": "a b"}, "name"), ({"parameters": 3}, "parameters"), ({"name": "assign_task"}, "swarm's own"),
        ):
            with self.subTest(members):
                path = self.folder / "bad.json"
                path.write_text(json.dumps({"name": "bad", "command": ["true"]} | members))
                self.assertIn(words, self.failure("swarm", TINY, "Go", "--tool", path))
        self.failure("swarm", TINY, "Go", "--tool", self.folder / "missing.json")


class Limits(SwarmTest):
    def test_each_limit_ends_what_it_is_for(self) -> None:
        say = ("--tool", self.tool("say", ["echo", "said"]))
        words = {"short": ["one two three four five six seven eight nine ten"], "long": UNEVEN["long"]}
        for options, outcomes in (
            (["--steps", 2], ["finished", "steps"]), (["--tokens", 3], ["tokens", "tokens"]),
            (["--agents", 1], ["finished"]), (["--result-bytes", 4], ["finished", "finished"]),
        ):
            with self.subTest(options):
                last = self.events(plan(words), *say, *options)[-1]
                self.assertEqual(self.outcomes(last), outcomes)
        self.assertTrue(all(task["result_bytes"] < 60 for task in last["tasks"]))
        last = self.events(plan(UNEVEN), *say, "--main-steps", 2)[-1]
        self.assertEqual((last["finish"], last["stages"]), ("steps", 2))
        # Whose turn it is when they are used up is a matter of time.
        last = self.events(plan(UNEVEN), *say, "--all-tokens", 200)[-1]
        self.assertLessEqual(last["tokens"]["generated"], 200)

    def test_time_of_a_task(self) -> None:
        nap = self.tool("nap", ["sleep", "30"])
        begin = time.monotonic()
        last = self.events(plan({"a": [{"calls": [call("nap")]}, "ok"], "b": ["ok"]}), "--tool", nap, "--task-time", 0.5)[-1]
        self.assertEqual((last["finish"], self.outcomes(last)), ("stop", ["time", "finished"]))
        self.assertLess(time.monotonic() - begin, 25)

    def test_options_out_of_range(self) -> None:
        for options in (["--agents", 0], ["--agents", 1001], ["--steps", 0], ["--result-bytes", 0], ["--parallel", 0], ["--parallel-tools", 0]):
            with self.subTest(options): self.failure("swarm", TINY, "Go", *options)
        for options in (["--time", 0], ["--time", "soon"], ["--task-time", "nan"], ["--result-bytes", "4K"]):
            with self.subTest(options): self.failure("swarm", TINY, "Go", *options, code=64)
        self.assertIn("the task is empty", self.failure("swarm", TINY, ""))

    def test_bad_scripts_are_refused(self) -> None:
        for script, words in (
            ([], "the script is an array"), ({"main": "x"}, "main is a string"), ({"main": ["x"]}, "main[0] is a string"),
            ({"main": [[3]]}, "main[0][0] is an integer"), ({"main": [[{"text": "x"}]]}, "there is no \"text\" in a step"),
            ({"main": [[{"calls": [{"arguments": {}}]}]]}, "main[0][0].calls[0]"),
            ({"main": [[{"calls": [{"name": "a", "arguments": "{}"}]}]]}, "arguments is a string"),
        ):
            with self.subTest(script): self.assertIn(words, self.failure("swarm", TINY, "Go", "--script", self.script(script)))


class Interrupted(SwarmTest):
    def test_ctrl_c_gives_the_account(self) -> None:
        nap = self.tool("nap", ["sleep", "60"])
        script = self.script(plan({"a": [{"calls": [call("nap")]}, "ok"]}))
        kimi = self.start("swarm", TINY, "Go", "--script", script, "--tool", nap, "--json")
        self.addCleanup(kimi.kill)
        for line in kimi.stdout:
            if json.loads(line)["event"] == "call_end" and json.loads(line)["agent"] == 1: break
        kimi.send_signal(signal.SIGINT)
        output, errors = kimi.communicate(timeout=60)
        self.assertEqual(kimi.returncode, 130, errors)
        last = json.loads(output.splitlines()[-1])
        self.assertEqual((last["event"], last["finish"], last["answer"]), ("finish", "cancelled", None))
        self.assertEqual(self.outcomes(last), ["cancelled"])


class OnTerminal(SwarmTest):
    def person(self, *options: object, **environment: str) -> Person:
        person = Person(self.environment | {"TERM": "xterm"} | environment, *options, command="swarm")
        self.addCleanup(person.close)
        return person

    def test_table_comes_and_goes(self) -> None:
        nap = self.tool("nap", ["sleep", "1.5"])
        script = self.script(plan({f"reader {n}": [{"calls": [call("nap")]}, "ok"] for n in range(50)}))
        person = self.person("Go", "--script", script, "--tool", nap)
        person.wait_for("tool nap")
        person.wait_for("more: ")
        # A frame fits the 40 rows, and writes over the one before.
        frames = re.split(rb"\x1b\[\?2026h", person.seen)[2:]
        for frame in frames:
            self.assertLessEqual(frame.count(b"\n"), 39)
            up = re.match(rb"\r(?:\x1b\[(\d+)A)?", frame)
            self.assertIsNotNone(up)
        lines = [re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", line) for line in frames[-1].split(b"\r\n")]
        self.assertTrue(all(len(line.decode()) < 100 for line in lines), lines)
        person.wait_for("critical steps")
        self.assertEqual(person.end(), 0)
        self.assertTrue(person.seen.rstrip().endswith(b"The end."))
        # The table was wiped before the account.
        self.assertRegex(person.seen, rb"\x1b\[\d+A\x1b\[J[^\x1b]*agent")

    def test_ctrl_c_at_the_keyboard(self) -> None:
        nap = self.tool("nap", ["sleep", "60"])
        person = self.person("Go", "--script", self.script(plan({"a": [{"calls": [call("nap")]}, "ok"]})), "--tool", nap)
        person.wait_for("tool nap")
        person.type("\x03")
        person.wait_for("cancelled")
        person.wait_for("wall-clock")
        self.assertEqual(person.end(), 130)

    def test_names_cannot_move_the_cursor(self) -> None:
        nap = self.tool("nap", ["sleep", "1"])
        person = self.person("Go", "--script", self.script(plan({"a\u202eb": [{"calls": [call("nap")]}, "\x1b[2J"]})), "--tool", nap)
        person.wait_for("a<U+202E>b")
        self.assertEqual(person.end(), 0)
        self.assertNotIn(b"\x1b[2J", person.seen)


class Bench(SwarmTest):
    def test_plans_have_the_steps_counted_by_hand(self) -> None:
        told = self.json("bench", TINY, "--swarm", "--agents", 8, "--tokens", 8, "--wait", 0.05)
        # 8 agents: the main agent makes a step to create, one for each stage, and one to end.
        wanted = {"wide": (3 + 1, 3 + 8, 1, 0), "staged": (6 + 4, 6 + 8, 4, 0), "uneven": (3 + 8, 3 + 2 * 15, 1, 0),
                  "tools": (3 + 2, 3 + 16, 1, 8)}
        self.assertEqual([each["plan"] for each in told["results"]], list(wanted))
        for each in told["results"]:
            with self.subTest(each["plan"]):
                found = tuple(each[name] for name in ("critical_steps", "total_steps", "stages", "waits"))
                self.assertEqual(found, wanted[each["plan"]])
                self.assertEqual(each["critical_steps_by_hand"], found[0])
                both = each["at_once"], each["one_by_one"]
                # The same work, whoever waits for whom; and as many tokens as were asked for.
                self.assertEqual(both[0]["generated_tokens"], both[1]["generated_tokens"])
                self.assertGreaterEqual(both[0]["task_tokens"], 8 * 8)
                self.assertLess(both[0]["passes"], both[1]["passes"])
        tools = told["results"][3]
        self.assertGreaterEqual(tools["one_by_one"]["task_seconds"]["min"], 8 * 0.05)

    def test_choice_of_plans(self) -> None:
        table = self.output("bench", TINY, "--swarm", "tools", "--agents", 3, "--tokens", 8, "--wait", 0, "--repeats", 2).decode()
        self.assertRegex(table, r"\ntools +whole run +\d")
        self.assertNotIn("wide", table)
        for options in (["--agents", 0], ["--tokens", 7], ["--wait", -1], ["sideways"]):
            with self.subTest(options): self.failure("bench", TINY, "--swarm", *options, code=64)
        self.failure("bench", TINY, "wide", code=64)

    def test_ctrl_c_ends_it_soon(self) -> None:
        kimi = self.start("bench", TINY, "--swarm", "tools", "--agents", 2, "--wait", 500)
        self.addCleanup(kimi.kill)
        time.sleep(3)
        kimi.send_signal(signal.SIGINT)
        kimi.communicate(timeout=30)
        self.assertEqual(kimi.returncode, 130)
