"""Where the subnet of a network comes from when the user names none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from ductwork.errors import Exhausted, InvalidArgument
from ductwork.ipam.subnets import bounds, make_address
from ductwork.model.addresses import IPNetwork

DEFAULT_IPV4_BASE = IPv4Network("10.208.0.0/12")
DEFAULT_IPV4_SIZE = 24
DEFAULT_IPV6_SIZE = 64

# 0.0.0.0/0, or 0.0.0.0/1 and 128.0.0.0/1 as VPN clients write it: a way out, not a claim on the addresses.
_DEFAULT_ROUTE_MAX_PREFIXLEN = 1


@dataclass(frozen=True, slots=True)
class Pool:
    """A range that is cut into subnets; `size` is the prefix length of each."""

    base: IPNetwork
    size: int


def ula_prefix(host_id: str) -> IPv6Network:
    """Return the host's own /48 for local use.

    RFC 4193 wants 40 random bits; a hash of the host's random id has the same effect and needs no memory.
    """
    digest = hashlib.sha256(b"ductwork ula\0" + host_id.encode()).digest()
    return IPv6Network((IPv6Address(bytes([0xFD]) + digest[:5] + bytes(10)), 48))


def default_pools(host_id: str) -> tuple[Pool, Pool]:
    """Return the IPv4 pool and the IPv6 pool of a host that was configured with none."""
    return Pool(DEFAULT_IPV4_BASE, DEFAULT_IPV4_SIZE), Pool(ula_prefix(host_id), DEFAULT_IPV6_SIZE)


def choose_subnet(pools: Sequence[Pool], taken: Iterable[IPNetwork], size: int | None = None) -> IPNetwork:
    """Return the first subnet of the pools that overlaps nothing that is taken.

    Args:
        pools: tried in order.
        taken: routes, addresses and networks of the host, of either family; default routes do not count.
        size: prefix length of the wanted subnet instead of each pool's own.
    Raises:
        Exhausted: no room is left.
        InvalidArgument: no pool is as large as `size`.
    """
    fitting = [
        pool for pool in pools if pool.base.prefixlen <= (size or pool.size) <= pool.base.max_prefixlen
    ]
    if not fitting:
        names = ", ".join(str(pool.base) for pool in pools) or "the empty list of pools"
        wanted = size or ", /".join(str(pool.size) for pool in pools)
        raise InvalidArgument(
            f"a subnet of size /{wanted} does not fit in {names}", hint="choose another size"
        )
    networks = [n for n in taken if n.prefixlen > _DEFAULT_ROUTE_MAX_PREFIXLEN]
    for pool in fitting:
        found = _first_gap(pool.base, size or pool.size, networks)
        if found is not None:
            return found
    tried = " or ".join(f"/{size or pool.size} left in {pool.base}" for pool in fitting)
    raise Exhausted(
        f"no free {tried}: networks, addresses or routes of this host cover all of it",
        hint="delete an unused network, or name a subnet with --subnet",
    )


def overlapping(cidr: IPNetwork, named: Iterable[tuple[str, IPNetwork]]) -> str | None:
    """Return the name of the first network that overlaps; default routes do not count."""
    first, last = bounds(cidr)
    for name, other in named:
        if other.version == cidr.version and other.prefixlen > _DEFAULT_ROUTE_MAX_PREFIXLEN:
            low, high = bounds(other)
            if low <= last and first <= high:
                return name
    return None


def _first_gap(base: IPNetwork, size: int, taken: Iterable[IPNetwork]) -> IPNetwork | None:
    """Walk the taken ranges in order; the first aligned hole that is large enough wins."""
    first, last = bounds(base)
    step = 1 << (base.max_prefixlen - size)
    ranges = sorted(bounds(network) for network in taken if network.version == base.version)
    candidate = first
    for low, high in ranges:
        if candidate + step <= low:
            break
        if high >= candidate:
            candidate = (high // step + 1) * step
    if candidate + step - 1 > last:
        return None
    address = make_address(base.version, candidate)
    return IPv6Network((address, size)) if base.version == 6 else IPv4Network((address, size))
