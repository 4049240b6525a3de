"""A page as pixels: HTML in, a picture of exactly the wanted size out, whatever the page does.

The page is answered to Chromium as https://page.invalid/ and is all there is: every other request fails, navigation away or
anew is answered with "no content", and a policy of its own forbids dialogs, windows and frames. Its clock is virtual: timers and
animations of five seconds pass as fast as they can, at the same moments each time. A page whose scripts hang, crash or take too
much memory is rendered once more without scripts.
"""

from __future__ import annotations

import base64
import io
import re
import time
from dataclasses import dataclass, field

from PIL import Image

from .browser import Browser, Chromium, TooMuchMemory
from .devtools import BrowserGone, BrowserTimeout, Message, ProtocolError

ADDRESS = "https://page.invalid/"
LARGEST_SIDE = 16_384
LARGEST_AREA = 20_000_000
LARGEST_PAGE = 8 << 20
# What the browser may take to start is no fault of the page.
START_SECONDS = 30.0
# The least for a page without its scripts: it is the last try.
LAST_SECONDS = 15.0
VIRTUAL_MILLISECONDS = 5_000
# 2025-01-01, a Wednesday.
VIRTUAL_BEGIN = 1_735_689_600
MOST_MESSAGES = 12

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "media-src data: blob:; form-action 'none'; base-uri 'none'; frame-src 'none'; sandbox allow-scripts allow-same-origin"
)

# What moves is shown where it ends, and what never ends where it begins.
_SETTLE = """
for (const animation of document.getAnimations())
    if (animation.effect && isFinite(animation.effect.getComputedTiming().endTime)) animation.finish(); else animation.cancel();
"""


class RenderFailed(Exception):
    """There is no picture of this page; the message says why."""


@dataclass
class Render:
    """A rendered page."""

    picture: Image.Image
    """RGB, of the wanted size."""
    page_width: int
    page_height: int
    """CSS pixels of the whole page, which may be more than the picture shows."""
    notes: list[str] = field(default_factory=list)
    """What the page's author should know: errors, what was blocked, scripts that had to be left away."""


def check_size(width: int, height: int) -> None:
    """ValueError for a size of which no picture can be made."""
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE and width * height <= LARGEST_AREA):
        raise ValueError(
            f"a picture of {width} x {height} pixels; a side may have {LARGEST_SIDE}, all of it {LARGEST_AREA // 1_000_000} million"
        )


def render(
    html: str, width: int, height: int, chromium: Chromium, *, fragment: str = "", seconds: float = 15.0, memory: int = 2 << 30
) -> Render:
    """Renders a page. RenderFailed if there is no picture in `seconds`, and none without scripts in `LAST_SECONDS`."""
    check_size(width, height)
    if fragment and not re.fullmatch(r"[A-Za-z0-9_.-]+", fragment):
        raise ValueError(f"the fragment is {fragment!r}; it may have letters, digits, _, . and -")
    page = html.encode("utf-8", "replace")
    if len(page) > LARGEST_PAGE:
        raise RenderFailed(f"the page has {len(page)} bytes; {LARGEST_PAGE} are taken")
    reasons: list[str] = []
    for scripts, most in ((True, seconds), (False, max(seconds, LAST_SECONDS))):
        try:
            with Browser(chromium, time.monotonic() + START_SECONDS + most, memory) as browser:
                made = _Tab(browser, page, fragment).render(width, height, scripts, most)
        except (BrowserGone, BrowserTimeout, TooMuchMemory, ProtocolError, OSError) as error:
            reasons.append(_reason(error, scripts, most))
            continue
        made.notes[:0] = [f"{reason}; this picture was made without scripts" for reason in reasons]
        return made
    raise RenderFailed("; ".join(reasons))


def _reason(error: Exception, scripts: bool, seconds: float) -> str:
    way = "with scripts" if scripts else "without scripts"
    if isinstance(error, BrowserTimeout):
        return f"{way} the page was not done after {seconds:g} s"
    if isinstance(error, BrowserGone):
        return f"{way} the page ended the browser"
    return f"{way}: {error}"


class _Tab:
    """One page in a browser."""

    def __init__(self, browser: Browser, page: bytes, fragment: str) -> None:
        self._pipe, self._page = browser.pipe, page
        self._deadline = time.monotonic() + START_SECONDS
        self._address = ADDRESS + ("#" + fragment if fragment else "")
        self._session = ""
        self._served = self._running = self._timed_out = False
        self._messages: dict[str, None] = {}

    def render(self, width: int, height: int, scripts: bool, seconds: float) -> Render:
        self._open(width, height, scripts)
        self._deadline = time.monotonic() + seconds
        self._call("Emulation.setVirtualTimePolicy", policy="pause", initialVirtualTime=VIRTUAL_BEGIN)
        frame = self._call("Page.navigate", url=self._address)["frameId"]
        self._pipe.run_until(lambda: self._timed_out, self._deadline, self._handle, "loading the page")
        world = self._call("Page.createIsolatedWorld", frameId=frame)["executionContextId"]
        self._call("Runtime.evaluate", expression=_SETTLE, contextId=world, timeout=2_000)
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        # With a clock that stands still there would be no next frame, and so no picture.
        self._call("Emulation.setVirtualTimePolicy", policy="advance")
        data = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=False)["data"]
        picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        if picture.size != (width, height):
            raise ProtocolError(f"the picture has {picture.width} x {picture.height} pixels, not {width} x {height}")
        return Render(picture, round(size["width"]), round(size["height"]), list(self._messages))

    def _open(self, width: int, height: int, scripts: bool) -> None:
        pipe, deadline = self._pipe, self._deadline
        target = pipe.call("Target.createTarget", None, deadline, url="about:blank")["targetId"]
        self._session = pipe.call("Target.attachToTarget", None, deadline, targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Inspector"):
            self._call(f"{domain}.enable")
        self._call("Fetch.enable", patterns=[{"urlPattern": "*"}])
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        if not scripts:
            self._call("Emulation.setScriptExecutionDisabled", value=True)

    def _call(self, method: str, **parameters: object) -> Message:
        return self._pipe.call(method, self._session, self._deadline, self._handle, **parameters)

    def _handle(self, event: Message) -> None:
        method, parameters = event["method"], event.get("params", {})
        if method == "Fetch.requestPaused":
            self._answer(parameters)
        elif method == "Page.frameNavigated" and "parentId" not in parameters["frame"]:
            if self._running:
                self._note(f"the page replaced itself by {parameters['frame']['url']}")
                return
            self._running = True
            self._pipe.send(
                "Emulation.setVirtualTimePolicy", self._session, policy="pauseIfNetworkFetchesPending", budget=VIRTUAL_MILLISECONDS,
                maxVirtualTimeTaskStarvationCount=100_000,
            )
        elif method == "Emulation.virtualTimeBudgetExpired":
            self._timed_out = True
        elif method in ("Inspector.targetCrashed", "Target.detachedFromTarget", "Inspector.detached"):
            raise BrowserGone("the page crashed or closed itself")
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            said = details.get("exception", {}).get("description") or details.get("text", "")
            self._note(f"script error in line {details.get('lineNumber', 0) + 1}: {said}")
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
            words = [str(each.get("value", each.get("description", ""))) for each in parameters["args"]]
            self._note("console: " + " ".join(words))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self._note(parameters["entry"]["text"])

    def _answer(self, paused: Message) -> None:
        request, number = paused["request"], paused["requestId"]
        if paused["resourceType"] != "Document":
            self._note(f"not loaded, there is no network: {request['url']}")
            self._pipe.send("Fetch.failRequest", self._session, requestId=number, errorReason="BlockedByClient")
        elif self._served or request["url"] != ADDRESS:
            self._note(f"the page went to {request['url']}, which is not followed")
            self._pipe.send("Fetch.fulfillRequest", self._session, requestId=number, responseCode=204)
        else:
            self._served = True
            headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
            self._pipe.send(
                "Fetch.fulfillRequest", self._session, requestId=number, responseCode=200,
                responseHeaders=[{"name": name, "value": value} for name, value in headers.items()],
                body=base64.b64encode(self._page).decode(),
            )

    def _note(self, text: str) -> None:
        """Keeps a message, one line of it, each once."""
        what, policy, _ = text.partition(" violates the following Content Security Policy")
        if policy:
            text = what + ": blocked, a page has no network and no frames"
        if len(self._messages) < MOST_MESSAGES:
            self._messages[" ".join(text.split())[:300]] = None
