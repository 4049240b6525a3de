"""The loop: ask for a page, render it, compare it, and ask again with what is wrong, until it is right or tried often enough."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from .answers import extract_html
from .browser import Chromium
from .compare import compare
from .render import RenderFailed, render
from .rounds import Generator, Round, Target, Unusable, View, best_round
from .store import Store

# A generator that fails so often in a row will fail again.
MOST_FAILURES = 3


@dataclass
class Outcome:
    """How a loop ended."""

    reason: str
    """"threshold", "limit", "interrupted", or "generator" (it cannot work, or failed three times in a row)."""
    message: str
    """One sentence."""
    rounds: list[Round]
    best: Round | None


def run_loop(
    targets: Sequence[Target],
    generator: Generator,
    chromium: Chromium,
    *,
    threshold: float = 0.98,
    limit: int = 6,
    store: Store | None = None,
    seconds: float = 15.0,
    memory: int = 2 << 30,
    progress: Callable[[str, Any], object] = lambda stage, what: None,
    after_round: Callable[[Sequence[Round]], object] = lambda rounds: None,
) -> Outcome:
    """Runs rounds until every target's score reaches `threshold`, or there are `limit` rounds, those in the store included.

    seconds, memory: what a page may take to be rendered. progress: called with "ask" and the number of a round, "render" and the
    number of a target, "round" and the finished round. after_round: called when a round is finished and stored. KeyboardInterrupt
    ends the loop with what there is; the round that it came in is dropped.
    """
    rounds = store.load(targets) if store is not None else []
    failures = 0

    def outcome(reason: str, message: str) -> Outcome:
        return Outcome(reason, message, rounds, best_round(rounds))

    try:
        while True:
            best = best_round(rounds)
            if any(each.views and each.lowest >= threshold for each in rounds):
                return outcome("threshold", f"Reached {best.score:.4f} in round {best.number}" if best else "")
            if len(rounds) >= limit:
                return outcome("limit", f"No page of {limit} reached {threshold:g}" if limit != 1 else f"Below {threshold:g}")
            if failures == MOST_FAILURES:
                return outcome("generator", f"{MOST_FAILURES} failures in a row: {rounds[-1].notes[0]}")
            number = len(rounds) + 1
            progress("ask", number)
            made = _ask(generator, targets, rounds, number)
            failures = failures + 1 if made.answer is None else 0
            if made.html is not None:
                begin = time.monotonic()
                for index, target in enumerate(targets):
                    progress("render", index + 1)
                    made.views.append(look(made.html, target, chromium, seconds, memory))
                made.rendering_seconds = time.monotonic() - begin
            if store is not None:
                store.save(made)
            rounds.append(made)
            progress("round", made)
            after_round(rounds)
    except Unusable as error:
        return outcome("generator", str(error))
    except KeyboardInterrupt:
        return outcome("interrupted", f"Stopped after {len(rounds)} round{'s' * (len(rounds) != 1)}")


def _ask(generator: Generator, targets: Sequence[Target], rounds: Sequence[Round], number: int) -> Round:
    begin = time.monotonic()
    try:
        answer = generator(targets, rounds)
        if not isinstance(answer, str):
            raise TypeError(f"the generator gave {type(answer).__name__}, not text")
    except Unusable:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:500]
        made = Round(number, None, notes=[f"the generator failed: {type(error).__name__}{': ' if text else ''}{text}"])
    else:
        made = Round(number, answer, extract_html(answer))
        if made.html is None:
            made.notes.append("there is no HTML in the answer" if answer.strip() else "the answer is empty")
        for earlier in rounds:
            if made.html is not None and made.html == earlier.html:
                made.notes.append(f"the same page as in round {earlier.number}")
                break
    made.generating_seconds = time.monotonic() - begin
    return made


def look(html: str, target: Target, chromium: Chromium, seconds: float, memory: int) -> View:
    """Renders a page for a target and compares the two; a page without a picture is a view with a score of 0 and the reason."""
    width, height = target.picture.size
    try:
        made = render(html, width, height, chromium, fragment=target.fragment, seconds=seconds, memory=memory)
    except RenderFailed as error:
        return View(notes=[f"no picture: {error}"])
    found = compare(target.picture, made.picture)
    return View(
        found.score, found.differing, found.regions, found.tints, made.page_width, made.page_height, made.notes, made.picture,
        found.picture,
    )
