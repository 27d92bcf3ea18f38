"""Addresses of endpoints: chosen or as asked for, and written down before anybody else can have them."""

from __future__ import annotations

from ipaddress import IPv4Address

from ductwork.engine.work import Work
from ductwork.errors import Conflict, Exhausted, InvalidArgument
from ductwork.ipam.leases import check_requested, choose_address
from ductwork.model.addresses import IPAddress, IPInterface, interface_in
from ductwork.model.network import Network


def allocate_address(work: Work, network: Network, endpoint_id: str, version: int) -> IPInterface:
    """Choose an address of one IP version, from the first of the network's subnets that has one free.

    Raises:
        Exhausted: every subnet of that version is full.
    """
    full: Exhausted | None = None
    for subnet in network.subnets_of(version):
        try:
            address = choose_address(
                subnet,
                lambda ip: work.state.address_holder(network.id, ip) is not None,
                work.state.cursor(network.id, version),
                network=network.name,
            )
        except Exhausted as error:
            full = error
            continue
        work.state.reserve_address(network.id, address, endpoint_id)
        work.state.put_cursor(network.id, address)
        return interface_in(address, subnet.cidr)
    raise full or Exhausted(f"network {network.name} has no IPv{version} subnet")


def take_address(work: Work, network: Network, endpoint_id: str, address: IPAddress) -> IPInterface:
    """Give an endpoint the address it asked for.

    Raises:
        InvalidArgument: it is not one of this network's.
        Conflict: somebody has it; the message says who.
    """
    if not network.subnets:
        raise InvalidArgument(
            f"network {network.name} has no addresses to choose from", hint="leave --ip out"
        )
    subnet = check_requested(network.subnets, address, network.name)
    holder = work.state.address_holder(network.id, address)
    if holder is not None:
        endpoint = work.state.endpoint_or_none(holder)
        who = work.state.sandbox(endpoint.sandbox_id).name if endpoint else "another endpoint"
        raise Conflict(
            f"address {address} on network {network.name} is in use by {who}",
            hint="choose another, or leave --ip out to have one chosen",
        )
    work.state.reserve_address(network.id, address, endpoint_id)
    return interface_in(address, subnet.cidr)


def endpoint_addresses(
    work: Work, network: Network, endpoint_id: str, requested: tuple[IPAddress, ...]
) -> tuple[IPInterface, ...]:
    """Return an endpoint's addresses: those asked for, and one of each other family the network has."""
    taken = [take_address(work, network, endpoint_id, address) for address in requested]
    have = {address.version for address in taken}
    rest = sorted({s.cidr.version for s in network.subnets} - have)
    chosen = [allocate_address(work, network, endpoint_id, version) for version in rest]
    return tuple(sorted((*taken, *chosen), key=lambda a: not isinstance(a.ip, IPv4Address)))
