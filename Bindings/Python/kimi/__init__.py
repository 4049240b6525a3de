"""Kimi K2.5 on ordinary CPU servers: the Python side of libkimi.

    import kimi

    with kimi.Model("Kimi-K2.5") as model, model.session() as session:
        for event in session.generate("Once upon a time", max_tokens=64):
            print(event, end="", flush=True)

The shared library is looked for when it is first needed: the environment variable KIMI_LIBRARY, next to this package,
the loader's path.
"""

from ._library import features, version
from .errors import Error, Status
from .events import Event, FinishEvent, PromptEvent, TokenEvent, TokenLogprob
from .generation import Generation
from .model import Decoder, Model
from .session import Session

__version__ = "0.1.0"

__all__ = [
    "Decoder",
    "Error",
    "Event",
    "FinishEvent",
    "Generation",
    "Model",
    "PromptEvent",
    "Session",
    "Status",
    "TokenEvent",
    "TokenLogprob",
    "features",
    "version",
]
