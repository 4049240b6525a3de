"""Functions as tools: schemas from hints and docstrings, arguments back to the hinted types, results and failures."""

import dataclasses
import enum
import functools
import json
import typing
import unittest
from typing import Annotated, Any, Dict, List, Literal, Mapping, NewType, Optional, Sequence, Set, Tuple, TypedDict, Union

import common  # noqa: F401

import kimi


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Place(TypedDict, total=False):
    """Where something is.

    Args:
        name: As people call it.
    """

    name: str
    country: Optional[str]


@dataclasses.dataclass
class Range:
    low: float
    high: float = 10.0
    tags: List[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


@dataclasses.dataclass
class Node:
    value: int
    children: List["Node"] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Left:
    right: Optional["Right"] = None


@dataclasses.dataclass
class Right:
    left: Optional[Left] = None


City = NewType("City", str)


def schema(function: Any) -> Any:
    return kimi.tool(function).parameters


def of_hint(hint: Any) -> Any:
    """The schema of one argument."""

    def function(x: Any) -> None: ...

    function.__annotations__ = {"x": hint}
    whole = schema(function)
    assert whole["required"] == ["x"] and whole["additionalProperties"] is False, whole
    return whole["properties"]["x"]


def through(hint: Any, value: Any) -> Any:
    """A JSON value as the function receives it."""
    seen = []

    def function(x: Any) -> None:
        seen.append(x)

    function.__annotations__ = {"x": hint}
    kimi.tool(function).run(json.dumps({"x": value}))
    return seen[0]


class Schemas(unittest.TestCase):
    def test_whole(self) -> None:
        @kimi.tool
        def get_weather(city: str, unit: Unit = Unit.CELSIUS, days: Optional[int] = None, *, exact: bool = False) -> str:
            """Looks up the weather.

            As it is now, or to come.

            Args:
                city: Name of the city,
                    in English.
                unit (Unit): Of temperatures.
                days: How many to
                    look ahead.

            Returns:
                A sentence.
            """
            return city

        self.assertEqual(
            get_weather.schema,
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "description": "Looks up the weather.\n\nAs it is now, or to come.",
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "city": {"type": "string", "description": "Name of the city, in English."},
                            "unit": {
                                "type": "string",
                                "enum": ["celsius", "fahrenheit"],
                                "description": "Of temperatures.",
                                "default": "celsius",
                            },
                            "days": {
                                "anyOf": [{"type": "integer"}, {"type": "null"}],
                                "description": "How many to look ahead.",
                            },
                            "exact": {"type": "boolean", "default": False},
                        },
                        "required": ["city"],
                        "additionalProperties": False,
                    },
                },
            },
        )
        # It is still the function.
        self.assertEqual(get_weather("Oslo"), "Oslo")
        self.assertEqual((get_weather.__doc__ or "")[:5], "Looks")

    def test_numpy_docstring(self) -> None:
        def search(query: str, first: int, last: int, **options: str) -> None:
            """Searches.

            Parameters
            ----------
            query : str
                What to look for.

                Words or a "phrase".
            first, last : int, optional
                The lines: both
                included.
            **options
                Anything else.

            Returns
            -------
            list
                Lines.
            """

        found = kimi.tool(search)
        self.assertEqual(found.description, "Searches.")
        texts = {name: each.get("description") for name, each in found.parameters["properties"].items()}
        lines = "The lines: both included."
        self.assertEqual(texts, {"query": 'What to look for.\n\nWords or a "phrase".', "first": lines, "last": lines})
        self.assertEqual(found.parameters["additionalProperties"], {"type": "string"})

    def test_sphinx_docstring(self) -> None:
        def move(x: int, y: int, how: str) -> None:
            """Moves
            the thing.

            :param x: Across,
                in steps.
            :param int y: Down.
            :type how: str
            :param how: As in ``:fast:``.
            :returns: Nothing.
            """

        found = kimi.tool(move)
        self.assertEqual(found.description, "Moves\nthe thing.")
        texts = [each.get("description") for each in found.parameters["properties"].values()]
        self.assertEqual(texts, ["Across, in steps.", "Down.", "As in ``:fast:``."])

    def test_docstrings_without_arguments(self) -> None:
        for text, expected in (
            (None, ""),
            ("", ""),
            ("One line.", "One line."),
            ("Note: read this.\nMore.", "Note: read this.\nMore."),
            ("Say.\n\nExample:\n    f()\n", "Say."),
            ("Say.\n\nArgs:\n\nMore.", "Say.\n\nArgs:\n\nMore."),
            (":smile: is a word.", ":smile: is a word."),
            ("\nArgs:\n    y: Unknown.", ""),
            ("Says.\n\nArgs:\n    x (dict[str, int]): A: b.\n    y: other", "Says."),
        ):
            with self.subTest(text):

                def function(x: int) -> None: ...

                function.__doc__ = text
                found = kimi.tool(function)
                self.assertEqual(found.description, expected)
                self.assertEqual(found.schema["function"].get("description"), expected or None)

    def test_hints(self) -> None:
        string, integer = {"type": "string"}, {"type": "integer"}
        range_schema = {
            "type": "object",
            "properties": {
                "low": {"type": "number"},
                "high": {"type": "number", "default": 10.0},
                "tags": {"type": "array", "items": string},
            },
            "required": ["low"],
            "additionalProperties": False,
        }
        cases: Dict[Any, Any] = {
            str: string,
            int: integer,
            float: {"type": "number"},
            bool: {"type": "boolean"},
            None: {"type": "null"},
            Any: {},
            object: {},
            City: string,
            list: {"type": "array"},
            List[int]: {"type": "array", "items": integer},
            list[list[str]]: {"type": "array", "items": {"type": "array", "items": string}},
            Sequence[str]: {"type": "array", "items": string},
            tuple: {"type": "array"},
            Tuple[int, ...]: {"type": "array", "items": integer},
            Tuple[int, str]: {"type": "array", "prefixItems": [integer, string], "minItems": 2, "maxItems": 2},
            Set[str]: {"type": "array", "items": string, "uniqueItems": True},
            dict: {"type": "object"},
            Dict[str, int]: {"type": "object", "additionalProperties": integer},
            Mapping[str, Any]: {"type": "object"},
            Optional[str]: {"anyOf": [string, {"type": "null"}]},
            Union[str, int]: {"anyOf": [string, integer]},
            Literal["a", "b"]: {"type": "string", "enum": ["a", "b"]},
            Literal[1, "b", None]: {"enum": [1, "b", None]},
            Literal[Unit.CELSIUS]: {"type": "string", "enum": ["celsius"]},
            Level: {"type": "integer", "enum": [1, 2]},
            Annotated[str, "A name."]: {"type": "string", "description": "A name."},
            Annotated[Optional[int], 5, "A count."]: {"anyOf": [integer, {"type": "null"}], "description": "A count."},
            List[Annotated[int, "Each."]]: {"type": "array", "items": {"type": "integer", "description": "Each."}},
            Range: range_schema,
            Place: {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "As people call it."},
                    "country": {"anyOf": [string, {"type": "null"}]},
                },
                "additionalProperties": False,
            },
        }
        if hasattr(typing, "NotRequired"):
            cases[TypedDict("Some", {"a": int, "b": typing.NotRequired[str]})] = {  # type: ignore[operator]
                "type": "object",
                "properties": {"a": integer, "b": string},
                "required": ["a"],
                "additionalProperties": False,
            }
        for hint, expected in cases.items():
            with self.subTest(hint):
                self.assertEqual(of_hint(hint), expected)

    def test_newer_unions(self) -> None:
        try:
            hint = eval("int | None")
        except TypeError:
            self.skipTest("this Python has no unions by |")
        self.assertEqual(of_hint(hint), {"anyOf": [{"type": "integer"}, {"type": "null"}]})

    def test_classes_that_refer_to_themselves(self) -> None:
        def grow(tree: Node, other: Node) -> int:
            return tree.children[0].children[0].value

        node = {"$ref": "#/$defs/Node"}
        found = kimi.tool(grow)
        self.assertEqual(
            found.parameters,
            {
                "type": "object",
                "properties": {"tree": node, "other": node},
                "required": ["tree", "other"],
                "additionalProperties": False,
                "$defs": {
                    "Node": {
                        "type": "object",
                        "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": node}},
                        "required": ["value"],
                        "additionalProperties": False,
                    }
                },
            },
        )
        tree = {"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}]}
        self.assertEqual(found.run({"tree": tree, "other": {"value": 0}}), "3")

        def pair(left: Left, right: Right) -> str:
            assert left.right and left.right.left
            return type(left.right.left).__name__

        both = kimi.tool(pair)
        self.assertEqual(set(both.parameters["$defs"]), {"Left"})
        self.assertEqual(both.run({"left": {"right": {"left": {}}}, "right": {"left": None}}), "Left")

    def test_descriptions_in_annotations_come_first(self) -> None:
        def f(x: Annotated[int, "From the hint."], y: int) -> None:
            """F.

            Args:
                x: From the docstring.
                y: Too.
            """

        self.assertEqual([p["description"] for p in schema(f)["properties"].values()], ["From the hint.", "Too."])

    def test_defaults(self) -> None:
        def f(a: int = 3, b: Optional[str] = None, c: Tuple[int, int] = (1, 2), d: Any = object(), e: float = 1e999) -> None: ...

        defaults = {name: each["default"] for name, each in schema(f)["properties"].items() if "default" in each}
        self.assertEqual(json.loads(json.dumps(defaults)), {"a": 3, "c": [1, 2]})
        self.assertNotIn("required", schema(f))

    def test_no_arguments(self) -> None:
        def now() -> str:
            return "now"

        self.assertEqual(schema(now), {"type": "object", "properties": {}, "additionalProperties": False})
        self.assertEqual(kimi.tool(now).run("{}"), "now")

    def test_names(self) -> None:
        def f(x: int) -> int:
            return x

        self.assertEqual(kimi.tool(name="other-1", description="D", timeout=2)(f).schema["function"]["name"], "other-1")
        self.assertEqual(kimi.Tool(f, description="D").description, "D")
        for name in ("", "a b", "a:b", "x" * 129, "é"):
            with self.assertRaises(ValueError):
                kimi.tool(name=name)(f)
        with self.assertRaises(ValueError):
            kimi.tool(lambda: None)
        for timeout in (0, -1, 86_401, float("nan")):
            with self.assertRaises(ValueError):
                kimi.tool(timeout=timeout)(f)

    def test_methods_and_objects(self) -> None:
        class Counter:
            count = 0

            def add(self, by: int = 1) -> int:
                """Counts."""
                self.count += by
                return self.count

            def __call__(self, x: int) -> int:
                return x

        counter = Counter()
        add = kimi.tool(counter.add)
        self.assertEqual((add.run({"by": 2}), add.run({}), add.description), ("2", "3", "Counts."))
        self.assertEqual(kimi.tool(counter).name, "Counter")
        partial = kimi.tool(name="partial")(functools.partial(counter.add, by=5))
        self.assertEqual(partial.run({}), "8")

    def test_refused(self) -> None:
        def no_hint(x) -> None: ...  # type: ignore[no-untyped-def]

        def bytes_hint(x: bytes) -> None: ...

        def inside(x: List[Dict[str, complex]]) -> None: ...

        def key(x: Dict[int, str]) -> None: ...

        def many(*x: int) -> None: ...

        def literal(x: Literal[b"a"]) -> None: ...

        def unknown(x: "NoSuchName") -> None: ...  # type: ignore[name-defined]  # noqa: F821

        async def later(x: int) -> None: ...

        for function, words in (
            (no_hint, "no_hint(): argument x has no type hint"),
            (bytes_hint, "bytes"),
            (inside, "complex"),
            (key, "keys must be str"),
            (many, "*x"),
            (literal, "b'a'"),
            (unknown, "NoSuchName"),
            (later, "asynchronous"),
            (5, "int"),
        ):
            with self.subTest(words), self.assertRaises(TypeError) as caught:
                kimi.tool(function)  # type: ignore[arg-type]
            self.assertIn(words, str(caught.exception))


class Arguments(unittest.TestCase):
    def test_hinted_types(self) -> None:
        cases: List[Any] = [
            (int, 3.0, 3),
            (float, 3, 3.0),
            (Unit, "celsius", Unit.CELSIUS),
            (Level, 2, Level.HIGH),
            (Literal[Unit.CELSIUS], "celsius", Unit.CELSIUS),
            (Literal[1, True, "x"], True, True),
            (List[Unit], ["fahrenheit"], [Unit.FAHRENHEIT]),
            (Tuple[int, float], [1, 2], (1, 2.0)),
            (Tuple[int, ...], [1, 2], (1, 2)),
            (Set[int], [1, 2, 1], {1, 2}),
            (typing.FrozenSet[int], [1], frozenset([1])),
            (Dict[str, Level], {"a": 1}, {"a": Level.LOW}),
            (Range, {"low": 1}, Range(1.0, 10.0, [])),
            (Union[int, Range, str], {"low": 1, "tags": ["a"]}, Range(1.0, 10.0, ["a"])),
            (Union[float, int], 2, 2.0),
            (Optional[Unit], None, None),
            (Place, {"name": "Oslo"}, {"name": "Oslo"}),
            (Any, {"a": [1]}, {"a": [1]}),
        ]
        for hint, value, expected in cases:
            with self.subTest(hint):
                received = through(hint, value)
                self.assertEqual(received, expected)
                self.assertIs(type(received), type(expected))

    def test_what_does_not_fit(self) -> None:
        cases: List[Any] = [
            (int, "3", 'x is "3"; it must be an integer'),
            (int, True, "x is true; it must be an integer"),
            (int, 1.5, "x is 1.5"),
            (bool, 1, "x is 1; it must be true or false"),
            (str, None, "x is null; it must be a string"),
            (Unit, "kelvin", 'x is "kelvin"; it must be one of "celsius", "fahrenheit"'),
            (Literal[1], True, "x is true; it must be one of 1"),
            (List[int], [1, "a"], 'x[1] is "a"'),
            (List[int], {}, "x is {}; it must be an array"),
            (Tuple[int, int], [1], "x has 1 items; it must have 2"),
            (Dict[str, List[Range]], {"k": [{"low": "a"}]}, 'x.k[0].low is "a"; it must be a number'),
            (Range, {"high": 1}, "x.low is missing"),
            (Range, {"low": 1, "lo": 1}, "x.lo is not known"),
            (Range, {"low": 11}, "low is above high"),
            (Union[int, None], "a", 'x is "a", which is none of its types'),
            (str, "a" * 100, ""),
        ]
        for hint, value, words in cases[:-1]:
            with self.subTest(hint), self.assertRaises(ValueError) as caught:
                through(hint, value)
            self.assertIn(words, str(caught.exception))

    def test_names_of_arguments(self) -> None:
        def f(a: int, /, b: int, *, c: int = 3) -> str:
            return f"{a}{b}{c}"

        made = kimi.tool(f)
        self.assertEqual((made.run('{"b":2,"a":1}'), made.run(b'{"b":2,"a":1,"c":4}')), ("123", "124"))
        for arguments, words in (
            ('{"b":2}', "argument a is missing"),
            ('{"a":1,"b":2,"d":4}', "no argument d"),
            ("[]", "no JSON object"),
            ("{", ""),
        ):
            with self.assertRaises(ValueError) as caught:
                made.run(arguments)
            self.assertIn(words, str(caught.exception))

        def g(a: int = 1, **more: Unit) -> str:
            return ",".join(f"{name}={unit.name}" for name, unit in more.items())

        self.assertEqual(kimi.tool(g).run({"u": "celsius", "v": "fahrenheit"}), "u=CELSIUS,v=FAHRENHEIT")
        with self.assertRaises(ValueError):
            kimi.tool(g).run({"u": "kelvin"})

    def test_results(self) -> None:
        for result, text in (
            ("as it is", "as it is"),
            (None, "null"),
            (True, "true"),
            (1.5, "1.5"),
            ({"a": [1, "é"]}, '{"a": [1, "é"]}'),
            ((1, 2), "[1, 2]"),
            ([Range(1.0)], '[{"low": 1.0, "high": 10.0, "tags": []}]'),
            ({"u": Unit.CELSIUS}, '{"u": "celsius"}'),
            ({1}, "[1]"),
            (b"bytes", '"bytes"'),
        ):

            def f(result: Any = result) -> Any:
                return result

            with self.subTest(result):
                self.assertEqual(kimi.tool(f).run({}), text)


if __name__ == "__main__":
    unittest.main()
