"""Rounds in a folder, so that a loop that was stopped goes on where it was.

    FOLDER/loop.json                what the targets are
    FOLDER/target-1.png ...
    FOLDER/round-01/round.json      written last: a round without it is none
    FOLDER/round-01/answer.txt, page.html, render-1.png, difference-1.png ...
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Sequence

from PIL import Image

from .compare import Region, Tint
from .rounds import Round, Target, View

_VERSION = 1


class Store:
    """A folder of rounds, held by one loop at a time. ValueError if another holds it, or it is of other targets."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ValueError(f"another loop works in {self.folder}") from error

    def close(self) -> None:
        """Lets others use the folder."""
        os.close(self._lock)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, targets: Sequence[Target]) -> list[Round]:
        """The rounds that are there for these targets, up to the first that is missing or damaged, which is removed."""
        described = {"version": _VERSION, "targets": [_described(target) for target in targets]}
        whole = self.folder / "loop.json"
        if whole.exists():
            try:
                before = json.loads(whole.read_text("utf-8"))
            except ValueError as error:
                raise ValueError(f"{whole} is damaged: {error}") from error
            if before != described:
                raise ValueError(f"{self.folder} holds rounds of other targets; choose another folder or remove it")
        else:
            for number, target in enumerate(targets, 1):
                target.picture.save(self.folder / f"target-{number}.png")
            self.write("loop.json", json.dumps(described, indent=1))
        rounds: list[Round] = []
        for number in range(1, 10_000):
            made = self._load(number, targets)
            if made is None:
                shutil.rmtree(self._round(number), ignore_errors=True)
                return rounds
            rounds.append(made)
        return rounds

    def _load(self, number: int, targets: Sequence[Target]) -> Round | None:
        place = self._round(number)
        try:
            read: dict[str, Any] = json.loads((place / "round.json").read_text("utf-8"))
            made = Round(
                number, *(_text(place / name) if read[name] else None for name in ("answer.txt", "page.html")),
                notes=[str(note) for note in read["notes"]],
                generating_seconds=float(read["generating_seconds"]), rendering_seconds=float(read["rendering_seconds"]),
            )
            for index, values in enumerate(read["views"], 1):
                view = View(**values)
                view.regions = [Region(**each) for each in values["regions"]]
                view.tints = [Tint(**each) for each in values["tints"]]
                render = place / f"render-{index}.png"
                if render.exists():
                    view.render, view.difference = _picture(render), _picture(place / f"difference-{index}.png")
                made.views.append(view)
        except (OSError, ValueError, KeyError, TypeError, SyntaxError):
            return None
        return made if len(made.views) == (len(targets) if made.html is not None else 0) else None

    def save(self, made: Round) -> None:
        """Writes a round, whole or not at all."""
        place = self._round(made.number)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name, text in (("answer.txt", made.answer), ("page.html", made.html)):
            if text is not None:
                (place / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        for index, view in enumerate(made.views, 1):
            if view.render is not None and view.difference is not None:
                view.render.save(place / f"render-{index}.png")
                view.difference.save(place / f"difference-{index}.png")
        values = {
            "answer.txt": made.answer is not None, "page.html": made.html is not None, "score": made.score, "notes": made.notes,
            "generating_seconds": made.generating_seconds, "rendering_seconds": made.rendering_seconds,
            "views": [_values(view) for view in made.views],
        }
        self.write(f"{place.name}/round.json", json.dumps(values, indent=1))

    def write(self, name: str, text: str) -> Path:
        """Writes a file of the folder; whoever reads it sees the old one or the new one, never a part."""
        path = self.folder / name
        unfinished = path.with_name(path.name + ".new")
        unfinished.write_text(text, "utf-8", "backslashreplace")
        os.replace(unfinished, path)
        return path

    def _round(self, number: int) -> Path:
        return self.folder / f"round-{number:02}"


def _described(target: Target) -> dict[str, Any]:
    picture = target.picture
    digest = hashlib.sha256(picture.tobytes()).hexdigest()
    return {"fragment": target.fragment, "width": picture.width, "height": picture.height, "digest": digest}


def _values(view: View) -> dict[str, Any]:
    values = asdict(replace(view, render=None, difference=None))
    del values["render"], values["difference"]
    return values


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogatepass")


def _picture(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")
