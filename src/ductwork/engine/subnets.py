"""Subnets of a network: checked against all that the host already has, or chosen around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ductwork.engine.work import Work
from ductwork.errors import Conflict
from ductwork.ipam.pools import choose_subnet, default_pools, overlapping
from ductwork.ipam.subnets import default_gateway, validate_subnet
from ductwork.model.addresses import IPNetwork
from ductwork.model.network import Network, Subnet
from ductwork.model.objects import HOST


def complete_subnets(
    work: Work, network: Network, wanted: Sequence[Subnet], *, gateway: bool, automatic: bool
) -> tuple[Subnet, ...]:
    """Check the subnets asked for and choose those that were not.

    Args:
        gateway: the host gets an address in each, the first one unless it was named.
        automatic: choose one of each family that is needed and was not given.
    Raises:
        InvalidArgument, Conflict, Exhausted.
    """
    taken = list(_taken(work))
    complete: list[Subnet] = []
    for subnet in wanted:
        validate_subnet(subnet)
        who = overlapping(subnet.cidr, taken)
        if who is not None:
            raise Conflict(
                f"subnet {subnet.cidr} overlaps {who}",
                hint="choose another, or leave --subnet out to have one chosen",
            )
        taken.append((f"subnet {subnet.cidr} given twice", subnet.cidr))
        complete.append(_with_gateway(subnet) if gateway else replace(subnet, gateway=None))
        validate_subnet(complete[-1])  # once more: the gateway takes one of the addresses to give out
    if automatic:
        complete += _chosen(work, network, complete, taken, gateway)
    return tuple(complete)


def added_subnets(
    work: Work, network: Network, wanted: Sequence[Subnet], *, gateway: bool
) -> tuple[Subnet, ...]:
    """Check subnets that are added to a network, and choose an IPv6 one when it is to have one and has none.

    Raises:
        InvalidArgument, Conflict, Exhausted.
    """
    more = complete_subnets(work, network, wanted, gateway=gateway, automatic=False)
    if not network.ipv6 or any(s.cidr.version == 6 for s in (*network.subnets, *more)):
        return more
    taken = [*_taken(work), *((str(s.cidr), s.cidr) for s in more)]
    return more + tuple(_chosen(work, network, (*network.subnets, *more), taken, gateway))


def _chosen(
    work: Work,
    network: Network,
    given: Sequence[Subnet],
    taken: Sequence[tuple[str, IPNetwork]],
    gateway: bool,
) -> list[Subnet]:
    have = {s.cidr.version for s in given}
    want = ({4} if not have else set()) | ({6} if network.ipv6 else set())
    pools = default_pools(work.host_id)
    chosen = []
    for version in sorted(want - have):
        pool = [p for p in pools if p.base.version == version]
        cidr = choose_subnet(pool, [n for _, n in taken])
        chosen.append(_with_gateway(Subnet(cidr)) if gateway else Subnet(cidr))
    return chosen


def _with_gateway(subnet: Subnet) -> Subnet:
    return subnet if subnet.gateway is not None else replace(subnet, gateway=default_gateway(subnet.cidr))


def _taken(work: Work) -> Iterator[tuple[str, IPNetwork]]:
    """Name every range that is in use on this host: our networks, then the host's addresses and routes."""
    # What a network has that this same change removes still stands in the kernel and is in nobody's way.
    ours = {subnet.cidr for network in work.change.before.networks() for subnet in network.subnets}
    for network in work.state.networks():
        for subnet in network.subnets:
            ours.add(subnet.cidr)
            yield f"network {network.name} ({subnet.cidr})", subnet.cidr
    route = work.kernel.route(HOST)
    names = {link.ifindex: link.name for link in route.links()}
    for address in route.addresses():
        if not (address.ip.is_loopback or address.ip.is_link_local or address.ip.network in ours):
            yield f"the host's address {address.ip} on {names.get(address.ifindex, '?')}", address.ip.network
    for way in route.routes():
        if way.dst not in ours and not (way.dst.is_loopback or way.dst.is_link_local or way.dst.is_multicast):
            yield f"the host's route to {way.dst} by {names.get(way.ifindex, '?')}", way.dst
