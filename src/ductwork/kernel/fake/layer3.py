"""Addresses, routes, neighbours and guards on links, refused for the kernel's reasons."""

from __future__ import annotations

from errno import EACCES, EEXIST, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH

from ductwork.kernel.fake.faults import refuse
from ductwork.kernel.fake.namespace import RT_TABLE_MAIN, FakeNamespace, RouteKey
from ductwork.kernel.ports import RouteInfo
from ductwork.model.addresses import IPAddress, IPNetwork
from ductwork.model.objects import PROTOCOL, Address, LinkUp, LoopbackGuard, Neighbour, Route

Layer3Object = LinkUp | Address | Route | Neighbour | LoopbackGuard

V6_USER_METRIC = 1024  # IP6_RT_PRIO_USER, what metric 0 means to IPv6


def add(space: FakeNamespace, item: Layer3Object, doing: str, *, tolerant: bool) -> None:
    """Make one object on an existing link."""
    link = space.link(item.ifindex, doing)
    match item:
        case LinkUp():
            space.bring_up(link)
        case Address():
            _add_address(space, item, doing, tolerant=tolerant)
        case Route():
            _add_route(space, item, doing, tolerant=tolerant)
        case Neighbour():
            _check_ipv6(space, item.ifindex, item.ip, EINVAL, doing)
            if (item.ifindex, item.ip) in space.neighbours and not tolerant:
                raise refuse(EEXIST, doing)
            space.neighbours[(item.ifindex, item.ip)] = item.mac
        case LoopbackGuard():
            if item.ifindex in space.guarded and not tolerant:
                raise refuse(EEXIST, doing)
            space.guarded.add(item.ifindex)


def remove(space: FakeNamespace, item: Layer3Object) -> None:
    """Take one object away; what is gone is gone."""
    match item:
        case LinkUp():
            pass
        case Address():
            _remove_address(space, item)
        case Route():
            found = space.static_routes.get(route_key(item))
            if found is not None and found.protocol == PROTOCOL:
                del space.static_routes[route_key(item)]
        case Neighbour():
            space.neighbours.pop((item.ifindex, item.ip), None)
        case LoopbackGuard():
            space.guarded.discard(item.ifindex)


def change(space: FakeNamespace, before: Layer3Object, after: Layer3Object, doing: str) -> None:
    """Replace one object by another of the same identity."""
    if type(before) is not type(after):
        raise refuse(EINVAL, doing, "one object cannot become another kind of object")
    add(space, after, doing, tolerant=True)


def _add_address(space: FakeNamespace, item: Address, doing: str, *, tolerant: bool) -> None:
    _check_ipv6(space, item.ifindex, item.ip, EACCES, doing)
    # IPv4 takes an address twice under different prefix lengths, IPv6 does not.
    there = any(
        dev == item.ifindex and (ip == item.ip if ip.version == 4 else ip.ip == item.ip.ip)
        for dev, ip in space.addresses
        if ip.version == item.ip.version
    )
    if there and not (tolerant and (item.ifindex, item.ip) in space.addresses):
        raise refuse(EEXIST, doing)
    if not there:
        space.addresses.append((item.ifindex, item.ip))


def _remove_address(space: FakeNamespace, item: Address) -> None:
    if (item.ifindex, item.ip) not in space.addresses:
        return
    same = [(dev, ip) for dev, ip in space.addresses if dev == item.ifindex and ip.network == item.ip.network]
    gone = [(item.ifindex, item.ip)]
    promoted = any(
        space.sysctls.values.get(f"net/ipv4/conf/{which}/promote_secondaries") != "0"
        for which in ("all", space.links[item.ifindex].name)
    )
    if item.ip.version == 4 and same[0] == (item.ifindex, item.ip) and not promoted:
        gone = same  # with a subnet's primary address its secondaries go, __inet_del_ifa
    space.addresses = [entry for entry in space.addresses if entry not in gone]
    if item.ip.version == 4 and not any(d == item.ifindex and a.version == 4 for d, a in space.addresses):
        space.drop_ipv4_routes(item.ifindex)


def route_key(item: Route) -> RouteKey:
    """Return what the kernel tells routes of one table apart by."""
    return item.dst, _metric(item), RT_TABLE_MAIN


def _metric(item: Route) -> int:
    return item.metric or (V6_USER_METRIC if item.dst.version == 6 else 0)


def _add_route(space: FakeNamespace, item: Route, doing: str, *, tolerant: bool) -> None:
    check_gateway(space, item.dst, item.via, item.ifindex, doing)
    key = route_key(item)
    found = next((r for r in space.routes() if (r.dst, r.metric, r.table) == key), None)
    if found is not None and not (tolerant and found.protocol == PROTOCOL):
        raise refuse(EEXIST, doing)
    space.static_routes[key] = RouteInfo(item.dst, item.via, item.ifindex, key[1], RT_TABLE_MAIN, PROTOCOL)


def check_gateway(
    space: FakeNamespace, dst: IPNetwork, via: IPAddress | None, ifindex: int, doing: str
) -> None:
    """Refuse a route over a link that is down or a gateway that is no neighbour on it."""
    _check_ipv6(space, ifindex, dst.network_address, EACCES, doing)
    if not space.link(ifindex, doing).up:
        raise refuse(ENETDOWN, doing)
    if via is not None and not space.on_link(via, ifindex):
        number = ENETUNREACH if via.version == 4 else EHOSTUNREACH
        raise refuse(number, doing, "Nexthop has invalid gateway" if via.version == 4 else "")


def _check_ipv6(space: FakeNamespace, ifindex: int, ip: object, errno: int, doing: str) -> None:
    if getattr(ip, "version", 4) != 6:
        return
    name = space.link(ifindex, doing).name
    if space.sysctls.values.get(f"net/ipv6/conf/{name}/disable_ipv6") != "0":
        raise refuse(errno, doing, "IPv6 is disabled on this device")
