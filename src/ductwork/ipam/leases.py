"""Which address an endpoint gets, or whether it may have the one it asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ductwork.errors import Exhausted, InvalidArgument
from ductwork.ipam.blocks import Block
from ductwork.ipam.subnets import bounds, make_address, refuse_unusable, usable_bounds
from ductwork.model.addresses import IPAddress
from ductwork.model.network import Subnet

MAX_TRIES = 1 << 20  # every address of a /12; only a larger subnet could have more of them taken in a row


def choose_address(
    subnet: Subnet,
    is_taken: Callable[[IPAddress], bool],
    cursor: IPAddress | None = None,
    blocks: Sequence[Block] | None = None,
    network: str = "",
) -> IPAddress:
    """Return the next free address after the cursor.

    Going round means that an address is not used again at once, while others still remember its last owner.

    Args:
        is_taken: asked for one candidate after the other, until it says no.
        cursor: the address that was given out last.
        blocks: only these parts of the subnet; None for all of it, an empty sequence for nothing.
        network: its name, for the message.
    Raises:
        Exhausted: every address that may be given out is taken.
    """
    ranges = _ranges(subnet, blocks)
    after = int(cursor) if cursor is not None and cursor.version == subnet.cidr.version else -1
    never = {int(a) for a in subnet.reserved}
    if subnet.gateway is not None:
        never.add(int(subnet.gateway))
    for tries, number in enumerate(_round(ranges, after)):
        if tries >= MAX_TRIES:
            break
        if number not in never:
            address = make_address(subnet.cidr.version, number)
            if not is_taken(address):
                return address
    raise _exhausted(subnet, blocks, network)


def check_requested(subnets: Sequence[Subnet], address: IPAddress, network: str = "") -> Subnet:
    """Return the subnet in which an endpoint may have the address it asks for.

    Reserved addresses and those outside ip_range are allowed: they are kept from automatic choice only.

    Raises:
        InvalidArgument: outside of all subnets, or the network, broadcast or gateway address of one.
    """
    subnet = next((s for s in subnets if address in s.cidr), None)
    if subnet is None:
        known = ", ".join(str(s.cidr) for s in subnets)
        place = f"network {network}" if network else "this network"
        raise InvalidArgument(
            f"address {address} is in no subnet of {place}",
            hint=f"choose one in {known}" if known else "the network has no subnets",
        )
    refuse_unusable(address, subnet.cidr, "address")
    if address == subnet.gateway:
        raise InvalidArgument(
            f"address {address} is the gateway of {subnet.cidr}", hint="choose another one in the subnet"
        )
    return subnet


def _ranges(subnet: Subnet, blocks: Sequence[Block] | None) -> list[tuple[int, int]]:
    """Return what may be given out as ordered number ranges: usable, in ip_range, and in a block."""
    first, last = usable_bounds(subnet.cidr)
    if subnet.ip_range is not None:
        low, high = bounds(subnet.ip_range)
        first, last = max(first, low), min(last, high)
    if blocks is None:
        parts = [(first, last)]
    else:
        own = [bounds(block.cidr) for block in blocks if block.cidr.version == subnet.cidr.version]
        parts = sorted((max(first, low), min(last, high)) for low, high in own)
    return [(low, high) for low, high in parts if low <= high]


def _round(ranges: Sequence[tuple[int, int]], after: int) -> Iterator[int]:
    """Yield every number of the ranges once, beginning behind `after`."""
    for low, high in ranges:
        yield from range(max(low, after + 1), high + 1)
    for low, high in ranges:
        yield from range(low, min(high, after) + 1)


def _exhausted(subnet: Subnet, blocks: Sequence[Block] | None, network: str) -> Exhausted:
    of = f" of network {network}" if network else ""
    within = f" (range {subnet.ip_range})" if subnet.ip_range is not None else ""
    if blocks is not None and not blocks:
        return Exhausted(
            f"no free address left in {subnet.cidr}{of}: this host owns no block of it",
            hint="try again when the cluster store can be reached",
        )
    return Exhausted(
        f"no free address left in {subnet.cidr}{within}{of}",
        hint="disconnect what is not needed, or make the network again with a larger subnet",
    )
