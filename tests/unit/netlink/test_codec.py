"""Attributes to bytes and back, whatever the bytes."""

from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ductwork.kernel.netlink.codec import (
    U8,
    U16,
    U32,
    Attribute,
    Bytes,
    Hardware,
    Ip,
    Nest,
    Table,
    Text,
    attributes,
    each_attribute,
    frame,
    name_at,
)
from ductwork.kernel.netlink.tables import IFINFOMSG, Link, VethData


class Inside(Table):
    prefix = "IN_"
    SMALL = U8(1)


class Everything(Table):
    prefix = "X_"
    SMALL = U8(1)
    MIDDLE = U16(2)
    LARGE = U32(3)
    WORDS = Text(4)
    RAW = Bytes(5)
    MAC = Hardware(6)
    IP = Ip(7)
    NEST = Nest(8, Inside, header=4)


VALUES: list[tuple[Attribute[Any], st.SearchStrategy[Any]]] = [
    (Everything.SMALL, st.integers(0, 0xFF)),
    (Everything.MIDDLE, st.integers(0, 0xFFFF)),
    (Everything.LARGE, st.integers(0, 0xFFFF_FFFF)),
    (Everything.WORDS, st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
    (Everything.RAW, st.binary(max_size=70)),
    (Everything.MAC, st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))),
    (Everything.IP, st.ip_addresses()),
]


@pytest.mark.parametrize(("attribute", "values"), VALUES, ids=[a.name for a, _ in VALUES])
@given(data=st.data())
def test_every_value_survives_the_way_to_bytes_and_back(
    attribute: Attribute[Any], values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    value = data.draw(values)
    wire = attribute.encode(value)
    assert len(wire) % 4 == 0
    assert attribute.find(attributes(memoryview(wire))) == value


def test_names_that_are_not_utf8_survive() -> None:
    assert Everything.WORDS.decode(memoryview(b"a\xff\0")) == "a\udcff"
    assert Everything.WORDS.encode("a\udcff") == frame(4, b"a\xff\0")


def test_what_is_absent_is_none_or_the_default() -> None:
    assert Everything.LARGE.find({}) is None
    assert Everything.LARGE.get({}, 7) == 7
    assert Everything.NEST.parts({}) == {}


@given(st.binary(max_size=200))
def test_any_bytes_can_be_walked(data: bytes) -> None:
    found = list(each_attribute(memoryview(data)))
    assert all(offset + 4 + len(value) <= len(data) for offset, _, value in found)
    assert attributes(memoryview(data)) == {kind: value for _, kind, value in found}


def test_a_nest_may_begin_with_a_header() -> None:
    wire = Everything.NEST.encode(b"head" + Inside.SMALL.encode(5))
    found = attributes(memoryview(wire))
    assert Inside.SMALL.find(Everything.NEST.parts(found)) == 5


@pytest.mark.parametrize(
    ("offset", "name"),
    [(0, "X_LARGE"), (5, "X_LARGE"), (8, "X_NEST"), (16, "X_NEST/IN_SMALL"), (24, ""), (99, "")],
)
def test_the_attribute_at_an_offset_has_a_name(offset: int, name: str) -> None:
    wire = Everything.LARGE.encode(1) + Everything.NEST.encode(b"head" + Inside.SMALL.encode(5))
    assert name_at(Everything, memoryview(b"1234" + wire), 4, 4 + offset) == name


def test_an_unknown_attribute_has_no_name() -> None:
    assert name_at(Everything, memoryview(frame(99, b"abcd")), 0, 0) == ""


def test_a_veth_peer_is_named_through_its_nests() -> None:
    peer = IFINFOMSG.pack(0, 0, 5, 0, 0) + Link.MTU.encode(3)
    wire = VethData.PEER.encode(peer)
    assert name_at(VethData, memoryview(wire), 0, 4 + IFINFOMSG.size) == "VETH_INFO_PEER/IFLA_MTU"


def test_an_address_needs_its_whole_length() -> None:
    assert Everything.IP.decode(memoryview(bytes([10, 0, 0, 1]))) == IPv4Address("10.0.0.1")
    assert Everything.IP.decode(memoryview(bytes(15) + b"\1")) == ip_address("::1")
