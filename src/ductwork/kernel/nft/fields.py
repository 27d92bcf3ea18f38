"""The bytes of nft's data types, one pair of functions each, and the layout of concatenations.

Numbers that travel in packets are in network order, those of this machine (mark) in its own. A protocol may
be given by name but reads back as its number.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from ductwork.errors import InvalidArgument
from ductwork.model.addresses import IPAddress, IPNetwork
from ductwork.model.names import IFNAME_MAX_BYTES
from ductwork.model.nft_schema import FIELD_BYTES, FieldType
from ductwork.model.objects import NftField

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}

Pack: TypeAlias = Callable[[NftField], bytes]
Unpack: TypeAlias = Callable[[bytes], NftField]


def _reject(value: object, kind: str) -> InvalidArgument:
    return InvalidArgument(f"nft element: {value!r} is not of type {kind}")


def _pack_ifname(value: NftField) -> bytes:
    if not isinstance(value, str):
        raise _reject(value, "ifname")
    raw = value.encode("utf-8", "surrogateescape")
    # A NUL inside would be another, shorter name; an empty name would match packets without an interface.
    if not 0 < len(raw) <= IFNAME_MAX_BYTES or b"\0" in raw:
        raise _reject(value, "ifname")
    return raw.ljust(16, b"\0")


def _unpack_ifname(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "surrogateescape")


def _pack_ipv4(value: NftField) -> bytes:
    if not isinstance(value, IPv4Address):
        raise _reject(value, "ipv4_addr")
    return value.packed


def _pack_ipv6(value: NftField) -> bytes:
    if not isinstance(value, IPv6Address) or value.scope_id:
        raise _reject(value, "ipv6_addr")
    return value.packed


def _pack_number(kind: FieldType, form: str) -> Pack:
    layout = struct.Struct(form)
    limit = 1 << 8 * layout.size

    def pack(value: NftField) -> bytes:
        if not isinstance(value, int) or not 0 <= value < limit:
            raise _reject(value, kind)
        return layout.pack(value)

    return pack


_pack_protocol_number = _pack_number("inet_proto", "B")


def _pack_protocol(value: NftField) -> bytes:
    if isinstance(value, str):
        if value not in _PROTOCOLS:
            raise _reject(value, f"inet_proto ({', '.join(_PROTOCOLS)} or a number)")
        value = _PROTOCOLS[value]
    return _pack_protocol_number(value)


def _unpack_big_endian(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def _unpack_mark(raw: bytes) -> int:
    return int(struct.unpack("=I", raw)[0])


def _pack_mac(value: NftField) -> bytes:
    try:
        raw = bytes.fromhex(value.replace(":", "")) if isinstance(value, str) else b""
    except ValueError:
        raw = b""
    if len(raw) != 6:
        raise _reject(value, "ether_addr")
    return raw


def _unpack_mac(raw: bytes) -> str:
    return raw.hex(":")


FIELDS: dict[FieldType, tuple[Pack, Unpack]] = {
    "ifname": (_pack_ifname, _unpack_ifname),
    "ipv4_addr": (_pack_ipv4, IPv4Address),
    "ipv6_addr": (_pack_ipv6, IPv6Address),
    "inet_proto": (_pack_protocol, _unpack_big_endian),
    "inet_service": (_pack_number("inet_service", "!H"), _unpack_big_endian),
    "ether_addr": (_pack_mac, _unpack_mac),
    "mark": (_pack_number("mark", "=I"), _unpack_mark),
}


class Layout:
    """Packs the fields of a key or value: one alone has its natural length, several fill four bytes each."""

    def __init__(self, types: tuple[FieldType, ...]) -> None:
        self.types = types
        alone = len(types) == 1
        self._pack = [(FIELDS[kind][0], b"" if alone else bytes(-FIELD_BYTES[kind] & 3)) for kind in types]
        self._unpack: list[tuple[Unpack, int, int]] = []
        offset = 0
        for kind in types:
            self._unpack.append((FIELDS[kind][1], offset, offset + FIELD_BYTES[kind]))
            offset += FIELD_BYTES[kind] if alone else (FIELD_BYTES[kind] + 3) & ~3
        self.size = offset

    def pack(self, fields: tuple[NftField, ...]) -> bytes:
        """Pack exact fields."""
        if len(fields) != len(self._pack):
            raise _reject(fields, " . ".join(self.types))
        return b"".join([pack(field) + pad for (pack, pad), field in zip(self._pack, fields, strict=True)])

    def unpack(self, raw: bytes) -> tuple[NftField, ...]:
        """Read exact fields.

        Raises:
            ValueError: the length is another type's.
        """
        if len(raw) != self.size:
            raise ValueError(f"{len(raw)} bytes where {self.size} were expected")
        return tuple(unpack(raw[start:end]) for unpack, start, end in self._unpack)

    def pack_range(self, fields: tuple[NftField, ...]) -> tuple[bytes, bytes]:
        """Pack fields of which some are networks into the first and the last key."""
        first = tuple(f.network_address if isinstance(f, IPv4Network | IPv6Network) else f for f in fields)
        last = tuple(f.broadcast_address if isinstance(f, IPv4Network | IPv6Network) else f for f in fields)
        return self.pack(first), self.pack(last)

    def unpack_range(self, first: bytes, last: bytes) -> tuple[NftField, ...]:
        """Read fields of which some are networks; one address alone reads as an address.

        Raises:
            ValueError: a range that is no network.
        """
        return tuple(
            start if start == end else _network(start, end)
            for start, end in zip(self.unpack(first), self.unpack(last), strict=True)
        )


def _network(first: NftField, last: NftField) -> IPNetwork:
    if not isinstance(first, IPv4Address | IPv6Address) or not isinstance(last, type(first)):
        raise ValueError(f"the range {first} to {last} is not one of addresses")
    host_bits = (int(first) ^ int(last)).bit_length()
    network = _network_of(first, first.max_prefixlen - host_bits)
    if network.network_address != first or network.broadcast_address != last:
        raise ValueError(f"the range {first} to {last} is not a network")
    return network


def _network_of(address: IPAddress, prefix: int) -> IPNetwork:
    if isinstance(address, IPv4Address):
        return IPv4Network((address, prefix), strict=False)
    return IPv6Network((address, prefix), strict=False)
