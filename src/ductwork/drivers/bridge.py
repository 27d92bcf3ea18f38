"""Driver `bridge`: a Linux bridge on the host, a veth pair per endpoint, NAT to the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar

from ductwork.drivers.base import (
    Attachment,
    check_options,
    read_switch,
    refuse_advertisements,
    switch_ipv6_on,
)
from ductwork.errors import InvalidArgument
from ductwork.model.addresses import interface_in, parse_address
from ductwork.model.endpoint import Endpoint
from ductwork.model.names import parse_ifname
from ductwork.model.network import Network
from ductwork.model.objects import (
    HOST,
    Address,
    Bridge,
    KernelObject,
    LoopbackGuard,
    Neighbour,
    NftElement,
    NsKey,
    Route,
    Veth,
)
from ductwork.plan import names

_OPTIONS = {
    "nat": "on|off: masquerade what leaves the host (on)",
    "nat-source": "address[,address]: leave the host with this source instead of the outgoing interface's",
    "isolation": "on|strict|off: apart from other networks; strict also from their use of published ports;"
    " off networks reach one another (on)",
    "bridge": "name of the bridge (dw-…, from the network's id)",
}


class Isolation(StrEnum):
    """How far a network is kept apart from the host's other networks."""

    ON = "on"
    STRICT = "strict"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """The options of a bridge network, checked."""

    bridge: str
    nat: bool
    nat_source4: IPv4Address | None
    nat_source6: IPv6Address | None
    isolation: Isolation

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(network: Network) -> BridgeOptions:
        """Read a network's options.

        Raises:
            InvalidArgument: an unknown option or a value that makes no sense.
        """
        options = dict(network.options)
        check_options(BridgeDriver.kind, options, _OPTIONS)
        nat = read_switch(options, "nat", True)
        sources = [parse_address(s, "nat-source") for s in options.get("nat-source", "").split(",") if s]
        source4 = [s for s in sources if isinstance(s, IPv4Address)]
        source6 = [s for s in sources if isinstance(s, IPv6Address)]
        if len(source4) > 1 or len(source6) > 1:
            raise InvalidArgument(
                "nat-source names two addresses of one family", hint="give one of each at most"
            )
        if sources and not nat:
            raise InvalidArgument("nat-source has no meaning with nat=off", hint="leave one of them out")
        isolation = options.get("isolation", "on")
        if isolation not in set(Isolation):
            raise InvalidArgument(f"isolation={isolation!r} is not known", hint="it is on, strict or off")
        bridge = parse_ifname(options["bridge"]) if "bridge" in options else names.bridge_ifname(network.id)
        return BridgeOptions(
            bridge,
            nat,
            source4[0] if source4 else None,
            source6[0] if source6 else None,
            Isolation(isolation),
        )


class BridgeDriver:
    """Plans for bridge networks."""

    kind: ClassVar[str] = "bridge"
    summary: ClassVar[str] = "a switch on this host, NAT to the outside"
    uses_addresses: ClassVar[bool] = True
    has_gateway: ClassVar[bool] = True
    own_stack: ClassVar[bool] = True
    max_endpoints: ClassVar[int | None] = 1023  # BR_MAX_PORTS - 1, net/bridge/br_private.h
    couples_endpoints: ClassVar[bool] = False
    option_help: ClassVar[Mapping[str, str]] = _OPTIONS

    def validate(self, network: Network) -> None:
        """Check options; the subnets are checked by whoever knows the host's others."""
        BridgeOptions.of(network)

    def describe(self, network: Network) -> Mapping[str, str]:
        """Show the options in force."""
        options = BridgeOptions.of(network)
        sources = [str(s) for s in (options.nat_source4, options.nat_source6) if s is not None]
        nat = "off" if not options.nat or network.internal else ",".join(sources) or "on"
        return {"bridge": options.bridge, "nat": nat, "isolation": options.isolation.value}

    def plan_network(self, network: Network, attached: Sequence[Attachment]) -> list[KernelObject]:  # noqa: ARG002
        """Bridge, its addresses, its place in the constant rules' sets."""
        options = BridgeOptions.of(network)
        index = names.bridge_ifindex(network.slot)
        has4, has6 = bool(network.subnets_of(4)), bool(network.subnets_of(6))
        bridge = Bridge(
            HOST,
            options.bridge,
            index,
            names.bridge_mac(network.id),
            network.mtu,
            names.network_alias(network.id),
            ipv6=has6,
            route_localnet=has4,
        )
        objects: list[KernelObject] = [bridge, *refuse_advertisements(options.bridge, has6)]
        if has4:
            objects.append(LoopbackGuard(HOST, options.bridge, index))
        for subnet in network.subnets:
            if subnet.gateway is not None:
                objects.append(
                    Address(HOST, options.bridge, index, interface_in(subnet.gateway, subnet.cidr))
                )
        return objects + _rules(network, options)

    def plan_endpoint(self, network: Network, attached: Attachment) -> list[KernelObject]:
        """Veth pair, addresses, routes, permanent neighbours on both sides."""
        options = BridgeOptions.of(network)
        endpoint, key = attached.endpoint, attached.key
        inner = names.inner_ifindex(endpoint.slot)
        bridge_index = names.bridge_ifindex(network.slot)
        has6 = bool(network.subnets_of(6))
        objects: list[KernelObject] = [
            Veth(
                HOST,
                endpoint.host_ifname,
                names.outer_ifindex(endpoint.slot),
                names.endpoint_alias(endpoint.id),
                network.mtu,
                key,
                endpoint.container_ifname,
                inner,
                endpoint.mac,
                master=bridge_index,
                ipv6=has6,
                # With bridge-nf on, a container's connection to its own published port is turned around
                # inside the bridge, and a port sends nothing back to itself unless told to.
                hairpin=endpoint.port_count > 0,
            )
        ]
        name = endpoint.container_ifname
        if has6:
            objects.append(switch_ipv6_on(key, name))
        objects += [Address(key, name, inner, ip) for ip in endpoint.addresses]
        objects += [Route(key, r.destination, r.via, name, inner) for r in endpoint.routes]
        objects += _neighbours(network, endpoint, key, options.bridge, bridge_index)
        return objects


def _neighbours(
    network: Network, endpoint: Endpoint, key: NsKey, bridge: str, bridge_index: int
) -> list[KernelObject]:
    """Write both ends' neighbour entries: nothing to ask for, and exempt from the table's limits."""
    inner = names.inner_ifindex(endpoint.slot)
    outside: list[KernelObject] = [
        Neighbour(HOST, bridge, bridge_index, ip.ip, endpoint.mac) for ip in endpoint.addresses
    ]
    versions = {ip.version for ip in endpoint.addresses}
    mac = names.bridge_mac(network.id)
    inside: list[KernelObject] = [
        Neighbour(key, endpoint.container_ifname, inner, subnet.gateway, mac)
        for subnet in network.subnets
        if subnet.gateway is not None and subnet.cidr.version in versions
    ]
    return outside + inside


def _rules(network: Network, options: BridgeOptions) -> list[KernelObject]:
    """Place the network in the constant rules' sets."""
    name = options.bridge
    elements = [NftElement(HOST, "bridges", (name,)), NftElement(HOST, "same", (name, name))]
    if network.internal:
        elements.append(NftElement(HOST, "internal", (name,)))
    elif options.nat:
        elements.append(NftElement(HOST, "masq", (name,)))
        if options.nat_source4 is not None:
            elements.append(NftElement(HOST, "source4", (name,), (options.nat_source4,)))
        if options.nat_source6 is not None:
            elements.append(NftElement(HOST, "source6", (name,), (options.nat_source6,)))
    if options.isolation is not Isolation.ON:
        elements.append(NftElement(HOST, "open" if options.isolation is Isolation.OFF else "strict", (name,)))
    for subnet in network.subnets:
        version = subnet.cidr.version
        if subnet.gateway is not None:
            elements.append(NftElement(HOST, f"gateways{version}", (subnet.gateway,)))
            elements.append(NftElement(HOST, f"own_gateway{version}", (name, subnet.gateway)))
        elements.append(NftElement(HOST, f"hairpin{version}", (subnet.cidr, subnet.cidr)))
    return list(elements)
