"""A subnet cut into blocks, each owned by one host, which alone gives out its addresses.

That is why a lost cluster store never stops an attach: no other host could choose the same address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from ductwork.errors import Exhausted, InvalidArgument
from ductwork.ipam.pools import Pool, choose_subnet
from ductwork.ipam.subnets import bounds, make_address
from ductwork.model.addresses import IPNetwork


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a subnet and the host whose it is; a local network is one block, its whole subnet."""

    host_id: str
    cidr: IPNetwork


def split(cidr: IPNetwork, prefixlen: int) -> Iterator[IPNetwork]:
    """Yield the parts of a subnet in order, one at a time: an IPv6 subnet has very many."""
    if not cidr.prefixlen <= prefixlen <= cidr.max_prefixlen:
        raise InvalidArgument(
            f"{cidr} cannot be cut into blocks of /{prefixlen}",
            hint=f"choose a block size from /{cidr.prefixlen} to /{cidr.max_prefixlen}",
        )
    first, last = bounds(cidr)
    for number in range(first, last + 1, 1 << (cidr.max_prefixlen - prefixlen)):
        address = make_address(cidr.version, number)
        yield IPv6Network((address, prefixlen)) if cidr.version == 6 else IPv4Network((address, prefixlen))


def block_prefixlen(cidr: IPNetwork, hosts: int) -> int:
    """Return the prefix length of the largest blocks of which there are at least `hosts`.

    Raises:
        InvalidArgument: the subnet has fewer addresses than there are hosts.
    """
    prefixlen = cidr.prefixlen + max(hosts - 1, 0).bit_length()
    if prefixlen > cidr.max_prefixlen:
        raise InvalidArgument(f"{cidr} is too small for {hosts} hosts", hint="choose a larger subnet")
    return prefixlen


def assign(cidr: IPNetwork, prefixlen: int, blocks: Sequence[Block], host_id: str) -> Block:
    """Return one more block of a subnet for a host: the first that nobody owns.

    Args:
        blocks: those of all hosts; their sizes may differ.
    Raises:
        Exhausted: every block has an owner.
    """
    if not cidr.prefixlen <= prefixlen <= cidr.max_prefixlen:
        raise InvalidArgument(f"{cidr} cannot be cut into blocks of /{prefixlen}")
    try:
        return Block(host_id, choose_subnet((Pool(cidr, prefixlen),), (block.cidr for block in blocks)))
    except Exhausted:
        hosts = len({block.host_id for block in blocks})
        raise Exhausted(
            f"no free block /{prefixlen} left in {cidr}: {hosts} hosts own all of it",
            hint="remove hosts that are gone, or make the network again with a larger subnet",
        ) from None


def blocks_of(blocks: Sequence[Block], host_id: str) -> tuple[Block, ...]:
    """Return a host's own blocks in the order of their addresses."""
    own = (block for block in blocks if block.host_id == host_id)
    return tuple(sorted(own, key=lambda block: (block.cidr.version, bounds(block.cidr))))
