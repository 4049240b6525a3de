"""One side of oversubscribed.py, a process of its own so that a cgroup can hold it: single tokens, timed and counted.

Opens the checkpoint, evaluates ids one by one, the same ones on every side, and prints one JSON object. The first ids only warm up:
they fill the page cache, or the slots for experts. The logits after each token are digested, bit by bit.
"""

import argparse
import hashlib
import json
import random
import sys
import time

import kimi

# Of `expert_store`, what grows as the model runs.
COUNTS = ("uses", "hits", "on_the_way", "bytes_read", "stall_seconds", "retries")


def io_bytes() -> int:
    """What this process has had read from disks so far, by mapping and by any kind of read."""
    with open("/proc/self/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("read_bytes"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--load", choices=["map", "copy", "stream"], required=True)
    parser.add_argument("--warm", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--resident", type=int)
    options = parser.parse_args()
    total = options.warm + options.tokens
    begin = time.monotonic()
    with kimi.Model(
            options.checkpoint, load=options.load, threads=options.threads, resident_bytes=options.resident,
            context_limit=total, chunk_size=64) as model, model.session() as session:
        opening = time.monotonic() - begin
        ids = random.Random(1)
        digests = []

        def step() -> None:
            logits = session.eval([ids.randrange(model.vocabulary_size)])
            digests.append(hashlib.sha256(logits).hexdigest())

        for _ in range(options.warm):
            step()
        store, read = model.info.get("expert_store"), io_bytes()
        begin = time.monotonic()
        for _ in range(options.tokens):
            step()
        seconds = time.monotonic() - begin
        # The system's count, for both sides: it has what was read through mappings, too.
        told = {
            "seconds": seconds, "tokens": options.tokens, "opening": opening, "logits": digests, "read": io_bytes() - read,
            "threads": model.info["threads"], "isa": model.info["isa"]}
        after = model.info.get("expert_store")
        if store and after:
            told["store"] = after | {name: after[name] - store[name] for name in COUNTS}
    json.dump(told, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
