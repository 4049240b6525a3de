"""What a model is told: a conversation in OpenAI's form, which only grows from round to round.

The targets come once, at its beginning; then each answer, and what it looked like: the picture, the difference picture, and in
words the score, the size and where the largest differences are. A session that holds the rounds before has only the last answer's
pictures to read.
"""

from __future__ import annotations

import base64
import io
from typing import Any, Callable, Sequence

from PIL import Image

from .rounds import Round, Target, View, best_round

Message = dict[str, Any]

_TASK = """\
Write one HTML page that looks exactly like the picture{plural} below in a browser window of {width} x {height} CSS pixels \
at a device scale of 1. It is measured pixel by pixel, so positions, sizes, colours, fonts and text matter.
- One file: CSS in <style>, scripts in <script> if needed. There is no network: no CDN, no web fonts, no pictures by URL; \
use inline SVG, CSS or boxes of the right size and colour for photographs.
- The page is photographed after five seconds, animations at their end.
- Answer with the whole page in one ```html block and nothing else. After each answer you are shown what it looks like \
beside the target; then answer with the whole corrected page again."""

_STATES = """
- The pictures are {count} states of one page in the order in which they were seen. Write the interaction that leads from \
one to the next, as a user would do it. Besides, the page must show state N at once, without animation, when it is opened \
with the fragment #state-N, and state 1 without a fragment: read location.hash when it loads, and on hashchange."""


def task(targets: Sequence[Target], hint: str = "") -> str:
    """The first words to the model."""
    width, height = targets[0].picture.size
    text = _TASK.format(width=width, height=height, plural="s" if len(targets) > 1 else "")
    if any(target.fragment for target in targets):
        text += _STATES.format(count=len(targets))
    return text + (f"\n{hint}" if hint else "")


def feedback(targets: Sequence[Target], rounds: Sequence[Round], number: int) -> str:
    """What is said about round `number`, from the rounds up to it."""
    upto = [each for each in rounds if each.number <= number]
    made = upto[-1]
    lines = list(made.notes)
    if made.html is None:
        lines.append("Answer with the whole page in one ```html block.")
    elif len(targets) == 1:
        lines += _view_lines(targets[0], made.views[0])
    else:
        lines.append(f"Mean SSIM of all states: {made.score:.4f} (1 is equal).")
        for target, view in zip(targets, made.views):
            lines += [f"{target.name} (#{target.fragment}):", *_view_lines(target, view)]
    best = best_round(upto)
    if best is not None and best.number != made.number and best.score > made.score:
        lines.append(f"Your page of answer {best.number} was better, SSIM {best.score:.4f}: go on from that one.")
    return "\n".join(lines)


def _view_lines(target: Target, view: View) -> list[str]:
    if view.render is None:
        return view.notes
    width, height = target.picture.size
    lines = [f"SSIM {view.score:.4f} (1 is equal); {view.differing:.2%} of the pixels differ visibly."]
    if view.page_width > width or view.page_height > height:
        lines.append(
            f"The page is {view.page_width} x {view.page_height} pixels, larger than the window of {width} x {height}: "
            "what is beyond is not seen."
        )
    lines += [f"The browser: {note}" for note in view.notes]
    if view.regions:
        lines.append("Largest differences, by the numbers in the difference picture:")
    for number, region in enumerate(view.regions, 1):
        lines.append(
            f"{number}. x {region.left} to {region.right}, y {region.top} to {region.bottom}: {region.share:.0%} of all "
            f"difference; mean colour {region.target} in the target, {region.render} in your page"
        )
    for tint in view.tints:
        lines.append(f"{tint.share:.0%} of the target has the colour {tint.target}; there your page has {tint.render}.")
    return lines


def url_part(picture: Image.Image) -> Message:
    """A picture as a part of a message that is all JSON: a data: URL."""
    return {"type": "image_url", "image_url": {"url": data_url(picture)}}


def picture_part(picture: Image.Image) -> Message:
    """A picture as a part of a message for libkimi, which takes it as it is."""
    return {"type": "image", "image": picture}


def messages(
    targets: Sequence[Target], rounds: Sequence[Round], hint: str = "", shown: int = 2,
    part: Callable[[Image.Image], Message] = url_part,
) -> list[Message]:
    """The whole conversation. shown: of each round the pictures of so many targets are shown, those met worst. part: a picture as a
    part of a message."""
    first: list[Message] = [{"type": "text", "text": task(targets, hint)}]
    for target in targets:
        if len(targets) > 1:
            first.append({"type": "text", "text": f"{target.name}{', ' if target.about else ''}{target.about}:"})
        first.append(part(target.picture))
    conversation: list[Message] = [{"role": "user", "content": first}]
    for made in rounds:
        if made.answer is None:
            continue
        conversation.append({"role": "assistant", "content": made.answer})
        parts: list[Message] = [{"type": "text", "text": feedback(targets, rounds, made.number)}]
        worst = sorted(zip(targets, made.views), key=lambda pair: pair[1].score)[:shown]
        for target, view in worst:
            if view.render is not None and view.difference is not None:
                of = f" ({target.name})" if len(targets) > 1 else ""
                parts += [{"type": "text", "text": f"Your page{of}:"}, part(view.render)]
                what = f"The target in pale grey{of}, what differs in red:"
                parts += [{"type": "text", "text": what}, part(view.difference)]
        parts.append({"type": "text", "text": "Correct it. Answer with the whole page in one ```html block."})
        conversation.append({"role": "user", "content": parts})
    return conversation


def data_url(picture: Image.Image) -> str:
    """A picture as a data: URL of a PNG."""
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")
