"""Addresses, routes and neighbours on the real kernel, judged by ip(8)."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
    ip_network,
)
from typing import Any

import pytest
from tests.netns.netlink_lab import (
    BOX,
    BRIDGE,
    DEFAULT,
    GATEWAY,
    INSIDE,
    NEIGHBOUR,
    OUTSIDE,
    VETH,
    NetlinkLab,
)

from ductwork.kernel.ports import AddressInfo, KernelError, RouteInfo
from ductwork.model.names import Mac
from ductwork.model.objects import HOST, PROTOCOL, Add, Address, Change, Neighbour, Remove, Route

INNER = VETH.peer_ifindex
INSIDE6 = Address(BOX, "eth0", INNER, IPv6Interface("fd50::2/64"))
DEFAULT6 = Route(BOX, IPv6Network("::/0"), IPv6Address("fd50::1"), "eth0", INNER)
NEIGHBOUR6 = Neighbour(BOX, "eth0", INNER, IPv6Address("fd50::1"), BRIDGE.mac)


@pytest.fixture
def lab(machine_untouched: None) -> Iterator[NetlinkLab]:
    lab = NetlinkLab()
    try:
        lab.do(Add(BRIDGE), Add(VETH), Add(GATEWAY), Add(INSIDE))
        yield lab
    finally:
        lab.close()


def routes(lab: NetlinkLab, *more: str) -> list[dict[str, Any]]:
    found = lab.ip(BOX, *more, "route", "show", "table", "main")
    return [route for route in found if route["protocol"] == str(PROTOCOL)]


def neighbours(lab: NetlinkLab) -> list[dict[str, Any]]:
    return [n for n in lab.ip(BOX, "neighbour", "show", "nud", "permanent") if n["dev"] == "eth0"]


class TestAddresses:
    def test_at_once_and_with_a_broadcast_address(self, lab: NetlinkLab) -> None:
        lab.do(Add(INSIDE6), Add(replace(INSIDE, ip=IPv4Interface("10.60.0.0/31"))))
        (link,) = lab.ip(BOX, "address", "show", "dev", "eth0")
        found = {a["local"]: a for a in link["addr_info"]}
        assert found["10.50.0.2"]["broadcast"] == "10.50.0.255"
        assert "broadcast" not in found["10.60.0.0"]
        assert found["fd50::2"]["nodad"]
        assert "tentative" not in found["fd50::2"]

    @pytest.mark.parametrize("item", [INSIDE, INSIDE6], ids=["IPv4", "IPv6"])
    def test_twice(self, lab: NetlinkLab, item: Address) -> None:
        lab.try_to(Add(item))
        assert lab.try_to(Add(item), Add(item, True)) == [errno.EEXIST, None]
        lab.do(Remove(item), Remove(item))
        assert str(item.ip) not in lab.addresses(BOX, "eth0")

    def test_on_no_link(self, lab: NetlinkLab) -> None:
        nowhere = replace(INSIDE, ifindex=9)
        (error,) = lab.box.apply([Add(nowhere)])
        assert error is not None
        assert (error.errno, error.doing) == (errno.ENODEV, "adding address 10.50.0.2/24 on eth0")
        assert "Device not found" in error.text
        lab.do(Remove(nowhere))

    def test_change_adds_before_it_removes(self, lab: NetlinkLab) -> None:
        new = replace(INSIDE, ip=IPv4Interface("10.60.0.2/24"))
        lab.do(Change(INSIDE, new))
        assert lab.addresses(BOX, "eth0") == ["10.60.0.2/24"]
        taken = replace(INSIDE, ifindex=9)
        assert lab.try_to(Change(new, taken)) == [errno.ENODEV]
        assert lab.addresses(BOX, "eth0") == ["10.60.0.2/24"]

    def test_read(self, lab: NetlinkLab) -> None:
        lab.do(Add(INSIDE6))
        lab.say(BOX, "ip address add 10.70.0.1 peer 10.70.0.2/32 dev eth0")
        told = {
            AddressInfo(link["ifindex"], ip_interface(f"{a['local']}/{a['prefixlen']}"))
            for link in lab.ip(BOX, "address", "show")
            for a in link["addr_info"]
        }
        assert set(lab.box.addresses()) == told


class TestRoutes:
    def test_a_default_route(self, lab: NetlinkLab) -> None:
        lab.do(Add(DEFAULT))
        (shown,) = routes(lab)
        assert (shown["dst"], shown["gateway"], shown["dev"]) == ("default", "10.50.0.1", "eth0")

    def test_all_kinds(self, lab: NetlinkLab) -> None:
        direct = replace(DEFAULT, dst=IPv4Network("10.60.0.0/16"), via=None, metric=5)
        through = replace(DEFAULT, dst=IPv4Network("10.61.0.0/16"), via=IPv4Address("10.60.0.1"))
        mixed = replace(DEFAULT, dst=IPv4Network("10.62.0.0/16"), via=IPv6Address("fd50::1"))
        lab.do(Add(INSIDE6), Add(direct), Add(through), Add(DEFAULT6), Add(mixed))
        shown = {route["dst"]: route for route in routes(lab) + routes(lab, "-6")}
        assert (shown["10.60.0.0/16"]["scope"], shown["10.60.0.0/16"]["metric"]) == ("link", 5)
        assert shown["10.61.0.0/16"]["gateway"] == "10.60.0.1"
        assert shown["10.62.0.0/16"]["via"] == {"family": "inet6", "host": "fd50::1"}
        assert (shown["default"]["gateway"], shown["default"]["metric"]) == ("fd50::1", 1024)
        lab.do(Remove(mixed), Remove(DEFAULT6), Remove(through), Remove(direct), Remove(direct))
        assert routes(lab) == routes(lab, "-6") == []

    @pytest.mark.parametrize("item", [DEFAULT, DEFAULT6], ids=["IPv4", "IPv6"])
    def test_twice(self, lab: NetlinkLab, item: Route) -> None:
        lab.do(Add(INSIDE6))
        assert lab.try_to(Add(item), Add(item), Add(item, True)) == [None, errno.EEXIST, None]
        assert len(routes(lab) + routes(lab, "-6")) == 1

    @pytest.mark.parametrize(
        ("item", "via"),
        [(DEFAULT, IPv4Address("10.50.0.9")), (DEFAULT6, IPv6Address("fd50::9"))],
        ids=["IPv4", "IPv6"],
    )
    @pytest.mark.parametrize("by_change", [True, False])
    def test_replace(self, lab: NetlinkLab, item: Route, via: Any, by_change: bool) -> None:
        moved = replace(item, via=via)
        lab.do(Add(INSIDE6), Add(item), Change(item, moved) if by_change else Add(moved, True))
        (shown,) = routes(lab) + routes(lab, "-6")
        assert shown["gateway"] == str(via)

    def test_change_to_another_metric(self, lab: NetlinkLab) -> None:
        lab.do(Add(DEFAULT), Change(DEFAULT, replace(DEFAULT, metric=7)))
        assert [route["metric"] for route in routes(lab)] == [7]

    @pytest.mark.parametrize("item", [DEFAULT, DEFAULT6], ids=["IPv4", "IPv6"])
    def test_a_strangers_route_stays(self, lab: NetlinkLab, item: Route) -> None:
        lab.do(Add(INSIDE6))
        lab.say(BOX, f"ip -{item.dst.version} route add {item.dst} via {item.via} dev eth0 proto static")
        assert lab.try_to(Add(item), Add(item, True), Change(item, item)) == [errno.EEXIST] * 3
        lab.do(Remove(item))
        found = lab.ip(BOX, f"-{item.dst.version}", "route", "show", "default")
        assert [route["protocol"] for route in found] == ["static"]

    def test_a_gateway_out_of_reach_in_the_kernels_words(self, lab: NetlinkLab) -> None:
        (error,) = lab.box.apply([Add(replace(DEFAULT, via=IPv4Address("10.99.0.1")))])
        assert error is not None
        assert (error.errno, error.doing) == (errno.ENETUNREACH, "adding route 0.0.0.0/0 over eth0")
        assert "Nexthop has invalid gateway" in error.text

    def test_read(self, lab: NetlinkLab) -> None:
        lab.do(Add(INSIDE6), Add(DEFAULT), Add(DEFAULT6))
        lab.say(BOX, "ip route add 10.80.0.0/16 via 10.50.0.8 src 10.50.0.2 metric 9 table 1000")
        lab.say(BOX, "ip route add blackhole 10.81.0.0/16")
        lab.say(
            BOX, "ip route add 10.82.0.0/16 nexthop via 10.50.0.3 dev eth0 nexthop via 10.50.0.4 dev eth0"
        )
        found = lab.box.routes()
        there = RouteInfo(
            IPv4Network("10.80.0.0/16"),
            IPv4Address("10.50.0.8"),
            INNER,
            9,
            1000,
            3,
            IPv4Address("10.50.0.2"),
        )
        assert there in found
        assert [str(r.via) for r in found if r.dst == ip_network("10.82.0.0/16")] == [
            "10.50.0.3",
            "10.50.0.4",
        ]
        assert not [r for r in found if r.dst == ip_network("10.81.0.0/16")]
        assert RouteInfo(DEFAULT6.dst, DEFAULT6.via, INNER, 1024, 254, PROTOCOL) in found
        shown = lab.ip(BOX, "-4", "route", "show", "table", "all", "type", "unicast")
        shown += lab.ip(BOX, "-6", "route", "show", "table", "all", "type", "unicast")
        assert len(found) == len(shown) + 1  # two next hops are one route there


class TestRoutesOfOthers:
    THEIRS = (
        RouteInfo(IPv4Network("0.0.0.0/0"), IPv4Address("10.66.0.1"), INNER, 100, 254, 16),
        RouteInfo(IPv4Network("10.66.0.1/32"), None, INNER, 100, 254, 16, IPv4Address("10.50.0.2")),
        RouteInfo(IPv4Network("10.67.0.0/16"), IPv4Address("10.50.0.7"), INNER, 0, 1000, 4),
        RouteInfo(IPv6Network("fd67::/64"), IPv6Address("fd50::7"), INNER, 5, 254, 3),
    )

    @pytest.fixture(autouse=True)
    def with_ipv6(self, lab: NetlinkLab) -> None:
        lab.do(Add(INSIDE6))

    def theirs(self, lab: NetlinkLab) -> set[RouteInfo]:
        return {route for route in lab.box.routes() if route.protocol not in (2, PROTOCOL)}

    def test_restored_and_removed_as_observed(self, lab: NetlinkLab) -> None:
        lab.box.routes_restore(self.THEIRS)
        assert self.theirs(lab) == set(self.THEIRS)
        lab.box.routes_restore(self.THEIRS)
        lab.box.routes_remove(self.THEIRS)
        lab.box.routes_remove(self.THEIRS)
        assert self.theirs(lab) == set()

    def test_only_as_observed(self, lab: NetlinkLab) -> None:
        lab.box.routes_restore(self.THEIRS)
        other = replace(self.THEIRS[0], metric=0)
        lab.box.routes_remove([other, replace(self.THEIRS[0], protocol=4)])
        assert self.theirs(lab) == set(self.THEIRS)

    def test_ours_gives_way(self, lab: NetlinkLab) -> None:
        theirs = RouteInfo(DEFAULT.dst, IPv4Address("10.50.0.7"), INNER, 0, 254, 3)
        lab.do(Add(DEFAULT))
        lab.box.routes_restore([theirs])
        assert (self.theirs(lab), routes(lab)) == ({theirs}, [])

    def test_a_newer_one_of_theirs_does_not(self, lab: NetlinkLab) -> None:
        newer = RouteInfo(DEFAULT.dst, IPv4Address("10.50.0.7"), INNER, 0, 254, 3)
        lab.box.routes_restore([newer])
        with pytest.raises(KernelError, match="another route has taken its place") as caught:
            lab.box.routes_restore([replace(newer, via=IPv4Address("10.50.0.8")), self.THEIRS[3]])
        assert caught.value.errno == errno.EEXIST
        assert self.theirs(lab) == {newer, self.THEIRS[3]}

    def test_over_a_link_that_is_gone(self, lab: NetlinkLab) -> None:
        gone = replace(self.THEIRS[2], ifindex=9)
        lab.box.routes_remove([gone])
        with pytest.raises(KernelError):
            lab.box.routes_restore([gone])


class TestNeighbours:
    @pytest.mark.parametrize("item", [NEIGHBOUR, NEIGHBOUR6], ids=["IPv4", "IPv6"])
    def test_permanent_and_marked(self, lab: NetlinkLab, item: Neighbour) -> None:
        lab.do(Add(INSIDE6), Add(item))
        (shown,) = neighbours(lab)
        assert (shown["dst"], shown["lladdr"], shown["state"]) == (str(item.ip), item.mac, ["PERMANENT"])
        assert f"proto {PROTOCOL}" in lab.run(BOX, "ip", "neighbour", "show", "dev", "eth0")
        assert [(n.ifindex, n.ip, n.mac) for n in lab.box.neighbours()] == [(INNER, item.ip, item.mac)]
        lab.do(Remove(item), Remove(item))
        assert neighbours(lab) == []

    def test_twice(self, lab: NetlinkLab) -> None:
        newer = replace(NEIGHBOUR, mac=Mac("02:00:00:00:99:99"))
        assert lab.try_to(Add(NEIGHBOUR), Add(newer), Add(newer, True)) == [None, errno.EEXIST, None]
        assert [n.mac for n in lab.box.neighbours()] == [newer.mac]
        lab.do(Change(newer, NEIGHBOUR))
        assert [n.mac for n in lab.box.neighbours()] == [NEIGHBOUR.mac]
        moved = replace(NEIGHBOUR, ip=IPv4Address("10.50.0.8"))
        lab.do(Change(NEIGHBOUR, moved))
        assert [n.ip for n in lab.box.neighbours()] == [moved.ip]

    @pytest.mark.parametrize("state", ["stale", "failed", "reachable"])
    def test_what_the_kernel_learned_is_not_in_the_way(self, lab: NetlinkLab, state: str) -> None:
        lladdr = "" if state == "failed" else "lladdr 02:00:00:00:00:07"
        lab.say(BOX, f"ip neighbour add 10.50.0.1 dev eth0 nud {state} {lladdr}")
        lab.do(Add(NEIGHBOUR))
        assert [n.mac for n in lab.box.neighbours()] == [NEIGHBOUR.mac]

    def test_a_strangers_entry_stays(self, lab: NetlinkLab) -> None:
        lab.say(BOX, "ip neighbour add 10.50.0.1 dev eth0 lladdr 02:00:00:00:00:07 nud permanent")
        assert lab.try_to(Add(NEIGHBOUR)) == [errno.EEXIST]
        lab.do(Remove(NEIGHBOUR))
        assert [n.mac for n in lab.box.neighbours()] == ["02:00:00:00:00:07"]


def test_a_whole_attachment_carries_traffic(lab: NetlinkLab) -> None:
    outcomes = lab.box.apply([Add(INSIDE6), Add(DEFAULT), Add(NEIGHBOUR), Add(NEIGHBOUR6)])
    gateway6 = Address(HOST, BRIDGE.name, BRIDGE.ifindex, IPv6Interface("fd50::1/64"))
    outside6 = Neighbour(HOST, BRIDGE.name, BRIDGE.ifindex, IPv6Address("fd50::2"), VETH.peer_mac)
    outcomes += lab.host.apply([Add(gateway6), Add(OUTSIDE), Add(outside6)])
    assert set(outcomes) == {None}
    assert lab.ping(BOX, "10.50.0.1")
    assert lab.ping(BOX, "fd50::1")
    lab.do(Add(DEFAULT6))
