#!/usr/bin/env python3
"""Writes Tests/Fixtures/strings/*.json: which strings patterns and formats of JSON Schema allow.

`patterns.json`: hand-made and random patterns with random strings. A string is allowed if both Python's `re.search` and node's
`RegExp` with the flag u find the pattern in it; where only one of them takes the pattern, that one decides.
`formats.json`: strings of each format, hand-made and damaged, with what `jsonschema`'s checker says of them. What the checker
takes although the standard does not have it is left out: a last line feed, and what `LOOSE` names format by format.

    python3 -m venv v && v/bin/pip install 'jsonschema[format]==4.26.0'
    v/bin/python make_strings.py        # also needs node (20)
"""
import json
import pathlib
import random
import re
import subprocess

import jsonschema

TARGET = pathlib.Path(__file__).resolve().parents[2] / "Fixtures/strings"
CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER

PATTERNS = r"""^a|b$ (^a|b)c a^b a$b ^$ $^ ^\d+$ ^\w+$ ^\W+$ ^\s*$ ^\S+$ ^\D$ ^.$ ^.*$ a.b \bab\b \Bab ab\B \b \B
^(?=.*\d)(?=.*[a-z]).{2,6}$ ^(?!.*--)[a-z-]+$ ^((?!foo).)*$ (?:(?=a)a|b)+$ ^(?!foo) ^(?!\d) (?!a) a(?!b) a(?=b)b ^[^\d\s]+$ ^[^a-c]$
[a-] ^[\w-.]+$ ^[\w.-]+@[\w-]+$ a{2} ^a{2,3}?b??$ ^a{0}b$ a{ a{x} ^(a+)+$ ^(a*)*b$ ^(|a)+$ ^(?:a|ab)(?:c|bc)$ ^\x41\u0041$ ^[\b]$ \/
^\p{L}+$ ^\p{Lu} ^\P{N}+$ ^\u{1F600}$ ^(?<n>a)$ ^(a|^b)*$ (a$|b)+c? ^a\nb$ a$\n ^\n$ (?=a$) (?!a$)a ^(?!a$).*$ ^(?!.*\bfoo\b).*$
(a|$)\n? ^(?=(?!a).)[ab]+$ \ba\b|^b ^\cA$ [\s\S] ^\0$ x*$ ^-?(0|[1-9]\d*)(\.\d+)?$ \p{Script=Han} ^[^\W_]+$ \p{Ll}\p{Lt}? \p{Nd}
^[A-Za-z_][A-Za-z0-9_]*$ ^#[0-9a-fA-F]{6}$ ^(\([0-9]{3}\))?[0-9]{3}-[0-9]{4}$ ^[^\s@]+@[^\s@]+\.[^\s@]+$ ^(?=.*[A-Z])(?=.*\d).{4,}$
^/(?:[^/]+/)*[^/]*$ ^v?\d+\.\d+(?:\.\d+)?(?:-[0-9a-z.]+)?$ ^[\u4e00-\u9fff]{1,3}$ ^(?:(?!\.\.)[\w.])+$""".split()

PIECES = ["a", "b", "A", "0", "5", "_", " ", "\n", "\r", "-", ".", "é", "٣", "中", "😀", "\u2028", "\x1c", "\ufeff", "@", "c", "x",
          "foo", "ab", "#", "/", "ǅ"]

FORMATS = {
    "date": ["2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "0000-01-01", "0001-01-01", "2024-13-01", "2024-04-31", "2024-1-01"],
    "time": ["12:00:00Z", "23:59:59.123+01:30", "24:00:00Z", "23:59:60Z", "12:00:00", "00:00:00z", "12:60:00Z", "12:00:00+24:00", "12:00:00.Z"],
    "date-time": ["2024-02-29T12:00:00Z", "2023-02-29T12:00:00Z", "2024-01-01t00:00:00z", "2024-01-01 00:00:00Z", "2024-12-31T23:59:59.9-00:00"],
    "duration": ["P1Y", "P1M2D", "PT1H2M3S", "P1W", "P", "PT", "P1DT1S", "P2Y3D"],
    "email": ["a@b", "a.b+c@example.com", "ab", "", "@"],
    "hostname": ["a", "a-b.c", "-a", "a-", "a..b", "a." + "b" * 63, "b" * 64, "a_b", ".".join(["a" * 61] * 4), ".".join(["a" * 62] * 4) + ".bb"],
    "ipv4": ["0.0.0.0", "255.255.255.255", "256.0.0.1", "01.2.3.4", "1.2.3", "1.2.3.4.5"],
    "ipv6": ["::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "1::8:9:10:11:12:13:14", "::1.2.3.4", "1:2:3:4:5:6:1.2.3.4",
             "1:2:3:4:5:6:7:1.2.3.4", "12345::", "fe80::1%eth0", ":::", "1:2:3:4:5:6:7", "::ffff:0:0"],
    "json-pointer": ["", "/", "/a/b", "a", "/~0~1", "/~2", "/~"],
    "uri": ["http://a/b?c#d", "mailto:a@b", "a:", "//a", "http://[::1]:80/", "http://[::1", "a:%zz", "urn:x:y", "http://u:p@h:1/%41", "a b:c", "http://é/"],
    "uri-reference": ["", "a", "//a", "#", "?", "a:b", "/a//b", ":a", "a\\b", "%4"],
    "uuid": ["01234567-89ab-cdef-ABCD-ef0123456789", "0123456789abcdefabcdef0123456789", "01234567-89ab-cdef-abcd-ef012345678g",
             "01234567-89ab-cdef-abcd-ef01234567890"],
}

# Of what jsonschema takes, what the standard lacks.
LOOSE = {
    "email": lambda s: not re.fullmatch(r"[a-z.+]+@[a-z.]+", s) or ".." in s or s[0] == "." or s[-1] == "." or ".@" in s or "@." in s,
    "hostname": lambda s: s.endswith((".", "\n")),
    "duration": lambda s: not re.fullmatch(
        r"P(?!$)(\d+Y(\d+M(\d+D)?)?|\d+M(\d+D)?|\d+D)?(T(?!$)(\d+H(\d+M(\d+S)?)?|\d+M(\d+S)?|\d+S))?|P\d+W", s, re.ASCII),
    "uuid": lambda s: not re.fullmatch(r"[0-9A-Fa-f-]{36}", s) or s.count("-") != 4,
}


class Node:
    """One node process that answers line by line; None where it does not take the pattern."""

    SCRIPT = """
    require("readline").createInterface({input: process.stdin}).on("line", line => {
      const {pattern, strings} = JSON.parse(line);
      const expression = ["u", ""].map(f => { try { return new RegExp(pattern, f) } catch { return null } }).find(e => e);
      console.log(JSON.stringify(expression ? strings.map(s => expression.test(s)) : null));
    })"""

    def __init__(self):
        self.process = subprocess.Popen(
            ["node", "-e", self.SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def matches(self, pattern, strings):
        self.process.stdin.write(json.dumps({"pattern": pattern, "strings": strings}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def python_matches(pattern, strings):
    try:
        expression = re.compile(pattern)
    except re.error:
        return None
    return [bool(expression.search(s)) for s in strings]


def random_pattern(rng, depth):
    """Over a, b and what is near them, with assertions in all places."""
    def atom():
        return rng.choice(["a", "b", "[ab]", "[^a]", ".", "\\w", "\\d", "\\W", "\\s", "c", "\\D"])

    def term(depth):
        kind = rng.random()
        if depth == 0 or kind < 0.45:
            body = atom()
        elif kind < 0.8:
            # A repeated group that may match nothing, or within another, keeps backtracking matchers busy for hours.
            return "(?:" + expression(depth - 1) + ")" + (rng.choice(["", "", "?", "*", "+", "{2}"]) if depth == 1 else "")
        elif kind < 0.9:
            return rng.choice(["(?=", "(?!"]) + expression(depth - 1) + ")"
        else:
            return rng.choice(["^", "$", "\\b", "\\B"])
        return body + rng.choice(["", "", "", "*", "+", "?", "{2}", "{1,2}", "*?"])

    def expression(depth):
        return "|".join("".join(term(depth) for _ in range(rng.randint(1, 3))) for _ in range(rng.choice([1, 1, 1, 2])))

    return rng.choice(["", "^"]) + expression(depth) + rng.choice(["", "$"])


def pattern_cases(rng, node):
    cases = []
    generated = [random_pattern(rng, 2) for _ in range(400)]
    for index, pattern in enumerate(PATTERNS + generated):
        pieces = PIECES if index < len(PATTERNS) else ["a", "b", "c", "a", "b", "0", " ", "\n", "é"]
        strings = {"", "\n", "a", "b", "ab", "a\n"} if index < len(PATTERNS) else {"", "a"}
        while len(strings) < (40 if index < len(PATTERNS) else 16):
            strings.add("".join(rng.choice(pieces) for _ in range(rng.randint(1, 6))))
        strings = sorted(strings)
        answers = [a for a in (node.matches(pattern, strings), python_matches(pattern, strings)) if a is not None]
        if not answers:
            continue
        allowed = [all(each) for each in zip(*answers)]
        cases.append({
            "pattern": pattern,
            "allowed": [s for s, yes in zip(strings, allowed) if yes],
            "refused": [s for s, yes in zip(strings, allowed) if not yes],
        })
    return cases


def conforms(text, name):
    try:
        return CHECKER.conforms(text, name)
    except Exception:  # the checkers of durations let arithmetic errors through
        return False


def format_cases(rng):
    cases = []
    for name, seeds in FORMATS.items():
        texts = set(seeds)
        for seed in seeds * 40:
            text = list(seed)
            for _ in range(rng.randint(1, 2)):
                at = rng.randint(0, len(text))
                text[at:at + rng.randint(0, 1)] = rng.choice(["", rng.choice("0123456789abcdefTt:-.Zz+/@%[]vPDMYWHS\"~ \n")])
            texts.add("".join(text))
        loose = LOOSE.get(name, lambda s: False)
        texts = [t for t in sorted(texts) if not conforms(t, name) or not (t.endswith("\n") or loose(t))]
        rng.shuffle(texts)
        yes = [t for t in texts if conforms(t, name)]
        no = [t for t in texts if not conforms(t, name)]
        cases.append({"format": name, "allowed": sorted(yes[:120]), "refused": sorted(no[:120])})
    return cases


def main():
    rng = random.Random(5)
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, cases in (("patterns", pattern_cases(rng, Node())), ("formats", format_cases(rng))):
        lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
        (TARGET / f"{name}.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
