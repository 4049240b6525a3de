"""Writes Tests/Fixtures/shapes: small random checkpoints in the published layout, each of another shape than tiny-kimi.

    python3 Tests/reference/make_shapes.py [--only NAME] [--out FOLDER]

For each shape: config.json, generation_config.json, tokenizer_config.json, tiktoken.model, the weights, and what
kimi_reference.py computes from them: expected.json (a prompt, greedy tokens, margins) and expected.logits.npy (float32
[prompt tokens, vocab]). The weights depend on the shape's seed only. The prompt is searched for so that nothing hangs on
rounding: no expert choice closer than ROUTER_GAP, no greedy margin below MARGIN.
"""

import argparse
import base64
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kimi_reference import Config, KimiReference, Past, Trace

OUT = Path(__file__).resolve().parent.parent / "Fixtures" / "shapes"
GREEDY = 16
ROUTER_GAP = 2e-3
MARGIN = 0.05
SPECIALS = {
    0: "[BOS]", 1: "[EOS]", 2: "<|im_end|>", 3: "<|im_user|>", 4: "<|im_assistant|>", 5: "<|start_header_id|>",
    6: "<|end_header_id|>", 9: "[EOT]", 10: "<|im_system|>", 11: "<|tool_calls_section_begin|>",
    12: "<|tool_calls_section_end|>", 13: "<|tool_call_begin|>", 14: "<|tool_call_argument_begin|>",
    15: "<|tool_call_end|>", 17: "<|im_middle|>", 18: "<|media_begin|>", 19: "<|media_content|>", 20: "<|media_end|>",
    21: "<|media_pad|>", 22: "<think>", 23: "</think>", 254: "[UNK]", 255: "[PAD]",
}


# ---------------------------------------------------------------- the shapes

@dataclass
class Shape:
    name: str
    seed: int
    covers: str
    text: dict                     # the text configuration, over DEFAULTS; None leaves null in config.json
    absent: tuple = ()             # keys of DEFAULTS that config.json does not have at all
    layout: str = "flat"           # "flat", or "k25": text_config inside, names with `language_model.`
    int4: str | None = None        # where quantization_config stands: "top", "text", "both"; None: experts not quantised
    dtypes: tuple = ("BF16",)      # of the matrices and norms, taken in turn
    shards: int = 1                # 1: model.safetensors and no index
    aligned: bool = True           # False: header not padded, tensors in the order of the maths (odd addresses)
    prompt: int = 32               # tokens
    latent_scale: float = 1.0      # of q_a_proj and kv_a_proj: small ones make the 1e-6 of the latent norms visible


def yarn(spelling, **changes):
    return {spelling: "yarn", "factor": 64.0, "original_max_position_embeddings": 4096, "beta_fast": 32.0, "beta_slow": 1.0,
            "mscale": 1.0, "mscale_all_dim": 1.0, **changes}


DEFAULTS = dict(
    hidden_size=64, num_hidden_layers=3, first_k_dense_replace=1, intermediate_size=96, moe_intermediate_size=32,
    n_routed_experts=8, num_experts_per_tok=2, n_shared_experts=1, num_attention_heads=4, q_lora_rank=24, kv_lora_rank=20,
    qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16, n_group=1, topk_group=1, vocab_size=640, moe_layer_freq=1,
    norm_topk_prob=True, rms_norm_eps=1e-5, rope_theta=50000.0, rope_scaling=yarn("type"), routed_scaling_factor=2.827,
    num_nextn_predict_layers=0, tie_word_embeddings=False, max_position_embeddings=262144,
)

SHAPES = [
    Shape(
        "moonlight", 101, "q_lora_rank null, two shared experts, bf16 experts, no YaRN (rope_scaling null), no dimension a "
        "multiple of 4 but 52 and 20, vocab 773, one file, latents small enough that the 1e-6 of their norms matters",
        dict(model_type="deepseek_v3", hidden_size=52, intermediate_size=70, moe_intermediate_size=22, q_lora_rank=None,
             num_experts_per_tok=3, n_shared_experts=2, num_attention_heads=3, kv_lora_rank=20, qk_nope_head_dim=10,
             qk_rope_head_dim=6, v_head_dim=14, vocab_size=773, rope_scaling=None, max_position_embeddings=8192,
             routed_scaling_factor=2.446),
        latent_scale=0.005),
    Shape(
        "groups-int4", 102, "n_group 4 with topk_group 2, three dense layers of five, INT4 experts (quantization_config at the top "
        "of a flat config), kimi_k2 names without prefix, v_head_dim larger than qk_nope_head_dim, three heads, two shards",
        dict(model_type="kimi_k2", num_hidden_layers=5, first_k_dense_replace=3, intermediate_size=40, n_routed_experts=12,
             num_experts_per_tok=4, num_attention_heads=3, kv_lora_rank=36, qk_nope_head_dim=12, v_head_dim=20, n_group=4,
             topk_group=2, vocab_size=521),
        int4="top", shards=2, prompt=24),
    Shape(
        "yarn-mscale", 103, "rope_parameters with rope_theta inside, YaRN with mscale 0.7 and mscale_all_dim 1.3 and a prompt beyond "
        "its original context of 32, no shared expert (0), norm_topk_prob false, quantization_config in text_config only",
        dict(model_type="kimi_k2", n_shared_experts=0, norm_topk_prob=False, routed_scaling_factor=1.5, num_attention_heads=3,
             kv_lora_rank=40, qk_nope_head_dim=10, qk_rope_head_dim=12, v_head_dim=24, vocab_size=533, max_position_embeddings=256,
             rope_parameters=yarn("rope_type", rope_theta=10000.0, factor=8.0, original_max_position_embeddings=32, beta_fast=4.0,
                                  mscale=0.7, mscale_all_dim=1.3)),
        absent=("rope_theta", "rope_scaling"), layout="k25", int4="text", shards=3, prompt=56),
    Shape(
        "dense-tied", 104, "all layers dense (n_routed_experts null, first_k_dense_replace beyond the layers), f32 tensors, tied "
        "embeddings (no lm_head tensor), no rope key but rope_theta, one pair of rotary dimensions, rms_norm_eps 1e-3",
        dict(model_type="deepseek_v3", hidden_size=40, intermediate_size=84, first_k_dense_replace=7, n_routed_experts=None,
             num_experts_per_tok=None, n_shared_experts=None, moe_intermediate_size=None, q_lora_rank=18, qk_nope_head_dim=14,
             qk_rope_head_dim=2, v_head_dim=10, vocab_size=531, rms_norm_eps=1e-3, rope_theta=10000.0, tie_word_embeddings=True,
             max_position_embeddings=4096),
        absent=("rope_scaling",), dtypes=("F32",)),
    Shape(
        "half-nextn", 105, "f16 tensors and experts, one expert a token (norm_topk_prob false), n_shared_experts null, tensors of one "
        "next-token layer that must be ignored, rope_parameters of type default, two layers",
        dict(model_type="kimi_k2", hidden_size=44, num_hidden_layers=2, intermediate_size=50, moe_intermediate_size=26,
             num_experts_per_tok=1, n_shared_experts=None, norm_topk_prob=False, routed_scaling_factor=2.0, q_lora_rank=22,
             kv_lora_rank=28, qk_nope_head_dim=18, v_head_dim=6, vocab_size=575, num_nextn_predict_layers=1,
             max_position_embeddings=4096, rope_parameters={"rope_type": "default", "rope_theta": 30000.0}),
        absent=("rope_theta", "rope_scaling"), dtypes=("F16",), shards=2, latent_scale=0.005),
    Shape(
        "all-moe", 106, "no dense layer, six of twelve INT4 experts, q_lora_rank null with prefixed names, quantization_config at the top "
        "only, two shared experts, hidden 96 (a multiple of 32, not of 64), one layer",
        dict(model_type="deepseek_v3", hidden_size=96, num_hidden_layers=1, first_k_dense_replace=0, n_routed_experts=12,
             num_experts_per_tok=6, n_shared_experts=2, q_lora_rank=None, kv_lora_rank=52, num_attention_heads=2,
             qk_nope_head_dim=24, v_head_dim=28, vocab_size=541),
        layout="k25", int4="top"),
    Shape(
        "mixed", 107, "f32, bf16 and f16 tensors side by side in one checkpoint with prefixed names, bf16/f16/f32 experts, n_group 2 "
        "with topk_group 1, seven heads, rms_norm_eps 1e-6, quantization_config absent",
        dict(model_type="kimi_k2", hidden_size=36, intermediate_size=68, moe_intermediate_size=18, n_routed_experts=10,
             num_experts_per_tok=3, n_group=2, topk_group=1, num_attention_heads=7, q_lora_rank=17, kv_lora_rank=33,
             qk_nope_head_dim=5, qk_rope_head_dim=4, v_head_dim=9, vocab_size=547, rms_norm_eps=1e-6),
        layout="k25", dtypes=("F32", "BF16", "F16"), shards=2),
    Shape(
        "sparse-moe", 108, "moe_layer_freq 2: of five layers only 2 and 4 have experts; bf16, n_group 3 with topk_group 2, "
        "tied embeddings, YaRN with mscale_all_dim absent so that cos and sin alone are scaled",
        dict(model_type="deepseek_v3", hidden_size=48, num_hidden_layers=5, moe_layer_freq=2, intermediate_size=72,
             moe_intermediate_size=24, n_routed_experts=9, num_experts_per_tok=2, n_group=3, topk_group=2, num_attention_heads=2,
             q_lora_rank=30, kv_lora_rank=26, qk_nope_head_dim=14, qk_rope_head_dim=10, v_head_dim=22, vocab_size=555,
             tie_word_embeddings=True, max_position_embeddings=1024,
             rope_scaling={k: v for k, v in yarn("type", factor=16.0, original_max_position_embeddings=64).items()
                           if k != "mscale_all_dim"})),
    Shape(
        "unaligned", 109, "legal files whose headers are not padded, so that tensors begin at odd addresses; INT4, quantization_config in "
        "both places",
        dict(model_type="kimi_k2", num_hidden_layers=3, num_attention_heads=3, vocab_size=523),
        layout="k25", int4="both", shards=2, aligned=False),
]


# ---------------------------------------------------------------- config.json and the tokenizer

def configuration(shape):
    """config.json, and the whole text configuration (with what is absent from the file left out)."""
    base = {**DEFAULTS, **shape.text}["vocab_size"] - 256
    stored_as = {("F32",): "float32", ("F16",): "float16"}.get(shape.dtypes, "bfloat16")
    ids = {"bos_token_id": base, "eos_token_id": base + 1, "pad_token_id": base + 255}
    text = {key: value for key, value in {**DEFAULTS, **shape.text}.items() if key not in shape.absent}
    model_type = text.pop("model_type")
    text = {"architectures": ["DeepseekV3ForCausalLM"], "model_type": model_type, **text,
            "num_key_value_heads": text["num_attention_heads"], "attention_bias": False, "hidden_act": "silu",
            "scoring_func": "sigmoid", "topk_method": "noaux_tc", "torch_dtype": stored_as, **ids}
    quantization = {
        "config_groups": {"group_0": {
            "input_activations": None, "output_activations": None, "targets": ["Linear"],
            "weights": {"actorder": None, "block_structure": None, "dynamic": False, "group_size": 32, "num_bits": 4,
                        "observer": "minmax", "observer_kwargs": {}, "strategy": "group", "symmetric": True, "type": "int"}}},
        "format": "pack-quantized", "kv_cache_scheme": None, "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"],
    }
    if shape.layout == "flat":
        return {**text, **({"quantization_config": quantization} if shape.int4 else {})}, text
    top = {"architectures": ["KimiK25ForConditionalGeneration"], "model_type": "kimi_k25", "torch_dtype": stored_as, **ids,
           "tie_word_embeddings": text["tie_word_embeddings"]}
    if shape.int4 in ("top", "both"):
        top["quantization_config"] = quantization
    inner = {**text, **({"quantization_config": quantization} if shape.int4 in ("text", "both") else {})}
    return {**top, "text_config": inner}, text


def tiktoken_ranks(count, random):
    """256 single bytes, then letter strings, each two earlier ones joined."""
    tokens = [bytes([n]) for n in range(256)]
    seen, letters = set(tokens), [n for n in range(256) if chr(n) in "etaoinshrdlu"]
    pool = list(letters)
    while len(tokens) < count:
        joined = tokens[pool[random.randint(len(pool))]] + tokens[pool[random.randint(len(pool))]]
        if len(joined) <= 6 and joined not in seen:
            seen.add(joined)
            pool.append(len(tokens))
            tokens.append(joined)
    return "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))


def tokenizer_configuration(base):
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {
        "added_tokens_decoder": {str(base + n): {"content": name, **flags} for n, name in SPECIALS.items()},
        "additional_special_tokens": list(SPECIALS.values()), "bos_token": "[BOS]", "eos_token": "[EOS]", "unk_token": "[UNK]",
        "pad_token": "[PAD]", "tokenizer_class": "TikTokenTokenizer",
    }


# ---------------------------------------------------------------- weights

class Tensors:
    """The tensors of a checkpoint in the order they are made: name -> (dtype, array of the stored kind)."""

    def __init__(self, shape, random):
        self.random, self.dtypes, self.made = random, shape.dtypes, {}

    def floats(self, name, values, dtype=None):
        dtype = dtype or self.dtypes[len(self.made) % len(self.dtypes)]
        values = values.astype(np.float32)
        if dtype == "BF16":  # to nearest, ties to even
            bits = values.view(np.uint32)
            values = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        elif dtype == "F16":
            values = values.astype(np.float16)
        self.made[name] = (dtype, values)

    def norm(self, name, size):
        self.floats(name + ".weight", 1 + 0.2 * self.random.standard_normal(size))

    def matrix(self, name, out, into, gain=1.0):
        self.floats(name + ".weight", self.random.standard_normal((out, into)) * (gain / np.sqrt(into)))

    def int4(self, name, out, into, gain=1.0):
        integers = np.clip(np.rint(self.random.standard_normal((out, into)) * 2.8), -8, 7).astype(np.int64)
        nibbles = (integers + 8).astype(np.uint32).reshape(out, into // 8, 8)
        words = np.bitwise_or.reduce(nibbles << (4 * np.arange(8, dtype=np.uint32)), axis=-1)
        scales = self.random.uniform(0.6, 1.4, (out, into // 32)) * (gain / np.sqrt(into) / 2.8)
        self.made[name + ".weight_packed"] = ("I32", words.view(np.int32))
        self.floats(name + ".weight_scale", scales, "BF16")
        self.made[name + ".weight_shape"] = ("I32", np.array([out, into], np.int32))


def make_weights(shape, config, text, random):
    t, c, hidden = Tensors(shape, random), config, config.hidden_size
    expert = t.int4 if shape.int4 else t.matrix

    def mlp(name, width, linear, gain):
        linear(name + "gate_proj", width, hidden, 1.5)
        linear(name + "up_proj", width, hidden)
        linear(name + "down_proj", hidden, width, gain)

    def block(layer, moe):
        at = f"model.layers.{layer}."
        t.norm(at + "input_layernorm", hidden)
        q_rows = c.num_attention_heads * (c.qk_nope_head_dim + c.qk_rope_head_dim)
        if c.q_lora_rank is None:
            t.matrix(at + "self_attn.q_proj", q_rows, hidden, 1.5)
        else:
            t.matrix(at + "self_attn.q_a_proj", c.q_lora_rank, hidden, shape.latent_scale)
            t.norm(at + "self_attn.q_a_layernorm", c.q_lora_rank)
            t.matrix(at + "self_attn.q_b_proj", q_rows, c.q_lora_rank, 1.5)
        joint = random.standard_normal((c.kv_lora_rank + c.qk_rope_head_dim, hidden)) / np.sqrt(hidden)
        joint[: c.kv_lora_rank] *= shape.latent_scale
        joint[c.kv_lora_rank :] *= 1.5
        t.floats(at + "self_attn.kv_a_proj_with_mqa.weight", joint)
        t.norm(at + "self_attn.kv_a_layernorm", c.kv_lora_rank)
        t.matrix(at + "self_attn.kv_b_proj", c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank, 1.5)
        t.matrix(at + "self_attn.o_proj", hidden, c.num_attention_heads * c.v_head_dim)
        t.norm(at + "post_attention_layernorm", hidden)
        if not moe:
            mlp(at + "mlp.", text["intermediate_size"], t.matrix, 1.5)
            return
        t.matrix(at + "mlp.gate", c.n_routed_experts, hidden, 2.0)
        t.floats(at + "mlp.gate.e_score_correction_bias", random.uniform(0.1, 0.9, c.n_routed_experts), "F32")
        for e in range(c.n_routed_experts):
            mlp(f"{at}mlp.experts.{e}.", text["moe_intermediate_size"], expert, 1.0)
        if c.n_shared_experts:
            mlp(at + "mlp.shared_experts.", text["moe_intermediate_size"] * c.n_shared_experts, t.matrix, 1.0)

    t.floats("model.embed_tokens.weight", random.standard_normal((c.vocab_size, hidden)) * (0.3 if c.tie_word_embeddings else 1.0))
    for layer in range(c.num_hidden_layers):
        block(layer, c.is_moe(layer))
    for layer in range(c.num_hidden_layers, c.num_hidden_layers + text["num_nextn_predict_layers"]):
        block(layer, bool(c.n_routed_experts))
        at = f"model.layers.{layer}."
        t.norm(at + "enorm", hidden)
        t.norm(at + "hnorm", hidden)
        t.matrix(at + "eh_proj", hidden, 2 * hidden)
        t.norm(at + "shared_head.norm", hidden)
        t.matrix(at + "shared_head.head", c.vocab_size, hidden)
        t.matrix(at + "embed_tokens", c.vocab_size, hidden)
    t.norm("model.norm", hidden)
    if not c.tie_word_embeddings:
        t.matrix("lm_head", c.vocab_size, hidden, 2.0)
    prefix = "language_model." if shape.layout == "k25" else ""
    return {prefix + name: stored for name, stored in t.made.items()}


def write_safetensors(path, tensors, aligned):
    names = list(tensors)
    if aligned:  # as the published writer does: wide dtypes first, then by name; header padded to 8 bytes
        names.sort(key=lambda name: (-tensors[name][1].itemsize, name))
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in names:
        dtype, values = tensors[name]
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8 if aligned else 1 - len(head) % 2)
    with open(path, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name in names:
            file.write(np.ascontiguousarray(tensors[name][1]).tobytes())


def write_weights(folder, tensors, shape):
    if shape.shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, shape.aligned)
        return
    files, names = [f"model-{n + 1:05d}-of-{shape.shards:06d}.safetensors" for n in range(shape.shards)], list(tensors)
    placed = {name: files[place * shape.shards // len(names)] for place, name in enumerate(names)}
    for file in files:
        write_safetensors(folder / file, {name: tensors[name] for name in names if placed[name] == file}, shape.aligned)
    total = sum(values.nbytes for _, values in tensors.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": placed})


# ---------------------------------------------------------------- expected values

def closest(traces):
    return min((float(values.min()) for trace in traces for values in trace.closeness.values()), default=float("inf"))


def find_prompt(model, length, eos, random):
    """A prompt whose expert choices and greedy margins are clear, and its continuation."""
    vocab, layers = model.config.vocab_size, model.config.num_hidden_layers
    while True:
        ids, past = [], Past(layers)
        while len(ids) < length:
            token, trace = int(random.randint(vocab)), Trace()
            model.forward([token], past, trace)
            if closest([trace]) > ROUTER_GAP:
                ids.append(token)
            else:
                past.length -= 1  # forget it and draw another
        traces = []
        tokens, margins = model.greedy(ids, GREEDY, traces)
        if min(margins) > MARGIN and closest(traces) > ROUTER_GAP and len(set(tokens)) > GREEDY // 2 and not eos & set(tokens):
            return ids, tokens, margins, closest(traces)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def make(shape, out=OUT):
    """Writes one shape's folder anew and returns the line of the table that describes it."""
    folder = Path(out) / shape.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    random = np.random.RandomState(shape.seed)  # the legacy generator: its streams are frozen across NumPy versions
    top, text = configuration(shape)
    base = text["vocab_size"] - 256
    write_json(folder / "config.json", top)
    write_json(folder / "generation_config.json", {"max_length": text["max_position_embeddings"], "eos_token_id": base + 2})
    write_json(folder / "tokenizer_config.json", tokenizer_configuration(base))
    (folder / "tiktoken.model").write_text(tiktoken_ranks(base, random))
    write_weights(folder, make_weights(shape, Config.read(folder), text, random), shape)

    model = KimiReference(folder)
    ids, greedy, margins, gap = find_prompt(model, shape.prompt, {base + 1, base + 2}, random)
    logits = model.forward(ids)
    np.save(folder / "expected.logits.npy", logits.astype("<f4"))
    expected = {"covers": shape.covers, "ids": ids, "greedy": greedy, "margin": margins}
    if np.isfinite(gap):
        expected["router_gap"] = gap
    write_json(folder / "expected.json", expected)
    size = sum(path.stat().st_size for path in folder.iterdir())
    clarity = f"least margin {min(margins):.3f}  least router gap {gap:.4f}"
    return f"{shape.name:12} {size // 1024:4} KiB  logits std {logits.std():.2f}  {clarity}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=[shape.name for shape in SHAPES])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    for shape in SHAPES:
        if options.only in (None, shape.name):
            print(make(shape, options.out))
