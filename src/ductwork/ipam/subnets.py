"""What makes a subnet usable, and which of its addresses a container may have."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from ductwork.errors import InvalidArgument
from ductwork.model.addresses import IPAddress, IPNetwork
from ductwork.model.network import Subnet

_REFUSED: tuple[tuple[IPNetwork, str], ...] = (
    (IPv4Network("0.0.0.0/8"), '"this network" (RFC 1122)'),
    (IPv4Network("127.0.0.0/8"), "loopback (RFC 1122)"),
    (IPv4Network("169.254.0.0/16"), "link-local (RFC 3927)"),
    (IPv4Network("224.0.0.0/4"), "multicast (RFC 5771)"),
    (IPv4Network("240.0.0.0/4"), "reserved (RFC 1112)"),
    (IPv6Network("::/8"), "loopback, mapped and reserved addresses (RFC 4291)"),
    (IPv6Network("fe80::/10"), "link-local (RFC 4291)"),
    (IPv6Network("fec0::/10"), "site-local, which is abolished (RFC 3879)"),
    (IPv6Network("ff00::/8"), "multicast (RFC 4291)"),
)


def make_address(version: int, number: int) -> IPAddress:
    """Return the address of an IP version that has this number."""
    return IPv4Address(number) if version == 4 else IPv6Address(number)


def bounds(network: IPNetwork) -> tuple[int, int]:
    """Return the first and the last address as numbers; much faster than asking for broadcast_address."""
    first = int(network.network_address)
    return first, first + (1 << (network.max_prefixlen - network.prefixlen)) - 1


def usable_bounds(cidr: IPNetwork) -> tuple[int, int]:
    """Return the first and the last number that a host may have in a subnet.

    IPv4 keeps the network and the broadcast address, except in a /31 (RFC 3021) and a /32. IPv6 keeps the
    subnet-router anycast address (RFC 4291, 2.6.1), except in a /127 (RFC 6164) and a /128.
    """
    first, last = bounds(cidr)
    if cidr.max_prefixlen - cidr.prefixlen <= 1:
        return first, last
    return first + 1, last - 1 if cidr.version == 4 else last


def default_gateway(cidr: IPNetwork) -> IPAddress:
    """Return the address the host takes in a subnet when the user names none: the first one."""
    return make_address(cidr.version, usable_bounds(cidr)[0])


def refuse_unusable(address: IPAddress, cidr: IPNetwork, what: str) -> None:
    """Raise InvalidArgument when an address is not one that a host can have in a subnet."""
    if address not in cidr:
        raise InvalidArgument(f"{what} {address} is not in {cidr}", hint="choose one inside the subnet")
    first, last = usable_bounds(cidr)
    if not first <= int(address) <= last:
        broadcast = cidr.version == 4 and int(address) > last
        kind = "broadcast" if broadcast else "network" if cidr.version == 4 else "subnet-router anycast"
        lowest, highest = make_address(cidr.version, first), make_address(cidr.version, last)
        raise InvalidArgument(
            f"{what} {address} is the {kind} address of {cidr}", hint=f"choose one from {lowest} to {highest}"
        )


def validate_subnet(subnet: Subnet) -> None:
    """Check one subnet as the user gave it, without regard to the host.

    Raises:
        InvalidArgument: a reserved range, too small, or a gateway, range or reserved address outside.
    """
    cidr = subnet.cidr
    for refused, why in _REFUSED:
        if cidr.version == refused.version and cidr.overlaps(refused):
            raise InvalidArgument(
                f"subnet {cidr} overlaps {refused}, which is {why}",
                hint="choose a private one, such as 10.1.0.0/24 or fd00:1::/64",
            )
    if cidr.prefixlen == cidr.max_prefixlen:
        raise InvalidArgument(
            f"subnet {cidr} is a single address", hint=f"use /{cidr.max_prefixlen - 1} or shorter"
        )
    if subnet.gateway is not None:
        refuse_unusable(subnet.gateway, cidr, "gateway")
    for address in subnet.reserved:
        if address not in cidr:
            raise InvalidArgument(
                f"reserved address {address} is not in {cidr}", hint="choose one inside the subnet"
            )
    if subnet.ip_range is not None:
        _validate_range(subnet, subnet.ip_range)


def _validate_range(subnet: Subnet, ip_range: IPNetwork) -> None:
    first, last = bounds(ip_range)
    outer_first, outer_last = bounds(subnet.cidr)
    if ip_range.version != subnet.cidr.version or first < outer_first or last > outer_last:
        raise InvalidArgument(
            f"IP range {ip_range} is not in {subnet.cidr}", hint="choose a range inside the subnet"
        )
    lowest, highest = usable_bounds(subnet.cidr)
    first, last = max(first, lowest), min(last, highest)
    kept = {int(a) for a in (*subnet.reserved, subnet.gateway) if a is not None and first <= int(a) <= last}
    if last - first + 1 <= len(kept):
        raise InvalidArgument(
            f"IP range {ip_range} of {subnet.cidr} leaves no address to give out",
            hint="choose a larger range",
        )
