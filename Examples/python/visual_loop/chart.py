"""The score over the rounds as an inline SVG, in the colours of the page that holds it."""

from __future__ import annotations

import math
from typing import Sequence

from .rounds import Round, best_round

_WIDTH, _HEIGHT = 480, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 22, 34


def score_chart(rounds: Sequence[Round], threshold: float) -> str:
    """A line through the scores of rounds, the threshold dashed, the best round marked, rounds without a page as crosses."""
    scores = [made.score for made in rounds if made.views]
    lowest = min([threshold, *scores])
    # A whole step below the lowest, so that it does not lie on the axis.
    step = next(step for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5) if (1 - lowest) / step <= 5 or step == 0.5)
    floor = min(math.floor(lowest / step - 0.25) * step, 1 - step)
    best = best_round(rounds)

    def x(number: int) -> float:
        wide = _WIDTH - _LEFT - _RIGHT - 40
        return _LEFT + 20 + (wide * (number - 1) / (len(rounds) - 1) if len(rounds) > 1 else wide / 2)

    def y(score: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (score - floor) / (1 - floor))

    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Score over rounds">']
    for tick in range(round((1 - floor) / step) + 1):
        value = floor + tick * step
        digits = 3 if step < 0.01 else 2
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.{digits}f}</text>')
    parts.append(f'<line class="threshold" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(threshold):.1f}" y2="{y(threshold):.1f}"/>')
    every = max(1, math.ceil(len(rounds) / 12))
    for made in rounds:
        if made.number % every == 0 or made.number in (1, len(rounds)):
            at = x(made.number)
            parts.append(f'<text class="tick" x="{at:.1f}" y="{_HEIGHT - 14}" text-anchor="middle">{made.number}</text>')
    points = [(x(made.number), y(made.score)) for made in rounds if made.views]
    parts.append(f'<polyline class="line" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>')
    for made in rounds:
        at = x(made.number)
        if not made.views:
            base = _HEIGHT - _BOTTOM
            parts.append(f'<path class="cross" d="M{at - 5:.1f} {base - 5}l10 10m0-10l-10 10"><title>no page</title></path>')
            continue
        marked = " best" if made is best else ""
        parts.append(f'<circle class="point{marked}" cx="{at:.1f}" cy="{y(made.score):.1f}" r="{6 if marked else 4}"/>')
        if len(rounds) <= 8 or marked:
            above = y(made.score) - 11
            parts.append(f'<text class="value{marked}" x="{at:.1f}" y="{above:.1f}" text-anchor="middle">{made.score:.3f}</text>')
    parts.append("</svg>")
    return "".join(parts)
