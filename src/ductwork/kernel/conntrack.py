"""Connection tracking: ends flows that would keep to a path decided before a publish, or to a dead container.

The kernel can delete by filter itself since Linux 6.11, though not by IPv6 address; otherwise a list is read
that it filters as well as it can, and each entry that fits is deleted by its own tuple. Which entries, the
caller says; nothing is deleted that no filter describes.
Source: linux/netfilter/nfnetlink_conntrack.h, net/netfilter/nf_conntrack_netlink.c.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence

from ductwork.errors import InvalidArgument
from ductwork.kernel.enter import Enter
from ductwork.kernel.nft.nfnetlink import (
    NESTED,
    Answer,
    NetfilterSocket,
    Refusal,
    Request,
    attribute,
    attributes,
    describe,
)
from ductwork.kernel.ports import KernelError
from ductwork.model.objects import FlowFilter

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_ORIGINAL, _REPLY, _STATUS, _ID, _ZONE, _FILTER, _STATUS_MASK = 1, 2, 3, 12, 18, 25, 26
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCE, _DESTINATION = {4: 1, 6: 3}, {4: 2, 6: 4}
_PROTO_NUMBER, _PROTO_DESTINATION_PORT = 1, 3
_FILTER_ORIGINAL, _FILTER_REPLY = 1, 2
_BY_SOURCE, _BY_DESTINATION, _BY_PROTOCOL, _BY_DESTINATION_PORT = 1 << 0, 1 << 1, 1 << 3, 1 << 5
_DST_NAT = 1 << 5  # IPS_DST_NAT: something translated the destination
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_VERSION = 1  # at 0 the kernel ignores the address family, for the sake of old programs

# What a kernel without filtered deletion says: it takes the filter for an incomplete tuple.
_UNFILTERED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT, errno.EPROTO}
# What a kernel without connection tracking says.
_UNTRACKED = {errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT}
_AT_ONCE = 100


class ConntrackSocket:
    """Connection tracking in one namespace; `enter` is needed only to open the socket there."""

    def __init__(self, enter: Enter, kernel_filters: bool = True) -> None:
        self._socket = NetfilterSocket(enter)
        self._kernel_filters = kernel_filters

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def delete(self, flows: Sequence[FlowFilter]) -> None:
        """Delete all entries that fit any of the filters; none, or no connection tracking at all, is success.

        Raises:
            KernelError: some entries may be left, and some be gone.
        """
        for start in range(0, len(flows), _AT_ONCE):
            self._delete_some(flows[start : start + _AT_ONCE])

    def _delete_some(self, flows: Sequence[FlowFilter]) -> None:
        left = [flow for flow in flows if not self._kernel_filters or not _kernel_can(flow)]
        for flow in left:
            self._delete_listed(flow)
        asked = [flow for flow in flows if flow not in left]
        if not asked:
            return
        for refusal in self._ask([_request(_DELETE, flow) for flow in asked], _doing(asked[0])):
            flow = asked[refusal.place]
            if refusal.errno not in _UNFILTERED:
                raise KernelError(refusal.errno, describe(refusal), _doing(flow))
            self._kernel_filters = False
            self._delete_listed(flow)

    def _delete_listed(self, flow: FlowFilter) -> None:
        doing = _doing(flow)
        try:
            answers = self._socket.dump(_request(_GET, flow), doing)
        except KernelError as error:
            if error.errno in _UNTRACKED:
                return
            raise
        except OSError as error:
            raise _lost(error, doing) from error
        entries = [_entry(answer) for answer in answers if _fits(answer, flow)]
        for start in range(0, len(entries), _AT_ONCE):
            for refusal in self._ask(entries[start : start + _AT_ONCE], doing):
                if refusal.errno != errno.ENOENT:  # it ended by itself
                    raise KernelError(refusal.errno, describe(refusal), doing)

    def _ask(self, requests: Sequence[Request], doing: str) -> list[Refusal]:
        try:
            return self._socket.ask(requests)[1]
        except OSError as error:
            raise _lost(error, doing) from error


def _kernel_can(flow: FlowFilter) -> bool:
    """Say whether the kernel's filter can be trusted with a deletion.

    It compares IPv6 addresses the wrong way round: every flow but the meant one fits (tried on 6.18).
    """
    return flow.version == 4 or (flow.original_dst is None and flow.reply_src is None)


def _request(kind: int, flow: FlowFilter) -> Request:
    """Ask for, or delete, what fits as far as the kernel can tell; `_fits` judges the rest of a reading."""
    _check(flow)
    number = attribute(_PROTO_NUMBER, bytes([flow.protocol]))
    flags, destination, answerer = _BY_PROTOCOL, b"", b""
    if flow.original_port is not None:
        number += attribute(_PROTO_DESTINATION_PORT, struct.pack("!H", flow.original_port))
        flags |= _BY_DESTINATION_PORT
    if flow.original_dst is not None and _kernel_can(flow):
        destination = attribute(_TUPLE_IP | NESTED, attribute(_DESTINATION[4], flow.original_dst.packed))
        flags |= _BY_DESTINATION
    chosen = attribute(_FILTER_ORIGINAL, struct.pack("=I", flags))
    if flow.reply_src is not None and _kernel_can(flow):
        answerer = attribute(_TUPLE_IP | NESTED, attribute(_SOURCE[4], flow.reply_src.packed))
        chosen += attribute(_FILTER_REPLY, struct.pack("=I", _BY_SOURCE))
    body = attribute(_ORIGINAL | NESTED, destination + attribute(_TUPLE_PROTO | NESTED, number))
    if answerer:
        body += attribute(_REPLY | NESTED, answerer)
    body += attribute(_FILTER | NESTED, chosen)
    if flow.untranslated_only:
        body += attribute(_STATUS, struct.pack("!I", 0))
        body += attribute(_STATUS_MASK, struct.pack("!I", _DST_NAT))
    return Request(kind, 0, _FAMILY[flow.version], body, _VERSION)


def _check(flow: FlowFilter) -> None:
    if flow.version not in _FAMILY:
        raise InvalidArgument(f"flow filter: IP version {flow.version} is neither 4 nor 6")
    for ip in (flow.original_dst, flow.reply_src):
        if ip is not None and ip.version != flow.version:
            raise InvalidArgument(f"flow filter: {ip} is not an address of IP version {flow.version}")


def _fits(answer: Answer, flow: FlowFilter) -> bool:
    """Judge an entry once more, because a kernel passes over what it cannot filter by."""
    entry = attributes(answer.body)
    original, reply = attributes(entry[_ORIGINAL]), attributes(entry[_REPLY])
    protocol = attributes(original[_TUPLE_PROTO])
    destination = bytes(attributes(original[_TUPLE_IP]).get(_DESTINATION[flow.version], b""))
    answerer = bytes(attributes(reply[_TUPLE_IP]).get(_SOURCE[flow.version], b""))
    port = int.from_bytes(protocol.get(_PROTO_DESTINATION_PORT, b""), "big")
    status = int.from_bytes(entry.get(_STATUS, b""), "big")
    return (
        protocol[_PROTO_NUMBER][0] == flow.protocol
        and (flow.original_port is None or port == flow.original_port)
        and (flow.original_dst is None or destination == flow.original_dst.packed)
        and (flow.reply_src is None or answerer == flow.reply_src.packed)
        and not (flow.untranslated_only and status & _DST_NAT)
    )


def _entry(answer: Answer) -> Request:
    """Delete exactly this entry; the id spares a newer one of the same tuple."""
    entry = attributes(answer.body)
    body = attribute(_ORIGINAL | NESTED, bytes(entry[_ORIGINAL]))
    for kind in (_ID, _ZONE):
        if kind in entry:
            body += attribute(kind, bytes(entry[kind]))
    return Request(_DELETE, 0, answer.family, body, _VERSION)


def _doing(flow: FlowFilter) -> str:
    to = "any address" if flow.original_dst is None else str(flow.original_dst)
    port = "any port" if flow.original_port is None else f"port {flow.original_port}"
    return f"ending tracked flows of protocol {flow.protocol} to {to}, {port}"


def _lost(error: OSError, doing: str) -> KernelError:
    return KernelError(error.errno or errno.EIO, str(error), doing)
