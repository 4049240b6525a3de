"""The report: one HTML file that needs nothing else, with every round's pictures, code and score."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import Sequence

from PIL import Image

from .chart import score_chart
from .prompt import data_url
from .rounds import Round, Target, View, best_round

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="state {state_class}">{state}</p>
</header>
<main>
{body}
</main>
<footer>{footer}</footer>
</body>
</html>
"""


def report(
    targets: Sequence[Target], rounds: Sequence[Round], *, threshold: float, state: str, title: str = "Picture to page",
    about: str = "",
) -> str:
    """The report as HTML.

    state: one sentence on how it stands. about: what made it, in words: generator, browser.
    """
    best = best_round(rounds)
    reached = best is not None and any(made.views and made.lowest >= threshold for made in rounds)
    body = [_summary(targets, rounds, best, threshold)]
    if best is not None:
        body.append(f'<section id="best"><h2>Target and best page</h2>{_comparisons(targets, best, with_targets=True)}</section>')
    else:
        figures = "".join(_figure(target.picture, _title(targets, target)) for target in targets)
        body.append(f'<section id="best"><h2>Target</h2><div class="row">{figures}</div></section>')
    before: Round | None = None
    for made in rounds:
        body.append(_round(targets, made, before, made is best))
        before = made if made.views else before
    style = files(__package__).joinpath("report.css").read_text("utf-8").strip()
    text = _PAGE.format(
        title=escape(title), style=style, state=escape(state), state_class="reached" if reached else "open",
        body="\n".join(body), footer=escape(about),
    )
    # Half a surrogate, which an answer may have, is no UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


def _summary(targets: Sequence[Target], rounds: Sequence[Round], best: Round | None, threshold: float) -> str:
    width, height = targets[0].picture.size
    seconds = sum(made.generating_seconds + made.rendering_seconds for made in rounds)
    facts = [
        ("best SSIM", f"{best.score:.4f}" if best else "none"),
        ("in round", f"{best.number} of {len(rounds)}" if best else f"{len(rounds)} tried"),
        ("wanted", f"{threshold:g}"),
        ("size", f"{width} × {height}"),
        ("time", _duration(seconds)),
    ]
    if len(targets) > 1:
        facts.insert(3, ("states", str(len(targets))))
    cells = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    chart = score_chart(rounds, threshold) + "<figcaption>SSIM by round; dashed: wanted</figcaption>" if rounds else ""
    return f'<section id="summary"><dl>{cells}</dl><figure>{chart}</figure></section>'


def _round(targets: Sequence[Target], made: Round, before: Round | None, is_best: bool) -> str:
    change = ""
    if made.views and before is not None:
        change = f'<span class="change">{made.score - before.score:+.4f}</span>'
    score = f'<span class="score">{made.score:.4f}</span>' if made.views else '<span class="score none">no page</span>'
    mark = '<span class="mark">best</span>' if is_best else ""
    parts = [f"<h2>Round {made.number} {score} {change} {mark}</h2>"]
    notes = list(made.notes)
    if len(made.views) == 1:
        notes += made.views[0].notes
    parts.append(_notes(notes))
    parts.append(_comparisons(targets, made, with_targets=False))
    if made.html is not None:
        parts.append(_code("Code", made.html))
    if made.answer is not None and (made.html is None or made.answer.strip() != made.html.strip()) and made.answer.strip():
        parts.append(_code("Answer as it came", made.answer))
    seconds = f"{_duration(made.generating_seconds)} to write, {_duration(made.rendering_seconds)} to render and compare"
    parts.append(f'<p class="time">{seconds}</p>')
    return f'<section class="round" id="round-{made.number}">{"".join(parts)}</section>'


def _comparisons(targets: Sequence[Target], made: Round, with_targets: bool) -> str:
    parts = []
    for target, view in zip(targets, made.views):
        name = _title(targets, target)
        if len(targets) > 1:
            about = f" <small>{escape(target.about)}</small>" if target.about else ""
            parts.append(f'<h3>{escape(name)}{about} <span class="score">{view.score:.4f}</span></h3>')
            if not with_targets:
                parts.append(_notes(view.notes))
        figures = _figure(target.picture, name) if with_targets else ""
        if view.render is not None and view.difference is not None:
            whole = (view.page_width, view.page_height)
            figures += _figure(view.render, "page" + ("" if whole == target.picture.size else f", {whole[0]} × {whole[1]}"))
            figures += _figure(view.difference, f"difference, {view.differing:.2%} of the pixels")
        parts.append(f'<div class="row">{figures}</div>')
        if not with_targets:
            parts.append(_regions(view))
    return "".join(parts)


def _regions(view: View) -> str:
    if not view.regions and not view.tints:
        return ""
    rows = "".join(
        f"<tr><td>{number}</td><td>{region.left}–{region.right}, {region.top}–{region.bottom}</td><td>{region.share:.0%}</td>"
        f'<td><i style="background:{region.target}"></i>{region.target}</td>'
        f'<td><i style="background:{region.render}"></i>{region.render}</td></tr>'
        for number, region in enumerate(view.regions, 1)
    )
    rows += "".join(
        f"<tr><td></td><td>an area, {tint.share:.0%} of the picture</td><td></td>"
        f'<td><i style="background:{tint.target}"></i>{tint.target}</td>'
        f'<td><i style="background:{tint.render}"></i>{tint.render}</td></tr>'
        for tint in view.tints
    )
    head = "<tr><th></th><th>x, y</th><th>share</th><th>target</th><th>page</th></tr>"
    table = f'<div class="wide"><table>{head}{rows}</table></div>'
    return f'<details class="regions"><summary>Largest differences</summary>{table}</details>'


def _figure(picture: Image.Image, caption: str) -> str:
    # The box is ticked by a click on the picture, which then takes the whole width.
    return (
        f'<figure><label><input type="checkbox" aria-label="enlarge: {escape(caption)}">'
        f'<img src="{data_url(picture)}" width="{picture.width}" height="{picture.height}" alt="{escape(caption)}"></label>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _notes(notes: Sequence[str]) -> str:
    return '<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else ""


def _code(name: str, text: str) -> str:
    lines = text.count("\n") + (not text.endswith("\n"))
    head = f"{name}, {lines} line{'s' * (lines != 1)}"
    return f"<details><summary>{head}</summary><pre><code>{escape(text)}</code></pre></details>"


def _title(targets: Sequence[Target], target: Target) -> str:
    return target.name if len(targets) > 1 else "target"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
