"""The page in answers of all kinds."""

from __future__ import annotations

import unittest

import common  # noqa: F401
from visual_loop import extract_html

PAGE = "<!DOCTYPE html>\n<html><body>Hi</body></html>"


class Answers(unittest.TestCase):
    def test_the_page(self) -> None:
        for answer in (
            PAGE,
            f"  {PAGE}\n\n",
            f"```html\n{PAGE}\n```",
            f"```\n{PAGE}\n```",
            f"Sure! Here it is:\n\n```html\n{PAGE}\n```\n\nI changed <b>two</b> things.",
            f"```css\nb {{ color: red }}\n```\nand\n~~~HTML\n{PAGE}\n~~~",
            f"```html\n<p>part</p><p>a long part that is no page</p>{'<p>x</p>' * 50}\n```\nAll of it:\n```html\n{PAGE}\n```",
            f"Here: {PAGE} That is it.",
            f"  ```html\n{PAGE}\n  ```",
            f"````html\n{PAGE}\n````",
        ):
            with self.subTest(answer[:40]):
                self.assertEqual(extract_html(answer), PAGE + "\n")

    def test_as_far_as_it_goes(self) -> None:
        cut = PAGE[: PAGE.index("</body>")]
        self.assertEqual(extract_html(f"```html\n{cut}"), cut + "\n")
        self.assertEqual(extract_html(f"Well: {cut}"), cut + "\n")
        self.assertEqual(extract_html("<h1>Only a part</h1>"), "<h1>Only a part</h1>\n")

    def test_a_fence_in_the_page_does_not_end_it(self) -> None:
        page = "<!doctype html><pre>\n```\ncode\n```\n</pre></html>"
        self.assertEqual(extract_html(f"~~~html\n{page}\n~~~"), page + "\n")

    def test_no_page(self) -> None:
        for answer in ("", "   \n", "I cannot see the picture.", "```python\nprint('b')\n```", "3 < 4 and 5 > 4"):
            with self.subTest(answer):
                self.assertIsNone(extract_html(answer))

    def test_long_answers_take_no_time(self) -> None:
        for answer in ("<" * 1_000_000, "```" * 300_000, "```html\n" * 100_000, "<!doctype " * 100_000, "< a" * 300_000):
            extract_html(answer)


if __name__ == "__main__":
    unittest.main()
