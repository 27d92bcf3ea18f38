from __future__ import annotations

import ipaddress
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ductwork.errors import InvalidArgument
from ductwork.ipam.subnets import bounds, default_gateway, usable_bounds, validate_subnet
from ductwork.model.addresses import IPNetwork
from ductwork.model.network import Subnet


def subnet(
    cidr: str, gateway: str | None = None, ip_range: str | None = None, reserved: tuple[str, ...] = ()
) -> Subnet:
    return Subnet(
        ip_network(cidr),
        ip_address(gateway) if gateway else None,
        ip_network(ip_range) if ip_range else None,
        tuple(ip_address(a) for a in reserved),
    )


@pytest.mark.parametrize(
    "good",
    [
        subnet("10.1.0.0/24"),
        subnet("10.1.0.0/24", "10.1.0.254", "10.1.0.128/25", ("10.1.0.7", "10.1.0.0")),
        subnet("10.1.0.0/31"),
        subnet("10.1.0.0/31", "10.1.0.0"),
        subnet("10.0.0.0/8", "10.0.0.1"),
        subnet("10.1.0.0/24", "10.1.0.1", "10.1.0.0/30"),
        subnet("203.0.113.0/24"),
        subnet("100.64.0.0/10"),
        subnet("fd00:1::/64", "fd00:1::1"),
        subnet("fd00:1::/127", "fd00:1::"),
        subnet("2001:db8::/32", "2001:db8::ffff"),
        subnet("fd00:1::/64", "fd00:1::1", "fd00:1::/80"),
    ],
    ids=str,
)
def test_good_subnets(good: Subnet) -> None:
    validate_subnet(good)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (subnet("224.0.0.0/24"), "multicast"),
        (subnet("ff02::/64"), "multicast"),
        (subnet("127.1.0.0/24"), "loopback"),
        (subnet("::/64"), "loopback"),
        (subnet("::ffff:10.0.0.0/104"), "mapped"),
        (subnet("169.254.0.0/24"), "link-local"),
        (subnet("fe80::/64"), "link-local"),
        (subnet("fec0::/64"), "site-local"),
        (subnet("240.0.0.0/24"), "reserved"),
        (subnet("255.255.255.0/24"), "reserved"),
        (subnet("0.0.0.0/24"), "this network"),
        (subnet("0.0.0.0/0"), "overlaps"),
        (subnet("::/0"), "overlaps"),
        (subnet("126.0.0.0/7"), "127.0.0.0/8"),
        (subnet("10.1.0.1/32"), "single address; use /31"),
        (subnet("fd00::1/128"), "single address; use /127"),
        (subnet("10.1.0.0/24", "10.2.0.1"), "gateway 10.2.0.1 is not in 10.1.0.0/24"),
        (subnet("10.1.0.0/24", "fd00::1"), "gateway fd00::1 is not in"),
        (subnet("10.1.0.0/24", "10.1.0.0"), "the network address.*10.1.0.1 to 10.1.0.254"),
        (subnet("10.1.0.0/24", "10.1.0.255"), "the broadcast address"),
        (subnet("fd00:1::/64", "fd00:1::"), "subnet-router anycast"),
        (subnet("10.1.0.0/24", None, "10.1.1.0/25"), "IP range 10.1.1.0/25 is not in"),
        (subnet("10.1.0.0/24", None, "10.1.0.0/16"), "IP range 10.1.0.0/16 is not in"),
        (subnet("10.1.0.0/24", None, "fd00::/64"), "IP range fd00::/64 is not in"),
        (subnet("10.1.0.0/24", "10.1.0.1", "10.1.0.0/31"), "leaves no address"),
        (subnet("10.1.0.0/24", None, "10.1.0.255/32"), "leaves no address"),
        (subnet("10.1.0.0/24", None, "10.1.0.4/31", ("10.1.0.4", "10.1.0.5")), "leaves no address"),
        (subnet("10.1.0.0/24", None, None, ("10.2.0.1",)), "reserved address 10.2.0.1 is not in"),
    ],
    ids=str,
)
def test_bad_subnets(bad: Subnet, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        validate_subnet(bad)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("cidr", "gateway"),
    [
        ("10.1.0.0/24", "10.1.0.1"),
        ("10.1.0.128/25", "10.1.0.129"),
        ("10.1.0.2/31", "10.1.0.2"),
        ("fd00::/64", "fd00::1"),
        ("fd00::2/127", "fd00::2"),
    ],
)
def test_the_default_gateway_is_the_first_address(cidr: str, gateway: str) -> None:
    assert default_gateway(ip_network(cidr)) == ip_address(gateway)


NETWORKS = st.tuples(st.ip_addresses(v=4), st.integers(0, 32)) | st.tuples(
    st.ip_addresses(v=6), st.integers(0, 128)
)


@given(NETWORKS.map(lambda pair: ipaddress.ip_network(pair, strict=False)))
def test_bounds_agree_with_the_standard_library(network: IPNetwork) -> None:
    assert bounds(network) == (int(network[0]), int(network[-1]))
    if network.version == 4 and network.prefixlen >= 16:
        hosts = [int(a) for a in network.hosts()]
        assert usable_bounds(network) == (hosts[0], hosts[-1])


@given(NETWORKS.map(lambda pair: ipaddress.ip_network(pair, strict=False)))
def test_the_default_gateway_of_a_good_subnet_is_good(network: IPNetwork) -> None:
    try:
        validate_subnet(Subnet(network))
    except InvalidArgument:
        return
    validate_subnet(Subnet(network, default_gateway(network)))
