#!/usr/bin/env python3
"""Schemas, and documents that satisfy them, for the tests of constrained decoding.

    constraints.py schemas COUNT SEED     a schema a line, over all covered keywords, nested to depth 6
    constraints.py documents COUNT SEED   {"schema": ..., "texts": [...]} a line: documents made here, kept if they are valid under
                                          Python's jsonschema, in several spellings
    constraints.py validate               reads {"schema": ..., "text": ...} a line; prints what is not valid; status 1 if any

The generator of documents knows nothing of the library's own way of reading schemas. Needs jsonschema[format-nongpl].
"""
import json
import random
import sys

import jsonschema

WORDS = ["id", "name", "kind", "value", "count", "unit", "tags", "items", "next", "größe", "日付", "a\"b", "x/y", "", "emoji 🙂", "nam", "nameless"]
PATTERNS = ["^[a-z]{2,5}$", "^\\d{3}-\\d{4}$", "[A-Z]", "^(foo|bar)+$", "^[^@]+@x\\.org$", "^\\w*$", "é"]
FORMATS = ["date", "date-time", "time", "email", "uuid", "uri", "ipv4"]


def word(r):
    return r.choice(WORDS)


def scalar_literal(r):
    return r.choice([None, True, False, 0, 1, -7, 2.5, 0.1, 12345, word(r), word(r), "red", "green", "a b\n", "é"])


def literal(r, depth):
    kind = r.random()
    if depth > 0 and kind < 0.1:
        return [literal(r, depth - 1) for _ in range(r.randint(0, 3))]
    if depth > 0 and kind < 0.2:
        return {word(r): literal(r, depth - 1) for _ in range(r.randint(0, 3))}
    return scalar_literal(r)


def number(r):
    schema = {"type": r.choice(["integer", "number"])}
    low = r.choice([0, 1, -5, -1000, 10, 0.5, -2.25, 99, 1e6, 123456789])
    if r.random() < 0.5:
        schema[r.choice(["minimum", "exclusiveMinimum"])] = low
    if r.random() < 0.5:
        schema[r.choice(["maximum", "exclusiveMaximum"])] = low + r.choice([3, 10, 1000, 7.5, 1e9])
    if r.random() < 0.25:
        schema["multipleOf"] = r.choice([1, 2, 5, 7, 0.5, 0.25, 0.1, 0.01, 2.0])
    return schema


def string(r):
    schema = {"type": "string"}
    kind = r.random()
    if kind < 0.15:
        schema["pattern"] = r.choice(PATTERNS)
    elif kind < 0.3:
        schema["format"] = r.choice(FORMATS)
    if kind > 0.5:
        if r.random() < 0.6:
            schema["minLength"] = r.randint(0, 4)
        if r.random() < 0.6:
            schema["maxLength"] = r.randint(4, 12)
    return schema


def enumeration(r):
    if r.random() < 0.3:
        return {"const": literal(r, 2)}
    schema = {"enum": [literal(r, 2) for _ in range(r.randint(1, 6))]}
    if r.random() < 0.5:
        schema["enum"] = sorted({word(r) for _ in range(r.randint(1, 6))})
        if r.random() < 0.5:
            schema["type"] = "string"
    return schema


def array(r, depth, names):
    schema = {"type": "array"}
    if r.random() < 0.3:
        schema["prefixItems"] = [anything(r, depth - 1, names) for _ in range(r.randint(1, 3))]
    if r.random() < 0.8:
        schema["items"] = anything(r, depth - 1, names) if r.random() < 0.9 else False
    if r.random() < 0.4:
        schema["minItems"] = r.randint(0, 2)
    if r.random() < 0.4:
        schema["maxItems"] = r.randint(2, 4)
    if r.random() < 0.15:
        schema.pop("prefixItems", None)
        schema["uniqueItems"] = True
        schema["items"] = r.choice([
            {"enum": ["a", "b", "c", 1, 2, None, True]}, {"type": "boolean"}, {"type": "integer", "minimum": -2, "maximum": 6},
            {"type": "string"}, {"type": "string", "maxLength": 1}, {"type": "integer"}, {"enum": ["ab", "abc", "b"]}, {"type": ["string", "null"], "minLength": 1},
        ])
    return schema


def object_(r, depth, names):
    schema = {"type": "object"}
    keys = sorted({word(r) for _ in range(r.randint(0, 5))})
    schema["properties"] = {key: anything(r, depth - 1, names) for key in keys}
    required = [key for key in keys if r.random() < 0.5]
    if required or r.random() < 0.2:
        schema["required"] = required + (["extra"] if r.random() < 0.1 else [])
    kind = r.random()
    if kind < 0.5:
        schema["additionalProperties"] = False
        if "extra" in schema.get("required", []):
            schema["required"].remove("extra")
    elif kind < 0.7:
        schema["additionalProperties"] = anything(r, min(depth - 1, 1), names)
    if r.random() < 0.15:
        schema["minProperties"] = r.randint(0, max(1, len(keys)))
    if r.random() < 0.15:
        schema["maxProperties"] = r.randint(len(keys), len(keys) + 2)
    return schema


def union(r, depth, names):
    kind = r.random()
    if kind < 0.4:
        return {"anyOf": [anything(r, depth - 1, names) for _ in range(r.randint(1, 4))]}
    if kind < 0.6:
        branches = []
        for name in r.sample(["circle", "square", "line"], r.randint(1, 3)):
            branch = object_(r, depth - 1, names)
            branch["properties"]["kind"] = {"const": name}
            branch["required"] = sorted(set(branch.get("required", [])) | {"kind"})
            branch.pop("maxProperties", None)
            branches.append(branch)
        return {"oneOf": branches}
    if kind < 0.7:
        return {"oneOf": [{"type": "string"}, {"type": "integer", "maximum": 5}, {"type": "integer", "exclusiveMinimum": 5}, {"type": "null"}]}
    if kind < 0.85:
        left, right = object_(r, depth - 1, names), object_(r, depth - 1, names)
        for part in (left, right):
            for keyword in ("additionalProperties", "maxProperties", "required"):
                if r.random() < 0.7:
                    part.pop(keyword, None)
        return {"allOf": [left, right]}
    base = number(r) if r.random() < 0.5 else string(r)
    return {"allOf": [base, number(r) if base["type"] != "string" else {"minLength": 1}], "description": "both"}


def anything(r, depth, names):
    kind = r.random()
    if depth <= 0 or kind < 0.3:
        kind = r.random()
        if kind < 0.3:
            return string(r)
        if kind < 0.55:
            return number(r)
        if kind < 0.75:
            return enumeration(r)
        if kind < 0.85:
            return {"type": r.choice(["boolean", "null", ["string", "null"], ["integer", "boolean", "array"]])}
        if kind < 0.9:
            return r.choice([True, {}, {"description": "free", "title": "t", "default": 1}])
        return {"$ref": r.choice(names)} if names else {"type": "boolean"}
    if kind < 0.6:
        return object_(r, depth, names)
    if kind < 0.8:
        return array(r, depth, names)
    return union(r, depth, names)


def schema(r):
    depth = r.randint(1, 6)
    names = ["#/$defs/one", "#/$defs/two", "#/$defs/tree"]
    result = r.choice([object_, object_, object_, array, union])(r, depth, names)
    result["$defs"] = {
        "one": anything(r, 1, ["#/$defs/two"]),
        "two": string(r) if r.random() < 0.5 else number(r),
        "tree": {
            "type": "object", "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            "required": ["value"], "additionalProperties": False,
        },
    }
    return result


# ----------------------------------------------------------------------------------------------------------------------
# Documents, from a schema by guesses that the validator then judges.

SAMPLES = {
    "^[a-z]{2,5}$": ["ab", "hello"], "^\\d{3}-\\d{4}$": ["555-0199"], "[A-Z]": ["A", "xYz", "Ünder A"], "^(foo|bar)+$": ["foo", "barfoo"],
    "^[^@]+@x\\.org$": ["me@x.org", "日@x.org"], "^\\w*$": ["", "abc_1"], "é": ["é", "caffé 🙂"],
    "date": ["2024-02-29", "1999-12-31"], "date-time": ["2024-02-29T12:30:00Z", "1999-12-31T23:59:59.5+01:00"], "time": ["12:30:00Z"],
    "email": ["a@b.org"], "uuid": ["123e4567-e89b-12d3-a456-426614174000"], "uri": ["https://example.org/a?b=c#d"], "ipv4": ["127.0.0.1"],
}
TEXTS = ["", "a", "ab", "hello", "a \"quoted\" word", "back\\slash", "tab\tnewline\n", "ünïcödé", "日本語", "🙂🙃", "x" * 11, "\u0001", "/"]
NUMBERS = [0, 1, -1, 5, 6, 7, 10, 12, 99, 100, 105, 1000, 123456790, -3, -2.25, 0.5, 0.75, 1.5, 2.5, 3.14, 1e-7, 1.5e20, 1e300, -0.1, 0.3, 12.34, 1000001]


class Guess:
    def __init__(self, root, r):
        self.root, self.r = root, r

    def find(self, reference):
        value = self.root
        for part in reference.split("/")[1:]:
            value = value[part]
        return value

    def merged(self, schema):
        """The schema with references, and one branch of each union, laid over it."""
        result = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "oneOf", "allOf")}
        parts = list(schema.get("allOf", []))
        if "$ref" in schema:
            parts.append(self.find(schema["$ref"]))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                parts.append(self.r.choice(schema[keyword]))
        for part in parts:
            if part is True or part is False:
                continue
            part = self.merged(part)
            for key, value in part.items():
                if key == "properties":
                    result.setdefault("properties", {})
                    result["properties"] = {**result["properties"], **value}
                elif key == "required":
                    result["required"] = sorted(set(result.get("required", [])) | set(value))
                else:
                    result.setdefault(key, value)
        return result

    def value(self, schema, depth=0):
        r = self.r
        if schema is True or schema is False or depth > 12:
            return r.choice([None, 1, "x", [], {}])
        schema = self.merged(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return r.choice(schema["enum"])
        kind = schema.get("type") or r.choice(["null", "boolean", "integer", "number", "string", "array", "object"])
        if isinstance(kind, list):
            kind = r.choice(kind)
        if kind == "null":
            return None
        if kind == "boolean":
            return r.random() < 0.5
        if kind in ("integer", "number"):
            return self.number(schema, kind)
        if kind == "string":
            for keyword in ("pattern", "format"):
                if keyword in schema:
                    return r.choice(SAMPLES[schema[keyword]])
            text = r.choice(TEXTS)
            while len(text) < schema.get("minLength", 0):
                text += r.choice(["q", "日", "🙂", "\n"])
            return text[:schema.get("maxLength", 99)]
        if kind == "array":
            items = []
            prefix = schema.get("prefixItems", [])
            low = schema.get("minItems", 0)
            for index in range(r.randint(low, schema.get("maxItems", low + 3))):
                items.append(self.value(prefix[index] if index < len(prefix) else schema.get("items", True), depth + 1))
            return items
        result = {}
        properties = schema.get("properties", {})
        names = [name for name in properties if name in schema.get("required", []) or r.random() < (0.7 if depth < 4 else 0.2)]
        r.shuffle(names)
        for name in names:
            result[name] = self.value(properties[name], depth + 1)
        for name in schema.get("required", []):
            if name not in result:
                result[name] = self.value(properties.get(name, schema.get("additionalProperties", True)), depth + 1)
        if schema.get("additionalProperties", True) is not False and r.random() < 0.4:
            result[r.choice(["more", "na", "names", "日", "\u0007"])] = self.value(schema.get("additionalProperties", True), depth + 1)
        return result

    def number(self, schema, kind):
        choices = list(NUMBERS)
        for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if keyword in schema:
                bound = schema[keyword]
                choices += [bound, bound + 1, bound - 1, bound + 2.5, bound - 2.5, bound + 0.01]
        if "multipleOf" in schema:
            choices = [round(round(choice / schema["multipleOf"]) * schema["multipleOf"], 6) for choice in choices if abs(choice) < 1e12]
        good = [choice for choice in choices if jsonschema.Draft202012Validator(
            {key: value for key, value in schema.items() if key in
             ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")}).is_valid(choice)]
        choice = self.r.choice(good or choices)
        return int(choice) if float(choice).is_integer() and abs(choice) < 1e15 else choice


def spelled(value, r):
    """A document in a random spelling: white space, the order of keys, escapes."""
    space = lambda: r.choice(["", "", "", " ", "\n  ", "\t", "\r\n"])
    if isinstance(value, dict):
        members = list(value.items())
        r.shuffle(members)
        return "{" + space() + ",".join(
            space() + text(key, r) + space() + ":" + space() + spelled(member, r) + space() for key, member in members) + "}"
    if isinstance(value, list):
        return "[" + space() + ",".join(space() + spelled(element, r) + space() for element in value) + "]"
    if isinstance(value, str):
        return text(value, r)
    return json.dumps(value)


def text(value, r):
    result = ""
    for character in value:
        units = character.encode("utf-16-be")
        escape = "".join("\\u%02x%02x" % (units[at], units[at + 1]) for at in range(0, len(units), 2))
        if r.random() < 0.2:
            escape = "".join(part.upper() if r.random() < 0.5 else part for part in escape.split("u")).replace("\\", "\\u")
            result += escape
        else:
            result += json.dumps(character, ensure_ascii=r.random() < 0.3)[1:-1]
    return '"' + result + '"'


def writable(value):
    """Whether a document stays within what the grammar states: exponents only behind one digit, and so on."""
    if isinstance(value, float):
        mantissa, _, exponent = repr(value).partition("e")
        return not value.is_integer() and (not exponent or len(mantissa.partition(".")[0].lstrip("-")) == 1)
    if isinstance(value, dict):
        return all(map(writable, value.values()))
    if isinstance(value, list):
        return all(map(writable, value))
    return True


def validator(schema):
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def main():
    command = sys.argv[1]
    if command == "validate":
        checked, bad, last = 0, 0, (None, None)
        for line in sys.stdin:
            case = json.loads(line)
            key = json.dumps(case["schema"])
            if last[0] != key:
                last = (key, validator(case["schema"]))
            checked += 1
            try:
                errors = [error.message for error in last[1].iter_errors(json.loads(case["text"]))]
            except (ValueError, RecursionError) as error:
                errors = [str(error)]
            if errors:
                bad += 1
                if bad <= 20:
                    print(json.dumps({"schema": case["schema"], "text": case["text"], "errors": errors[:3]}))
        print(f"{checked} texts checked, {bad} not valid")
        sys.exit(1 if bad or not checked else 0)
    count, seed = int(sys.argv[2]), int(sys.argv[3])
    for index in range(count):
        r = random.Random(seed * 1_000_003 + index)
        candidate = schema(r)
        if command == "schemas":
            print(json.dumps(candidate, ensure_ascii=False, separators=(",", ":")))
            continue
        check = validator(candidate)
        texts = []
        for _ in range(20):
            try:
                value = Guess(candidate, r).value(candidate)
            except RecursionError:
                continue
            if writable(value) and check.is_valid(value):
                texts.append(spelled(value, r))
            if len(texts) == 6:
                break
        if texts:
            print(json.dumps({"schema": candidate, "texts": texts}, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
