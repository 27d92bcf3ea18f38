"""Published ports as elements of the constant rules' maps."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import collapse_addresses

from ductwork.model.addresses import IPAddress, IPNetwork
from ductwork.model.objects import HOST, NftElement, NftField
from ductwork.model.port_mapping import PortMapping


def plan_published_ports(ports: Iterable[PortMapping], targets: Iterable[IPAddress]) -> list[NftElement]:
    """Say which map elements make an endpoint's ports reachable from outside.

    One element per mapping and address family, and per source range where sources are limited: these are
    collapsed first because an interval map refuses overlaps.

    Args:
        targets: the endpoint's addresses; the first of each family answers.
    """
    by_version: dict[int, IPAddress] = {}
    for target in targets:
        by_version.setdefault(target.version, target)
    elements: list[NftElement] = []
    for port in ports:
        for version, target in sorted(by_version.items()):
            if version in port.versions:
                elements += _elements(port, version, target)
    return elements


def _elements(port: PortMapping, version: int, target: IPAddress) -> list[NftElement]:
    name = "publish_any" if port.everywhere else "publish"
    key: tuple[NftField, ...] = (
        (port.protocol.number, port.host_port)
        if port.everywhere or port.host_ip is None
        else (port.protocol.number, port.host_ip, port.host_port)
    )
    value = (target, port.container_port)
    if not port.allow_from:
        return [NftElement(HOST, f"{name}{version}", key, value)]
    sources = sources_of(port.allow_from, version)
    return [NftElement(HOST, f"{name}_from{version}", (*key, source), value) for source in sources]


def sources_of(allowed: Iterable[IPNetwork], version: int) -> list[IPNetwork]:
    """Return the allowed sources of one IP version, without overlaps, in order."""
    if version == 4:
        return list(collapse_addresses(n for n in allowed if n.version == 4))
    return list(collapse_addresses(n for n in allowed if n.version == 6))
