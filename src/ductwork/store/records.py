"""Model objects as JSON bytes and back.

Fields that are unknown are ignored and missing ones take their defaults, so a record outlives small changes
of its class. A union may hold one dataclass at most: the JSON carries no class names.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache, lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any, TypeAlias, TypeVar

import msgspec

from ductwork.errors import FailedPrecondition

T = TypeVar("T")
Reader: TypeAlias = Callable[[Any], Any]

_IP_TYPES = (IPv4Address, IPv6Address, IPv4Network, IPv6Network, IPv4Interface, IPv6Interface)
_IP_PAIRS: dict[frozenset[type], tuple[Reader, Reader]] = {
    frozenset(pair): pair
    for pair in ((IPv4Address, IPv6Address), (IPv4Network, IPv6Network), (IPv4Interface, IPv6Interface))
}
_JSON_TYPES: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    bool: (bool,),
    float: (float, int),
    types.NoneType: (types.NoneType,),
}


def _encode_address(value: object) -> str:
    if isinstance(value, _IP_TYPES):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no form in the store")


_encoder = msgspec.json.Encoder(enc_hook=_encode_address)
_decoder = msgspec.json.Decoder()


def encode(obj: object) -> bytes:
    """Write a dataclass as JSON."""
    return _encoder.encode(obj)


def decode(kind: type[T], data: bytes) -> T:
    """Read what `encode` wrote.

    Raises:
        FailedPrecondition: the bytes are not such a record; the message names the field.
    """
    try:
        return typing.cast(T, _decode(typing.cast(Any, kind), data))
    except (ValueError, TypeError, KeyError, msgspec.DecodeError) as error:
        raise FailedPrecondition(
            f"reading a {kind.__name__} from the state file: {error}",
            hint="put a copy of the state file back, or delete the object and create it again",
        ) from error


@lru_cache(maxsize=16384)
def _decode(kind: Any, data: bytes) -> Any:
    """Read a record, once for the same bytes: records are frozen, and one change reads many of them again."""
    return _reader(kind)(_decoder.decode(data))


@cache
def _reader(kind: Any) -> Reader:
    """Build, once for each type, the function that makes a value of it from plain JSON values."""
    if isinstance(kind, typing.NewType):
        return _reader(kind.__supertype__)
    if kind in _JSON_TYPES:
        return _plain(kind)
    if kind in _IP_TYPES:
        return _either_family(kind, kind)
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast(type, kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    origin = typing.get_origin(kind)
    if origin in {typing.Union, types.UnionType}:
        return _union(typing.get_args(kind))
    if origin is tuple:
        return _tuple(typing.get_args(kind))
    if origin is typing.Literal:
        return _literal(typing.get_args(kind))
    raise NotImplementedError(f"{kind!r} has no form in the store")


def _plain(kind: type) -> Reader:
    allowed = _JSON_TYPES[kind]

    def read(value: Any) -> Any:
        if type(value) not in allowed:
            raise TypeError(f"{value!r} is not of type {kind.__name__}")
        return value

    return read


def _literal(words: tuple[Any, ...]) -> Reader:
    def read(value: Any) -> Any:
        if value not in words:
            raise ValueError(f"{value!r} is none of {', '.join(map(repr, words))}")
        return value

    return read


def _tuple(items: tuple[Any, ...]) -> Reader:
    if len(items) == 2 and items[1] is Ellipsis:
        read_item = _reader(items[0])

        def read_all(value: Any) -> Any:
            return tuple([read_item(item) for item in _list(value)])

        return read_all
    readers = tuple(_reader(item) for item in items)

    def read_each(value: Any) -> Any:
        return tuple([read(item) for read, item in zip(readers, _list(value), strict=True)])

    return read_each


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value


def _union(members: tuple[Any, ...]) -> Reader:
    """Read X | None, an address of either family, or words and numbers, which JSON tells apart."""
    rest = frozenset(member for member in members if member is not types.NoneType)
    if rest in _IP_PAIRS:
        v4, v6 = _IP_PAIRS[rest]
        read = _either_family(v4, v6)
    elif len(rest) == 1:
        read = _reader(next(iter(rest)))
    elif rest <= _JSON_TYPES.keys():
        read = _any_plain(rest)
    else:
        names = " | ".join(str(getattr(member, "__name__", member)) for member in members)
        raise NotImplementedError(f"{names} has no form in the store: it could not be told apart again")
    if len(rest) == len(members):
        return read
    return lambda value: None if value is None else read(value)


def _either_family(v4: Reader, v6: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, str):  # ipaddress would take a number for an address
            raise TypeError(f"{value!r} is not an address")
        return v6(value) if ":" in value else v4(value)

    return read


def _any_plain(kinds: frozenset[Any]) -> Reader:
    allowed = tuple(kind for group in kinds for kind in _JSON_TYPES[group])

    def read(value: Any) -> Any:
        if type(value) not in allowed:
            raise TypeError(f"{value!r} is not of type {' or '.join(kind.__name__ for kind in allowed)}")
        return value

    return read


def _record(kind: type) -> Reader:
    hints = typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    readers = [(field.name, _reader(hints[field.name])) for field in fields]
    needed = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"{value!r} is not a {kind.__name__}")
        known: dict[str, Any] = {}
        for name, read_field in readers:
            if name in value:
                try:
                    known[name] = read_field(value[name])
                except (TypeError, ValueError) as error:
                    raise ValueError(f"{name}: {error}") from error
        if not needed <= known.keys():
            raise ValueError(f"field {min(needed - known.keys())!r} is missing")
        return kind(**known)

    return read
