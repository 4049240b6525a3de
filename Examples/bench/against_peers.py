"""The measuring, the ratios and the table of against-peers.sh, which explains the options."""

import argparse
import json
import signal
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

from sides import Ours, Peer, Row, Skipped, pick

# kt-kernel's share of the larger limit (bytes over bandwidth, or arithmetic over the bfloat16 peak) with one layer of K2.5's
# sizes and 64 experts on 2 cores of an AMD EPYC (Zen 5), measured apart from this script: rows -> share.
KT_KERNEL = {1: 0.87, 8: 0.61, 32: 0.24, 64: 0.27, 512: 0.46}

DECODE = ["--prompt", "1", "--tokens", "32", "--repeats", "3"]
PREFILL = ["--prompt", "512", "--tokens", "1", "--repeats", "3"]
BATCH = ["--prompt", "1", "--tokens", "32", "--depth", "64", "--batch", "64", "--repeats", "1"]
INT8 = ["--dense", "int8"]

ROWS = [
    Row("slice-decode", "k25-slice, decode, bf16 rest", "slice", "versus", DECODE, {"work": "decode"}, generate=32),
    Row("slice-decode-int8", "k25-slice, decode, int8 rest / Q8_0", "slice", "versus", DECODE + INT8, {"work": "decode"},
        ("Q8_0",), generate=32),
    Row("mini-decode", "mini, decode, bf16 rest", "mini", "versus", DECODE, {"work": "decode"}, generate=32),
    Row("mini-prefill", "mini, prompt of 512 / best of BF16 and Q8_0", "mini", "versus", PREFILL, {"work": "prefill"},
        ("BF16", "Q8_0"), prompt=512),
    Row("mini-prefill-int8", "mini, prompt of 512, int8 rest / best of BF16 and Q8_0", "mini", "versus", PREFILL + INT8,
        {"work": "prefill"}, ("BF16", "Q8_0"), prompt=512),
    Row("slice-prefill", "k25-slice, prompt of 512, bf16 rest", "slice", "versus", PREFILL, {"work": "prefill"}, prompt=512),
    Row("slice-prefill-int8", "k25-slice, prompt of 512, int8 rest / Q8_0", "slice", "versus", PREFILL + INT8,
        {"work": "prefill"}, ("Q8_0",), prompt=512),
    Row("mini-64", "mini, 64 sequences, decode in all behind 64", "mini", "versus", BATCH, {"work": "decode"}, prompt=64,
        generate=32, sequences=64),
    Row("mini-64-16", "the same, tokens in 16 bits", "mini", "versus", BATCH + ["--decode-bits", "16"], {"work": "decode"}, prompt=64,
        generate=32, sequences=64),
    Row("mini-64-8", "mini, 64 sequences, tokens in 8 bits / best of BF16 and Q8_0", "mini", "versus",
        BATCH + ["--decode-bits", "8"], {"work": "decode"}, ("BF16", "Q8_0"), prompt=64, generate=32, sequences=64),
    Row("mini-64-int8", "mini, 64 sequences, int8 rest / best of BF16 and Q8_0", "mini", "versus", BATCH + INT8,
        {"work": "decode"}, ("BF16", "Q8_0"), prompt=64, generate=32, sequences=64),
    Row("mini-64-int8-8", "the same, tokens in 8 bits", "mini", "versus", BATCH + INT8 + ["--decode-bits", "8"], {"work": "decode"},
        ("BF16", "Q8_0"), prompt=64, generate=32, sequences=64),
    Row("mini-deep", "mini, decode behind 16,384", "mini", "versus",
        ["--prompt", "1", "--tokens", "16", "--depth", "16384", "--repeats", "2"], {"work": "decode"}, generate=16, depth=16384),
    Row("mini-depth-cost", "mini, cost of depth 16,384 over its limit", "mini", "depth",
        ["--prompt", "1", "--tokens", "16", "--depth", "0", "--depth", "16384", "--repeats", "2"], depth=16384),
    Row("slice-depth-cost", "k25-slice, cost of depth 4,096 over its limit", "slice", "depth",
        ["--prompt", "1", "--tokens", "16", "--depth", "0", "--depth", "4096", "--repeats", "2"], depth=4096),
    Row("slice-experts", "one layer of 64 experts, K2.5's sizes, share of its limit", "slice", "experts",
        ["--experts", "--repeats", "3"]),
    Row("slice-experts-int8", "the same with int8 rest, steps of many rows in 8 bits", "slice", "experts",
        ["--experts", "--repeats", "3"] + INT8),
    Row("mini-threads", "mini, prompt of 512, all threads over one", "mini", "threads", PREFILL, {"work": "prefill"}),
    Row("slice-threads", "k25-slice, prompt of 512, all threads over one", "slice", "threads", PREFILL, {"work": "prefill"}),
]


@dataclass
class Outcome:
    row: Row
    ours: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)  # of plain reading, or of the peak for prompts
    plain: list[float] = field(default_factory=list)  # bytes a second
    peers: dict[str, list[float]] = field(default_factory=dict)
    ratios: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)  # further lines: what, figures

    def as_json(self) -> dict:
        return {
            "row": self.row.name, "what": self.row.what, "ours": self.ours, "share": self.shares, "plain_read": self.plain,
            "peers": self.peers, "ratios": self.ratios, "notes": self.notes, "lines": self.lines}


def versus(row: Row, ours: Ours, peers: list[Peer], rounds: int) -> Outcome:
    """The sides in turn, another one first in each round; the peer of a round is the faster one in it."""
    outcome = Outcome(row)
    sides: list[Ours | Peer] = [ours, *peers]
    left_out: set[str] = set()
    for turn in range(rounds):
        speeds: dict[str, float] = {}
        for side in sides[turn % len(sides):] + sides[:turn % len(sides)]:
            if isinstance(side, Ours):
                result = pick(ours.bench(row), **row.pick)
                outcome.ours.append(result["tokens_per_second"]["median"])
                kind = "share_of_plain_read" if row.pick["work"] == "decode" and row.sequences == 1 else "share_of_peak"
                outcome.shares.append(result[kind]["median"])
                outcome.plain.append(result["plain_read"]["median"])
            elif side.name not in left_out:
                try:
                    speeds[side.name] = side.speed(row)
                    outcome.peers.setdefault(side.name, []).append(speeds[side.name])
                except Skipped as reason:
                    left_out.add(side.name)
                    outcome.notes.append(f"{side.name} left out: {reason}")
        if not speeds:
            continue
        best = max(speeds.values())
        outcome.ratios.append(outcome.ours[-1] / best)
        # A peer that is far behind costs minutes and decides nothing.
        for name in [name for name, speed in speeds.items() if speed < best / 2]:
            left_out.add(name)
            outcome.notes.append(f"{name} only in the first round: less than half as fast as the other peer")
    if not peers:
        outcome.notes.append("no peer given")
    return outcome


def depth_cost(row: Row, ours: Ours, rounds: int) -> Outcome:
    """The time that depth adds to a token, over what its bytes and its multiplications need at least."""
    outcome = Outcome(row)
    for _ in range(rounds):
        told = ours.bench(row)
        near, far = pick(told, work="decode", depth=0), pick(told, work="decode", depth=row.depth)
        cost = [far[name] / far["tokens"] - near[name] / near["tokens"] for name in ("bytes", "multiply_adds")]
        seconds = far["seconds"]["median"] / far["tokens"] - near["seconds"]["median"] / near["tokens"]
        peak = (far["peak_bf16"] or far["peak_f32"])["median"]
        limits = [cost[0] / far["plain_read"]["median"], cost[1] / peak]
        outcome.ours.append(1 / seconds if seconds > 0 else 0)
        outcome.plain.append(far["plain_read"]["median"])
        outcome.ratios.append(seconds / max(limits))
        if not outcome.notes:
            outcome.notes.append(
                f"a token costs {seconds * 1e3:.2f} ms more; cache bytes need {limits[0] * 1e3:.2f} ms, "
                f"multiplications {limits[1] * 1e3:.2f} ms; the ratio is cost over the larger: less is better")
    return outcome


def expert_share(row: Row, ours: Ours, rounds: int) -> Outcome:
    outcome = Outcome(row)
    shares: dict[int, list[float]] = {rows: [] for rows in KT_KERNEL}
    times: dict[int, list[float]] = {rows: [] for rows in KT_KERNEL}
    for _ in range(rounds):
        told = ours.bench(row)
        for rows in KT_KERNEL:
            result = pick(told, rows=rows)
            shares[rows].append(result["share_of_limit"]["median"])
            times[rows].append(result["layer_seconds"]["median"])
            outcome.plain.append(result["plain_read"]["median"])
    for rows, kt in KT_KERNEL.items():
        outcome.lines.append((
            f"    {rows} rows", f"{statistics.median(times[rows]) * 1e3:.2f} ms, {percent(shares[rows])} of its limit "
            f"(kt-kernel, measured elsewhere, {kt:.0%})"))
    outcome.notes.append("router and shared expert are in our time and in our count; kt-kernel has neither")
    return outcome


def thread_gain(row: Row, ours: Ours, rounds: int) -> Outcome:
    outcome = Outcome(row)
    for _ in range(rounds):
        one, all = (pick(ours.bench(row, threads), **row.pick) for threads in (1, ours.threads))
        outcome.ours.append(all["tokens_per_second"]["median"])
        outcome.shares.append(all["share_of_peak"]["median"])
        outcome.plain.append(all["plain_read"]["median"])
        outcome.ratios.append(all["tokens_per_second"]["median"] / one["tokens_per_second"]["median"])
    return outcome


def spread(values: list[float], places: int = 2) -> str:
    """The median, and the least and the most behind it."""
    if not values:
        return "-"
    return f"{statistics.median(values):.{places}f} ({min(values):.{places}f}-{max(values):.{places}f})"


def percent(values: list[float]) -> str:
    return f"{statistics.median(values):.0%} ({min(values):.0%}-{max(values):.0%})" if values else "-"


def table(outcomes: list[Outcome], peer_names: list[str]) -> str:
    lines = [["row", "ours", *peer_names, "ratio", "share", "plain read"]]
    for each in outcomes:
        places = 0 if each.ours and statistics.median(each.ours) >= 100 else 1
        share = percent(each.shares)
        lines.append([
            each.row.what, spread(each.ours, places), *(spread(each.peers.get(name, []), places) for name in peer_names),
            spread(each.ratios), share, f"{statistics.median(each.plain) * 1e-9:.1f} GB/s" if each.plain else "-"])
        lines += [[what, figures] for what, figures in each.lines]
    widths = [max((len(line[column]) for line in lines if len(line) > 2), default=0) for column in range(len(lines[0]))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() if len(line) > 2 else f"{line[0]}: {line[1]}"
        for line in lines]
    for each in outcomes:
        text += [f"note, {each.row.name}: {note}" for note in each.notes]
    return "\n".join(text)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kimi", default="")
    parser.add_argument("--folder", default="")
    parser.add_argument("--gguf", default="")
    parser.add_argument("--llama", default="")
    parser.add_argument("--ik", default="")
    parser.add_argument("--rows", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--options", default="")
    parser.add_argument("--json", default="")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--needs", action="store_true", help="name the geometries of the rows")
    options = parser.parse_args(arguments)
    wanted = [name for name in options.rows.split(",") if name]
    known = {row.name: row for row in ROWS}
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"no row is called {', '.join(unknown)}; there are {', '.join(known)}")
    if not 1 <= options.rounds <= 100:
        parser.error(f"--rounds is {options.rounds}; it must be 1 to 100")
    options.chosen = [known[name] for name in wanted] or ROWS
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{row.name:20}{row.what}" for row in ROWS))
        return 0
    if options.needs:
        print(" ".join(sorted({row.geometry for row in options.chosen})))
        return 0
    ours = Ours(options)
    peers: list[Peer] = []
    for name, folder, is_ik in (("llama.cpp", options.llama, False), ("ik_llama.cpp", options.ik, True)):
        try:
            if not folder:
                raise Skipped("its folder was not given")
            peers.append(Peer(name, folder, options.gguf, options.threads, is_ik))
        except Skipped as reason:
            print(f"left out: {name}: {reason}", file=sys.stderr)
    outcomes: list[Outcome] = []
    skipped: list[str] = []
    # What was measured until then is told.
    stopped = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for row in options.chosen:
        print(f"== {row.name}: {row.what}", file=sys.stderr)
        try:
            if stopped:
                raise Skipped("interrupted before its turn")
            measure = {
                "versus": lambda: versus(row, ours, peers, options.rounds), "depth": lambda: depth_cost(row, ours, options.rounds),
                "experts": lambda: expert_share(row, ours, options.rounds),
                "threads": lambda: thread_gain(row, ours, options.rounds)}
            outcomes.append(measure[row.kind]())
        except Skipped as reason:
            skipped.append(f"left out: {row.name} ({row.what}): {reason}")
        except KeyboardInterrupt:
            stopped = True
            skipped.append(f"left out: {row.name} ({row.what}): interrupted")
    print(f"{options.threads} threads, {options.rounds} rounds; median (least-most); tokens/s; ratio: ours over the faster peer of "
          "each round;\nshare: of plain reading where one sequence decodes, else of the arithmetic peak, both measured in our run")
    print(table(outcomes, [peer.name for peer in peers]))
    for line in skipped:
        print(line)
    if options.json:
        Path(options.json).write_text(json.dumps(
            {"threads": options.threads, "rounds": options.rounds, "rows": [each.as_json() for each in outcomes],
             "left_out": skipped}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
