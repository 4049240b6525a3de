"""Vision to code: a loop that asks for a page, looks at it, and asks again with what is wrong. README.md tells how and why.

    targets = [Target(load_picture("target.png"))]
    outcome = run_loop(targets, generator, find_chromium(), threshold=0.98, limit=6)

The generator is any function of the targets and the rounds so far that gives an answer with HTML in it.
"""

from .answers import extract_html
from .browser import Chromium, NoBrowser, find_chromium
from .compare import Comparison, Region, Tint, compare, load_picture
from .generators import CommandGenerator, KimiGenerator
from .loop import Outcome, run_loop
from .prompt import messages
from .render import Render, RenderFailed, render
from .report import report
from .rounds import Generator, Round, Target, Unusable, View, best_round
from .store import Store

__all__ = [
    "Chromium", "CommandGenerator", "Comparison", "Generator", "KimiGenerator", "NoBrowser", "Outcome", "Region", "Render",
    "RenderFailed", "Round", "Store", "Target", "Tint", "Unusable", "View", "best_round", "compare", "extract_html",
    "find_chromium", "load_picture", "messages", "render", "report", "run_loop",
]
