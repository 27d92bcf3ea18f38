"""Address, route and neighbour messages, judged by pyroute2."""

import struct
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.netlink.oracle import plain, read, written

from ductwork.kernel.netlink import layer3
from ductwork.kernel.netlink.codec import frame
from ductwork.kernel.netlink.tables import (
    CREATE,
    DELROUTE,
    EXCL,
    NEWADDR,
    NEWNEIGH,
    NEWROUTE,
    REPLACE,
    RTMSG,
    Route,
)
from ductwork.kernel.ports import AddressInfo, NeighbourInfo, RouteInfo
from ductwork.model import objects
from ductwork.model.addresses import IPAddress, IPInterface, IPNetwork
from ductwork.model.names import Mac
from ductwork.model.objects import PROTOCOL, NsKey

BOX = NsKey("box")
FAMILY = {4: 2, 6: 10}

interfaces = st.one_of(
    st.builds(lambda ip, n: IPv4Interface((ip, n)), st.ip_addresses(v=4), st.integers(0, 32)),
    st.builds(lambda ip, n: IPv6Interface((ip, n)), st.ip_addresses(v=6), st.integers(0, 128)),
)
indexes = st.integers(1, 0x7FFF_FFFF)
metrics = st.integers(0, 0xFFFF_FFFF)


def address_in(attrs: dict[str, Any], name: str) -> IPAddress | None:
    """Read an address from pyroute2, which writes some IPv6 addresses otherwise than Python."""
    return ip_address(attrs[name]) if name in attrs else None


def gateway_of(ip: IPInterface) -> st.SearchStrategy[IPAddress | None]:
    return st.one_of(st.none(), st.ip_addresses(v=ip.version))


@given(interfaces, indexes, st.booleans())
def test_add_address(ip: IPInterface, index: int, tolerant: bool) -> None:
    request = layer3.add_address(index, ip, tolerant=tolerant)
    assert request.flags == CREATE | (REPLACE if tolerant else EXCL)
    message, attrs = read(request), plain(read(request))
    assert (message["family"], message["prefixlen"]) == (FAMILY[ip.version], ip.network.prefixlen)
    assert (message["index"], message["flags"], message["scope"]) == (index, 0x02, 0)
    assert ip_address(attrs["IFA_LOCAL"]) == ip_address(attrs["IFA_ADDRESS"]) == ip.ip
    expected = str(ip.network.broadcast_address) if ip.version == 4 and ip.network.prefixlen < 31 else None
    assert attrs.get("IFA_BROADCAST") == expected


@given(interfaces, indexes)
def test_remove_address(ip: IPInterface, index: int) -> None:
    message, attrs = read(layer3.remove_address(index, ip)), plain(read(layer3.remove_address(index, ip)))
    assert (message["index"], message["prefixlen"]) == (index, ip.network.prefixlen)
    assert {name: ip_address(text) for name, text in attrs.items()} == {
        "IFA_LOCAL": ip.ip,
        "IFA_ADDRESS": ip.ip,
    }


@given(interfaces, indexes)
def test_read_address(ip: IPInterface, index: int) -> None:
    fields = {"family": FAMILY[ip.version], "prefixlen": ip.network.prefixlen, "index": index}
    attrs = {"IFA_ADDRESS": str(ip.ip)}
    assert layer3.decode_address(written(NEWADDR, fields, attrs)) == AddressInfo(index, ip)


def test_read_address_of_a_point_to_point_link() -> None:
    body = written(
        NEWADDR,
        {"family": 2, "prefixlen": 32, "index": 3},
        {"IFA_ADDRESS": "10.0.0.2", "IFA_LOCAL": "10.0.0.1"},
    )
    assert layer3.decode_address(body) == AddressInfo(3, IPv4Interface("10.0.0.1/32"))


@given(interfaces, indexes, metrics, st.data())
def test_routes_of_ours(ip: IPInterface, index: int, metric: int, data: st.DataObject) -> None:
    via = data.draw(gateway_of(ip))
    route = objects.Route(BOX, ip.network, via, "eth0", index, metric)
    for request in (layer3.add_route(route), layer3.add_route(route, over=True), layer3.remove_route(route)):
        message, attrs = read(request), plain(read(request))
        assert (message["family"], message["dst_len"]) == (FAMILY[ip.version], ip.network.prefixlen)
        assert (message["proto"], message["table"], message["type"]) == (PROTOCOL, 254, 1)
        assert address_in(attrs, "RTA_DST") == (ip.network[0] if ip.network.prefixlen else None)
        assert address_in(attrs, "RTA_GATEWAY") == via
        assert (attrs["RTA_OIF"], attrs.get("RTA_PRIORITY", 0)) == (index, metric)
        scope = 253 if via is None and ip.version == 4 else 0
        assert message["scope"] == (255 if request.kind == DELROUTE else scope)


@given(interfaces, st.tuples(indexes, metrics, st.integers(1, 0xFFFF_FFFF), st.integers(0, 255)), st.data())
def test_routes_of_others_survive_reading_and_restoring(
    ip: IPInterface, numbers: tuple[int, int, int, int], data: st.DataObject
) -> None:
    via, source = data.draw(gateway_of(ip)), data.draw(gateway_of(ip))
    route = RouteInfo(ip.network, via, *numbers, source)
    table = route.table
    for request in (layer3.restore_route(route), layer3.remove_observed(route)):
        assert list(layer3.decode_route(memoryview(request.body))) == [route]
        attrs = plain(read(request))
        assert address_in(attrs, "RTA_PREFSRC") == source
        assert attrs.get("RTA_TABLE", read(request)["table"]) == table


@given(interfaces, indexes, st.data())
def test_read_route(ip: IPInterface, index: int, data: st.DataObject) -> None:
    via = data.draw(gateway_of(ip))
    attrs: dict[str, Any] = {"RTA_DST": str(ip.network[0]), "RTA_OIF": index, "RTA_TABLE": 254}
    if via is not None:
        attrs["RTA_GATEWAY"] = str(via)
    fields = {
        "family": FAMILY[ip.version],
        "dst_len": ip.network.prefixlen,
        "proto": 3,
        "type": 1,
        "table": 254,
    }
    expected = RouteInfo(ip.network, via, index, 0, 254, 3)
    assert list(layer3.decode_route(written(NEWROUTE, fields, attrs))) == [expected]


@pytest.mark.parametrize(("kind", "flags"), [(2, 0), (3, 0), (6, 0), (1, 0x200)])
def test_only_unicast_routes_of_tables_count(kind: int, flags: int) -> None:
    body = RTMSG.pack(2, 32, 0, 0, 255, 2, 0, kind, flags) + Route.OIF.encode(1)
    assert list(layer3.decode_route(memoryview(body))) == []


def test_each_next_hop_counts() -> None:
    hops = b"".join(
        struct.pack("=HBBi", 16, 0, 0, index) + Route.GATEWAY.encode(IPv4Address(via))
        for index, via in ((7, "10.0.0.1"), (8, "10.0.0.2"))
    )
    body = RTMSG.pack(2, 0, 0, 0, 254, 3, 0, 1, 0) + Route.MULTIPATH.encode(hops)
    found = [(route.ifindex, str(route.via)) for route in layer3.decode_route(memoryview(body))]
    assert found == [(7, "10.0.0.1"), (8, "10.0.0.2")]


def test_a_gateway_of_the_other_family() -> None:
    dst: IPNetwork = IPv4Network("10.9.0.0/24")
    route = objects.Route(BOX, dst, IPv6Address("fe80::1"), "eth0", 3)
    request = layer3.add_route(route)
    assert frame(18, struct.pack("=H", 10) + IPv6Address("fe80::1").packed) in request.body
    (found,) = layer3.decode_route(memoryview(request.body))
    assert (found.dst, found.via) == (dst, IPv6Address("fe80::1"))


def test_metric_0_of_ipv6_is_another_number() -> None:
    dst = IPv6Network("::/0")
    ours = objects.Route(BOX, dst, IPv6Address("fe80::1"), "eth0", 3)
    assert layer3.place_of(ours) == layer3.place_of(RouteInfo(dst, None, 9, 1024, 254, 3)) == (dst, 1024)


def test_filters_of_a_dump() -> None:
    request = read(layer3.dump_routes(6, 254, PROTOCOL))
    assert (request["family"], request["table"], request["proto"], request["type"]) == (10, 254, PROTOCOL, 1)


@given(st.ip_addresses(), indexes, st.binary(min_size=6, max_size=6))
def test_neighbours(ip: IPAddress, index: int, raw: bytes) -> None:
    item = objects.Neighbour(BOX, "eth0", index, ip, Mac(raw.hex(":")))
    request = layer3.add_neighbour(item)
    message = read(request)
    assert (message["family"], message["ifindex"], message["state"]) == (FAMILY[ip.version], index, 0x80)
    attrs = plain(message)
    assert address_in(attrs, "NDA_DST") == ip
    assert (attrs["NDA_LLADDR"], attrs["NDA_PROTOCOL"]) == (item.mac, PROTOCOL)
    assert layer3.decode_neighbour(memoryview(request.body)) == NeighbourInfo(index, ip, item.mac)
    assert layer3.neighbour_state(memoryview(request.body)) == (True, PROTOCOL)
    assert layer3.add_neighbour(item, over=True).flags == CREATE | REPLACE
    for asked in (layer3.get_neighbour(item), layer3.remove_neighbour(item)):
        assert address_in(plain(read(asked)), "NDA_DST") == ip
        assert read(asked)["ifindex"] == index


def test_read_neighbour() -> None:
    attrs = {"NDA_DST": "10.0.0.1", "NDA_LLADDR": "02:00:00:00:00:01"}
    fields = {"family": 2, "ifindex": 4, "state": 0x80}
    expected = NeighbourInfo(4, IPv4Address("10.0.0.1"), "02:00:00:00:00:01")
    assert layer3.decode_neighbour(written(NEWNEIGH, fields, attrs)) == expected
    learned = written(NEWNEIGH, {**fields, "state": 0x04}, attrs)
    assert layer3.decode_neighbour(learned) is None
    assert layer3.neighbour_state(learned) == (False, 0)
