from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ductwork.errors import Exhausted, InvalidArgument
from ductwork.ipam import leases
from ductwork.ipam.blocks import Block
from ductwork.ipam.leases import check_requested, choose_address
from ductwork.model.addresses import IPAddress
from ductwork.model.network import Subnet

LAN = Subnet(ip_network("10.1.0.0/29"), ip_address("10.1.0.1"))


def nothing(_address: IPAddress) -> bool:
    return False


def everything(_address: IPAddress) -> bool:
    return True


def give_out_all(subnet: Subnet, blocks: list[Block] | None = None) -> list[str]:
    """Take addresses, the cursor always on the last one, until there are none."""
    given: list[IPAddress] = []
    with pytest.raises(Exhausted):
        while True:
            given.append(choose_address(subnet, given.__contains__, given[-1] if given else None, blocks))
    return [str(a) for a in given]


@pytest.mark.parametrize(
    ("subnet", "expected"),
    [
        (LAN, [f"10.1.0.{i}" for i in range(2, 7)]),
        (Subnet(ip_network("10.1.0.0/30")), ["10.1.0.1", "10.1.0.2"]),
        (Subnet(ip_network("10.1.0.0/31")), ["10.1.0.0", "10.1.0.1"]),
        (Subnet(ip_network("10.1.0.0/31"), ip_address("10.1.0.0")), ["10.1.0.1"]),
        (
            Subnet(
                ip_network("10.1.0.0/24"),
                ip_address("10.1.0.10"),
                ip_network("10.1.0.8/30"),
                (ip_address("10.1.0.9"),),
            ),
            ["10.1.0.8", "10.1.0.11"],
        ),
        (
            Subnet(ip_network("10.1.0.0/24"), None, ip_network("10.1.0.252/30")),
            [f"10.1.0.{i}" for i in (252, 253, 254)],
        ),
        (Subnet(ip_network("fd00::/126"), ip_address("fd00::1")), ["fd00::2", "fd00::3"]),
        (Subnet(ip_network("fd00::/127")), ["fd00::", "fd00::1"]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_all_that_may_be_given_is_given_once(subnet: Subnet, expected: list[str]) -> None:
    assert give_out_all(subnet) == expected


@pytest.mark.parametrize(
    ("cursor", "chosen"),
    [
        (None, "10.1.0.2"),
        ("10.1.0.2", "10.1.0.3"),
        ("10.1.0.5", "10.1.0.6"),
        ("10.1.0.6", "10.1.0.2"),
        ("10.1.0.200", "10.1.0.2"),
        ("9.0.0.1", "10.1.0.2"),
        ("fd00::5", "10.1.0.2"),
    ],
)
def test_the_next_after_the_cursor_goes_round(cursor: str | None, chosen: str) -> None:
    assert choose_address(LAN, nothing, ip_address(cursor) if cursor else None) == ip_address(chosen)


def test_an_address_that_was_let_go_is_not_used_again_at_once() -> None:
    first = choose_address(LAN, nothing)
    assert choose_address(LAN, nothing, first) != first


def test_a_full_subnet_names_itself_and_its_network() -> None:
    with pytest.raises(Exhausted, match=r"no free address left in 10.1.0.0/29 of network lan; disconnect"):
        choose_address(LAN, everything, network="lan")
    ranged = Subnet(LAN.cidr, LAN.gateway, ip_network("10.1.0.4/30"))
    with pytest.raises(Exhausted, match=r"10.1.0.0/29 \(range 10.1.0.4/30\); "):
        choose_address(ranged, everything)


def test_few_questions_are_asked_when_most_is_free() -> None:
    asked: list[IPAddress] = []

    def taken(address: IPAddress) -> bool:
        asked.append(address)
        return address == ip_address("fd00::5")

    assert choose_address(Subnet(ip_network("fd00::/64")), taken, ip_address("fd00::4")) == ip_address(
        "fd00::6"
    )
    assert len(asked) == 2


def test_a_huge_subnet_that_seems_full_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MAX_TRIES", 1000)
    with pytest.raises(Exhausted):
        choose_address(Subnet(ip_network("fd00::/64")), everything)


def test_only_the_blocks_are_used_in_their_order() -> None:
    subnet = Subnet(ip_network("10.1.0.0/24"), ip_address("10.1.0.1"))
    blocks = [
        Block("h", ip_network(text)) for text in ("10.1.0.252/30", "10.1.0.0/30", "10.1.0.64/31", "fd00::/64")
    ]
    expected = [f"10.1.0.{i}" for i in (2, 3, 64, 65, 252, 253, 254)]
    assert give_out_all(subnet, blocks) == expected
    assert str(choose_address(subnet, nothing, ip_address("10.1.0.30"), blocks)) == "10.1.0.64"
    assert str(choose_address(subnet, nothing, ip_address("10.1.0.254"), blocks)) == "10.1.0.2"


def test_a_host_without_a_block_is_told() -> None:
    with pytest.raises(Exhausted, match="this host owns no block of it"):
        choose_address(LAN, nothing, blocks=[])


def test_blocks_outside_the_range_leave_nothing() -> None:
    subnet = Subnet(ip_network("10.1.0.0/24"), None, ip_network("10.1.0.0/25"))
    with pytest.raises(Exhausted):
        choose_address(subnet, nothing, blocks=[Block("h", ip_network("10.1.0.128/25"))])


@given(
    prefixlen=st.integers(24, 31),
    taken=st.sets(st.integers(0, 255)),
    cursor=st.none() | st.integers(0, 255),
    gateway=st.none() | st.integers(0, 255),
    reserved=st.sets(st.integers(0, 255), max_size=5),
    ip_range=st.none() | st.tuples(st.integers(0, 255), st.integers(24, 32)),
)
def test_a_choice_is_free_and_allowed_and_there_is_one_while_any_is_left(
    *,
    prefixlen: int,
    taken: set[int],
    cursor: int | None,
    gateway: int | None,
    reserved: set[int],
    ip_range: tuple[int, int] | None,
) -> None:
    base = int(IPv4Address("10.1.0.0"))
    address = lambda number: IPv4Address(base + number)  # noqa: E731
    inner = IPv4Network((base + ip_range[0], ip_range[1]), strict=False) if ip_range else None
    subnet = Subnet(
        IPv4Network((base, prefixlen)),
        None if gateway is None else address(gateway),
        inner,
        tuple(map(address, reserved)),
    )
    allowed = {
        a
        for a in (subnet.cidr if prefixlen == 31 else subnet.cidr.hosts())
        if a != subnet.gateway and a not in subnet.reserved and (inner is None or a in inner)
    }
    free = allowed - {address(number) for number in taken}
    try:
        chosen = choose_address(
            subnet, lambda a: int(a) - base in taken, None if cursor is None else address(cursor)
        )
    except Exhausted:
        assert not free
    else:
        assert chosen in free
        after = {a for a in free if cursor is None or a > address(cursor)}
        assert chosen == min(after or free)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.2.0.1", "10.2.0.1 is in no subnet of network lan; choose one in 10.1.0.0/29, fd00::/64"),
        ("10.1.0.0", "the network address"),
        ("10.1.0.7", "the broadcast address"),
        ("10.1.0.1", "the gateway of 10.1.0.0/29"),
        ("fd00::", "subnet-router anycast"),
    ],
)
def test_an_address_that_nobody_can_have_is_refused(address: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        check_requested([LAN, Subnet(ip_network("fd00::/64"))], ip_address(address), "lan")


def test_an_address_is_allowed_outside_the_range_and_when_reserved() -> None:
    subnet = Subnet(ip_network("10.1.0.0/24"), None, ip_network("10.1.0.128/25"), (ip_address("10.1.0.9"),))
    assert check_requested([LAN, subnet], ip_address("10.1.0.9")) == subnet
    with pytest.raises(InvalidArgument, match="the network has no subnets"):
        check_requested([], ip_address("10.1.0.9"))
