"""What a docstring says about a function and about each of its arguments, in the three common layouts."""

from __future__ import annotations

import inspect
import re
from typing import Any

_ARGUMENT_HEADINGS = {
    "args", "arguments", "parameters", "params", "other parameters", "keyword args", "keyword arguments",
}
# Any of these ends the description: Google's with a colon, NumPy's underlined.
_ALL_HEADINGS = _ARGUMENT_HEADINGS | {
    "returns", "return", "yields", "yield", "raises", "warns", "warnings", "example", "examples", "note", "notes",
    "see also", "references", "attributes",
}

_FIELD = re.compile(
    r":(?P<kind>param|parameter|arg|argument|key|keyword|type|raises?|except|exception|returns?|rtype|meta)"
    r"(?P<rest>[^:]*):\s*(?P<text>.*)"
)
_GOOGLE = re.compile(r"(?P<name>\*{0,2}\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)")
_NUMPY = re.compile(r"(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")


def docstring(thing: Any) -> tuple[str, dict[str, str]]:
    """The text before the first section, and what is said of each argument. Unknown layouts are all description."""
    lines = (inspect.getdoc(thing) or "").splitlines()
    description: list[str] = []
    arguments: dict[str, str] = {}
    at = 0
    while at < len(lines):
        heading = _heading(lines, at)
        if heading is not None:
            body_at = at + (2 if _is_underline(lines, at + 1) else 1)
            end = _section_end(lines, body_at, numpy=body_at == at + 2)
            if heading in _ARGUMENT_HEADINGS:
                read = _numpy_arguments if body_at == at + 2 else _google_arguments
                arguments.update(read(lines[body_at:end]))
            description.append("\0")
            at = end
        elif _FIELD.match(lines[at]):
            at = _sphinx_field(lines, at, arguments)
            description.append("\0")
        else:
            description.append(lines[at])
            at += 1
    text = "\n".join(description)
    # What stands behind the first section belongs to it or to none.
    return text.split("\0", 1)[0].strip(), arguments


def _heading(lines: list[str], at: int) -> str | None:
    line = lines[at].strip()
    if lines[at] != lines[at].lstrip():
        return None
    if _is_underline(lines, at + 1) and line.lower() in _ALL_HEADINGS:
        return line.lower()
    if line.endswith(":") and line[:-1].lower() in _ALL_HEADINGS and _indented(lines, at + 1):
        return line[:-1].lower()
    return None


def _is_underline(lines: list[str], at: int) -> bool:
    return at < len(lines) and re.fullmatch(r"-{3,}\s*", lines[at]) is not None


def _indented(lines: list[str], at: int) -> bool:
    return at < len(lines) and lines[at].startswith((" ", "\t"))


def _section_end(lines: list[str], at: int, numpy: bool) -> int:
    """A Google section ends where the indentation does; a NumPy one at the next heading."""
    while at < len(lines):
        if _heading(lines, at) is not None:
            break
        if not numpy and lines[at].strip() and not _indented(lines, at):
            break
        at += 1
    return at


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _google_arguments(lines: list[str]) -> dict[str, str]:
    """`name (type): text`, with further lines indented deeper."""
    texts: dict[str, list[str]] = {}
    current: list[str] | None = None
    base = min((_indent(line) for line in lines if line.strip()), default=0)
    for line in lines:
        entry = _GOOGLE.fullmatch(line.strip()) if _indent(line) == base else None
        if entry:
            current = texts.setdefault(entry["name"].lstrip("*"), [])
            current.append(entry["text"])
        elif current is not None:
            current.append(line.strip())
    return _joined(texts)


def _numpy_arguments(lines: list[str]) -> dict[str, str]:
    """`name : type` or `a, b : type`, with the text indented below."""
    texts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        entry = _NUMPY.fullmatch(line.strip()) if line.strip() and not _indent(line) else None
        if entry:
            current = []
            for name in entry["names"].split(","):
                texts[name.strip().lstrip("*")] = current
        else:
            current.append(line.strip())
    return _joined(texts)


def _sphinx_field(lines: list[str], at: int, arguments: dict[str, str]) -> int:
    """`:param name: text` or `:param type name: text`; gives the line after the field."""
    field = _FIELD.match(lines[at])
    assert field is not None
    text = [field["text"]]
    at += 1
    while at < len(lines) and (_indented(lines, at) or (not lines[at].strip() and _indented(lines, at + 1))):
        text.append(lines[at].strip())
        at += 1
    words = field["rest"].split()
    if field["kind"] in ("param", "parameter", "arg", "argument", "key", "keyword") and words:
        arguments.update(_joined({words[-1].lstrip("*"): text}))
    return at


def _joined(texts: dict[str, list[str]]) -> dict[str, str]:
    """Lines of one paragraph are one line to the model; empty lines stay."""
    joined = {}
    for name, lines in texts.items():
        paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip())
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip())
        if text:
            joined[name] = text
    return joined
