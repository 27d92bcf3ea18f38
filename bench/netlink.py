"""The floor's own netlink: bytes by struct, one send, the acknowledgements read back.

Written apart from the product on purpose: a floor with the product's code would shrink and grow with it.
Source: linux/netlink.h, rtnetlink.h, if_link.h, veth.h, netfilter/nf_tables.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Sequence

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_ERROR = 2
_NESTED = 0x8000
_UP = 0x1

_NEWLINK, _DELLINK, _SETLINK, _NEWADDR, _NEWROUTE = 16, 17, 19, 20, 24
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NFTABLES = 10
_NEWSETELEM, _DELSETELEM = 12, 14


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def _link(index: int, up: bool) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, _UP if up else 0, _UP if up else 0)


def create_veth(index: int, name: str, bridge: int, peer_index: int, netns_fd: int) -> bytes:
    """One message: a veth that is up and on the bridge, and its other end `eth0` already in the container.

    The peer's index counts only because the outer one is set too.
    """
    peer = _link(peer_index, False) + _attribute(3, b"eth0\0") + _attribute(28, struct.pack("=I", netns_fd))
    info = _attribute(1, b"veth\0") + _attribute(2 | _NESTED, _attribute(1 | _NESTED, peer))
    body = (
        _link(index, True)
        + _attribute(3, name.encode() + b"\0")
        + _attribute(10, struct.pack("=I", bridge))
        + _attribute(18 | _NESTED, info)
    )
    return _message(_NEWLINK, _REQUEST | _ACK | _CREATE | _EXCL, body)


def delete_link(index: int) -> bytes:
    return _message(_DELLINK, _REQUEST | _ACK, _link(index, False))


def configure(index: int, address: str, prefix: int, gateway: str) -> bytes:
    """Three messages for one send inside the container: address, up, default route."""
    packed = socket.inet_aton(address)
    add = (
        struct.pack("=BBBBI", socket.AF_INET, prefix, 0, 0, index)
        + _attribute(2, packed)
        + _attribute(1, packed)
    )
    # table main, protocol static, scope universe, type unicast
    route = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 4, 0, 1, 0)
    route += _attribute(5, socket.inet_aton(gateway)) + _attribute(4, struct.pack("=I", index))
    return (
        _message(_NEWADDR, _REQUEST | _ACK | _CREATE | _EXCL, add)
        + _message(_SETLINK, _REQUEST | _ACK, _link(index, True))
        + _message(_NEWROUTE, _REQUEST | _ACK | _CREATE | _EXCL, route)
    )


def _element(host_port: int, address: str, port: int) -> bytes:
    """tcp . host_port : address . port; each part of a concatenation fills four bytes."""
    key = struct.pack("!B3xH2x", socket.IPPROTO_TCP, host_port)
    data = socket.inet_aton(address) + struct.pack("!H2x", port)
    return _attribute(
        1 | _NESTED,
        _attribute(1 | _NESTED, _attribute(1, key)) + _attribute(2 | _NESTED, _attribute(1, data)),
    )


def map_elements(
    table: str, name: str, host_ports: Iterable[int], address: str, port: int, *, delete: bool = False
) -> bytes:
    """One transaction that adds (or deletes) an element per host port in a map of an `ip` table."""
    elements = b"".join(_element(host_port, address, port) for host_port in host_ports)
    body = (
        struct.pack("!BBH", socket.AF_INET, 0, 0)
        + _attribute(1, table.encode() + b"\0")
        + _attribute(2, name.encode() + b"\0")
        + _attribute(3 | _NESTED, elements)
    )
    kind = _NFTABLES << 8 | (_DELSETELEM if delete else _NEWSETELEM)
    edge = struct.pack("!BBH", 0, 0, _NFTABLES)
    return (
        _message(_BATCH_BEGIN, _REQUEST, edge)
        + _message(kind, _REQUEST | _ACK | (0 if delete else _CREATE), body)
        + _message(_BATCH_END, _REQUEST, edge)
    )


def send(sock: socket.socket, message: bytes, acknowledgements: int = 1) -> None:
    """Send a batch and wait for its acknowledgements.

    Raises:
        OSError: the kernel refused a message of the batch.
    """
    sock.send(message)
    while acknowledgements > 0:
        answer = sock.recv(65536)
        offset = 0
        while offset < len(answer):
            length, kind = struct.unpack_from("=IH", answer, offset)
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", answer, offset + 16)
                if code:
                    raise OSError(-code, f"netlink: {os.strerror(-code)}")
                acknowledgements -= 1
            offset += (length + 3) & ~3


def open_route_socket() -> socket.socket:
    """A route socket in the namespace of the calling thread."""
    return _open(NETLINK_ROUTE)


def open_netfilter_socket() -> socket.socket:
    """A netfilter socket in the namespace of the calling thread."""
    return _open(NETLINK_NETFILTER)


def _open(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)


def fill_map(
    sock: socket.socket, table: str, name: str, host_ports: Sequence[int], *, address: str, port: int
) -> None:
    """Add many elements, five hundred a transaction: an attribute is 64 KiB at most."""
    for start in range(0, len(host_ports), 500):
        send(sock, map_elements(table, name, host_ports[start : start + 500], address, port))
