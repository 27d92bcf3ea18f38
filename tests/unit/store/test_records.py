from __future__ import annotations

import contextlib
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
)
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ductwork.errors import FailedPrecondition
from ductwork.kernel.ports import RouteInfo
from ductwork.model.addresses import IPAddress, IPInterface, IPNetwork
from ductwork.model.endpoint import Endpoint, Link
from ductwork.model.network import Network, Scope, Subnet
from ductwork.model.objects import Sysctl
from ductwork.model.sandbox import Sandbox
from ductwork.store.records import decode, encode

# hypothesis knows how to make addresses, but neither interfaces nor networks.
V4 = st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(IPv4Interface)
V6 = st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(ip_interface)
st.register_type_strategy(IPv4Interface, V4)
st.register_type_strategy(IPv6Interface, V6)
st.register_type_strategy(IPv4Network, V4.map(lambda interface: interface.network))
st.register_type_strategy(IPv6Network, V6.map(lambda interface: interface.network))


@pytest.mark.parametrize("kind", [Network, Endpoint, Sandbox, Link, Sysctl, RouteInfo])
@given(data=st.data())
def test_what_was_encoded_is_decoded_equal(kind: type, data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    assert decode(kind, encode(value)) == value


@dataclass(frozen=True, slots=True)
class Old:
    name: str
    gone: int = 5


@dataclass(frozen=True, slots=True)
class New:
    name: str
    scope: Scope = Scope.LOCAL
    address: IPAddress | None = None
    pair: tuple[str, int] = ("a", 1)
    word: Literal["in", "out"] = "in"
    mixed: str | int | None = None
    ratio: float = 0.5


def test_unknown_fields_are_ignored_and_missing_ones_take_their_defaults() -> None:
    assert decode(New, encode(Old("x"))) == New("x")
    assert decode(Old, encode(New("x"))) == Old("x")


@dataclass(frozen=True, slots=True)
class Everywhere:
    a: IPAddress
    n: tuple[IPNetwork, ...]
    i: IPInterface


def test_addresses_are_told_apart_by_their_colon() -> None:
    text = b'{"a":"::1","n":["10.0.0.0/8","fd00::/64"],"i":"10.1.2.3/24"}'
    value = decode(Everywhere, text)
    assert encode(value) == text
    assert [type(x).__name__ for x in (value.a, *value.n, value.i)] == [
        "IPv6Address",
        "IPv4Network",
        "IPv6Network",
        "IPv4Interface",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"scope":"local"}', "'name' is missing"),
        (b'{"name":3}', "name: 3 is not of type str"),
        (b'{"name":"x","scope":"moon"}', "scope: 'moon'"),
        (b'{"name":"x","address":"10.0.0"}', "address: "),
        (b'{"name":"x","address":3}', "address: 3 is not an address"),
        (b'{"name":"x","pair":["a"]}', "pair: "),
        (b'{"name":"x","pair":"a"}', "pair: 'a' is not a list"),
        (b'{"name":"x","word":"up"}', "word: 'up' is none of 'in', 'out'"),
        (b'{"name":"x","mixed":1.5}', "mixed: 1.5 is not of type"),
        (b"[]", r"\[\] is not a New"),
        (b"{", "truncated"),
        (b"", "truncated"),
        (b"\xff", ""),
    ],
)
def test_a_damaged_record_says_what_is_wrong(text: bytes, words: str) -> None:
    with pytest.raises(FailedPrecondition, match=f"reading a New from the state file: .*{words}"):
        decode(New, text)


@given(st.binary())
def test_no_bytes_make_another_error(data: bytes) -> None:
    with contextlib.suppress(FailedPrecondition):
        decode(Subnet, data)


def test_a_union_that_json_cannot_tell_apart_is_refused_at_once() -> None:
    @dataclass
    class Unclear:
        what: str | IPv4Address

    with pytest.raises(NotImplementedError, match=r"str \| IPv4Address"):
        decode(Unclear, b"{}")


def test_values_keep_their_types() -> None:
    network = Network(
        "1", "lan", "bridge", 3, (Subnet(IPv4Network("10.1.0.0/24"), ip_address("10.1.0.1")),), mtu=9000
    )
    again = decode(Network, encode(network))
    assert again == network and isinstance(again.scope, Scope) and isinstance(again.subnets, tuple)
