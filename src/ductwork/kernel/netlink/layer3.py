"""Address, route and neighbour messages, and reading them back."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Final, NamedTuple

from ductwork.kernel.netlink.codec import Request, address, attributes
from ductwork.kernel.netlink.tables import (
    AF_INET,
    AF_INET6,
    CREATE,
    DELADDR,
    DELNEIGH,
    DELROUTE,
    EXCL,
    GETADDR,
    GETNEIGH,
    GETROUTE,
    IFADDRMSG,
    NDMSG,
    NEWADDR,
    NEWNEIGH,
    NEWROUTE,
    REPLACE,
    RTMSG,
    Address,
    Neighbour,
    Route,
)
from ductwork.kernel.ports import AddressInfo, NeighbourInfo, RouteInfo
from ductwork.model import objects
from ductwork.model.addresses import IPAddress, IPInterface, IPNetwork
from ductwork.model.objects import PROTOCOL

MAIN_TABLE: Final = 254
_V6_USER_METRIC: Final = 1024  # IP6_RT_PRIO_USER, what metric 0 means to IPv6
_UNICAST: Final = 1
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_ANY = 0, 253, 255
_CLONED: Final = 0x200  # RTM_F_CLONED: a cached route, not one of a table
_PERMANENT: Final = 0x80
_IFA_F_NODAD: Final = 0x02
_NEXT_HOP = struct.Struct("=HBBi")  # struct rtnexthop
_FAMILY = {4: AF_INET, 6: AF_INET6}
_BITS = {AF_INET: 32, AF_INET6: 128}

_NEW = CREATE | EXCL
_OVER = CREATE | REPLACE
_OUR_PROTOCOL = Neighbour.PROTOCOL.encode(PROTOCOL)


# -- addresses -----------------------------------------------------------------------------------------------


def _address_body(ifindex: int, ip: IPInterface) -> bytes:
    family = AF_INET if ip.version == 4 else AF_INET6
    own = ip.ip
    return (
        IFADDRMSG.pack(family, ip.network.prefixlen, _IFA_F_NODAD, _SCOPE_UNIVERSE, ifindex)
        + Address.LOCAL.encode(own)
        + Address.ADDRESS.encode(own)
    )


def add_address(ifindex: int, ip: IPInterface, *, tolerant: bool) -> Request:
    """Put an address on a link at once, without asking the segment whether it is free."""
    body = _address_body(ifindex, ip)
    if isinstance(ip, IPv4Interface) and ip.network.prefixlen < 31:
        body += Address.BROADCAST.encode(ip.network.broadcast_address)
    return Request(NEWADDR, _OVER if tolerant else _NEW, body)


def remove_address(ifindex: int, ip: IPInterface) -> Request:
    """Take an address off a link."""
    return Request(DELADDR, 0, _address_body(ifindex, ip))


def dump_addresses() -> Request:
    """Ask for all addresses."""
    return Request(GETADDR, 0, IFADDRMSG.pack(0, 0, 0, 0, 0))


def decode_address(body: memoryview) -> AddressInfo | None:
    """Read an address message; None for a family that is not IP."""
    family, prefix, _, _, ifindex = IFADDRMSG.unpack_from(body)
    found = attributes(body, IFADDRMSG.size)
    # On a point-to-point link ADDRESS is the other end.
    ip = Address.LOCAL.find(found) or Address.ADDRESS.find(found)
    if family not in _BITS or ip is None:
        return None
    return AddressInfo(ifindex, _interface(ip, prefix))


def _interface(ip: IPAddress, prefix: int) -> IPInterface:
    return IPv4Interface((ip, prefix)) if isinstance(ip, IPv4Address) else IPv6Interface((ip, prefix))


# -- routes --------------------------------------------------------------------------------------------------


class _Path(NamedTuple):
    """What tells a route from others."""

    dst: IPNetwork
    via: IPAddress | None
    ifindex: int
    metric: int
    table: int
    protocol: int
    source: IPAddress | None


def _route(kind: int, flags: int, path: _Path) -> Request:
    dst, via, ifindex, metric, table, protocol, source = path
    family = AF_INET if dst.version == 4 else AF_INET6
    if kind == DELROUTE:
        scope = _SCOPE_ANY
    else:
        scope = _SCOPE_LINK if via is None and family == AF_INET else _SCOPE_UNIVERSE
    small = table if table < 256 else 0
    body = RTMSG.pack(family, dst.prefixlen, 0, 0, small, protocol, scope, _UNICAST, 0)
    if not small:
        body += Route.TABLE.encode(table)
    if dst.prefixlen:
        body += Route.DST.encode(dst.network_address)
    if via is not None:
        if via.version == dst.version:
            body += Route.GATEWAY.encode(via)
        else:
            body += Route.VIA.encode(struct.pack("=H", _FAMILY[via.version]) + via.packed)
    body += Route.OIF.encode(ifindex)
    if metric:
        body += Route.PRIORITY.encode(metric)
    if source is not None:
        body += Route.PREFSRC.encode(source)
    return Request(kind, flags, body)


def _our_path(route: objects.Route) -> _Path:
    return _Path(route.dst, route.via, route.ifindex, route.metric, MAIN_TABLE, PROTOCOL, None)


def _path(route: RouteInfo) -> _Path:
    return _Path(route.dst, route.via, route.ifindex, route.metric, route.table, route.protocol, route.source)


def add_route(route: objects.Route, *, over: bool = False) -> Request:
    """Make a route of ours; `over` puts it in the place of one with the same destination and metric."""
    return _route(NEWROUTE, _OVER if over else _NEW, _our_path(route))


def remove_route(route: objects.Route) -> Request:
    """Take a route of ours away; the protocol number spares everybody else's."""
    return _route(DELROUTE, 0, _our_path(route))


def restore_route(route: RouteInfo, *, over: bool = False) -> Request:
    """Make a route as it was observed."""
    return _route(NEWROUTE, _OVER if over else _NEW, _path(route))


def remove_observed(route: RouteInfo) -> Request:
    """Take away a route as it was observed."""
    return _route(DELROUTE, 0, _path(route))


def dump_routes(version: int, table: int = 0, protocol: int = 0) -> Request:
    """Ask for the routes of one family, filtered by the kernel where a filter is given."""
    kind = _UNICAST if table else 0
    return Request(GETROUTE, 0, RTMSG.pack(_FAMILY[version], 0, 0, 0, table, protocol, 0, kind, 0))


def place_of(route: objects.Route | RouteInfo) -> tuple[IPNetwork, int]:
    """Return what two routes of one table cannot share: destination and true metric."""
    return route.dst, route.metric or (_V6_USER_METRIC if route.dst.version == 6 else 0)


def decode_route(body: memoryview) -> Iterator[RouteInfo]:
    """Read a route message: one value for each next hop of a unicast route, none for other kinds."""
    family, bits, _, _, table, protocol, _, kind, flags = RTMSG.unpack_from(body)
    if kind != _UNICAST or family not in _BITS or flags & _CLONED:
        return
    found = attributes(body, RTMSG.size)
    dst = _network(family, Route.DST.find(found), bits)
    metric = Route.PRIORITY.get(found, 0)
    table = Route.TABLE.get(found, table)
    source = Route.PREFSRC.find(found)
    hops = list(_hops(found.get(Route.MULTIPATH.kind, memoryview(b""))))
    for ifindex, via in hops or [(Route.OIF.get(found, 0), _via(found))]:
        yield RouteInfo(dst, via, ifindex, metric, table, protocol, source)


def _hops(data: memoryview) -> Iterator[tuple[int, IPAddress | None]]:
    offset = 0
    while offset + _NEXT_HOP.size <= len(data):
        size, _, _, ifindex = _NEXT_HOP.unpack_from(data, offset)
        if size < _NEXT_HOP.size:
            return
        yield ifindex, _via(attributes(data[offset : offset + size], _NEXT_HOP.size))
        offset += (size + 3) & ~3


def _via(found: dict[int, memoryview]) -> IPAddress | None:
    if Route.VIA.kind in found:
        return address(found[Route.VIA.kind][2:])
    return Route.GATEWAY.find(found)


def _network(family: int, ip: IPAddress | None, bits: int) -> IPNetwork:
    if family == AF_INET:
        return IPv4Network((ip or 0, bits))
    return IPv6Network((ip or 0, bits))


# -- neighbours ----------------------------------------------------------------------------------------------


class NeighbourState(NamedTuple):
    """A neighbour entry of any kind, as one question for it is answered."""

    permanent: bool
    protocol: int


def _neighbour_body(item: objects.Neighbour, state: int) -> bytes:
    family = AF_INET if item.ip.version == 4 else AF_INET6
    return NDMSG.pack(family, item.ifindex, state, 0, 0) + Neighbour.DST.encode(item.ip)


def add_neighbour(item: objects.Neighbour, *, over: bool = False) -> Request:
    """Make a permanent entry; `over` puts it in the place of one the kernel learned, or of an older one."""
    body = _neighbour_body(item, _PERMANENT) + Neighbour.LLADDR.encode(item.mac) + _OUR_PROTOCOL
    return Request(NEWNEIGH, _OVER if over else _NEW, body)


def remove_neighbour(item: objects.Neighbour) -> Request:
    """Take an entry away, whoever's it is: ask first."""
    return Request(DELNEIGH, 0, _neighbour_body(item, 0))


def get_neighbour(item: objects.Neighbour) -> Request:
    """Ask for one entry."""
    return Request(GETNEIGH, 0, _neighbour_body(item, 0))


def dump_neighbours() -> Request:
    """Ask for all entries."""
    return Request(GETNEIGH, 0, NDMSG.pack(0, 0, 0, 0, 0))


def decode_neighbour(body: memoryview) -> NeighbourInfo | None:
    """Read a neighbour message; None unless it is a permanent entry of an IP address."""
    family, ifindex, state, _, _ = NDMSG.unpack_from(body)
    found = attributes(body, NDMSG.size)
    ip, mac = Neighbour.DST.find(found), Neighbour.LLADDR.find(found)
    if family not in _BITS or not state & _PERMANENT or ip is None or not mac:
        return None
    return NeighbourInfo(ifindex, ip, mac)


def neighbour_state(body: memoryview) -> NeighbourState:
    """Read whose an entry is."""
    state = NDMSG.unpack_from(body)[2]
    found = attributes(body, NDMSG.size)
    return NeighbourState(bool(state & _PERMANENT), Neighbour.PROTOCOL.get(found, 0))
