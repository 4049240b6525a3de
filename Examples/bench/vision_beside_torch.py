#!/usr/bin/env python3
"""The vision tower of Kimi K2.5 in libkimi and in PyTorch on this machine: the same sizes, the sides in turn, several rounds.

    vision_beside_torch.py --kimi PROGRAM --folder FOLDER [--size 1024x1024] [--rounds 3] [--threads 2] [--python PYTHON]

  --kimi PROGRAM    kimi, as built (.build/release/kimi-cli) or installed
  --folder FOLDER   where a checkpoint with the real tower is, or is made with `kimi synth --geometry vision`
  --python PYTHON   a Python that has torch; this one if not given

PyTorch computes the tower as the published code does: layer_norm, linear, rotation in complex floats, scaled_dot_product_attention,
gelu. There are four sides: libkimi with `--vision-arithmetic full` (features within 1e-3 of their scale, on published vectors 1e-5)
and PyTorch in float32; libkimi with `bf16` and PyTorch in bfloat16, which both are off by about 5e-3. Only ratios of one run count:
the machine's speed moves with its neighbours. The project does not depend on PyTorch.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

LAYERS, WIDTH, HEADS, INNER = 27, 1152, 16, 4304

TORCH_SIDE = """
import sys, time, math, torch
import torch.nn.functional as F
rows, columns, threads, kind = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
layers, width, heads, inner = (int(x) for x in sys.argv[5:9])
torch.set_num_threads(threads)
torch.manual_seed(0)
dtype = torch.bfloat16 if kind == "bf16" else torch.float32
count, size = rows * columns, width // heads

def weight(*shape):
    return (torch.randn(*shape) / math.sqrt(shape[-1])).to(dtype)

blocks = [
    dict(qkv=weight(3 * width, width), qkv_bias=weight(3 * width), out=weight(width, width), out_bias=weight(width),
         up=weight(inner, width), up_bias=weight(inner), down=weight(width, inner), down_bias=weight(width))
    for _ in range(layers)]
ones, zeros = torch.ones(width, dtype=dtype), torch.zeros(width, dtype=dtype)
patch, patch_bias = weight(width, 588), weight(width)
merge_up, merge_up_bias, merge_down, merge_down_bias = weight(4 * width, 4 * width), weight(4 * width), weight(7168, 4 * width), weight(7168)
turns = torch.polar(torch.ones(count, 1, size // 2), torch.randn(count, 1, size // 2))

def rotate(x):
    pairs = torch.view_as_complex(x.float().reshape(count, heads, -1, 2))
    return torch.view_as_real(pairs * turns).flatten(2).to(dtype)

@torch.inference_mode()
def forward(pixels):
    x = F.linear(pixels, patch, patch_bias)
    for b in blocks:
        y = F.layer_norm(x, (width,), ones, zeros, 1e-5)
        q, k, v = F.linear(y, b["qkv"], b["qkv_bias"]).reshape(count, 3, heads, size).unbind(1)
        q, k, v = (t.transpose(0, 1)[None] for t in (rotate(q), rotate(k), v))
        y = F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1).reshape(count, width)
        x = x + F.linear(y, b["out"], b["out_bias"])
        y = F.layer_norm(x, (width,), ones, zeros, 1e-5)
        x = x + F.linear(F.gelu(F.linear(y, b["up"], b["up_bias"]), approximate="tanh"), b["down"], b["down_bias"])
    x = F.layer_norm(x, (width,), ones, zeros, 1e-5)
    x = x.reshape(rows // 2, 2, columns // 2, 2, width).permute(0, 2, 1, 3, 4).reshape(-1, 4 * width)
    return F.linear(F.gelu(F.linear(x, merge_up, merge_up_bias)), merge_down, merge_down_bias)

pixels = (torch.rand(count, 588) * 2 - 1).to(dtype)
# A first time, of few patches' worth of what is made lazily, is not measured; the whole is, from the second on.
forward(pixels)
begin = time.perf_counter()
forward(pixels)
print(time.perf_counter() - begin)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kimi", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--size", default="1024x1024")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--options", default="", help="further options for `kimi bench`")
    arguments = parser.parse_args()
    if not (arguments.folder / "config.json").exists():
        subprocess.run([arguments.kimi, "synth", "--geometry", "vision", str(arguments.folder)], check=True)
    width, height = (int(side) for side in arguments.size.split("x"))
    # Patches of 14 pixels, in whole tokens of 2 x 2; sizes that the model would make smaller are not for this comparison.
    rows, columns = (-(-side // 28) * 2 for side in (height, width))
    if rows * columns > 16384:
        parser.error(f"--size {arguments.size} has more patches than a picture may have")

    def kimi(arithmetic: str) -> dict:
        command = [arguments.kimi, "bench", str(arguments.folder), "--vision", "--size", arguments.size, "--repeats", "1", "--json",
                   "--vision-arithmetic", arithmetic, "--threads", str(arguments.threads), *arguments.options.split()]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def torch(kind: str) -> float:
        sizes = [str(x) for x in (rows, columns, arguments.threads, kind, LAYERS, WIDTH, HEADS, INNER)]
        return float(subprocess.run(
            [arguments.python, "-c", TORCH_SIDE, *sizes], check=True, capture_output=True, text=True).stdout)

    seconds: dict[str, list[float]] = {"kimi bf16": [], "torch bf16": [], "kimi full": [], "torch f32": []}
    shares: dict[str, list[float]] = {"bf16": [], "full": []}
    peaks: dict[str, list[float]] = {"bf16": [], "full": []}
    paths = {}
    for number in range(arguments.rounds):
        for side, times in seconds.items():
            library, kind = side.split()
            if library == "torch":
                times.append(torch(kind))
                continue
            report = kimi(kind)
            result, paths[kind] = report["results"][0], report["path"]
            times.append(result["seconds"]["median"])
            shares[kind].append(result["share_made"]["median"])
            peaks[kind].append(result["path_peak"]["median"])
        print(f"round {number + 1}: " + ", ".join(f"{side} {times[-1]:.2f} s" for side, times in seconds.items()), file=sys.stderr)
    print(f"{arguments.size}, {rows * columns} patches, {arguments.threads} threads, {arguments.rounds} rounds; medians")
    for side, times in seconds.items():
        print(f"  {side:10} {statistics.median(times):7.2f} s   ({min(times):.2f} to {max(times):.2f})")
    for ours, theirs, words in (
        ("kimi bf16", "torch bf16", "both off by about 5e-3 of the features' scale"),
        ("kimi full", "torch f32", "off by 1e-5, and by less"),
        ("kimi full", "torch bf16", "off by 1e-5, and by 5e-3"),
    ):
        ratios = [b / a for a, b in zip(seconds[ours], seconds[theirs])]
        middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
        print(f"  {ours} is {middle:.2f} times as fast as {theirs} ({least:.2f} to {most:.2f}): {words}")
    for kind, path in paths.items():
        print(f"  multiplications of kimi {kind} ({path}): {statistics.median(shares[kind]):.0%} of a peak of "
              f"{statistics.median(peaks[kind]) * 2e-12:.2f} TFLOP/s on {arguments.threads} threads")
    return 0


if __name__ == "__main__":
    sys.exit(main())
