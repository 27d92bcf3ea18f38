"""One form for values that can be written in two, so that the wanted can be compared with the observed."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from ductwork.model.objects import NftElement, NftField


def canonical_element(element: NftElement) -> NftElement:
    """Write an interval of one address as that address: the kernel does not tell them apart."""
    return NftElement(element.ns, element.set, tuple(_field(f) for f in element.key), element.value)


def _field(field: NftField) -> NftField:
    if isinstance(field, (IPv4Network, IPv6Network)) and field.num_addresses == 1:
        return field.network_address
    return field
