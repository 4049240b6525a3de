"""What the loop works on: targets, and what each round made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Sequence

from PIL import Image

from .compare import Region, Tint


@dataclass(frozen=True)
class Target:
    """A picture that a page is to look like."""

    picture: Image.Image
    """RGB; its size is the window's, in CSS pixels."""
    name: str = "target"
    fragment: str = ""
    """What stands behind # in the page's address when it is to look so; empty: the page as it opens."""
    about: str = ""
    """A word on it for the model, such as its time in a recording."""


@dataclass
class View:
    """A round's page beside one of the targets."""

    score: float = 0.0
    """SSIM; 0 if there is no picture."""
    differing: float = 1.0
    """The share of pixels that differ visibly."""
    regions: list[Region] = field(default_factory=list)
    tints: list[Tint] = field(default_factory=list)
    page_width: int = 0
    page_height: int = 0
    notes: list[str] = field(default_factory=list)
    """What the browser said, or why there is no picture."""
    render: Image.Image | None = None
    difference: Image.Image | None = None


@dataclass
class Round:
    """One answer of the generator, and what it looks like."""

    number: int
    """From 1."""
    answer: str | None
    """None if the generator failed."""
    html: str | None = None
    """None if there is none in the answer."""
    views: list[View] = field(default_factory=list)
    """One for each target, if there is a page."""
    notes: list[str] = field(default_factory=list)
    generating_seconds: float = 0.0
    rendering_seconds: float = 0.0

    @property
    def score(self) -> float:
        """The mean over targets; 0 without a page."""
        return sum(view.score for view in self.views) / len(self.views) if self.views else 0.0

    @property
    def lowest(self) -> float:
        """The score of the target that is met worst."""
        return min((view.score for view in self.views), default=0.0)


Generator = Callable[[Sequence[Target], Sequence[Round]], str]
"""Gives an answer with a page in it, from the targets and the rounds so far. What it raises is a failed round; `Unusable` ends
the loop."""


class Unusable(Exception):
    """A generator that cannot work at all: trying again is no use. The message is for the user."""


def best_round(rounds: Sequence[Round]) -> Round | None:
    """The round with the highest score, of equal ones the first; None if no round has a page."""
    return max((each for each in rounds if each.views), key=lambda each: each.score, default=None)
