"""What a decoder says about a file, in words a person can use: the very place, and what may stand there.

msgspec shows a mapping's key as `[...]`; which key it was is found by trying them one at a time.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

import msgspec

from ductwork.errors import InvalidArgument

_MESSAGE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<key>key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>\w+)|\[(?P<index>\d+)\]|\[(?P<any>\.\.\.)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_EXPECTED = re.compile(r"Expected `(.*)`, got `(.*)`")
_NAMES = {
    "str": "text",
    "int": "a number",
    "bool": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}


def explain_invalid(
    error: msgspec.ValidationError, data: dict[str, Any], kind: type, file: str
) -> InvalidArgument:
    """Turn a decoder's complaint about `data` into one about a place in a file."""
    message, steps = _split(str(error))
    steps = _name_keys(steps, data, kind)
    place = _written(steps)
    what, hint = _words(message, _at(data, steps), _known_fields(kind, steps))
    return InvalidArgument(f"{file}: {place}: {what}" if place else f"{file}: {what}", hint=hint)


def _split(text: str) -> tuple[str, list[str | int | None]]:
    """Return the message and the path; None stands for a key that is not named."""
    match = _MESSAGE.match(text)
    assert match is not None  # it matches any text
    steps: list[str | int | None] = []
    for step in _STEP.finditer(match["path"] or ""):
        name, index = step["name"], step["index"]
        steps.append(name if name is not None else int(index) if index is not None else None)
    return match["what"], steps


def _name_keys(steps: list[str | int | None], data: dict[str, Any], kind: type) -> list[str | int | None]:
    pattern = steps
    while None in steps:
        depth = steps.index(None)
        mapping = _at(data, steps[:depth])
        for key in mapping if isinstance(mapping, dict) else ():
            alone = _with(data, steps[:depth], {key: mapping[key]})
            try:
                msgspec.convert(alone, kind)
            except msgspec.ValidationError as error:
                if _split(str(error))[1] == pattern:
                    steps = [*steps[:depth], key, *steps[depth + 1 :]]
                    data = alone
                    break
        else:
            return steps[:depth]
    return steps


def _with(data: Any, path: list[str | int | None], value: Any) -> Any:
    """Return a copy with another value at a path."""
    if not path:
        return value
    head: Any = path[0]
    copy = list(data) if isinstance(data, list) else dict(data)
    copy[head] = _with(data[head], path[1:], value)
    return copy


def _at(data: Any, path: list[str | int | None]) -> Any:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _written(steps: list[str | int | None]) -> str:
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps]
    return "".join(parts).removeprefix(".")


def _words(message: str, value: object, known: list[str]) -> tuple[str, str]:
    listed = f"known here: {', '.join(known)}"
    if unknown := _UNKNOWN.match(message):
        close = get_close_matches(unknown[1], known, 1)
        return f"key {unknown[1]!r} is not known", f"did you mean {close[0]}?" if close else listed
    if missing := _MISSING.match(message):
        return f"key {missing[1]!r} is missing", listed
    if expected := _EXPECTED.match(message):
        wanted = " or ".join(_NAMES.get(word, word) for word in expected[1].split(" | "))
        got = f"{value!r}" if isinstance(value, str | int | bool) else _NAMES.get(expected[2], expected[2])
        return f"{got} is not {wanted}", f"write {wanted} here"
    return message[:1].lower() + message[1:], "see docs/topology.md"


def _known_fields(kind: Any, steps: list[str | int | None]) -> list[str]:
    """Return the keys of the class that a path leads to."""
    for step in steps:
        kind = _below(kind, step)
    struct = _struct(kind)
    return list(struct.__struct_fields__) if struct is not None else []


def _below(kind: Any, step: str | int | None) -> Any:
    info = msgspec.inspect.type_info(kind) if isinstance(kind, type) else kind
    for part in getattr(info, "types", (info,)):
        match part:
            case msgspec.inspect.Metadata(type=inner):
                return _below(inner, step)
            case msgspec.inspect.StructType(fields=fields):
                for item in fields:
                    if item.encode_name == step:
                        return item.type
            case msgspec.inspect.ListType(item_type=item_type) if isinstance(step, int):
                return item_type
            case msgspec.inspect.DictType(value_type=value_type) if not isinstance(step, int):
                return value_type
    return msgspec.inspect.AnyType()


def _struct(kind: Any) -> Any:
    info = msgspec.inspect.type_info(kind) if isinstance(kind, type) else kind
    if isinstance(info, msgspec.inspect.Metadata):
        return _struct(info.type)
    for part in getattr(info, "types", (info,)):
        if isinstance(part, msgspec.inspect.StructType):
            return part.cls
    return None
