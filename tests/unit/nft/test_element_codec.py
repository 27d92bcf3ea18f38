"""Elements to bytes and back; that the kernel and nft agree is shown in tests/netns/test_nft_codec.py."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from tests.unit.nft.strategies import ANY_ELEMENT

from ductwork.errors import InvalidArgument
from ductwork.kernel.nft.elements import Codec, codec, decode, encode
from ductwork.kernel.nft.fields import Layout
from ductwork.kernel.nft.messages import element_lists, entries, entry_at
from ductwork.kernel.nft.nfnetlink import HEADER_BYTES, Answer, Request, each_attribute
from ductwork.model.nft_schema import SetSchema
from ductwork.model.objects import HOST, NftElement, NftField, Verdict


def _answer(request: Request) -> Answer:
    return Answer(0, request.kind, request.family, memoryview(request.body))


@given(ANY_ELEMENT)
def test_every_element_survives_the_way_to_bytes_and_back(element: NftElement) -> None:
    translate = codec(element.set)
    (request, count) = next(element_lists(0, 0, element.set, [encode(translate.wire(element))]))
    assert count == 1
    (wire,) = decode(entries([_answer(request)]))
    assert wire == translate.wire(element)
    assert translate.element(wire, HOST) == element


@pytest.mark.parametrize(
    ("types", "fields", "packed"),
    [
        (("ifname",), ("br0",), b"br0" + bytes(13)),
        (("inet_service",), (0x1234,), b"\x12\x34"),
        (("inet_proto", "inet_service"), ("udp", 53), b"\x11\0\0\0\0\x35\0\0"),
        (("ifname", "inet_proto"), ("a", 6), b"a" + bytes(15) + b"\6\0\0\0"),
        (("ipv4_addr", "inet_service"), (IPv4Address("10.0.0.2"), 80), b"\x0a\0\0\2\0\x50\0\0"),
        (("ether_addr", "inet_proto"), ("02:00:00:00:00:ff", 1), b"\2\0\0\0\0\xff\0\0\1\0\0\0"),
    ],
)
def test_concatenated_fields_fill_four_bytes_each_and_a_single_one_does_not(
    types: tuple, fields: tuple, packed: bytes
) -> None:
    assert Layout(types).pack(fields) == packed


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("bridges", ("",), None),
        ("bridges", ("sixteen-bytes-ab",), None),
        ("bridges", ("a\0b",), None),
        ("bridges", (5,), None),
        ("bridges", ("a", "b"), None),
        ("bridges", ("a",), ("b",)),
        ("gateways4", (IPv6Address("::1"),), None),
        ("gateways4", (IPv4Network("10.0.0.0/8"),), None),
        ("gateways6", (IPv6Address("fe80::1%eth0"),), None),
        ("publish_any4", (6, 65536), (IPv4Address("10.0.0.2"), 80)),
        ("publish_any4", (6, -1), (IPv4Address("10.0.0.2"), 80)),
        ("publish_any4", ("http", 1), (IPv4Address("10.0.0.2"), 80)),
        ("publish_any4", (6, 80), None),
        ("publish_any4", (6, 80), Verdict("accept")),
        ("policies", ("a",), Verdict("jump")),
        ("policies", ("a",), Verdict("accept", "chain")),
        ("policies", ("a",), Verdict("queue")),
    ],
)
def test_a_field_of_the_wrong_type_is_refused(
    name: str, key: tuple[NftField, ...], value: tuple[NftField, ...] | Verdict | None
) -> None:
    with pytest.raises(InvalidArgument, match="nft element"):
        codec(name).wire(NftElement(HOST, name, key, value))


def test_an_unknown_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match="'nosuch' is not one of ours: bridges,"):
        codec("nosuch")


def test_a_single_interval_field_is_refused_because_it_would_need_two_elements() -> None:
    with pytest.raises(InvalidArgument, match="more than one field"):
        Codec(SetSchema("x", ("ipv4_addr",), interval=True))


def test_a_network_of_one_address_is_the_same_key_as_that_address() -> None:
    wide, exact = (
        NftElement(HOST, "hairpin4", (source, IPv4Network("10.0.0.0/24")))
        for source in (IPv4Network("10.0.0.9/32"), IPv4Address("10.0.0.9"))
    )
    assert codec("hairpin4").wire(wide) == codec("hairpin4").wire(exact)
    assert codec("hairpin4").element(codec("hairpin4").wire(wide), HOST) == exact


def test_a_range_that_is_no_network_cannot_be_read() -> None:
    translate = codec("hairpin4")
    wire = translate.wire(NftElement(HOST, "hairpin4", (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.1"))))
    with pytest.raises(ValueError, match=r"10\.0\.0\.1 to 10\.0\.0\.5 is not a network"):
        translate.element(wire._replace(end=wire.end[:7] + b"\5"), HOST)


def test_long_lists_are_cut_where_an_attribute_would_overflow() -> None:
    entries_ = [
        encode(codec("same").wire(NftElement(HOST, "same", (f"in{n}", f"out{n}")))) for n in range(3000)
    ]
    lists = list(element_lists(0, 0, "same", entries_))
    assert sum(count for _, count in lists) == 3000
    assert len(lists) == 1 + sum(map(len, entries_)) // 65535
    for request, count in lists:
        (elements,) = (value for kind, value in each_attribute(memoryview(request.body)) if kind == 3)
        assert len(list(each_attribute(elements))) == count


def test_an_offset_of_the_kernel_names_the_element() -> None:
    elements = [encode(codec("bridges").wire(NftElement(HOST, "bridges", (f"br{n}",)))) for n in range(4)]
    request, _ = next(element_lists(0, 0, "bridges", elements))
    start = HEADER_BYTES + request.body.index(elements[2])
    assert [entry_at(request, start + by) for by in (0, 8, len(elements[2]))] == [2, 2, 3]
    assert entry_at(request, 0) is None
    assert entry_at(request, 9999) is None
