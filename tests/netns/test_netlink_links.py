"""Bridges and veth pairs on the real kernel, judged by ip(8)."""

import errno
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.netns.netlink_lab import (
    BOX,
    BRIDGE,
    GATEWAY,
    INSIDE,
    VETH,
    NetlinkLab,
    many_pairs,
)

from ductwork.kernel.netlink.links import create_bridge, create_veth
from ductwork.kernel.netlink.owned import MANY
from ductwork.kernel.netlink.socket import NetlinkSocket, raw_socket
from ductwork.kernel.netlink.tables import GROUP_LINK
from ductwork.model.names import Mac
from ductwork.model.objects import HOST, Add, Change, LinkUp, NsKey, Remove, Veth

PAIR = replace(VETH, master=0)


@pytest.fixture
def lab(machine_untouched: None) -> Iterator[NetlinkLab]:
    lab = NetlinkLab()
    yield lab
    lab.close()


def mode(lab: NetlinkLab, key: Any, name: str) -> str:
    return str(lab.link(key, name)["inet6_addr_gen_mode"])


def hairpin(lab: NetlinkLab) -> bool:
    return bool(lab.link(HOST, VETH.name)["linkinfo"]["info_slave_data"]["hairpin"])


class TestMaking:
    def test_a_bridge(self, lab: NetlinkLab) -> None:
        lab.do(Add(replace(BRIDGE, mtu=1400, route_localnet=True)))
        shown = lab.link(HOST, BRIDGE.name)
        assert (shown["ifindex"], shown["address"], shown["mtu"]) == (BRIDGE.ifindex, BRIDGE.mac, 1400)
        assert shown["ifalias"] == BRIDGE.alias
        assert "UP" in shown["flags"]
        assert mode(lab, HOST, BRIDGE.name) == "none"
        data = shown["linkinfo"]["info_data"]
        assert (data["stp_state"], data["forward_delay"], data["mcast_snooping"]) == (0, 0, 0)
        assert lab.sysctl(HOST, f"ipv4/conf/{BRIDGE.name}/route_localnet") == "1"

    def test_a_bridge_keeps_its_mac_when_ports_come(self, lab: NetlinkLab) -> None:
        lab.do(Add(BRIDGE), Add(replace(VETH, mac=Mac("02:00:00:00:00:01"))))
        assert lab.link(HOST, BRIDGE.name)["address"] == BRIDGE.mac
        assert lab.link(HOST, VETH.name)["address"] == "02:00:00:00:00:01"

    @pytest.mark.parametrize("with_hairpin", [False, True])
    def test_a_port_of_a_bridge(self, lab: NetlinkLab, with_hairpin: bool) -> None:
        lab.do(Add(BRIDGE), Add(replace(VETH, hairpin=with_hairpin)))
        outer, inner = lab.link(HOST, VETH.name), lab.link(BOX, "eth0")
        assert (outer["ifindex"], outer["master"], outer["ifalias"]) == (
            VETH.ifindex,
            BRIDGE.name,
            VETH.alias,
        )
        assert (inner["ifindex"], inner["address"], inner["mtu"]) == (
            VETH.peer_ifindex,
            VETH.peer_mac,
            1500,
        )
        assert lab.is_connected(HOST, VETH.name)
        assert lab.is_connected(BOX, "eth0")
        assert hairpin(lab) is with_hairpin

    def test_without_ipv6_no_end_speaks_by_itself(self, lab: NetlinkLab) -> None:
        lab.do(Add(BRIDGE), Add(VETH))
        for key, name in ((HOST, BRIDGE.name), (HOST, VETH.name), (BOX, "eth0")):
            assert mode(lab, key, name) == "none"
            assert lab.addresses(key, name) == []

    def test_with_ipv6_the_ends_have_link_local_addresses_but_not_the_port(self, lab: NetlinkLab) -> None:
        lab.do(Add(replace(BRIDGE, ipv6=True)), Add(replace(VETH, ipv6=True)))
        assert lab.addresses(BOX, "eth0") == ["fe80::ff:fe00:5003/64"]
        assert lab.addresses(HOST, BRIDGE.name) == ["fe80::ff:fe00:5001/64"]
        assert lab.addresses(HOST, VETH.name) == []

    def test_a_pair_without_a_bridge_has_them_at_both_ends(self, lab: NetlinkLab) -> None:
        lab.do(Add(replace(PAIR, ipv6=True, mac=Mac("02:00:00:00:50:02"))))
        assert lab.addresses(HOST, VETH.name) == ["fe80::ff:fe00:5002/64"]
        assert lab.addresses(BOX, "eth0") == ["fe80::ff:fe00:5003/64"]

    def test_a_pair_too_small_for_ipv6(self, lab: NetlinkLab) -> None:
        lab.do(Add(replace(BRIDGE, mtu=1000)), Add(replace(VETH, mtu=1000)))
        assert lab.is_connected(BOX, "eth0")

    def test_many_in_one_call(self, lab: NetlinkLab) -> None:
        pairs = many_pairs(150)
        assert set(lab.try_to(*map(Add, pairs))) == {None}
        assert len(lab.link_names(HOST)) == len(lab.link_names(BOX)) == 150
        assert all("LOWER_UP" in link["flags"] for link in lab.ip(BOX, "link", "show") if link["ifindex"] > 1)

    def test_up(self, lab: NetlinkLab) -> None:
        lab.do(Add(LinkUp(BOX, "lo")), Add(LinkUp(BOX, "lo")), Remove(LinkUp(BOX, "lo")))
        assert lab.addresses(BOX, "lo") == ["127.0.0.1/8", "::1/128"]

    def test_names_with_every_sign(self, lab: NetlinkLab) -> None:
        name = 'a"}*#$;\\ä'
        lab.do(Add(replace(BRIDGE, name=name)))
        assert name in [link.name for link in lab.host.links()]


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({}, "there is a link dwv1"),
            ({"name": "dwv2"}, "there is a link with index 50002"),
            ({"name": "dwv2", "ifindex": 50012}, "there is a link eth0 in box"),
            (
                {"name": "dwv2", "ifindex": 50012, "peer_name": "eth1"},
                "there is a link with index 50003 in box",
            ),
        ],
    )
    def test_a_taken_name_is_named(self, lab: NetlinkLab, changes: dict[str, Any], words: str) -> None:
        lab.do(Add(PAIR))
        (error,) = lab.host.apply([Add(replace(PAIR, **changes))])
        assert error is not None
        assert error.errno in (errno.EEXIST, errno.EBUSY)
        assert words in error.text
        assert error.doing.startswith("adding veth pair")

    def test_the_kernels_own_words(self, lab: NetlinkLab) -> None:
        (error,) = lab.host.apply([Add(replace(PAIR, mtu=99999))])
        assert error is not None
        assert (error.errno, error.doing) == (errno.EINVAL, "adding veth pair dwv1 and eth0 in box")

    def test_a_failed_pair_touches_nothing_of_the_sandboxs(self, lab: NetlinkLab) -> None:
        lab.run(BOX, "ip", "link", "add", "eth0", "index", str(VETH.peer_ifindex), "type", "bridge")
        assert lab.try_to(Add(PAIR)) == [errno.EEXIST]
        assert "UP" not in lab.link(BOX, "eth0")["flags"]

    @pytest.mark.parametrize("tolerant", [True, False])
    def test_a_sandbox_that_is_not_open_fails_its_own_step_only(
        self, lab: NetlinkLab, tolerant: bool
    ) -> None:
        lost = replace(PAIR, peer_ns=NsKey("lost"))
        outcomes = lab.host.apply([Add(lost, tolerant), Add(BRIDGE, tolerant)])
        assert outcomes[0] is not None
        assert (outcomes[0].errno, outcomes[0].text) == (errno.ENOENT, "namespace lost is not open")
        assert outcomes[1] is None

    def test_each_step_has_its_own_outcome(self, lab: NetlinkLab) -> None:
        assert lab.try_to(Add(BRIDGE), Add(BRIDGE), Add(VETH), Add(VETH), Add(GATEWAY)) == [
            None,
            errno.EEXIST,
            None,
            errno.EEXIST,
            None,
        ]


class TestTolerantAdds:
    def test_make_what_is_not_there(self, lab: NetlinkLab) -> None:
        assert lab.try_to(Add(BRIDGE, True), Add(VETH, True)) == [None, None]
        assert lab.is_connected(BOX, "eth0")

    def test_change_nothing_that_is_right(self, lab: NetlinkLab) -> None:
        lab.do(Add(BRIDGE), Add(VETH))
        events = NetlinkSocket(lab.spaces[HOST].enter(raw_socket))
        try:
            events.subscribe(GROUP_LINK)
            quiet_since = time.monotonic()
            for _ in range(100):  # carriers and port states are told late
                time.sleep(0.1)
                if list(events.events()):
                    quiet_since = time.monotonic()
                if time.monotonic() - quiet_since > 1.5:
                    break
            lab.do(Add(BRIDGE, True), Add(VETH, True))
            assert list(events.events()) == []
        finally:
            events.close()

    def test_bring_all_that_differs_in_line(self, lab: NetlinkLab) -> None:
        lab.do(Add(BRIDGE), Add(VETH))
        ip = ["ip", "link", "set"]
        lab.run(HOST, *ip, VETH.name, "nomaster", "down", "mtu", "1300", "addrgenmode", "eui64")
        lab.run(HOST, *ip, BRIDGE.name, "down", "mtu", "1300", "address", "02:00:00:00:00:77")
        lab.run(BOX, *ip, "eth0", "down", "mtu", "1300", "address", "02:00:00:00:00:78")
        lab.do(Add(BRIDGE, True), Add(replace(VETH, hairpin=True), True))
        bridge, outer, inner = lab.link(HOST, "dwbr"), lab.link(HOST, "dwv1"), lab.link(BOX, "eth0")
        assert [link["mtu"] for link in (bridge, outer, inner)] == [1500, 1500, 1500]
        assert all({"UP", "LOWER_UP"} <= set(link["flags"]) for link in (bridge, outer, inner))
        assert (bridge["address"], inner["address"]) == (BRIDGE.mac, VETH.peer_mac)
        assert (outer["master"], mode(lab, HOST, "dwv1"), hairpin(lab)) == ("dwbr", "none", True)

    def test_finish_what_a_killed_process_began(self, lab: NetlinkLab) -> None:
        requests = [create_bridge(BRIDGE), create_veth(VETH, lab.spaces[BOX].fd)]
        assert lab.spaces[HOST].rtnetlink.exchange(requests) == []
        lab.do(Add(BRIDGE, True), Add(VETH, True))
        assert (lab.link(HOST, "dwbr")["ifalias"], lab.link(HOST, "dwv1")["ifalias"]) == (
            BRIDGE.alias,
            VETH.alias,
        )
        assert lab.is_connected(BOX, "eth0")
        assert mode(lab, BOX, "eth0") == "none"

    @pytest.mark.parametrize(("index", "tolerant"), [(7, True), (BRIDGE.ifindex, True), (7, False)])
    def test_a_strangers_link_is_not_touched(self, lab: NetlinkLab, index: int, tolerant: bool) -> None:
        lab.run(HOST, "ip", "link", "add", BRIDGE.name, "index", str(index), "type", "bridge")
        before = lab.link(HOST, BRIDGE.name)
        assert lab.try_to(Add(BRIDGE, tolerant)) == [errno.EEXIST]
        assert _lasting(lab.link(HOST, BRIDGE.name)) == _lasting(before)

    def test_another_of_ours_is_not_touched(self, lab: NetlinkLab) -> None:
        lab.do(Add(replace(BRIDGE, alias="ductwork:other")))
        assert lab.try_to(Add(BRIDGE, True)) == [errno.EEXIST]

    def test_an_inner_end_elsewhere_is_an_error_with_words(self, lab: NetlinkLab) -> None:
        lab.do(Add(PAIR))
        lab.run(BOX, "ip", "link", "set", "eth0", "netns", lab.names[HOST])
        (error,) = lab.host.apply([Add(replace(PAIR, mtu=1300), True)])
        assert error is not None
        assert (error.errno, lab.link(HOST, "dwv1")["mtu"]) == (errno.EEXIST, 1500)
        assert "its other end is not link 50003 in box" in error.text

    def test_an_inner_end_may_be_renamed_by_its_user(self, lab: NetlinkLab) -> None:
        lab.do(Add(PAIR))
        lab.run(BOX, "ip", "link", "set", "eth0", "down")
        lab.run(BOX, "ip", "link", "set", "eth0", "name", "lan0")
        lab.do(Add(PAIR, True))
        assert lab.is_connected(BOX, "lan0")

    def test_many_at_once(self, lab: NetlinkLab) -> None:
        pairs = many_pairs(MANY + 4)
        lab.do(*map(Add, pairs[:-2]))
        changed = [replace(pair, mtu=1300) for pair in pairs]
        assert set(lab.try_to(*[Add(pair, True) for pair in changed])) == {None}
        for key in (HOST, BOX):
            assert {link["mtu"] for link in lab.ip(key, "link", "show") if link["ifindex"] > 1} == {1300}


class TestChanges:
    @pytest.fixture(autouse=True)
    def attached(self, lab: NetlinkLab) -> None:
        lab.do(Add(BRIDGE), Add(VETH), Add(GATEWAY), Add(INSIDE))

    def test_mtu(self, lab: NetlinkLab) -> None:
        lab.do(Change(BRIDGE, replace(BRIDGE, mtu=1300)), Change(VETH, replace(VETH, mtu=1300)))
        found = [lab.link(HOST, "dwbr"), lab.link(HOST, "dwv1"), lab.link(BOX, "eth0")]
        assert [link["mtu"] for link in found] == [1300, 1300, 1300]
        assert lab.ping(BOX, "10.50.0.1")

    def test_macs(self, lab: NetlinkLab) -> None:
        one, two, three = (Mac(f"02:00:00:00:99:0{n}") for n in (1, 2, 3))
        lab.do(Change(BRIDGE, replace(BRIDGE, mac=one)), Change(VETH, replace(VETH, mac=two, peer_mac=three)))
        found = [lab.link(HOST, "dwbr"), lab.link(HOST, "dwv1"), lab.link(BOX, "eth0")]
        assert [link["address"] for link in found] == [one, two, three]

    def test_another_bridge(self, lab: NetlinkLab) -> None:
        other = replace(BRIDGE, name="dwbr2", ifindex=50011, mac=Mac("02:00:00:00:50:11"))
        moved = replace(VETH, master=other.ifindex, hairpin=True)
        lab.do(Add(other), Change(VETH, moved))
        assert (lab.link(HOST, "dwv1")["master"], hairpin(lab)) == ("dwbr2", True)
        lab.do(Change(moved, VETH))
        assert (lab.link(HOST, "dwv1")["master"], hairpin(lab)) == ("dwbr", False)

    def test_no_bridge(self, lab: NetlinkLab) -> None:
        lab.do(Change(VETH, PAIR))
        assert "master" not in lab.link(HOST, "dwv1")

    def test_hairpin(self, lab: NetlinkLab) -> None:
        there = replace(VETH, hairpin=True)
        lab.do(Change(VETH, there))
        assert hairpin(lab)
        lab.do(Change(there, VETH))
        assert not hairpin(lab)

    def test_route_localnet(self, lab: NetlinkLab) -> None:
        there = replace(BRIDGE, route_localnet=True)
        path = f"ipv4/conf/{BRIDGE.name}/route_localnet"
        lab.do(Change(BRIDGE, there))
        assert lab.sysctl(HOST, path) == "1"
        lab.do(Change(there, BRIDGE))
        assert lab.sysctl(HOST, path) == "0"

    def test_ipv6_without_an_interruption(self, lab: NetlinkLab) -> None:
        bridge, veth = replace(BRIDGE, ipv6=True), replace(VETH, ipv6=True)
        lab.do(Change(BRIDGE, bridge), Change(VETH, veth))
        assert lab.addresses(BOX, "eth0") == ["10.50.0.2/24", "fe80::ff:fe00:5003/64"]
        assert lab.addresses(HOST, "dwbr") == ["10.50.0.1/24", "fe80::ff:fe00:5001/64"]
        assert lab.addresses(HOST, "dwv1") == []
        assert lab.ping(BOX, "fe80::ff:fe00:5001%eth0")
        lab.do(Change(bridge, BRIDGE), Change(veth, VETH))
        assert lab.addresses(BOX, "eth0") == ["10.50.0.2/24"]
        assert lab.addresses(HOST, "dwbr") == ["10.50.0.1/24"]

    def test_alias(self, lab: NetlinkLab) -> None:
        lab.do(Change(VETH, replace(VETH, alias="ductwork:new")))
        assert lab.link(HOST, "dwv1")["ifalias"] == "ductwork:new"

    @pytest.mark.parametrize(
        "new", [replace(VETH, name="x"), replace(VETH, ifindex=9), replace(VETH, peer_name="x")]
    )
    def test_what_cannot_change(self, lab: NetlinkLab, new: Veth) -> None:
        assert lab.try_to(Change(VETH, new), Change(BRIDGE, VETH)) == [errno.EINVAL, errno.EINVAL]

    def test_what_is_gone_or_a_strangers(self, lab: NetlinkLab) -> None:
        other = replace(BRIDGE, alias="ductwork:other")
        lab.do(Remove(VETH))
        assert lab.try_to(Change(VETH, PAIR), Change(other, replace(other, mtu=1300))) == [
            errno.ENODEV,
            errno.ENODEV,
        ]


class TestRemoving:
    def test_twice(self, lab: NetlinkLab) -> None:
        lab.do(Add(BRIDGE), Add(VETH), Remove(VETH), Remove(VETH), Remove(BRIDGE), Remove(BRIDGE))
        assert lab.link_names(HOST) == lab.link_names(BOX) == []
        assert lab.try_to(Remove(VETH), Remove(VETH), Remove(BRIDGE)) == [None, None, None]

    def test_twice_in_one_call(self, lab: NetlinkLab) -> None:
        lab.do(Add(BRIDGE))
        assert lab.try_to(Remove(BRIDGE), Remove(BRIDGE), Add(BRIDGE), Remove(BRIDGE)) == [None] * 4
        assert lab.link_names(HOST) == []

    @pytest.mark.parametrize(
        "theirs",
        [
            ["index", "7", "type", "bridge"],
            ["index", str(BRIDGE.ifindex), "type", "bridge"],
            ["index", str(BRIDGE.ifindex), "address", BRIDGE.mac, "type", "veth"],
        ],
    )
    def test_a_strangers_link_stays(self, lab: NetlinkLab, theirs: list[str]) -> None:
        lab.run(HOST, "ip", "link", "add", BRIDGE.name, *theirs)
        lab.do(Remove(BRIDGE))
        assert lab.link(HOST, BRIDGE.name)

    def test_a_link_with_another_mark_stays(self, lab: NetlinkLab) -> None:
        lab.do(Add(replace(BRIDGE, alias="ductwork:other")), Remove(BRIDGE))
        assert lab.link(HOST, BRIDGE.name)

    def test_what_a_killed_process_began(self, lab: NetlinkLab) -> None:
        requests = [create_bridge(BRIDGE), create_veth(VETH, lab.spaces[BOX].fd)]
        assert lab.spaces[HOST].rtnetlink.exchange(requests) == []
        lab.do(Remove(VETH), Remove(BRIDGE))
        assert lab.link_names(HOST) == []

    def test_one_that_was_renamed_or_came_back_under_another_index(self, lab: NetlinkLab) -> None:
        lab.do(Add(BRIDGE), Add(PAIR))
        lab.run(HOST, "ip", "link", "set", BRIDGE.name, "down")
        lab.run(HOST, "ip", "link", "set", BRIDGE.name, "name", "renamed")
        lab.do(Remove(BRIDGE), Remove(replace(PAIR, ifindex=1234)))
        assert lab.link_names(HOST) == []

    def test_many_spare_all_others(self, lab: NetlinkLab) -> None:
        pairs = many_pairs(MANY * 3)
        lab.do(*map(Add, pairs[:-1]), Add(BRIDGE))
        lab.run(HOST, "ip", "link", "add", pairs[-1].name, "type", "bridge")
        assert set(lab.try_to(*map(Remove, pairs))) == {None}
        assert lab.link_names(HOST) == sorted([BRIDGE.name, pairs[-1].name])
        assert lab.link_names(BOX) == []
        assert set(lab.try_to(*map(Remove, pairs))) == {None}


class TestReading:
    def test_links(self, lab: NetlinkLab) -> None:
        lab.do(Add(BRIDGE), Add(VETH))
        lab.run(HOST, "ip", "link", "add", "va", "type", "veth", "peer", "name", "vb")
        shown = {link["ifindex"]: link for link in lab.ip(HOST, "link", "show")}
        for link in lab.host.links():
            ip = shown.pop(link.ifindex)
            assert (link.name, link.mac, link.mtu) == (ip["ifname"], ip["address"], ip["mtu"])
            assert link.kind == ip.get("linkinfo", {}).get("info_kind", "")
            assert (link.up, link.carrier) == ("UP" in ip["flags"], "LOWER_UP" in ip["flags"])
            assert link.alias == ip.get("ifalias", "")
            assert bool(link.master) == ("master" in ip)
        assert shown == {}

    def test_both_ends_name_each_other(self, lab: NetlinkLab) -> None:
        lab.do(Add(PAIR))
        ends = {link.ifindex: link.peer_ifindex for link in lab.host.links() + lab.box.links()}
        assert (ends[VETH.ifindex], ends[VETH.peer_ifindex]) == (VETH.peer_ifindex, VETH.ifindex)

    def test_events(self, lab: NetlinkLab) -> None:
        events = NetlinkSocket(lab.spaces[HOST].enter(raw_socket))
        try:
            events.subscribe(GROUP_LINK)
            assert list(events.events()) == []
            lab.do(Add(BRIDGE))
            assert {message.kind for message in events.events()} == {16}
        finally:
            events.close()

    def test_a_dump_of_many(self, lab: NetlinkLab) -> None:
        lab.try_to(*map(Add, many_pairs(300)))
        assert len(lab.host.links()) == len(lab.box.links()) == 301


def _lasting(link: Any) -> Any:
    """Leave out what changes by itself."""
    volatile = {"linkinfo", "operstate", "flags"}
    return {name: value for name, value in link.items() if name not in volatile}
