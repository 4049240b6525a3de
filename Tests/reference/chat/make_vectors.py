"""Writes Tests/Fixtures/chat: tool declarations and prompts as the published code of Kimi K2.5 makes them.

    python3 Tests/reference/chat/make_vectors.py PATH/tool_declaration_ts.py [--random N] [--out FOLDER]

The argument is the encoder that ships with the checkpoint; the template is the one of Tests/Fixtures/tiny-kimi. Needs jinja2.
The tests need neither: they read what this wrote. Cases by hand are those that the vectors of the fixtures do not touch; the
random ones mix all keywords the encoder looks at, wrong ones among them.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import random
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

TESTS = Path(__file__).resolve().parents[2]


def deep_sort(value):
    if isinstance(value, dict):
        return {key: deep_sort(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [deep_sort(item) for item in value]
    return value


def declaration(encode, tools):
    """What the template gets as tools_ts_str: None or empty where the tools become JSON."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return encode(deep_sort(tools)) or None
    except Exception:
        return None


def template():
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = lambda value, indent=None, separators=None: json.dumps(
        value, ensure_ascii=False, indent=indent, separators=separators)
    return environment.from_string((TESTS / "Fixtures/tiny-kimi/chat_template.jinja").read_text())


# ---------------------------------------------------------------- schemas

def function(parameters, name="f", description=None):
    body = {"name": name, "parameters": parameters}
    if description is not None:
        body["description"] = description
    return {"type": "function", "function": body}


def properties(**schemas):
    return {"type": "object", "properties": schemas}


NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "value": {"type": "integer"}}, "required": ["value"]}

BY_HAND = [
    # Defaults in Python's spelling.
    properties(a={"type": "number", "default": 1.0}, b={"type": "number", "default": 1e16}, c={"type": "number", "default": 1e-5},
               d={"type": "number", "default": 0.0001}, e={"type": "number", "default": 123456789012345.6},
               f={"type": "number", "default": -0.0}, g={"type": "number", "default": 9007199254740993.0},
               h={"type": "number", "default": 1.5e300}, i={"type": "integer", "default": -7}, j={"type": "number", "default": 5e-324},
               k={"type": "number", "default": 9999999999999998.0}, l={"type": "number", "default": 12345678901234567000.0}),
    properties(a={"type": "boolean", "default": False}, b={"type": "null", "default": None}, c={"type": "string", "default": ""},
               d={"type": "array", "default": []}, e={"type": "object", "default": {"z": 1, "a": [True, None, 1.0, "q\"\\\n\t\u0001\u007f\u00a0"]}},
               f={"type": "integer", "default": 0}, g={"type": "string", "default": "tab\there \b\f \u2028 \U0001F600"}),
    # Comments.
    properties(a={"type": "string", "description": "\nfirst empty\n"}, b={"type": "string", "description": "// already a mark */ /*"},
               c={"type": "string", "description": "cr\r\nlf"}, d={"type": "string", "description": " \n  indented\n\t"},
               e={"type": "string", "description": ""}, f={"type": "string", "description": None},
               g={"type": "object", "description": "deep\nlines", "properties": {"x": {"type": "array", "description": "more", "items": {
                   "type": "object", "description": "item", "properties": {"y": {"type": "string", "description": "leaf\nleaf"}}}}}}),
    # Constraints.
    properties(a={"type": "string", "pattern": "^a\"b\\d+$", "minLength": 1, "maxLength": 2, "format": "date", "minimum": 4},
               b={"type": "integer", "minimum": 0, "maximum": 1.0, "exclusiveMinimum": 3, "multipleOf": 2},
               c={"type": "number", "minimum": None, "maximum": True}, d={"type": "array", "minItems": 0, "maxItems": 3, "uniqueItems": True},
               e={"type": "string", "pattern": ["x", 1, None, {"k": "it's"}, "both ' and \""]}, f={"type": ["string", "null"], "minLength": 3},
               g={"anyOf": [{"type": "string", "minLength": 3}], "minLength": 4, "default": "q"}, h={"type": "boolean", "maximum": 3},
               i={"type": "string", "minLength": "five"}, j={"type": "string", "pattern": {"a": "\u00e9\u200b\u00ad\x07\U0001F600\ue000"}}),
    # Enumerations.
    properties(a={"enum": ["a\"b", "c\nd", 1, -1.5, 1e20, None, True, False]}, b={"type": "string", "enum": ["x", None]},
               c={"type": ["string", "null"], "enum": ["x", None]}, d={"type": ["null", "integer"], "enum": [1, True]},
               e={"type": ["string"], "enum": []}, f={"type": "number", "enum": [1, 1.5, True]}, g={"enum": [["x", {"b": 1, "a": "'"}]]},
               h={"type": "object", "enum": ["anything"]}, i={"enum": "abc"}, j={"enum": {"z": 1, "a": 2}}),
    properties(a={"type": "string", "enum": ["x", 1]}), properties(a={"type": "integer", "enum": [1.0]}),
    properties(a={"type": "boolean", "enum": [1]}), properties(a={"type": ["string", "integer"], "enum": ["x"]}),
    properties(a={"type": ["string", "integer", "null"], "enum": ["x"]}), properties(a={"enum": None}), properties(a={"enum": 5}),
    properties(a={"type": "number", "enum": ["1"]}), properties(a={"type": "array", "enum": [[1]]}),
    # Unions.
    properties(a={"type": ["object", "array", "string", "integer", "number", "boolean", "null"]}, b={"type": []},
               c={"anyOf": []}, d={"anyOf": [{"anyOf": [{"type": "string"}, {"enum": [1]}]}, {"type": ["null"]}, True, False, {}]},
               e={"anyOf": [properties(x={"type": "string", "description": "in a union"}), {"type": "array", "items": {"type": "string", "description": "d"}}]}),
    properties(a={"type": ["string", "file"]}), properties(a={"anyOf": {}}), properties(a={"anyOf": {"x": 1}}), properties(a={"anyOf": ""}),
    properties(a={"anyOf": None}), properties(a={"type": "file"}, b={"type": "any"}, c={"type": None}, d={"type": 5}),
    properties(a={"anyOf": [{"type": None}]}), properties(a={"type": "array", "items": {"type": None}}),
    properties(a={"type": "array", "items": {"type": 5, "description": "x"}}),
    # What it cannot say.
    properties(a={"oneOf": [{"type": "string"}]}), properties(a={"allOf": [{"type": "string"}]}), properties(a={"const": 1}),
    properties(a={"description": "no type"}), properties(a={"properties": {}}), properties(a={"not": {}}), properties(a=None), properties(a="string"),
    properties(a={"type": "string", "oneOf": [], "const": 1, "nullable": True, "not": {}}), properties(a=[]), properties(a=3),
    # Arrays.
    properties(a={"type": "array", "items": False}, b={"type": "array", "items": True}, c={"type": "array", "items": {}},
               d={"type": "array", "items": []}, e={"type": "array", "items": {"type": "array", "items": {"type": "array", "minItems": 1}}},
               f={"type": "array", "prefixItems": [{"type": "string"}]}, g={"type": "array", "items": {"enum": ["x"], "description": "one"}},
               h={"type": "array", "items": {"anyOf": [{"type": "string"}], "description": "any of"}}, i={"type": "array", "items": None}),
    properties(a={"type": "array", "items": [{"type": "string"}]}), properties(a={"type": "array", "items": "string"}), properties(a={"type": "array", "items": 1}),
    # Objects.
    properties(a={"type": "object"}, b={"type": "object", "additionalProperties": None}, c={"type": "object", "additionalProperties": {}},
               d={"type": "object", "additionalProperties": {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": False}},
               e={"type": "object", "additionalProperties": {"type": "string", "description": "unseen"}, "properties": {"k": {"type": "null"}}},
               f={"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer", "minimum": 1}}}),
    properties(a={"type": "object", "additionalProperties": 1}), properties(a={"type": "object", "additionalProperties": "no"}),
    properties(a={"type": "object", "additionalProperties": []}), properties(a={"type": "object", "properties": None}),
    properties(a={"type": "object", "properties": []}), {"additionalProperties": False}, {"type": "string"}, {"type": "object", "required": None},
    {"type": "object", "additionalProperties": {"type": "integer"}, "properties": {"b": {"type": "string"}, "a": True, "c": False}},
    {**properties(ab={"type": "string"}, a={"type": "string"}), "required": "ab"}, {**properties(a={"type": "string"}), "required": None},
    {**properties(a={"type": "string"}, b={"type": "string"}), "required": {"a": 1}}, {**properties(a={"type": "string"}), "required": [["a"]]},
    {**properties(a={"type": "string"}), "required": [1, None, "a", "zz"]}, {**properties(a={"type": "string"}), "required": 3},
    # Names.
    properties(**{"": {"type": "string"}, "a b": {"type": "string"}, "line\nbreak": {"type": "string"}, "\U0001F600": {"type": "string"},
                  "\uffff": {"type": "string"}, "Z": {"type": "string"}, "z": {"type": "string"}, "\u00e9": {"type": "string"}, "zz": {"type": "string"},
                  "constructor": {"type": "string"}, "a?": {"type": "string"}, "_": {"type": "string"}, "0": {"type": "string"}}),
    # By code points the composed letter comes after f and the decomposed one before it.
    properties(**{"f": {"type": "string"}, "e\u0301a": {"type": "string"}, "\u00e9b": {"type": "string"}, "g": {"type": "string"}}),
    # References.
    {**properties(root={"$ref": "#/$defs/Node"}, again={"$ref": "#/$defs/Node", "description": "shared", "default": {"value": 1}}), "$defs": {"Node": NODE}},
    {**properties(x={"$ref": "#/$defs/B"}), "$defs": {"B": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}, "A": {"type": "string", "enum": ["p"], "description": "two\nlines"}, "C": {"type": "integer", "minimum": 3}}},
    {**properties(x={"type": "string"}), "$defs": {"Unused": {"type": "array", "items": {"type": "string"}}, "Any": {}}},
    {**properties(x={"type": "string"}), "$defs": {"Bad": True}}, {**properties(x={"type": "string"}), "$defs": {"Bad": {"description": "no type"}}},
    {**properties(x={"$ref": "#/$defs/Missing"}), "$defs": {}}, {**properties(x={"$ref": "#/definitions/Node"}), "definitions": {"Node": NODE}},
    {**properties(x={"$ref": "#/$defs/deep/Node"}), "$defs": {"Node": NODE}}, properties(x={"$ref": "other.json#/x"}), properties(x={"$ref": None}), properties(x={"$ref": ""}),
    {**properties(x={"$ref": "#/$defs/"}), "$defs": {"": {"type": "string"}}}, {**properties(x={"$ref": "#/$defs/N"}), "$defs": {"N": False}},
    {**properties(x={"$ref": "#", "description": "myself"}, b={"type": "array", "items": {"$ref": "#", "description": "item"}}, a={"type": "string"}), "required": ["x"], "additionalProperties": False},
    {"type": "object", "additionalProperties": {"$ref": "#"}}, {"type": "object", "additionalProperties": {"$ref": "#"}, "properties": {"a": {"type": "string", "description": "d"}}},
    {**properties(x={"$ref": "#/$defs/N"}), "$defs": {"N": {"type": "object", "properties": {"root": {"$ref": "#"}}}}},
    {**properties(x={"$ref": "#"}, y={"$ref": "#/$defs/N"}), "$defs": {"N": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/N"}], "description": "d"}}},
    properties(a={"type": "object", "$defs": {"Inner": {"type": "string"}}, "properties": {"i": {"$ref": "#/$defs/Inner"}}}, b={"$ref": "#/$defs/Inner"}),
    properties(b={"type": "object", "$defs": {"Inner": {"type": "string"}}}, a={"$ref": "#/$defs/Inner"}),
    {**properties(x={"$ref": "#/$defs/A"}), "$defs": {"A": {"type": "object", "$defs": {"B": {"type": "integer"}}, "properties": {"b": {"$ref": "#/$defs/B"}}}}},
    {**properties(x={"$ref": "#/$defs/A", "anyOf": 1, "type": 2}), "$defs": {"A": {"type": "string", "description": None}}},
    {**properties(x={"type": "string"}), "$defs": []}, {**properties(x={"type": "string"}), "$defs": [1]}, {**properties(x={"type": "string"}), "$defs": {"A": {"type": "string", "description": 5}}},
    {**properties(x={"$ref": "#/$defs/S"}), "$defs": {"S": {"type": "object", "$self_ref": True}}},
    # Descriptions that are no text matter only where they are printed.
    properties(a={"type": "string", "description": 5}), properties(a={"anyOf": [{"type": "string", "description": 5}]}), properties(a={"type": "string", "description": 0}),
    properties(a={"type": "string", "description": ["x"]}), properties(a={"type": "object", "additionalProperties": {"type": "string", "description": 5}}),
    # Odd property schemas together with defaults.
    properties(a={"$ref": "#", "default": [1, {"b": None}]}, b={"enum": [1], "default": 1, "description": "d"}, c={"type": ["string", "null"], "default": None}),
]

TOOL_LISTS = [
    [], [{"type": "_plugin", "x": 1}], [{"type": "function", "function": {}}], [{"type": "function"}], [{"function": {"name": "a"}}],
    [{"type": "function", "function": {"name": "a"}}, {"type": "builtin_function", "function": {"name": "$web"}}],
    [{"type": "function", "function": {"description": "no name"}}], [{"type": "function", "function": {"name": "a", "parameters": None, "strict": True}}],
    [{"type": "function", "function": {"name": "a", "description": ""}}], [{"type": "function", "function": {"name": "a", "description": None}}],
    [{"type": "function", "function": {"name": "a", "description": "x\n\ny\n"}}], [{"type": "function", "function": {"name": "a", "description": 5}}],
    [{"type": "function", "function": {"name": "a", "parameters": []}}], [{"type": "function", "function": {"name": "a", "parameters": ["x"]}}],
    [function({}, "one"), function({"oneOf": []}, "two"), function(properties(a={"oneOf": []}), "three")],
    [function(properties(a={"type": "string"}), "one", "d1"), function({**properties(root={"$ref": "#/$defs/Node"}), "$defs": {"Node": NODE}}, "two", "d2")],
    [{"type": "function", "function": {"name": "a", "parameters": properties(x={"type": "string"}), "extra": {"z": 1, "a": 2}}, "more": 1}],
]

WORDS = ["", "short", "two\nlines", "gap\n\nbelow", "中文 é", "quo\"te's", "// mark", "\\ back", "tab\t."]


class Schemas:
    """Random schemas, mostly right ones."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def scalar(self):
        return self.random.choice([0, 1, -3, 2.5, 1.0, 1e22, 3e-7, True, False, None, self.random.choice(WORDS), [1, "x"], {"b": 1, "a": None}])

    def schema(self, depth, names):
        pick = self.random.random
        kinds = ["string", "integer", "number", "boolean", "null", "list", "enum", "any", "yes"]
        if depth > 0:
            kinds += ["object", "array", "anyOf"] * 3
        if names:
            kinds += ["ref"] * 2
        kind = self.random.choice(kinds)
        if kind == "any":
            return {}
        if kind == "yes":
            return self.random.choice([True, False, {}])
        schema = {}
        if kind == "list":
            schema["type"] = self.random.sample(["string", "integer", "number", "boolean", "null", "object", "array"], self.random.randint(0, 3))
        elif kind == "enum":
            typed = self.random.choice([None, "string", "integer"])
            if typed == "string":
                schema = {"type": typed, "enum": self.random.sample(WORDS, 3)}
            elif typed == "integer":
                schema = {"type": typed, "enum": [1, 2, 3]}
            else:
                schema = {"enum": [self.scalar() for _ in range(self.random.randint(0, 4))]}
        elif kind == "object":
            schema = self.object(depth - 1, names)
        elif kind == "array":
            schema = {"type": "array"}
            if pick() < 0.8:
                schema["items"] = self.schema(depth - 1, names)
            for key in ("minItems", "maxItems"):
                if pick() < 0.3:
                    schema[key] = self.random.randint(0, 9)
        elif kind == "anyOf":
            schema = {"anyOf": [self.schema(depth - 1, names) for _ in range(self.random.randint(1, 3))]}
        elif kind == "ref":
            schema = {"$ref": self.random.choice(names)}
        else:
            schema = {"type": kind}
            for key in ("minLength", "maxLength", "minimum", "maximum", "pattern", "format"):
                if pick() < 0.2:
                    schema[key] = self.scalar() if pick() < 0.1 else ("^x.*$" if key in ("pattern", "format") else self.random.choice([0, 3, 2.5]))
        if pick() < 0.3:
            schema["description"] = self.random.choice(WORDS)
        if pick() < 0.2:
            schema["default"] = self.scalar()
        if pick() < 0.02:
            schema[self.random.choice(["type", "enum", "anyOf", "items", "properties", "required", "description", "$ref", "additionalProperties"])] = self.scalar()
        return schema

    def object(self, depth, names):
        keys = self.random.sample(["alpha", "beta", "Gamma", "delta", "eps_1", "zeta-x", "名", "é", "a b"], self.random.randint(0, 4))
        schema = {"type": "object", "properties": {key: self.schema(depth, names) for key in keys}}
        if self.random.random() < 0.6:
            schema["required"] = self.random.sample(keys + ["other"], self.random.randint(0, len(keys)))
        if self.random.random() < 0.3:
            schema["additionalProperties"] = self.random.choice([True, False, None, {"type": "string"}, self.schema(0, names)])
        return schema

    def parameters(self):
        names, definitions = [], {}
        if self.random.random() < 0.3:
            definitions = {name: None for name in self.random.sample(["Node", "Leaf", "Color", "a"], self.random.randint(1, 3))}
            names = ["#/$defs/" + name for name in definitions]
        if self.random.random() < 0.15:
            names.append("#")
        schema = self.object(4, names)
        if definitions:
            schema["$defs"] = {name: self.schema(2, names) if self.random.random() < 0.3 else self.object(2, names) for name in definitions}
        return schema

    def tools(self, index):
        return [function(self.parameters(), f"fn_{index}_{place}", self.random.choice([None, "d", "two\nlines"]))
                for place in range(self.random.randint(1, 2))]


# ---------------------------------------------------------------- prompts

class Conversations:
    """Random conversations with ids in canonical form, so that the library prints them as the template does."""

    TEXTS = ["", " ", "hello", "two\n\nlines\n", "<|im_end|>", "<think>x</think>", "日本語 👩‍👩‍👧", " lead and trail ", "## Return of", "{\"a\": 1}"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def content(self, nullable=False):
        choice = self.random.random()
        if nullable and choice < 0.2:
            return None
        if choice < 0.75:
            return self.random.choice(self.TEXTS)
        parts = [{"type": "text", "text": self.random.choice(self.TEXTS)}, {"type": "text", "text": self.random.choice(self.TEXTS)},
                 {"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "image", "image": "a"}, {"type": "video_url", "video_url": {"url": "x"}}]
        return self.random.sample(parts, self.random.randint(0, 4))

    def messages(self):
        counter, messages, pick = 0, [], self.random.random
        for _ in range(self.random.randint(1, 7)):
            role = self.random.choice(["system", "user", "user", "assistant", "assistant", "developer", "tools"])
            if role == "tools":
                calls = []
                for _ in range(self.random.randint(1, 3)):
                    name = self.random.choice(["f", "get_weather", "a.b-c"])
                    arguments = self.random.choice(["{}", "{\"a\":  1}", "", "not JSON", {}, {"z": [1, 2.0, None, True, "é\"\n"], "a": {"b": 1e16}}])
                    calls.append({"id": f"functions.{name}:{counter}", "type": "function", "function": {"name": name, "arguments": arguments}})
                    counter += 1
                message = {"role": "assistant", "content": self.content(nullable=True), "tool_calls": calls}
                self.decorate(message)
                messages.append(message)
                for call in calls:
                    if pick() < 0.9:
                        messages.append({"role": "tool", "tool_call_id": call["id"], "content": self.content(nullable=True)})
                continue
            message = {"role": role, "content": self.content(nullable=role == "assistant")}
            if pick() < 0.2:
                message["name"] = self.random.choice(["", "Ann", "Bob <|im_middle|>"])
            if role == "assistant":
                self.decorate(message)
                if pick() < 0.2:
                    message["tool_calls"] = self.random.choice([[], None])
            messages.append(message)
        return messages

    def decorate(self, message):
        if self.random.random() < 0.6:
            message["reasoning_content"] = self.random.choice(self.TEXTS + [None])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--random", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=TESTS / "Fixtures/chat")
    options = parser.parse_args()
    spec = importlib.util.spec_from_file_location("tool_declaration_ts", options.encoder)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    encode = module.encode_tools_to_typescript_style

    schemas = Schemas(options.seed)
    lists = TOOL_LISTS + [[function(parameters)] for parameters in BY_HAND] + [schemas.tools(index) for index in range(options.random)]
    cases = [{"tools": tools, "typescript": declaration(encode, tools)} for tools in lists]
    write(options.out / "typescript.json", cases)

    jinja, conversations, prompts = template(), Conversations(options.seed), []
    for index in range(options.random):
        messages = conversations.messages()
        tools = None if index % 3 else schemas.tools(index)
        arguments = [{}, {"thinking": True}, {"thinking": False}][index % 4 % 3]
        ending = index % 5 != 0
        declared = declaration(encode, tools) if tools else None
        prompt = jinja.render(messages=messages, tools=deep_sort(tools), tools_ts_str=declared, add_generation_prompt=ending, **arguments)
        prompts.append({"messages": messages, "tools": tools, "kwargs": arguments, "add_generation_prompt": ending, "prompt": prompt})
    write(options.out / "prompts.json", prompts)


def write(path, cases):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n")
    print(path, len(cases))


if __name__ == "__main__":
    main()
