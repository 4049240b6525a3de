#!/usr/bin/env python3
"""Writes Tests/Fixtures/tokenizer/*.json: what tiktoken makes of texts that try the pre-tokeniser and the byte pairs.

Two vocabularies are used. `tiny` is that of Tests/Fixtures/tiny-kimi. `pairs` has every string of one or two bytes,
in an order of ranks that is a formula (`pair_vocabulary`), so that nearly every wrong border between two words shows
in the ids; the test writes the same one. Long and random texts are not stored: the test makes them by the same rules,
and compares a checksum of the ids (`checksum`).

The SentencePiece vectors come from the `sentencepiece` package: a small unigram model is trained here, and what the
library must make of a checkpoint that declares one of its pieces special is asked of a model in which that piece is
changed.

    python3 -m venv v && v/bin/pip install tiktoken==0.14.0 sentencepiece==0.2.3 protobuf
    v/bin/python make_vectors.py
"""
import base64
import io
import json
import pathlib
import unicodedata

import sentencepiece
import tiktoken
from sentencepiece import sentencepiece_model_pb2

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / "Fixtures/tokenizer"
PATTERN = "|".join([
    r"[\p{Han}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
])
STRETCH, RUN = 400_000, 25_000
MASK = (1 << 64) - 1


# The reference tokenizer: tiktoken behind Kimi's cuts.

class Reference:
    def __init__(self, ranks, names):
        base = len(ranks)
        self.specials = {names.get(i, f"<|reserved_token_{i}|>"): i for i in range(base, base + 256)}
        self.encoding = tiktoken.Encoding(
            "kimi", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=self.specials)

    def encode(self, text, special):
        ids = []
        for start in range(0, len(text), STRETCH):
            for piece in cut(text[start:start + STRETCH]):
                if special:
                    ids += self.encoding.encode(piece, allowed_special="all")
                else:
                    ids += self.encoding.encode(piece, disallowed_special=())
        return ids


def cut(text):
    """Pieces without a run of more than RUN white or RUN other characters."""
    start, run, white = 0, 0, None
    for index, character in enumerate(text):
        if character.isspace() != white:
            white, run = character.isspace(), 1
        elif run == RUN:
            yield text[start:index]
            start, run = index, 1
        else:
            run += 1
    if text:
        yield text[start:]


def tiny_vocabulary():
    folder = ROOT / "Fixtures/tiny-kimi"
    ranks = {}
    for line in (folder / "tiktoken.model").read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    return Reference(ranks, {int(i): token["content"] for i, token in config["added_tokens_decoder"].items()})


def pair_vocabulary():
    ranks = {bytes([b]): b for b in range(256)}
    for value in range(65536):
        ranks[bytes([value >> 8, value & 255])] = 256 + (value * 40503 + 12345) % 65536
    return Reference(ranks, {65792: "[BOS]", 65794: "<|im_end|>", 65800: "<think>"})


# Texts that both sides can make, and the checksum of ids.

class Random:
    """splitmix64"""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, bound):
        return self.next() % bound


def checksum(lists):
    """FNV-1a of the ids, four bytes each, low byte first, with a -1 behind each list."""
    value = 0xCBF29CE484222325
    for ids in lists:
        for number in [*ids, 0xFFFFFFFF]:
            for byte in number.to_bytes(4, "little"):
                value = ((value ^ byte) * 0x100000001B3) & MASK
    return f"{value:016x}"


def alphabet():
    """Strings of which random text is made: some characters of every general category, borders of the classes, and what
    the alternatives of the pattern look for."""
    members = {}
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            members.setdefault(unicodedata.category(chr(code)), []).append(chr(code))
    found = []
    for category in sorted(members):
        characters = members[category]
        found += [characters[i * (len(characters) - 1) // 5] for i in range(6)] if len(characters) > 6 else characters
    found += list("aZbY  01'\"!.,\n\r\t\u00a0\u0085\u2028\u3000\u200b\u200d\ufeff\x1c\x0b")
    found += list("\u017f\u212a\u0131\u0130ßŉǅǈªº\u0301\u0300\u0308\u20dd\ufe0f\u3099\u309a\u302a\u302e")
    found += list("漢字〇々〆〡〩⺀⼀㐀𠀀𰀀\uf900\u3006\u3007\u303b\U00016ff0\U00016ff2かなカナ가각ไทยहिन्दी")
    found += ["'s", "'S", "'t", "'RE", "'ve", "'m", "'ll", "'Ll", "'d", "'\u017f", "'x", "''s", "'r", "'l", "don't", "WE'VE"]
    found += ["  ", " \n", "\n ", "\r\n", "\n\n", "   ", "\t\t", "hello", "World", "HTTPServer", "12345", "3.14", "()", "...",
              "!\n", "\n!", " 漢", " 1", " .", "漢'", "a漢b", "\u0301'", "A\u0301", "\u0301A"]
    return found


def random_text(random, strings, longest):
    return "".join(strings[random.below(len(strings))] for _ in range(1 + random.below(longest)))


def in_context(code):
    """One code point at every place of a word where its class matters."""
    c = chr(code)
    return f"a{c}B{c}{c} {c}Ab{c}'s{c}1{c}2{c}\n{c} \n {c}{c}漢{c}!{c}\u0301{c}A\n"


def write(name, value):
    TARGET.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("},{", "},\n{")
    (TARGET / name).write_text(text + "\n")
    print(f"{name}: {len(text)} bytes")


WRITTEN = [
    "I'm you're THEY'LL we've it's'S'\u017f I'\u017f don't'd x'lL 'Re",
    "'s 't 're 've 'm 'll 'd 'S 'x '", "a's's b'r b'rE c'l c'll d'V e'ſx",
    "HelloWorld helloWORLD HELLOworld XMLHttpRequest iOS aB AbC ABc", "ǅabc ǅABC aǅ Aǅ ǈ ʰa ʰA aʰ Aʰ ªA Aª",
    "\u0301 \u0301a \u0301A a\u0301 A\u0301 A\u0301B A\u0301b \u0301\u0301 1\u0301 !\u0301 \u0301'S \u0301AB \u0301ABc",
    "!\u0301A!\u0301a !!\u0301 .\u0301'd \n\u0301 \n\u0301A \t\u0301\u0301A", "漢\u0301 漢a 漢A a漢 A漢 1漢 !漢 漢! 漢1 漢's",
    "〇一二 々々 〆 ⺀⺀ ⼀ 〡〢 〸 ㊀ ㍻ 𠀀𰀀 豈 \U00016ff0 a⺀ ⺀a ⺀A ⺀' !⺀! 〇1 1〇2", "漢字かなカナ漢字ー長音々々は々", "한국어 텍스트와 漢字",
    "12 123 1234 1234567 1a23 ١٢٣٤٥ Ⅷ²³½ 1.5 1,000,000 0x1F", "１２３４５６", "𝟘𝟙𝟚𝟛𝟜",
    "   a", "a   b", "a \n b", "a\n\n  b", "a  \n\n  b", " \n", "\n ", "  \n  ", "   ", "\t\ta", "\r\n\r\n", "\r\r\n\n a",
    "a\u00a0b\u00a0\u00a0c", "a\u2028b\u2029c\u0085d", "a\u3000\u3000漢", "a\x1cb\x1d\x1e\x1fc", "a\x0b\x0cb", "\u180ea\u200bb",
    "!!!\n\n\n", " !!!\r\n ", "  !!! ", " ! a", "!a", "!!a", "!A!b", "$x $$x $$$ #include <stdio.h>\n", "a-b a--b a - b",
    "//\n//\n", "{\n\t\"k\": [1, 2]\n}", "x = y[1:2]  # done\n\n\ndef f():\n    pass\n",
    "👩‍👩‍👧‍👦👍🏽🇫🇷❤️☎︎", "\u200d\u200dA \ufe0fa", "\x00\x01\x7f\x80\x9f a\x00b",
    "\ue000\uf8ff\U000f0000\U0010ffff\ufffe\uffff", "ﬁﬂﬀ ŉ İıſK", "Ω≈ç√∫˜µ≤≥÷",
    "ქართული ᲥᲐᲠᲗᲣᲚᲘ", "Ꭰꭰ ᏸᏰ", "𐐀𐐨 𞤀𞤢", "ไทยภาษา हिन्दी தமிழ் မြန်မာ", "עִבְרִית العَرَبِيَّة",
    "<|im_end|>", "a<|im_end|>b <think>[BOS] </think>", "<|im_end|><|im_end|>", "<|im_end", "im_end|>", "<|im_<|im_end|>",
    "[[BOS]]", "[BOS", "<think><think", "<|reserved_token_1541|> <|reserved_token_65793|> <|reserved_token_9|>",
    "  <|im_end|>  \n", "a <think>  b", "don't<think>'s", "漢<|im_end|>字", "12<think>34 [PAD][UNK] [EOS]",
]

# (parts of (string, times), special)
LONG = [
    ([["a", 24999]], False), ([["a", 25000]], False), ([["a", 25001]], False), ([["a", 60000]], False),
    ([[" ", 24999], ["b", 1]], False), ([[" ", 25000], ["b", 1]], False), ([[" ", 25001], ["b", 1]], False),
    ([[" ", 60000], ["b", 1]], False), ([["\n", 60000]], False), ([["\u0301", 60000]], False),
    ([["x", 1], ["\u0301", 30000], [" ", 26000], ["Y", 30000]], False), ([["漢", 60000]], False), ([["1", 50003]], False),
    ([["!", 50001], ["\n", 25002]], False), ([["\x1c", 25001], ["a", 1]], False), ([["a\x1f", 25001]], False),
    ([["\u3000", 25001], ["a", 1]], False), ([["ab \n", 30000]], False), ([["word ", 80001]], False),
    ([["word ", 79999], ["abcdefgh", 3]], False), ([["w\u00e9 ", 200001]], False), ([["😀 ", 200001]], False),
    ([["a", 12000], ["b", 24000], [" ", 1], ["c", 24999], ["'s", 1]], False),
    ([["a", 24995], ["<|im_end|>", 2], ["b", 5]], True), ([["a", 24990], ["<|im_end|>", 2], ["b", 25001]], True),
    ([["a ", 199998], ["<think>", 3], [" x", 5]], True), ([["<|im_end|>", 3000]], True), ([["<|im_end|>", 3000]], False),
    ([["Ab", 400000]], False), ([["the quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸 ", 20000]], False),
]


# SentencePiece.

SENTENCES = [
    "the quick brown fox jumps over the lazy dog", "hello world, hello tokens", "  two  spaces  and a tab\tin between",
    "numbers 0123456789 and (brackets) [too] {here}", "a tool is called <tool> here and <tool> there",
    "capital Letters In Words AND WORDS", "quotes 'single' \"double\" and dashes - -- ---", "naïve café über straße",
]
PIECE_TEXTS = SENTENCES + [
    "", " ", "  ", "a", " a", "a ", "<tool>", "x<tool>y", "<tool><tool>", "<|sys|>", "a<|sys|>b", "<s>hello</s>", "<unk>",
    "漢字 unknown 漢", "tool> <tool", "\n", "hello\nworld", "▁", "a▁b", "the\u00a0dog", "hello <tool> world",
]


def write_unigram():
    """A unigram model that keeps spaces as they are, with a control piece, a user-defined piece and no bytes."""
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20), model_writer=stream, model_type="unigram", vocab_size=120,
        normalization_rule_name="identity", remove_extra_whitespaces=False, control_symbols=["<|sys|>"],
        user_defined_symbols=["<tool>", "  "], character_coverage=1.0, hard_vocab_limit=False, minloglevel=2)
    folder = TARGET / "unigram"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(stream.getvalue())
    model = sentencepiece_model_pb2.ModelProto.FromString(stream.getvalue())
    size = len(model.pieces)
    tool = next(i for i, piece in enumerate(model.pieces) if piece.piece == "<tool>")
    # As a checkpoint would have it: <tool> is special, and two tokens are added behind the model's own, with a gap.
    names = {0: "<unk>", tool: "<tool>", size: "<|added|>", size + 2: "<|last|>"}
    config = {"added_tokens_decoder": {str(i): {"content": name, "special": True} for i, name in names.items()}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")

    as_it_is = sentencepiece.SentencePieceProcessor(model_proto=stream.getvalue())
    model.pieces[tool].type = sentencepiece_model_pb2.ModelProto.SentencePiece.CONTROL
    declared = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    cases = [{"text": text, "as_it_is": as_it_is.encode(text), "declared": declared.encode(text)} for text in PIECE_TEXTS]
    # Any ids but control pieces, which the library leaves out and libkimi names.
    ordinary = [i for i in range(size) if not as_it_is.is_control(i)]
    random = Random(11)
    decode = []
    for _ in range(80):
        ids = [ordinary[random.below(len(ordinary))] for _ in range(random.below(8))]
        decode.append({"ids": ids, "text": as_it_is.decode(ids)})
    decode += spaced(as_it_is)
    write("unigram.json", {"tool": tool, "control": next(i for i, p in enumerate(model.pieces) if p.piece == "<|sys|>"),
                           "size": size, "cases": cases, "decode": decode})


def spaced(model):
    """Decoding of ids that begin with one or several spaces."""
    space, word, bare = (model.piece_to_id(piece) for piece in ("▁", "▁a", "a"))
    assert 0 not in (space, word, bare)
    lists = [[space] * count + end for count in range(4) for end in ([], [word], [bare], [bare, space, word], [0, space])]
    return [{"ids": ids, "text": model.decode(ids)} for ids in lists]


def write_bpe():
    """More of the model of Tests/Fixtures/vectors/sentencepiece, which removes extra spaces and falls back on bytes."""
    model = sentencepiece.SentencePieceProcessor(
        model_file=str(ROOT / "Fixtures/vectors/sentencepiece/tokenizer.model"))
    cases = [{"text": text, "ids": model.encode(text)} for text in PIECE_TEXTS + WRITTEN]
    ordinary = [i for i in range(model.get_piece_size()) if not model.is_control(i) and not model.is_byte(i)]
    marked = [i for i in ordinary if model.id_to_piece(i).startswith("▁")]
    random = Random(12)
    decode = []
    for _ in range(80):
        ids = [(marked if random.below(2) else ordinary) for _ in range(random.below(8))]
        ids = [choice[random.below(len(choice))] for choice in ids]
        decode.append({"ids": ids, "text": model.decode(ids)})
    decode += spaced(model)
    write("bpe.json", {"cases": cases, "decode": decode})


def main():
    write_unigram()
    write_bpe()
    vocabularies = {"tiny": tiny_vocabulary(), "pairs": pair_vocabulary()}
    strings = alphabet()

    cases = []
    random = Random(3)
    for text in WRITTEN + [random_text(random, strings, 24) for _ in range(120)]:
        case = {"text": text}
        for name, reference in vocabularies.items():
            case[name] = reference.encode(text, False)
            special = reference.encode(text, True)
            if special != case[name]:
                case[name + "_special"] = special
        cases.append(case)
    write("cases.json", cases)

    batches = []
    for seed in range(100, 140):
        random = Random(seed)
        longest = [4, 12, 40, 200][seed % 4]
        texts = [random_text(random, strings, longest) for _ in range(500)]
        batches.append({"seed": seed, "count": 500, "longest": longest} | {
            name: checksum(reference.encode(text, False) for text in texts) for name, reference in vocabularies.items()})
    write("random.json", {"strings": strings, "batches": batches})

    blocks = []
    for start in range(0, 0x110000, 4096):
        codes = [code for code in range(start, start + 4096) if not 0xD800 <= code < 0xE000]
        blocks.append(checksum(vocabularies["pairs"].encode(in_context(code), False) for code in codes))
    write("code_points.json", {"block": 4096, "pairs": blocks})

    long = []
    for parts, special in LONG:
        text = "".join(string * times for string, times in parts)
        entry = {"parts": [{"text": string, "times": times} for string, times in parts], "special": special}
        for name, reference in vocabularies.items():
            ids = reference.encode(text, special)
            entry[name] = {"count": len(ids), "checksum": checksum([ids])}
        long.append(entry)
    write("long.json", long)


main()
