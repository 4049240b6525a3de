"""The report, opened in a browser: nothing missing, nothing wrong, nothing from elsewhere, on a desk and on a phone."""

from __future__ import annotations

import json
import re
import time
import unittest
from typing import Any

from PIL import Image

from common import LoopTest
from visual_loop import Region, Round, Target, Tint, View, report
from visual_loop.browser import Browser

HOSTILE = "</code></pre><script>document.title='taken'</script><img src=x onerror=alert(1)> & \ud800 \0"

_LOOK = """JSON.stringify({
    pictures: document.images.length,
    loaded: [...document.images].filter(each => each.complete && each.naturalWidth > 0).length,
    rounds: [...document.querySelectorAll('.round')].map(each => each.querySelector('h2 .score').textContent),
    best: document.querySelector('.mark') && document.querySelector('.mark').closest('.round').id,
    code: [...document.querySelectorAll('.round pre')].map(each => each.textContent),
    points: document.querySelectorAll('svg .point').length, crosses: document.querySelectorAll('svg .cross').length,
    state: document.querySelector('.state').textContent, title: document.title, scripts: document.scripts.length,
    wide: document.documentElement.scrollWidth, ground: getComputedStyle(document.body).backgroundColor,
    requests: performance.getEntriesByType('resource').map(each => each.name).filter(each => !each.startsWith('data:')),
})"""


class Opened(LoopTest):
    def open(self, text: str, width: int, dark: bool = False) -> tuple[dict[str, Any], list[str]]:
        """What the page holds, and what the console says."""
        path = self.folder / "report.html"
        path.write_text(text, "utf-8")
        self.folder.chmod(0o755)
        said: list[str] = []
        loaded: list[bool] = []

        def handle(event: dict[str, Any]) -> None:
            if event["method"] == "Page.loadEventFired":
                loaded.append(True)
            elif event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                said.append(json.dumps(event["params"]))

        deadline = time.monotonic() + 60
        with Browser(self.chromium, deadline) as browser:
            pipe = browser.pipe
            tab = pipe.call("Target.createTarget", None, deadline, url="about:blank")["targetId"]
            session = pipe.call("Target.attachToTarget", None, deadline, targetId=tab, flatten=True)["sessionId"]

            def call(method: str, **parameters: Any) -> Any:
                return pipe.call(method, session, deadline, handle, **parameters)

            for domain in ("Page", "Runtime", "Log"):
                call(f"{domain}.enable")
            call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            call("Emulation.setEmulatedMedia", features=[scheme])
            loaded.clear()
            call("Page.navigate", url=path.as_uri())
            pipe.run_until(lambda: bool(loaded), deadline, handle, "the report")
            found = call("Runtime.evaluate", expression=_LOOK, returnByValue=True)["result"]["value"]
        return json.loads(found), said

    def test_every_round_is_there(self) -> None:
        picture = Image.effect_noise((640, 400), 80).convert("RGB")
        seen = View(0.91, 0.1, [Region(0, 8, 96, 104, 0.7, "#112233", "#445566")], [Tint(0.4, "#eef2f6", "#e2e8ee")], 640, 4000)
        seen.render = seen.difference = picture
        better = View(0.9912, 0.01, render=picture, difference=picture, page_width=640, page_height=400)
        rounds = [
            Round(1, HOSTILE, HOSTILE, [seen], [HOSTILE]), Round(2, None, notes=["the generator failed: OSError"]),
            Round(3, "words", None, notes=["there is no HTML in the answer"]), Round(4, "<p>", "<p>", [better]),
            Round(5, "<p>5", "<p>5", [View(notes=["no picture: it hangs"])]),
        ]
        state, title = f"Reached {HOSTILE}", f"harbour {HOSTILE}"
        text = report([Target(picture)], rounds, threshold=0.98, state=state, title=title, about=HOSTILE)
        self.assertFalse(re.search(r'(?:src|href)="(?!data:)', text))
        grounds = set()
        for width, dark in ((1280, False), (360, True)):
            found, said = self.open(text, width, dark)
            self.assertEqual(said, [])
            self.assertEqual((found["pictures"], found["loaded"]), (7, 7))
            self.assertEqual(found["rounds"], ["0.9100", "no page", "no page", "0.9912", "0.0000"])
            self.assertEqual((found["best"], found["points"], found["crosses"]), ("round-4", 3, 2))
            self.assertIn("<script>document.title='taken'</script>", found["code"][0])
            self.assertTrue(found["title"].startswith("harbour </code>") and found["state"].startswith("Reached"))
            self.assertEqual((found["scripts"], found["requests"]), (0, []))
            self.assertLessEqual(found["wide"], width)
            grounds.add(found["ground"])
        self.assertEqual(len(grounds), 2)

    def test_states_and_no_rounds(self) -> None:
        picture = Image.new("RGB", (300, 200), "teal")
        targets = [Target(picture, f"state {number}", f"state-{number}", f"at {number} s") for number in (1, 2, 3)]
        views = [View(score, render=picture, difference=picture) for score in (1.0, 0.5, 0.75)]
        found, said = self.open(report(targets, [Round(1, "<p>", "<p>", views)], threshold=0.98, state="Below"), 900)
        self.assertEqual((said, found["pictures"], found["loaded"], found["rounds"]), ([], 15, 15, ["0.7500"]))
        found, said = self.open(report(targets, [], threshold=0.98, state="Stopped after 0 rounds"), 360)
        self.assertEqual((said, found["pictures"], found["rounds"], found["points"]), ([], 3, [], 0))


if __name__ == "__main__":
    unittest.main()
