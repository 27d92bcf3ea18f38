"""Address types and their parsers; past a parser nothing in Ductwork holds an address as text."""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias

from ductwork.errors import InvalidArgument

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network
IPInterface: TypeAlias = IPv4Interface | IPv6Interface


def parse_address(text: str, what: str = "address") -> IPAddress:
    """Read one IPv4 or IPv6 address without a prefix."""
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidArgument(
            f"{what} {text!r} is not an IPv4 or IPv6 address", hint="write it like 10.1.0.2 or fd00:1::2"
        ) from None


def parse_network(text: str, what: str = "subnet") -> IPNetwork:
    """Read a CIDR whose host bits are zero, and say what was probably meant when they are not."""
    if "/" not in text:
        raise InvalidArgument(f"{what} {text!r} has no prefix length", hint="write it like 10.1.0.0/24")
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise InvalidArgument(
            f"{what} {text!r} is not a CIDR", hint="write it like 10.1.0.0/24 or fd00:1::/64"
        ) from None
    raise InvalidArgument(f"{what} {text!r} has host bits set", hint=f"did you mean {meant}?")


def interface_in(address: IPAddress, network: IPNetwork) -> IPInterface:
    """Join an address with its network's prefix length."""
    if isinstance(address, IPv4Address):
        return IPv4Interface((address, network.prefixlen))
    return IPv6Interface((address, network.prefixlen))
