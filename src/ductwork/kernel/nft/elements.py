"""Elements of our sets and maps as the kernel takes them, by the schemas in model/nft_schema.

Source: linux/netfilter/nf_tables.h; the meaning of KEY_END is that of libnftnl's concatenated ranges.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from ductwork.errors import InvalidArgument
from ductwork.kernel.nft.fields import Layout
from ductwork.kernel.nft.nfnetlink import NESTED, attribute, attributes, text_attribute, text_of
from ductwork.model.nft_schema import SETS, SetSchema
from ductwork.model.objects import NftElement, NsKey, Verdict

_LIST_ELEM = 1
_KEY, _DATA, _FLAGS, _KEY_END = 1, 2, 3, 10
_DATA_VALUE, _DATA_VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_VERDICTS = {"drop": 0, "accept": 1, "continue": -1, "jump": -3, "goto": -4, "return": -5}
_VERDICT_WORDS = {code: word for word, code in _VERDICTS.items()}
_WITH_CHAIN = {"jump", "goto"}


class WireElement(NamedTuple):
    """An element in kernel terms; `end` is empty where keys are exact, `value` where there is none."""

    key: bytes
    end: bytes
    value: bytes | Verdict | None


class Codec:
    """Translates the elements of one set."""

    def __init__(self, schema: SetSchema) -> None:
        if schema.interval and len(schema.key) == 1:
            # Those need two elements each, one marked as the end of an interval.
            raise InvalidArgument(f"set {schema.name}: an interval key needs more than one field here")
        self.schema = schema
        self._key = Layout(schema.key)
        self._value = Layout(schema.value)

    def wire(self, element: NftElement) -> WireElement:
        """Translate into kernel terms.

        Raises:
            InvalidArgument: a field is not of the schema's type.
        """
        value = self._wire_value(element)
        if self.schema.interval:
            first, last = self._key.pack_range(element.key)
            return WireElement(first, last, value)
        return WireElement(self._key.pack(element.key), b"", value)

    def _wire_value(self, element: NftElement) -> bytes | Verdict | None:
        value = element.value
        if self.schema.verdict:
            if isinstance(value, Verdict) and _is_sound(value):
                return value
        elif not self.schema.value:
            if value is None:
                return None
        elif isinstance(value, tuple):
            return self._value.pack(value)
        raise InvalidArgument(f"nft element: {value!r} cannot be a value of {self.schema.name}")

    def element(self, wire: WireElement, ns: NsKey) -> NftElement:
        """Translate back.

        Raises:
            ValueError: an element we never write.
        """
        key = self._key.unpack_range(wire.key, wire.end or wire.key)
        value = self._value.unpack(wire.value) if isinstance(wire.value, bytes) else wire.value
        return NftElement(ns, self.schema.name, key, value)


def _is_sound(verdict: Verdict) -> bool:
    return verdict.code in _VERDICTS and bool(verdict.chain) == (verdict.code in _WITH_CHAIN)


@cache
def codec(set_name: str) -> Codec:
    """Return the codec of one of our sets.

    Raises:
        InvalidArgument: there is no such set.
    """
    if set_name not in SETS:
        raise InvalidArgument(f"nft set {set_name!r} is not one of ours: {', '.join(SETS)}")
    return Codec(SETS[set_name])


def _data(value: bytes | Verdict) -> bytes:
    if isinstance(value, bytes):
        return attribute(_DATA_VALUE, value)
    verdict = attribute(_VERDICT_CODE, struct.pack("!i", _VERDICTS[value.code]))
    if value.chain:
        verdict += text_attribute(_VERDICT_CHAIN, value.chain)
    return attribute(_DATA_VERDICT | NESTED, verdict)


def encode(wire: WireElement, with_value: bool = True) -> bytes:
    """Write one entry of an element list; a deletion or a question needs the key only."""
    body = attribute(_KEY | NESTED, attribute(_DATA_VALUE, wire.key))
    if wire.end:
        body += attribute(_KEY_END | NESTED, attribute(_DATA_VALUE, wire.end))
    if with_value and wire.value is not None:
        body += attribute(_DATA | NESTED, _data(wire.value))
    return attribute(_LIST_ELEM | NESTED, body)


def decode(entries: Iterable[memoryview]) -> Iterator[WireElement]:
    """Read entries of an element list.

    Raises:
        ValueError: an element we never write, such as a catch-all.
    """
    for entry in entries:
        found = attributes(entry)
        if _KEY not in found:
            raise ValueError("an element without a key")
        yield WireElement(
            _value_of(found[_KEY]),
            _value_of(found[_KEY_END]) if _KEY_END in found else b"",
            _decode_data(found[_DATA]) if _DATA in found else None,
        )


def _value_of(data: memoryview) -> bytes:
    return bytes(attributes(data).get(_DATA_VALUE, b""))


def _decode_data(data: memoryview) -> bytes | Verdict:
    found = attributes(data)
    if _DATA_VERDICT not in found:
        return bytes(found.get(_DATA_VALUE, b""))
    verdict = attributes(found[_DATA_VERDICT])
    (code,) = struct.unpack("!i", verdict[_VERDICT_CODE])
    if code not in _VERDICT_WORDS:
        raise ValueError(f"a verdict with the unknown code {code}")
    return Verdict(_VERDICT_WORDS[code], text_of(verdict.get(_VERDICT_CHAIN, b"")))
