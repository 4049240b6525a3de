"""The measuring, the ratios and the table of oversubscribed.sh, which explains the options."""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from disk_bandwidth import NotDirect, read_bandwidth
from limited_memory import Cgroup, Unavailable, chill

HERE = Path(__file__).resolve().parent
SIDE = HERE / "oversubscribed_side.py"
BINDING = HERE.parents[1] / "Bindings" / "Python"

# Streamed over mapped, and the share of what the disk allows for the bytes that were read: what is wanted at least.
RATIO_BAR = 2.0
SHARE_BAR = 0.7


class Stopped(Exception):
    """Why there are no figures."""


@dataclass
class Outcome:
    """What was measured of one checkpoint; all rates are a second, one for each round."""

    checkpoint: str
    bytes: int
    limit: int
    mapped: list[float] = field(default_factory=list)  # tokens
    streamed: list[float] = field(default_factory=list)
    mapped_reads: list[float] = field(default_factory=list)  # bytes a token
    streamed_reads: list[float] = field(default_factory=list)
    disk: list[float] = field(default_factory=list)  # bytes, before or after the streamed run, whichever is more
    hits: list[float] = field(default_factory=list)  # share of chosen experts that were in memory
    stalls: list[float] = field(default_factory=list)  # share of the time in which reads were waited for
    slots: int = 0
    same_logits: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [streamed / mapped for streamed, mapped in zip(self.streamed, self.mapped)]

    @property
    def used(self) -> list[float]:
        """Bytes a second that streaming read."""
        return [speed * read for speed, read in zip(self.streamed, self.streamed_reads)]

    @property
    def shares(self) -> list[float]:
        """Tokens a second over those that would be if the disk did nothing else but read what they needed."""
        return [used / disk for used, disk in zip(self.used, self.disk)]

    def as_json(self) -> dict:
        return {
            "checkpoint": self.checkpoint, "bytes": self.bytes, "limit": self.limit, "slots": self.slots, "mapped": self.mapped,
            "streamed": self.streamed, "ratio": self.ratios, "mapped_read_per_token": self.mapped_reads,
            "streamed_read_per_token": self.streamed_reads, "streamed_read": self.used, "disk": self.disk, "share": self.shares,
            "hits": self.hits, "stalls": self.stalls, "same_logits": self.same_logits, "notes": self.notes}


def measure(
    outcome: Outcome, run: Callable[[str, bool], dict], disk: Callable[[], float], cool: Callable[[], float], rounds: int
) -> Outcome:
    """Both sides in turn, the other one first in each round, from a cold page cache.

    - run: evaluates the tokens with a load policy, in the limit or without; gives what oversubscribed_side.py prints.
    - disk: measures its bandwidth.
    - cool: empties the page cache of the checkpoint; gives the share that stayed.
    """
    wanted = run("copy", False)["logits"]
    for turn in range(rounds):
        for load in ("map", "stream") if turn % 2 == 0 else ("stream", "map"):
            if (left := cool()) > 0.01:
                outcome.notes.append(f"round {turn + 1}, {load}: {left:.0%} of the checkpoint stayed in the page cache")
            before = disk() if load == "stream" else 0
            told = run(load, True)
            outcome.same_logits = outcome.same_logits and told["logits"] == wanted[:len(told["logits"])]
            speed, read = told["tokens"] / told["seconds"], told["read"] / told["tokens"]
            if load == "map":
                outcome.mapped.append(speed)
                outcome.mapped_reads.append(read)
                continue
            outcome.streamed.append(speed)
            outcome.streamed_reads.append(read)
            # What disturbs it only makes it less: of two measurements the better one is nearer to what the disk can do.
            outcome.disk.append(max(before, disk()))
            if store := told.get("store"):
                outcome.slots = store["slots"]
                outcome.hits.append(store["hits"] / max(1, store["uses"]))
                outcome.stalls.append(store["stall_seconds"] / told["seconds"])
                if not store["direct"]:
                    outcome.notes.append(f"round {turn + 1}: experts were read through the page cache")
        speeds = f"mapped {outcome.mapped[-1]:.2f}, streamed {outcome.streamed[-1]:.2f} tokens/s"
        print(f"   round {turn + 1}: {speeds}", file=sys.stderr)
    return outcome


def spread(values: list[float], unit: float = 1, places: int = 2) -> str:
    """The median, and the least and the most behind it."""
    if not values:
        return "-"
    of = [value / unit for value in values]
    return f"{statistics.median(of):.{places}f} ({min(of):.{places}f}-{max(of):.{places}f})"


def percent(values: list[float]) -> str:
    return f"{statistics.median(values):.0%} ({min(values):.0%}-{max(values):.0%})" if values else "-"


def table(outcomes: list[Outcome]) -> str:
    """A column for each checkpoint."""
    def verdict(values: list[float], bar: float) -> str:
        return "met" if values and statistics.median(values) >= bar else "not met"

    lines = [
        ["", *(Path(each.checkpoint).name for each in outcomes)],
        ["checkpoint, GB", *(f"{each.bytes * 1e-9:.2f}" for each in outcomes)],
        ["limit, GB", *(f"{each.limit * 1e-9:.2f}" for each in outcomes)],
        ["mapped, tokens/s", *(spread(each.mapped) for each in outcomes)],
        ["streamed, tokens/s", *(spread(each.streamed) for each in outcomes)],
        ["ratio", *(spread(each.ratios) for each in outcomes)],
        [f"  at least {RATIO_BAR:g}", *(verdict(each.ratios, RATIO_BAR) for each in outcomes)],
        ["mapped, MB read a token", *(spread(each.mapped_reads, 1e6, 0) for each in outcomes)],
        ["streamed, MB read a token", *(spread(each.streamed_reads, 1e6, 0) for each in outcomes)],
        ["streamed, GB/s read", *(spread(each.used, 1e9) for each in outcomes)],
        ["disk, GB/s", *(spread(each.disk, 1e9) for each in outcomes)],
        ["share of what the disk allows", *(percent(each.shares) for each in outcomes)],
        [f"  at least {SHARE_BAR:.0%}", *(verdict(each.shares, SHARE_BAR) for each in outcomes)],
        ["room for experts", *(str(each.slots or "-") for each in outcomes)],
        ["experts in memory when chosen", *(percent(each.hits) for each in outcomes)],
        ["time spent waiting for reads", *(percent(each.stalls) for each in outcomes)],
        ["logits as without a limit", *("the same bits" if each.same_logits else "DIFFERENT" for each in outcomes)],
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join(text + [f"note, {Path(each.checkpoint).name}: {note}" for each in outcomes for note in each.notes])


def side(options: argparse.Namespace, checkpoint: str, load: str, cgroup: Cgroup | None) -> dict:
    """Runs one side in the cgroup, or without one."""
    # Mapping takes a second or more for a token, and its page cache is full after one: fewer tell as much.
    fewer = 4 if load == "map" else 1
    command = [
        sys.executable, "-B", str(SIDE), checkpoint, "--load", load, "--warm", str(options.warm // fewer), "--tokens",
        str(max(1, options.tokens // fewer)), "--threads", str(options.threads)]
    if load == "stream" and options.resident:
        command += ["--resident", str(options.resident)]
    environment = os.environ | {"KIMI_LIBRARY": str(Path(options.library).resolve()), "PYTHONPATH": str(BINDING)}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, preexec_fn=cgroup.enter if cgroup else None)
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines()
        killed = " (killed: out of memory?)" if result.returncode == -signal.SIGKILL else ""
        raise Stopped(f"{load} ended with {result.returncode}{killed}: {lines[-1] if lines else 'no message'}")
    return json.loads(result.stdout)


def compare(options: argparse.Namespace, checkpoint: str) -> Outcome:
    shards = sorted(Path(checkpoint).glob("*.safetensors"))
    size = sum(path.stat().st_size for path in shards)
    if size == 0:
        raise Stopped(f"{checkpoint} has no weights")
    outcome = Outcome(checkpoint, size, options.limit or size // 3)
    try:
        with Cgroup(outcome.limit, options.cgroup) as cgroup:
            return measure(
                outcome, lambda load, limited: side(options, checkpoint, load, cgroup if limited else None),
                lambda: read_bandwidth(shards), lambda: chill(shards), options.rounds)
    except (Unavailable, NotDirect) as reason:
        raise Stopped(str(reason)) from None


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="*")
    parser.add_argument("--library", default="")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--resident", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cgroup", default="")
    parser.add_argument("--json", default="")
    parser.add_argument("--check", action="store_true", help="only check the options, and that a cgroup can be made")
    options = parser.parse_args(arguments)
    for name, range in (("rounds", (1, 100)), ("tokens", (1, 4096)), ("warm", (0, 4096)), ("threads", (1, 4096))):
        if not range[0] <= getattr(options, name) <= range[1]:
            parser.error(f"--{name} is {getattr(options, name)}; it must be {range[0]} to {range[1]}")
    for name in ("limit", "resident"):
        if getattr(options, name) < 0:
            parser.error(f"--{name} is {getattr(options, name)}; it must be a number of bytes")
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes: list[Outcome] = []
    try:
        if options.check:
            with Cgroup(options.limit or 1 << 30, options.cgroup):
                return 0
        for checkpoint in options.checkpoints:
            print(f"== {checkpoint}", file=sys.stderr)
            outcomes.append(compare(options, checkpoint))
    except (Stopped, Unavailable) as reason:
        print(f"oversubscribed: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"{options.threads} threads, {options.rounds} rounds of {options.tokens} tokens after {options.warm}, mapped a quarter of "
          "both; median (least-most); ratio: streamed over mapped")
    print(table(outcomes))
    if options.json:
        Path(options.json).write_text(json.dumps(
            {"threads": options.threads, "rounds": options.rounds, "tokens": options.tokens, "warm": options.warm,
             "checkpoints": [each.as_json() for each in outcomes]}, indent=1) + "\n")
    return 0 if all(each.same_logits for each in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
