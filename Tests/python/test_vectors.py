"""The published vectors of prompts, tool declarations and outputs, through the binding."""

import json
import unittest
from typing import Any, List

from common import FIXTURES, KimiTest

import kimi


def vectors(name: str) -> List[Any]:
    found: List[Any] = json.loads((FIXTURES / "vectors" / f"{name}.json").read_text())
    assert found
    return found


class Vectors(KimiTest):
    def request(self, case: Any) -> Any:
        return {"chat_template_kwargs": case["kwargs"], "add_generation_prompt": case["add_generation_prompt"]}

    def test_prompts(self) -> None:
        for at, case in enumerate(vectors("chat_template")):
            with self.subTest(at):
                prompt = self.model.render(case["messages"], case["tools"], **self.request(case))
                self.assertEqual(prompt, case["prompt"])

    def test_prompts_as_ids(self) -> None:
        names = list(self.model.special_tokens)
        for at, case in enumerate(vectors("chat_template")):
            if "<|media_" in case["prompt"] or "video_placeholder" in case["prompt"]:
                continue
            with self.subTest(at):
                ids = self.model.render_ids(case["messages"], case["tools"], **self.request(case))
                self.assertEqual(self.model.decode(ids).decode(), case["prompt"])
                said = json.dumps([case["messages"], case["tools"]], ensure_ascii=False)
                if not any(name in said for name in names):
                    self.assertEqual(ids, self.model.encode(case["prompt"], special=True))

    def test_mode(self) -> None:
        prompts = {mode: self.model.render("Hello", mode=mode) for mode in (None, "instant", "thinking", "agent", "swarm")}
        self.assertTrue(prompts["instant"].endswith("<think></think>"), prompts["instant"])
        thinking = "<|im_user|>user<|im_middle|>Hello<|im_end|><|im_assistant|>assistant<|im_middle|><think>"
        for mode in (None, "thinking", "agent"):
            self.assertEqual(prompts[mode], thinking)
        for off in ({"thinking": {"type": "disabled"}}, {"chat_template_kwargs": {"thinking": False}}):
            self.assertEqual(self.model.render("Hello", **off), prompts["instant"])
        with self.assertRaises(ValueError):
            self.model.render("Hello", mode="deep")

    def test_markers_in_text_stay_text(self) -> None:
        for name, id in self.model.special_tokens.items():
            counts = [ids.count(id) for ids in (self.model.render_ids("Hello"), self.model.render_ids(f"Hello {name}"))]
            self.assertEqual(counts[0], counts[1], name)

    def test_functions_as_tools(self) -> None:
        def get_weather(city: str, days: int = 3) -> str:
            """Looks up the weather.

            Args:
                city: Its name.
            """
            return city

        for prompt in (
            self.model.render("Hello", [get_weather]),
            self.model.render("Hello", [kimi.tool(get_weather)]),
            self.model.render("Hello", [kimi.tool(get_weather).schema]),
        ):
            self.assertIn("// Looks up the weather.\ntype get_weather = (_: {\n  // Its name.\n  city: string,\n", prompt)

    def test_typescript(self) -> None:
        for at, case in enumerate(vectors("tools_typescript")):
            with self.subTest(at):
                self.assertEqual(kimi.tools_to_typescript(case["tools"]), case["typescript"])

    def test_outputs(self) -> None:
        for case in vectors("tool_parse"):
            with self.subTest(case["text"]):
                ids = self.model.encode(case["text"], special=True)
                for output in (case["text"], case["text"].encode(), ids, iter(ids)):
                    parsed = kimi.parse_output(self.model, output, thinking=case["thinking"])
                    if output is case["text"]:
                        self.assertEqual(kimi.parse_output(output, thinking=case["thinking"]), parsed, "without a model")
                    self.assertEqual({name: parsed[name] for name in ("reasoning_content", "content")},
                                     {name: case[name] for name in ("reasoning_content", "content")})
                    calls = [{name: call[name] for name in ("id", "name", "arguments")} for call in parsed["tool_calls"]]
                    self.assertEqual(calls, case["tool_calls"])

    def test_bad_requests(self) -> None:
        for messages, tools, fields, subject in (
            ([], None, {}, "messages"),
            ([{"content": "x"}], None, {}, "messages[0]"),
            ([{"role": "user", "content": "x"}, {"role": "nobody", "content": "x"}], None, {}, "messages[1]"),
            ("x", [{"type": "function", "function": {}}], {}, "tools[0]"),
            ("x", None, {"tool_choice": "sometimes"}, "tool_choice"),
        ):
            with self.subTest(subject), self.fails(kimi.Status.INVALID_ARGUMENT) as failure:
                self.model.render(messages, tools, **fields)
            self.assertIn(subject, f"{failure.error.subject} {failure.error.message}")
        with self.assertRaises(TypeError):
            self.model.render([{"role": "user", "content": b"bytes"}])
        with self.assertRaises(ValueError):
            self.model.render("x", temperature=float("nan"))
        with self.assertRaises(TypeError):
            self.model.render("x", tools=[5])  # type: ignore[list-item]
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            kimi.tools_to_typescript([{"name": 5}])
        with self.fails(kimi.Status.INVALID_ARGUMENT):
            kimi.parse_output(self.model, [10**6])
        with self.assertRaises(TypeError):
            kimi.parse_output(self.model, 5)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            kimi.parse_output([1, 2])  # type: ignore[arg-type]


if __name__ == "__main__":
    unittest.main()
