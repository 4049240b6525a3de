"""The Kimi K2 / DeepSeek-V3 text model in NumPy float32, written to be read.

It shares no code with libkimi and none with the public implementations: attention is expanded (keys and values per head,
nothing absorbed), weights are dequantised to float32 before use, and each step is one line of the maths where it can be.
Its purpose is to be right and slow. Not for: anything but tests; big checkpoints; sampling; vision.

    model = KimiReference("Tests/Fixtures/tiny-kimi")
    logits = model.forward([1, 2, 3])             # float32 [3, vocab]
    tokens, margins = model.greedy([1, 2, 3], 8)
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

F32 = np.float32
LATENT_NORM_EPS = F32(1e-6)  # q_a_layernorm and kv_a_layernorm have this whatever `rms_norm_eps` says
QUERY_CHUNK = 512            # bounds the score matrix of a long prompt; changes no result beyond rounding


# ---------------------------------------------------------------- the checkpoint

DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I32": "<i4", "I64": "<i8"}


class Checkpoint:
    """All tensors of a folder, by name, without one of the two name prefixes. Sharded with an index, or one file."""

    def __init__(self, folder):
        folder = Path(folder)
        index = folder / "model.safetensors.index.json"
        if index.exists():
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        else:
            shards = ["model.safetensors"]
        self._entries = {}
        for shard in shards:
            raw = np.memmap(folder / shard, dtype=np.uint8, mode="r")
            length = int.from_bytes(raw[:8].tobytes(), "little")
            header = json.loads(raw[8 : 8 + length].tobytes())
            for name, entry in header.items():
                if name != "__metadata__":
                    begin, end = (8 + length + offset for offset in entry["data_offsets"])
                    bare = name.removeprefix("language_model.")
                    self._entries[bare] = (entry["dtype"], entry["shape"], raw[begin:end])

    def __contains__(self, name):
        return name in self._entries

    def stored(self, name):
        """The tensor as stored; bfloat16 comes as its 16-bit patterns."""
        dtype, shape, raw = self._entries[name]
        return np.frombuffer(raw.tobytes(), DTYPES[dtype]).reshape(shape)

    def floats(self, name):
        """A floating-point tensor as float32 (exact: all of bf16 and f16 is in f32)."""
        values = self.stored(name)
        if self._entries[name][0] == "BF16":
            return (values.astype(np.uint32) << 16).view(F32)
        return values.astype(F32)

    def matrix(self, name):
        """`name.weight`, or the INT4 pack-quantized `name.weight_packed`, as float32 [out, in]."""
        if name + ".weight" in self:
            return self.floats(name + ".weight")
        words = self.stored(name + ".weight_packed").view(np.uint32)
        scales = self.floats(name + ".weight_scale")
        rows, columns = (int(n) for n in self.stored(name + ".weight_shape"))
        # Element i of a row: bits 4*(i%8)..+3 of word i/8, stored plus 8. One scale for 32 elements.
        nibbles = (words[:, :, None] >> (4 * np.arange(8, dtype=np.uint32))) & np.uint32(15)
        integers = nibbles.reshape(rows, columns).astype(F32) - F32(8)
        return integers * np.repeat(scales, 32, axis=1)


# ---------------------------------------------------------------- the configuration

@dataclass
class Config:
    """The numbers of config.json that the text model uses; field names are the file's own."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    vocab_size: int
    q_lora_rank: int | None = None
    rms_norm_eps: float = 1e-6
    first_k_dense_replace: int = 0
    moe_layer_freq: int = 1
    n_routed_experts: int | None = None
    n_shared_experts: int | None = None
    num_experts_per_tok: int | None = None
    n_group: int | None = 1
    topk_group: int | None = 1
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 1.0
    tie_word_embeddings: bool = False
    rope: dict = field(default_factory=dict)  # rope_scaling or rope_parameters, with rope_theta in it

    @staticmethod
    def read(folder):
        top = json.loads((Path(folder) / "config.json").read_text())
        text = top.get("text_config", top)
        for key, only in {"hidden_act": "silu", "scoring_func": "sigmoid", "topk_method": "noaux_tc", "attention_bias": False}.items():
            if text.get(key, only) != only:
                raise ValueError(f"config.json: {key} is {text[key]!r}; only {only!r} is known here")
        rope = dict(text.get("rope_parameters") or text.get("rope_scaling") or {})
        rope.setdefault("rope_theta", text.get("rope_theta", 10000.0))
        known = {key: text[key] for key in Config.__dataclass_fields__ if key in text}
        return Config(**{**known, "rope": rope})

    def is_moe(self, layer):
        return bool(self.n_routed_experts) and layer >= self.first_k_dense_replace and layer % self.moe_layer_freq == 0


# ---------------------------------------------------------------- rotary positions

def yarn_mscale(factor, mscale):
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


@dataclass
class Rotary:
    """One angle for each pair of neighbouring elements; YaRN if the checkpoint asks for it."""

    inv_freq: np.ndarray  # float32 [rope dims / 2]
    magnitude: float      # multiplies cos and sin
    softmax_factor: float # multiplies (nope + rope)^-0.5

    @staticmethod
    def of(config):
        rope, dims = config.rope, config.qk_rope_head_dim
        base = rope["rope_theta"]
        frequencies = F32(1) / F32(base) ** (np.arange(0, dims, 2, dtype=F32) / F32(dims))
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind == "default":
            return Rotary(frequencies, 1.0, 1.0)
        if kind != "yarn":
            raise ValueError(f"config.json: rope type is {kind!r}; only 'yarn' and 'default' are known here")

        factor, original = rope["factor"], rope["original_max_position_embeddings"]

        def dimension(rotations):  # the (fractional) pair that turns `rotations` times over the original context
            return dims * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

        low = max(math.floor(dimension(rope.get("beta_fast", 32))), 0)
        high = min(math.ceil(dimension(rope.get("beta_slow", 1))), dims - 1)
        width = high - low if high != low else 0.001
        slowed = np.clip((np.arange(dims // 2, dtype=F32) - F32(low)) / F32(width), 0, 1)  # 0: as trained, 1: divided by factor
        blended = frequencies * (1 - slowed) + frequencies / F32(factor) * slowed

        # As DeepSeek's own code has it: a missing mscale counts as 1, a missing mscale_all_dim as 0 (a factor of 1).
        all_dims = yarn_mscale(factor, rope.get("mscale_all_dim", 0))
        return Rotary(blended.astype(F32), yarn_mscale(factor, rope.get("mscale", 1)) / all_dims, all_dims**2)

    def turn(self, x, positions):
        """x: [tokens, heads, rope dims], pairs (0,1), (2,3), ... turned by position times frequency (in float32)."""
        angles = positions.astype(F32)[:, None, None] * self.inv_freq
        cos, sin = np.cos(angles) * F32(self.magnitude), np.sin(angles) * F32(self.magnitude)
        even, odd = x[..., 0::2], x[..., 1::2]
        return np.stack([even * cos - odd * sin, odd * cos + even * sin], axis=-1).reshape(x.shape)


# ---------------------------------------------------------------- small parts

def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + F32(eps)) * weight


def sigmoid(x):
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right 0
        return F32(1) / (F32(1) + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def route(x, weight, bias, config):
    """Chosen experts [tokens, k], their weights [tokens, k], and per token how close the choice was.

    Groups: the best `topk_group` by the sum of their two best biased scores stay; experts of the others are out (-inf).
    So does transformers today; older published code masks with 0.0, which chooses the same unless fewer than k experts
    of the kept groups have a biased score above 0. The closeness therefore counts the distance to 0 as well.
    """
    tokens, experts, k = len(x), config.n_routed_experts, config.num_experts_per_tok
    scores = sigmoid(x @ weight.T)
    biased = scores + bias
    closeness = np.full(tokens, np.inf, F32)
    groups, kept = config.n_group or 1, config.topk_group or 1
    if groups > 1:
        group_scores = np.sort(biased.reshape(tokens, groups, -1), axis=-1)[..., -2:].sum(axis=-1)
        order = np.argsort(-group_scores, axis=-1, kind="stable")
        keep = np.zeros((tokens, groups), bool)
        np.put_along_axis(keep, order[:, :kept], True, axis=-1)
        biased = np.where(np.repeat(keep, experts // groups, axis=1), biased, F32(-np.inf))
        if kept < groups:
            ranked = np.take_along_axis(group_scores, order, axis=-1)
            closeness = ranked[:, kept - 1] - ranked[:, kept]
    order = np.argsort(-biased, axis=-1, kind="stable")
    ranked = np.take_along_axis(biased, order, axis=-1)
    if k < experts:
        closeness = np.minimum(closeness, ranked[:, k - 1] - ranked[:, k])
    if groups > 1:
        closeness = np.minimum(closeness, ranked[:, k - 1])
    chosen = order[:, :k]
    weights = np.take_along_axis(scores, chosen, axis=-1)  # without the bias
    if config.norm_topk_prob:
        weights = weights / (weights.sum(axis=-1, keepdims=True) + F32(1e-20))
    return chosen, weights * F32(config.routed_scaling_factor), closeness


class Past:
    """What attention remembers of a sequence: for each layer the rotated keys and the values of all heads."""

    def __init__(self, layers):
        self.length = 0
        self.keys, self.values = [None] * layers, [None] * layers

    def extend(self, layer, keys, values):
        if self.keys[layer] is not None:
            keys = np.concatenate([self.keys[layer][: self.length], keys])
            values = np.concatenate([self.values[layer][: self.length], values])
        self.keys[layer], self.values[layer] = keys, values
        return keys, values


@dataclass
class Trace:
    """What a forward pass saw on its way, if the caller hands one in: lists by layer (experts only for MoE layers)."""

    hidden: list = field(default_factory=list)          # output of each block, [tokens, hidden]
    experts: dict = field(default_factory=dict)         # layer -> [tokens, k]
    expert_weights: dict = field(default_factory=dict)  # layer -> [tokens, k]
    closeness: dict = field(default_factory=dict)       # layer -> [tokens], see `route`


# ---------------------------------------------------------------- the model

class KimiReference:
    def __init__(self, folder):
        self.config = Config.read(folder)
        self.checkpoint = Checkpoint(folder)
        self.rotary = Rotary.of(self.config)
        self._held = {}

    def vector(self, name):
        return self._once(name, self.checkpoint.floats)

    def matrix(self, name):
        return self._once(name, self.checkpoint.matrix)

    def _once(self, name, read):
        if name not in self._held:
            self._held[name] = read(name)
        return self._held[name]

    def forward(self, ids, past=None, trace=None):
        """Logits, float32 [tokens, vocab], of `ids` after `past` (which grows by them)."""
        c = self.config
        past = past if past is not None else Past(c.num_hidden_layers)
        positions = np.arange(past.length, past.length + len(ids))
        x = self.matrix("model.embed_tokens")[np.asarray(ids)]
        for layer in range(c.num_hidden_layers):  # tensors of further (next-token) layers are never looked at
            at = f"model.layers.{layer}."
            h = rms_norm(x, self.vector(at + "input_layernorm.weight"), c.rms_norm_eps)
            x = x + self.attention(h, at + "self_attn.", layer, positions, past)
            h = rms_norm(x, self.vector(at + "post_attention_layernorm.weight"), c.rms_norm_eps)
            x = x + (self.experts(h, at + "mlp.", layer, trace) if c.is_moe(layer) else self.mlp(h, at + "mlp."))
            if trace is not None:
                trace.hidden.append(x)
        past.length += len(ids)
        x = rms_norm(x, self.vector("model.norm.weight"), c.rms_norm_eps)
        return x @ self.matrix("model.embed_tokens" if c.tie_word_embeddings else "lm_head").T

    def attention(self, x, at, layer, positions, past):
        c, tokens, heads = self.config, len(x), self.config.num_attention_heads
        nope, rope = c.qk_nope_head_dim, c.qk_rope_head_dim
        if c.q_lora_rank is None:
            q = x @ self.matrix(at + "q_proj").T
        else:
            q = rms_norm(x @ self.matrix(at + "q_a_proj").T, self.vector(at + "q_a_layernorm.weight"), LATENT_NORM_EPS)
            q = q @ self.matrix(at + "q_b_proj").T
        q = q.reshape(tokens, heads, nope + rope)
        q = np.concatenate([q[..., :nope], self.rotary.turn(q[..., nope:], positions)], axis=-1)

        compressed = x @ self.matrix(at + "kv_a_proj_with_mqa").T
        latent = rms_norm(compressed[:, : c.kv_lora_rank], self.vector(at + "kv_a_layernorm.weight"), LATENT_NORM_EPS)
        k_rope = self.rotary.turn(compressed[:, None, c.kv_lora_rank :], positions)  # one for all heads
        expanded = (latent @ self.matrix(at + "kv_b_proj").T).reshape(tokens, heads, nope + c.v_head_dim)
        k = np.concatenate([expanded[..., :nope], np.broadcast_to(k_rope, (tokens, heads, rope))], axis=-1)
        k, v = past.extend(layer, k, expanded[..., nope:])

        scale = F32((nope + rope) ** -0.5 * self.rotary.softmax_factor)
        keys, values = k.transpose(1, 2, 0), v.transpose(1, 0, 2)  # [heads, dims, all tokens], [heads, all tokens, dims]
        out = np.empty((tokens, heads, c.v_head_dim), F32)
        for begin in range(0, tokens, QUERY_CHUNK):
            rows = slice(begin, min(begin + QUERY_CHUNK, tokens))
            scores = q[rows].transpose(1, 0, 2) @ keys * scale
            future = np.arange(len(k))[None, :] > positions[rows, None]
            out[rows] = (softmax(np.where(future, F32(-np.inf), scores)) @ values).transpose(1, 0, 2)
        return out.reshape(tokens, -1) @ self.matrix(at + "o_proj").T

    def mlp(self, x, at):
        gate, up = x @ self.matrix(at + "gate_proj").T, x @ self.matrix(at + "up_proj").T
        return (gate * sigmoid(gate) * up) @ self.matrix(at + "down_proj").T

    def experts(self, x, at, layer, trace):
        c = self.config
        bias = self.vector(at + "gate.e_score_correction_bias")
        chosen, weights, closeness = route(x, self.matrix(at + "gate"), bias, c)
        if trace is not None:
            trace.experts[layer], trace.expert_weights[layer], trace.closeness[layer] = chosen, weights, closeness
        out = np.zeros_like(x)
        for expert in np.unique(chosen):
            rows, slots = np.nonzero(chosen == expert)
            out[rows] += self.mlp(x[rows], f"{at}experts.{expert}.") * weights[rows, slots, None]
        if c.n_shared_experts:  # several shared experts are one MLP of their joint width
            out = out + self.mlp(x, at + "shared_experts.")
        return out

    def greedy(self, ids, count, trace=None):
        """The `count` most likely tokens after `ids`, one by one, and each step's margin (best minus second-best logit).

        `trace`, if given, is a list that gets one Trace a call of `forward`.
        """
        past, tokens, margins, feed = Past(self.config.num_hidden_layers), [], [], list(ids)
        while len(tokens) < count:
            seen = Trace()
            last = self.forward(feed, past, seen)[-1]
            if trace is not None:
                trace.append(seen)
            second, best = np.argsort(last, kind="stable")[-2:]
            tokens.append(int(best))
            margins.append(float(last[best] - last[second]))
            feed = tokens[-1:]
        return tokens, margins
