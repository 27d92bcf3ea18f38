"""Subnets of a network against those it should have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ductwork.drivers.registry import driver_of
from ductwork.ipam.subnets import default_gateway
from ductwork.model.addresses import IPNetwork
from ductwork.model.network import Network, NetworkSpec, Subnet


@dataclass(frozen=True, slots=True)
class SubnetChanges:
    """What differs.

    Attributes:
        added: asked for and not there yet.
        limited: there, with another ip_range or other reserved addresses.
        add_ipv6: one of our choice is missing.
        impossible: what no running network can do; it has to be made anew.
        remarks: the others, in words.
    """

    added: tuple[Subnet, ...] = ()
    limited: tuple[Subnet, ...] = ()
    add_ipv6: bool = False
    impossible: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def compare_subnets(spec: NetworkSpec, network: Network, claimed: Sequence[IPNetwork]) -> SubnetChanges:
    """Compare a network's subnets with those a topology asks for.

    A family that the topology leaves to us is satisfied by whatever subnet the network has.

    Args:
        claimed: every subnet that any network of the topology asks for; none of them can be kept as ours.
    """
    driver = driver_of(spec.driver)
    if not driver.uses_addresses:
        return SubnetChanges()
    rest = {s.cidr: s for s in network.subnets}
    added: list[Subnet] = []
    limited: list[Subnet] = []
    impossible: list[str] = []
    for subnet in spec.subnets:
        there = rest.pop(subnet.cidr, None)
        if there is None:
            added.append(subnet)
            continue
        gateway = (subnet.gateway or default_gateway(subnet.cidr)) if driver.has_gateway else None
        if gateway != there.gateway:
            impossible.append(f"gateway {there.gateway} → {gateway}")
        _limit(subnet, there, limited)
    add_ipv6 = False
    for version in _left_to_us(spec):
        fit = next((s for s in rest.values() if _can_stay(s, version, claimed)), None)
        if fit is not None:
            del rest[fit.cidr]
            _limit(Subnet(fit.cidr), fit, limited)
        elif version == 6:
            add_ipv6 = True
        else:
            impossible.append("an IPv4 subnet of our choice")
    impossible += [f"without subnet {cidr}" for cidr in rest]
    remarks = [f"subnet {s.cidr}" for s in added]
    remarks += [f"limits of {s.cidr}" for s in limited]
    remarks += ["an IPv6 subnet"] if add_ipv6 else []
    return SubnetChanges(tuple(added), tuple(limited), add_ipv6, tuple(impossible), tuple(remarks))


def _left_to_us(spec: NetworkSpec) -> list[int]:
    given = {s.cidr.version for s in spec.subnets}
    wanted = (set() if given else {4}) | ({6} if spec.ipv6 else set())
    return sorted(wanted - given)


def _can_stay(subnet: Subnet, version: int, claimed: Sequence[IPNetwork]) -> bool:
    cidr = subnet.cidr
    return cidr.version == version and not any(c.version == version and cidr.overlaps(c) for c in claimed)


def _limit(wanted: Subnet, there: Subnet, limited: list[Subnet]) -> None:
    if (wanted.ip_range, set(wanted.reserved)) != (there.ip_range, set(there.reserved)):
        limited.append(replace(there, ip_range=wanted.ip_range, reserved=wanted.reserved))
