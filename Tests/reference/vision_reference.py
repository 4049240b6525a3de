"""MoonViT and its projector as they ship with Kimi K2.5, in NumPy float32 (float64 where that costs nothing), from the published facts.

Shares no code with libkimi. Slow, whole score matrices and all, and meant to be read.
"""

import json
import math
import os

import numpy as np

from kimi_reference import Checkpoint


class VisionReference:
    def __init__(self, folder):
        self.checkpoint = Checkpoint(folder)
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)["vision_config"]
        self.layers = config["vt_num_hidden_layers"]
        self.heads = config["vt_num_attention_heads"]
        self.hidden = config["vt_hidden_size"]
        self.epsilon = config["projector_ln_eps"]
        self.merge = config["merge_kernel_size"]

    def floats(self, name):
        return self.checkpoint.floats(name).astype(np.float32)

    def linear(self, x, name):
        weight = self.floats(name + ".weight")
        return x @ weight.reshape(weight.shape[0], -1).T + self.floats(name + ".bias")

    def layer_norm(self, x, name, epsilon):
        mean = x.mean(-1, keepdims=True, dtype=np.float64)
        centred = x - mean
        variance = (centred**2).mean(-1, keepdims=True)
        normed = centred / np.sqrt(variance + epsilon)
        return (normed * self.floats(name + ".weight") + self.floats(name + ".bias")).astype(np.float32)

    def encode(self, patches, grid):
        """Patches [t * h * w, 3, 14, 14] of one picture or chunk, frame by frame, row by row -> [h * w / 4, text hidden]."""
        frames, height, width = grid
        x = self.linear(patches.reshape(len(patches), -1), "vision_tower.patch_embed.proj")
        x = x + self.positions(frames, height, width)
        turns = self.turns(frames, height, width)
        for layer in range(self.layers):
            at = f"vision_tower.encoder.blocks.{layer}."
            x = x + self.attention(self.layer_norm(x, at + "norm0", 1e-5), at, turns)
            inner = self.linear(self.layer_norm(x, at + "norm1", 1e-5), at + "mlp.fc0")
            x = x + self.linear(gelu_tanh(inner), at + "mlp.fc1")
        x = self.layer_norm(x, "vision_tower.encoder.final_layernorm", 1e-5)
        return self.project(x, frames, height, width)

    def positions(self, frames, height, width):
        grid = self.floats("vision_tower.patch_embed.pos_emb.weight")
        if grid.shape[:2] != (height, width):
            grid = bicubic(bicubic(grid, height).swapaxes(0, 1), width).swapaxes(0, 1)
        result = np.repeat(grid.reshape(1, -1, self.hidden), frames, 0)
        if frames > 1:
            omega = 1.0 / 10000.0 ** (np.arange(self.hidden // 2) / (self.hidden / 2.0))
            angles = np.arange(frames)[:, None] * omega[None]
            result = result + np.concatenate([np.sin(angles), np.cos(angles)], 1)[:, None]
        return result.reshape(-1, self.hidden).astype(np.float32)

    def turns(self, frames, height, width):
        """The rotation of each pair of a head, as complex numbers [patches, head size / 2]: column, row, column, row, ..."""
        size = self.hidden // self.heads
        frequencies = 1.0 / 10000.0 ** (np.arange(0, size, 4) / size)
        row, column = np.divmod(np.arange(height * width), width)
        angles = np.stack([column[:, None] * frequencies, row[:, None] * frequencies], -1).reshape(height * width, -1)
        return np.tile(np.exp(1j * angles), (frames, 1))

    def attention(self, x, at, turns):
        size = self.hidden // self.heads
        qkv = self.linear(x, at + "wqkv").reshape(len(x), 3, self.heads, size)
        query, key = (rotate(qkv[:, part], turns) for part in (0, 1))
        out = np.empty((len(x), self.heads, size), np.float32)
        for head in range(self.heads):
            scores = query[:, head] @ key[:, head].T / math.sqrt(size)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            out[:, head] = weights @ qkv[:, 2, head]
        return self.linear(out.reshape(len(x), -1), at + "wo")

    def project(self, x, frames, height, width):
        down, across = self.merge
        x = x.reshape(frames, height // down, down, width // across, across, self.hidden)
        x = x.transpose(0, 1, 3, 2, 4, 5).mean(0).reshape(-1, down * across, self.hidden)
        x = self.layer_norm(x, "mm_projector.pre_norm", self.epsilon).reshape(len(x), -1)
        return self.linear(gelu(self.linear(x, "mm_projector.proj.0")), "mm_projector.proj.2")


def rotate(x, turns):
    pairs = x.astype(np.float64).view(np.complex128) * turns[:, None]
    return pairs.view(np.float64).astype(np.float32)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu(x):
    return (0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))).astype(np.float32)


def bicubic(grid, count):
    """Resamples the first axis to `count` places by cubic convolution (a = -0.75), corners not aligned, edges repeated."""
    size = len(grid)
    result = np.zeros((count,) + grid.shape[1:])
    for place in range(count):
        at = (place + 0.5) * size / count - 0.5
        first = math.floor(at)
        for tap in range(-1, 3):
            result[place] += cubic(at - first - tap) * grid[min(max(first + tap, 0), size - 1)]
    return result


def cubic(distance, a=-0.75):
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0
