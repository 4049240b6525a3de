"""From type hints to JSON Schema, and from JSON values back to what the hints ask for.

Hints: str, int, float, bool, None, Any, object, list, tuple, set, dict with str keys (and their abstract kin), Optional, Union,
Literal, Enum, TypedDict, dataclass, Annotated with a text that describes the value. Classes may refer to themselves.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import enum
import inspect
import json
import types
import typing
from typing import Annotated, Any, Callable, Literal, Union, get_args, get_origin

from ._docstring import docstring

Schema = dict[str, Any]
#: Gives the hinted value for a JSON value; Mismatch if it is not one.
Convert = Callable[[Any], Any]


class Mismatch(ValueError):
    """A JSON value that its hint does not allow: where it stands, as in `range.lo` or `tags[2]`, and what would be right."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(f"{path} {text}" if path else text)
        self.text = text
        self.path = path

    def within(self, place: str) -> Mismatch:
        joint = "." if self.path and not self.path.startswith("[") else ""
        return Mismatch(self.text, place + joint + self.path)


_UNIONS = (Union, getattr(types, "UnionType", Union))
_NOTES = {getattr(typing, name) for name in ("Required", "NotRequired", "ReadOnly") if hasattr(typing, name)}
_LISTS = {list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection}
_SETS = {set, frozenset, abc.Set, abc.MutableSet}
_DICTS = {dict, abc.Mapping, abc.MutableMapping}
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_ARTICLES = {"string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false", "null": "null"}


def hints_of(thing: Any, what: str) -> dict[str, Any]:
    """The resolved hints of a function or class, with Annotated kept; TypeError for a name that cannot be found."""
    try:
        return typing.get_type_hints(thing, include_extras=True)
    except NameError as error:
        raise TypeError(f"{what}: a type hint cannot be resolved: {error}") from None


def is_jsonable(value: Any) -> bool:
    """Whether a default can be written into a schema."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


class Builder:
    """Collects the definitions of classes that refer to themselves while one schema is built."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._open: dict[type, str] = {}
        # Classes that refer to themselves, by the names of their definitions.
        self._recursive: dict[type, str] = {}
        self._converters: dict[type, Convert] = {}

    def build(self, hint: Any, what: str) -> tuple[Schema, Convert]:
        """The schema of a hint and the way back. `what` names the place in messages: "f(): argument city"."""
        origin = get_origin(hint)
        if origin is Annotated:
            inner, *notes = get_args(hint)
            schema, convert = self.build(inner, what)
            text = next((note for note in notes if isinstance(note, str)), None)
            return described(schema, text), convert
        if hasattr(hint, "__supertype__"):
            return self.build(hint.__supertype__, what)
        if origin in _NOTES:
            return self.build(get_args(hint)[0], what)
        if hint is Any or hint is object or hint is inspect.Parameter.empty:
            return {}, _same
        if hint is None or (isinstance(hint, type) and hint in _SCALARS):
            return _scalar(type(None) if hint is None else hint)
        if origin is Literal:
            return _literal(get_args(hint), what)
        if origin in _UNIONS:
            return self._union(get_args(hint), what)
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return _enumeration(hint, what)
        if typing.is_typeddict(hint) if hasattr(typing, "is_typeddict") else hasattr(hint, "__total__"):
            return self._class(hint, self._typed_dict, what)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self._class(hint, self._dataclass, what)
        return self._container(origin or hint, get_args(hint), hint, what)

    def _union(self, members: tuple[Any, ...], what: str) -> tuple[Schema, Convert]:
        built = [self.build(member, what) for member in members]

        def convert(value: Any) -> Any:
            for _, each in built:
                try:
                    return each(value)
                except Mismatch:
                    continue
            raise Mismatch(f"is {_shown(value)}, which is none of its types")

        return {"anyOf": [schema for schema, _ in built]}, convert

    def _container(self, kind: Any, arguments: tuple[Any, ...], hint: Any, what: str) -> tuple[Schema, Convert]:
        if kind in _LISTS or kind in _SETS or (kind is tuple and (not arguments or arguments[-1] is Ellipsis)):
            items, each = self.build(arguments[0] if arguments else Any, what)
            schema: Schema = {"type": "array"}
            if items:
                schema["items"] = items
            if kind in _SETS:
                schema["uniqueItems"] = True
            make: Any = frozenset if kind is frozenset else set if kind in _SETS else tuple if kind is tuple else list
            return schema, lambda value: make(_convert_items(_expect(value, list, "an array"), lambda at: each))
        if kind is tuple:
            # tuple[()] has no arguments left on newer Pythons and is taken as a tuple of anything above.
            built = [self.build(argument, what) for argument in arguments]

            def convert_tuple(value: Any) -> Any:
                if len(_expect(value, list, "an array")) != len(built):
                    raise Mismatch(f"has {len(value)} items; it must have {len(built)}")
                return tuple(_convert_items(value, lambda at: built[at][1]))

            schema = {"type": "array", "prefixItems": [schema for schema, _ in built]}
            return {**schema, "minItems": len(built), "maxItems": len(built)}, convert_tuple
        if kind in _DICTS:
            if arguments and arguments[0] not in (str, Any):
                raise TypeError(f"{what}: {_name(hint)} cannot be an object of JSON; its keys must be str")
            values, each = self.build(arguments[1] if arguments else Any, what)
            return {"type": "object", **({"additionalProperties": values} if values else {})}, lambda value: {
                key: _within(key, each, member) for key, member in _expect(value, dict, "an object").items()
            }
        raise TypeError(
            f"{what}: no JSON Schema can be made of {_name(hint)}; use str, int, float, bool, list, tuple, set, dict, Optional, "
            "Union, Literal, an Enum, a TypedDict or a dataclass"
        )

    def _class(
        self, hint: type, make: Callable[[type, str], tuple[Schema, Convert]], what: str
    ) -> tuple[Schema, Convert]:
        """A class inline; one that refers to itself as a definition."""
        if hint in self._open:
            self._recursive[hint] = self._open[hint]
        if hint in self._recursive:
            return {"$ref": f"#/$defs/{self._recursive[hint]}"}, lambda value: self._converters[hint](value)
        name = hint.__name__
        while name in self.definitions or name in self._open.values():
            name += "_"
        self._open[hint] = name
        try:
            schema, convert = make(hint, what)
        finally:
            del self._open[hint]
        self._converters[hint] = convert
        if hint not in self._recursive:
            return schema, convert
        self.definitions[name] = schema
        return {"$ref": f"#/$defs/{name}"}, convert

    def _typed_dict(self, hint: Any, what: str) -> tuple[Schema, Convert]:
        said = docstring(hint)[1]
        built = {
            name: self.build(member, f"{what}, {hint.__name__}.{name}") for name, member in hints_of(hint, what).items()
        }
        properties = {name: described(schema, said.get(name)) for name, (schema, _) in built.items()}
        required = [name for name in properties if name in hint.__required_keys__]
        return object_schema(properties, required), lambda value: _convert_members(value, built, required)

    def _dataclass(self, hint: Any, what: str) -> tuple[Schema, Convert]:
        said = docstring(hint)[1]
        hints = hints_of(hint, what)
        built, properties, required = {}, {}, []
        for field in dataclasses.fields(hint):
            if not field.init:
                continue
            schema, convert = built[field.name] = self.build(hints[field.name], f"{what}, {hint.__name__}.{field.name}")
            schema = described(schema, said.get(field.name))
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                required.append(field.name)
            elif field.default is not dataclasses.MISSING:
                schema = with_default(schema, field.default)
            properties[field.name] = schema
        return object_schema(properties, required), lambda value: hint(**_convert_members(value, built, required))


def object_schema(properties: dict[str, Schema], required: list[str], extra: Union[Schema, bool] = False) -> Schema:
    """An object with these members and, if `extra` says so, others."""
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    if extra is not True and extra != {}:
        schema["additionalProperties"] = extra
    return schema


def described(schema: Schema, text: Union[str, None]) -> Schema:
    """The schema with a description; what it says itself comes first."""
    return schema if not text or "description" in schema else {**schema, "description": text}


def with_default(schema: Schema, default: Any) -> Schema:
    """The schema with a default that JSON can hold. None says only that the value may be left out."""
    if isinstance(default, enum.Enum):
        default = default.value
    return schema if default is None or not is_jsonable(default) else {**schema, "default": default}


def _same(value: Any) -> Any:
    return value


def _scalar(kind: type) -> tuple[Schema, Convert]:
    name = _SCALARS[kind]

    def convert(value: Any) -> Any:
        if isinstance(value, bool) is (kind is bool):
            if isinstance(value, kind):
                return value
            if kind is float and isinstance(value, int):
                return float(value)
            # JSON has one kind of number: 3.0 is an integer.
            if kind is int and isinstance(value, float) and value.is_integer():
                return int(value)
        raise Mismatch(f"is {_shown(value)}; it must be {_ARTICLES[name]}")

    return {"type": name}, convert


def _choices(values: list[Any], what: str) -> Schema:
    for value in values:
        if type(value) not in (str, int, float, bool, type(None)):
            raise TypeError(f"{what}: {value!r} is no value of JSON; choices are str, int, float, bool or None")
    kinds = {_SCALARS[type(value)] for value in values}
    return {**({"type": kinds.pop()} if len(kinds) == 1 else {}), "enum": values}


def _literal(values: tuple[Any, ...], what: str) -> tuple[Schema, Convert]:
    enums = [value.value if isinstance(value, enum.Enum) else value for value in values]
    return _choices(enums, what), lambda value: values[_index(enums, value)]


def _enumeration(hint: type[enum.Enum], what: str) -> tuple[Schema, Convert]:
    values = [member.value for member in hint]
    members = list(hint)
    return _choices(values, what), lambda value: members[_index(values, value)]


def _index(values: list[Any], value: Any) -> int:
    for at, each in enumerate(values):
        # True equals 1 in Python and not in JSON.
        if each == value and isinstance(each, bool) is isinstance(value, bool):
            return at
    raise Mismatch(f"is {_shown(value)}; it must be one of {', '.join(json.dumps(each) for each in values)}")


def _expect(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise Mismatch(f"is {_shown(value)}; it must be {name}")
    return value


def _within(place: str, convert: Convert, value: Any) -> Any:
    """Converts a part of a value."""
    try:
        return convert(value)
    except Mismatch as error:
        raise error.within(place) from None


def _convert_items(values: list[Any], each: Callable[[int], Convert]) -> list[Any]:
    return [_within(f"[{at}]", each(at), value) for at, value in enumerate(values)]


def _convert_members(value: Any, built: dict[str, tuple[Schema, Convert]], required: list[str]) -> dict[str, Any]:
    members = _expect(value, dict, "an object")
    for name in required:
        if name not in members:
            raise Mismatch("is missing", name)
    for name in members:
        if name not in built:
            raise Mismatch("is not known", name)
    return {name: _within(name, built[name][1], member) for name, member in members.items()}


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def _name(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
