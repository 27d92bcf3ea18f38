from __future__ import annotations

import time
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ductwork.errors import Exhausted, InvalidArgument
from ductwork.ipam.pools import (
    DEFAULT_IPV4_BASE,
    Pool,
    choose_subnet,
    default_pools,
    overlapping,
    ula_prefix,
)
from ductwork.model.addresses import IPNetwork

SMALL = Pool(ip_network("10.208.0.0/22"), 24)


def networks(*texts: str) -> list[IPNetwork]:
    return [ip_network(text) for text in texts]


@pytest.mark.parametrize(
    ("taken", "chosen"),
    [
        ([], "10.208.0.0/24"),
        (["10.208.0.0/24"], "10.208.1.0/24"),
        (["10.208.1.0/24"], "10.208.0.0/24"),
        (["10.208.0.77/32"], "10.208.1.0/24"),
        (["10.208.0.0/25", "10.208.0.128/25", "10.208.1.255/32"], "10.208.2.0/24"),
        (["10.208.0.0/23", "10.208.1.0/24"], "10.208.2.0/24"),
        (["10.0.0.0/9", "192.168.0.0/16", "10.208.3.0/24", "fd00::/8"], "10.208.0.0/24"),
        (["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0"], "10.208.0.0/24"),
        (["10.207.255.0/24", "10.208.4.0/24"], "10.208.0.0/24"),
    ],
)
def test_the_first_free_subnet_is_chosen(taken: list[str], chosen: str) -> None:
    assert choose_subnet([SMALL], networks(*taken)) == ip_network(chosen)


@pytest.mark.parametrize("taken", [["10.208.0.0/22"], ["10.0.0.0/8"], [f"10.208.{i}.9/32" for i in range(4)]])
def test_a_full_pool_says_so(taken: list[str]) -> None:
    with pytest.raises(Exhausted, match=r"no free /24 left in 10.208.0.0/22.*; delete an unused"):
        choose_subnet([SMALL], networks(*taken))


def test_the_next_pool_is_tried() -> None:
    pools = [SMALL, Pool(ip_network("172.20.0.0/16"), 20)]
    assert choose_subnet(pools, networks("10.0.0.0/8")) == ip_network("172.20.0.0/20")
    with pytest.raises(Exhausted, match=r"/24 left in 10.208.0.0/22 or /20 left in 172.20.0.0/16"):
        choose_subnet(pools, networks("10.0.0.0/8", "172.16.0.0/12"))


def test_a_size_of_ones_own() -> None:
    assert choose_subnet([SMALL], networks("10.208.0.0/28"), 28) == ip_network("10.208.0.16/28")
    assert choose_subnet([SMALL], networks("10.208.0.0/28"), 23) == ip_network("10.208.2.0/23")
    with pytest.raises(InvalidArgument, match=r"/16 does not fit in 10.208.0.0/22"):
        choose_subnet([SMALL], [], 16)
    with pytest.raises(InvalidArgument, match="/64 does not fit"):
        choose_subnet([SMALL], [], 64)


def test_default_pools() -> None:
    four, six = default_pools("a-host")
    assert choose_subnet([four], []) == ip_network("10.208.0.0/24")
    chosen = choose_subnet([six], [])
    assert chosen.prefixlen == 64 and chosen.subnet_of(ula_prefix("a-host"))  # type: ignore[type-var]


@given(st.text(max_size=40))
def test_a_host_has_one_local_prefix_of_its_own(host_id: str) -> None:
    prefix = ula_prefix(host_id)
    assert prefix == ula_prefix(host_id)
    assert prefix.prefixlen == 48 and prefix.subnet_of(IPv6Network("fd00::/8"))
    assert prefix != ula_prefix(host_id + "x")


def test_thousands_taken_are_no_matter() -> None:
    taken = list(DEFAULT_IPV4_BASE.subnets(new_prefix=24))
    free = taken.pop(4000)
    began = time.perf_counter()
    assert choose_subnet([Pool(DEFAULT_IPV4_BASE, 24)], taken) == free
    assert time.perf_counter() - began < 0.5


V4 = st.tuples(st.integers(0x0AD00000, 0x0AD00FFF), st.integers(20, 32)).map(
    lambda pair: IPv4Network(pair, strict=False)
)


@given(st.lists(V4, max_size=12), st.integers(22, 30))
def test_the_choice_is_the_first_that_overlaps_nothing(taken: list[IPNetwork], size: int) -> None:
    pool = Pool(ip_network("10.208.0.0/21"), size)
    free = [n for n in pool.base.subnets(new_prefix=size) if not any(n.overlaps(t) for t in taken)]
    if free:
        assert choose_subnet([pool], taken) == free[0]
    else:
        with pytest.raises(Exhausted):
            choose_subnet([pool], taken)


def test_giving_out_until_nothing_is_left_never_overlaps() -> None:
    taken: list[IPNetwork] = []
    for size in (26, 24, 28, 26):
        taken.append(choose_subnet([SMALL], taken, size))
    with pytest.raises(Exhausted):
        while True:
            taken.append(choose_subnet([SMALL], taken, 28))
    assert sum(n.num_addresses for n in taken) == SMALL.base.num_addresses
    assert not any(a.overlaps(b) for i, a in enumerate(taken) for b in taken[:i])


def test_who_overlaps_is_named() -> None:
    named = [
        ("default route", ip_network("0.0.0.0/0")),
        ("six", ip_network("fd00::/8")),
        ("lan", ip_network("10.1.0.0/16")),
        ("route", ip_network("10.2.3.4/32")),
    ]
    assert overlapping(ip_network("10.1.5.0/24"), named) == "lan"
    assert overlapping(ip_network("10.2.0.0/16"), named) == "route"
    assert overlapping(ip_network("10.0.0.0/8"), named) == "lan"
    assert overlapping(ip_network("fd00:1::/64"), named) == "six"
    assert overlapping(ip_network("10.3.0.0/16"), named) is None
