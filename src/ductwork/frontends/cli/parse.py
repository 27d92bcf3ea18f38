"""From command-line words to checked values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ductwork import InvalidArgument, PortRequest, StaticRoute, Subnet, parse_ports
from ductwork.model.addresses import IPAddress, IPNetwork, parse_address, parse_network


def parse_pairs(words: Iterable[str], what: str) -> tuple[tuple[str, str], ...]:
    """Read K=V words; the last of a key counts."""
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise InvalidArgument(
                f"{what} {word!r} is not of the form KEY=VALUE", hint="write it like colour=blue"
            )
        if not word.isprintable():
            raise InvalidArgument(
                f"{what} {word!r} has characters that cannot be printed", hint="leave them out"
            )
        pairs[key] = value
    return tuple(pairs.items())


def parse_subnets(
    cidrs: Sequence[str], gateways: Sequence[str], ranges: Sequence[str], reserved: Sequence[str]
) -> tuple[Subnet, ...]:
    """Join subnets with the gateways, ranges and reserved addresses that lie in them, as Docker does."""
    subnets = [Subnet(parse_network(text)) for text in cidrs]
    for text in gateways:
        address = parse_address(text, "gateway")
        index = _containing(subnets, address, f"gateway {text}")
        if subnets[index].gateway is not None:
            raise InvalidArgument(f"subnet {subnets[index].cidr} has two gateways", hint="give one")
        subnets[index] = replace(subnets[index], gateway=address)
    for text in ranges:
        cidr = parse_network(text, "ip-range")
        index = _containing(subnets, cidr.network_address, f"ip-range {text}")
        subnets[index] = replace(subnets[index], ip_range=cidr)
    for text in reserved:
        address = parse_address(text, "reserved address")
        index = _containing(subnets, address, f"reserved address {text}")
        subnets[index] = replace(subnets[index], reserved=(*subnets[index].reserved, address))
    return tuple(subnets)


def _containing(subnets: Sequence[Subnet], address: IPAddress, what: str) -> int:
    for index, subnet in enumerate(subnets):
        if address in subnet.cidr:
            return index
    listed = ", ".join(str(s.cidr) for s in subnets)
    raise InvalidArgument(
        f"{what} is in none of the subnets", hint=f"subnets: {listed}" if listed else "give --subnet"
    )


def parse_route(text: str) -> StaticRoute:
    """Read DST[@GW]."""
    destination, at, gateway = text.partition("@")
    network = parse_network(destination, "route")
    via = parse_address(gateway, "route gateway") if at else None
    if via is not None and via.version != network.version:
        raise InvalidArgument(
            f"route {text!r} mixes IPv4 and IPv6", hint="give a gateway of the destination's own family"
        )
    return StaticRoute(network, via)


def parse_all_ports(words: Iterable[str], allow_from: Iterable[str] = ()) -> tuple[PortRequest, ...]:
    """Read -p words, all limited to the same sources."""
    sources: list[IPNetwork] = [parse_network(text, "allow-from") for text in allow_from]
    return tuple(request for word in words for request in parse_ports(word, sources))


def parse_addresses(ip: str, ip6: str) -> tuple[IPAddress, ...]:
    """Read --ip and --ip6."""
    found = []
    for text, version, option in ((ip, 4, "--ip"), (ip6, 6, "--ip6")):
        if text:
            address = parse_address(text)
            if address.version != version:
                other = "--ip6" if version == 4 else "--ip"
                raise InvalidArgument(
                    f"{option} {text} is an IPv{address.version} address", hint=f"use {other}"
                )
            found.append(address)
    return tuple(found)
