"""The sides of against_peers.py: how each is asked for a row of the table, and how its figures are read."""

import argparse
import json
import shlex
import statistics
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Row:
    """One line of the table: the work, and what each side is asked to do."""

    name: str
    what: str
    geometry: str  # mini or slice
    kind: str  # versus, depth, experts or threads
    ours: list[str] = field(default_factory=list)
    pick: dict[str, object] = field(default_factory=dict)
    rests: tuple[str, ...] = ("BF16",)
    prompt: int = 0
    generate: int = 0
    depth: int = 0
    sequences: int = 1


class Skipped(Exception):
    """Why a side or a row is left out."""


def run(command: list[str], with_errors: bool = False) -> str:
    # Elsewhere: one of the peers leaves a log where it runs.
    result = subprocess.run(command, capture_output=True, text=True, cwd=tempfile.gettempdir())
    if result.returncode != 0:
        lines = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise Skipped(f"{Path(command[0]).name} ended with {result.returncode}: {lines[-1] if lines else 'no message'}")
    return result.stdout + (result.stderr if with_errors else "")


class Ours:
    def __init__(self, options: argparse.Namespace) -> None:
        self.program, self.folder = str(Path(options.kimi).resolve()), Path(options.folder).resolve()
        self.threads = options.threads
        self.more = shlex.split(options.options)
        self.help = run([self.program, "help", "bench"])

    def bench(self, row: Row, threads: int | None = None) -> dict:
        for word in row.ours:
            if word.startswith("--") and word not in self.help:
                raise Skipped(f"this kimi has no option {word}")
        folder = self.folder / {"slice": "k25-slice"}.get(row.geometry, row.geometry)
        return json.loads(run([
            self.program, "bench", str(folder), *row.ours, "--threads", str(threads or self.threads), *self.more, "--json"]))


def pick(told: dict, **wanted: object) -> dict:
    found = [each for each in told["results"] if all(each[name] == value for name, value in wanted.items())]
    return found[-1]


class Peer:
    """llama.cpp or ik_llama.cpp: tokens a second of a row, the best of the row's models."""

    def __init__(self, name: str, folder: str, gguf: str, threads: int, is_ik: bool) -> None:
        self.name, self.folder, self.gguf = name, Path(folder).resolve(), Path(gguf).resolve()
        self.threads, self.is_ik = threads, is_ik
        self.unpacked: set[str] = set()  # models that it runs only as they are in their files
        for program in ("llama-bench", "llama-batched-bench"):
            if not (self.folder / program).exists():
                raise Skipped(f"{self.folder / program} is not there")

    def speed(self, row: Row) -> float:
        return max(self.one(row, self.model(row, rest)) for rest in row.rests)

    def model(self, row: Row, rest: str) -> Path:
        path = self.gguf / f"{row.geometry}-{rest}.gguf"
        if not path.exists():
            raise Skipped(f"{path} is not there")
        return path

    def one(self, row: Row, model: Path) -> float:
        if row.sequences > 1:
            return self.batched(row, model)
        command = [str(self.folder / "llama-bench"), "-m", str(model), "-t", str(self.threads), "-fa", "1", "-o", "json"]
        command += ["-mla", "3", "-fmoe", "1"] if self.is_ik else []
        if row.depth == 0:
            command += ["-p", str(row.prompt), "-n", str(row.generate), "-r", "3"]
        elif self.is_ik:
            command += ["-p", "0", "-n", "0", "-gp", f"{row.depth},{row.generate}", "-r", "1"]
        else:
            command += ["-p", "0", "-n", str(row.generate), "-d", str(row.depth), "-r", "1"]
        (result,) = json.loads(run(command))
        return statistics.median(result["samples_ts"])

    def batched(self, row: Row, model: Path) -> float:
        tokens = row.sequences * (row.prompt + row.generate)
        command = [
            str(self.folder / "llama-batched-bench"), "-m", str(model), "-t", str(self.threads), "-c", str(tokens + 512),
            "-b", "2048", "-ub", "512", "-npp", str(row.prompt), "-ntg", str(row.generate), "-npl", str(row.sequences)]
        command += ["-mla", "3", "-fa", "on"] if self.is_ik else ["-fa", "on"]
        if str(model) in self.unpacked:
            command.append("--no-repack")
        try:
            # One of the two prints its table among the messages.
            return batched_speed(run(command, with_errors=True), row.sequences)
        except Skipped:
            # llama.cpp ends with an abort where it has laid out Q8_0 anew for AMX.
            if self.is_ik or str(model) in self.unpacked:
                raise
            self.unpacked.add(str(model))
            return self.batched(row, model)


def batched_speed(text: str, sequences: int) -> float:
    """S_TG of the line with so many sequences in the table that llama-batched-bench prints."""
    titles: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if "S_TG t/s" in cells:
            titles = cells
        elif titles and len(cells) == len(titles) and cells[titles.index("B")] == str(sequences):
            return float(cells[titles.index("S_TG t/s")])
    raise Skipped("llama-batched-bench printed no table")
