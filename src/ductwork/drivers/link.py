"""Driver `link`: two sandboxes joined by one veth pair, nothing in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from ductwork.drivers.base import Attachment, check_options, switch_ipv6_on
from ductwork.errors import InvalidArgument
from ductwork.model.network import Network
from ductwork.model.objects import Address, KernelObject, Neighbour, Route, Veth
from ductwork.plan import names


class LinkDriver:
    """Plans for a cable with two ends: with one end connected nothing exists yet, the second makes it."""

    kind: ClassVar[str] = "link"
    summary: ClassVar[str] = "a cable between exactly two sandboxes"
    uses_addresses: ClassVar[bool] = True
    has_gateway: ClassVar[bool] = False
    own_stack: ClassVar[bool] = True
    max_endpoints: ClassVar[int | None] = 2
    couples_endpoints: ClassVar[bool] = True
    option_help: ClassVar[Mapping[str, str]] = {}

    def validate(self, network: Network) -> None:
        """Refuse what a cable cannot be."""
        check_options(self.kind, dict(network.options), self.option_help)
        if network.internal:
            raise InvalidArgument("a link network is internal by its nature", hint="leave --internal out")

    def describe(self, network: Network) -> Mapping[str, str]:  # noqa: ARG002
        """A cable has nothing to choose."""
        return {}

    def plan_network(self, network: Network, attached: Sequence[Attachment]) -> list[KernelObject]:
        """One veth pair from namespace to namespace once both ends are known."""
        if len(attached) != 2:
            return []
        one, two = sorted(attached, key=lambda a: a.endpoint.slot)
        has6 = bool(network.subnets_of(6))
        pair = Veth(
            one.key,
            one.endpoint.container_ifname,
            names.inner_ifindex(one.endpoint.slot),
            names.network_alias(network.id),
            network.mtu,
            two.key,
            two.endpoint.container_ifname,
            names.inner_ifindex(two.endpoint.slot),
            two.endpoint.mac,
            mac=one.endpoint.mac,
            ipv6=has6,
        )
        return [pair, *_end(one, two), *_end(two, one)]

    def plan_endpoint(self, network: Network, attached: Attachment) -> list[KernelObject]:  # noqa: ARG002
        """Nothing of its own: the pair belongs to the network."""
        return []


def _end(here: Attachment, there: Attachment) -> list[KernelObject]:
    name, index = here.endpoint.container_ifname, names.inner_ifindex(here.endpoint.slot)
    objects: list[KernelObject] = [Address(here.key, name, index, ip) for ip in here.endpoint.addresses]
    if any(ip.version == 6 for ip in here.endpoint.addresses):
        objects.append(switch_ipv6_on(here.key, name))
    objects += [Route(here.key, r.destination, r.via, name, index) for r in here.endpoint.routes]
    objects += [
        Neighbour(here.key, name, index, ip.ip, there.endpoint.mac) for ip in there.endpoint.addresses
    ]
    return objects
