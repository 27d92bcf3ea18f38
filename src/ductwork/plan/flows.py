"""Which conntrack entries a change of published ports leaves stale.

A flow that is older than a mapping goes on bypassing it, and one that is older than its removal goes on
using it, until its conntrack entry is deleted; only the first packet of a flow asks the nat chains.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from ductwork.model.objects import Add, Change, FlowFilter, NftElement, Remove, Step


def stale_flows(steps: Iterable[Step]) -> list[FlowFilter]:
    """Say which flows to delete once these steps are done: exactly those of the mappings that changed."""
    flows: list[FlowFilter] = []
    for step in steps:
        match step:
            case Add(NftElement() as element):
                flows += _bypassing(element)
            case Remove(NftElement() as element):
                flows += _translated(element)
            case Change(NftElement() as old, NftElement() as new):
                flows += _translated(old) + _bypassing(new)
            case _:
                pass
    return flows


def _parts(element: NftElement) -> tuple[int, IPv4Address | IPv6Address | None, int, int] | None:
    """Read protocol, asked address, asked port and IP version out of a publishing element."""
    if not element.set.startswith("publish"):
        return None
    version = int(element.set[-1])
    protocol = element.key[0]
    has_address = not element.set.startswith("publish_any")
    address = element.key[1] if has_address else None
    port = element.key[2] if has_address else element.key[1]
    assert isinstance(protocol, int) and isinstance(port, int)
    assert address is None or isinstance(address, (IPv4Address, IPv6Address))
    return protocol, address, port, version


def _bypassing(element: NftElement) -> list[FlowFilter]:
    parts = _parts(element)
    if parts is None or parts[0] == 6:  # a TCP flow to a port nobody listened on does not last
        return []
    protocol, address, port, version = parts
    return [FlowFilter(protocol, port, address, None, version, untranslated_only=True)]


def _translated(element: NftElement) -> list[FlowFilter]:
    parts = _parts(element)
    if parts is None or not isinstance(element.value, tuple):
        return []
    protocol, address, port, version = parts
    target = element.value[0]
    assert isinstance(target, (IPv4Address, IPv6Address))
    return [FlowFilter(protocol, port, address, target, version)]
