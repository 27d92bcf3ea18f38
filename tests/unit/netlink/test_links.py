"""Link messages, judged by pyroute2."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.netlink.oracle import plain, read, written

from ductwork.kernel.netlink import links
from ductwork.kernel.netlink.codec import Request
from ductwork.kernel.netlink.links import LinkState
from ductwork.kernel.netlink.tables import CREATE, DELADDR, EXCL, NEWADDR, NEWLINK, SETLINK
from ductwork.model.names import Mac
from ductwork.model.objects import HOST, Bridge, NsKey, Veth

BRIDGE = Bridge(HOST, "dwbr", 5001, Mac("02:00:00:00:50:01"), 1500, "ductwork:n1", False, False)
VETH = Veth(
    ns=HOST,
    name="dwv1",
    ifindex=5002,
    alias="ductwork:e1",
    mtu=1450,
    peer_ns=NsKey("box"),
    peer_name="eth0",
    peer_ifindex=5003,
    peer_mac=Mac("02:00:00:00:50:03"),
    master=BRIDGE.ifindex,
)
NO_ADDRESS = {"AF_INET6": {"IFLA_INET6_ADDR_GEN_MODE": 1}}

# Ours, in line with BRIDGE and VETH.
BRIDGE_STATE = LinkState(
    5001, "dwbr", "bridge", BRIDGE.mac, 1500, True, True, 0, 0, "ductwork:n1", 0, False, False, 1
)
OUTER_STATE = LinkState(
    5002, "dwv1", "veth", "02:00:00:00:00:09", 1450, True, True, 5001, 5003, "ductwork:e1", 0, False, False, 1
)
INNER_STATE = replace(
    OUTER_STATE, ifindex=5003, name="eth0", mac=VETH.peer_mac, master=0, peer_ifindex=5002, alias=""
)

names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=5)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: Mac(raw.hex(":")))
indexes = st.integers(1, 0x7FFF_FFFF)


@pytest.fixture(autouse=True)
def _with_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "kernel_has_ipv6", lambda: True)


def fields(request: Request) -> tuple[int, int, int]:
    message = read(request)
    return message["index"], message["flags"], message["change"]


@given(names, indexes, macs, st.integers(68, 65535))
def test_create_bridge(name: str, index: int, mac: Mac, mtu: int) -> None:
    request = links.create_bridge(replace(BRIDGE, name=name, ifindex=index, mac=mac, mtu=mtu))
    assert (request.kind, request.flags, fields(request)) == (NEWLINK, CREATE | EXCL, (index, 0, 0))
    data = {"IFLA_BR_FORWARD_DELAY": 0, "IFLA_BR_STP_STATE": 0, "IFLA_BR_MCAST_SNOOPING": 0}
    assert plain(read(request)) == {
        "IFLA_IFNAME": name,
        "IFLA_MTU": mtu,
        "IFLA_ADDRESS": mac,
        "IFLA_LINKINFO": {"IFLA_INFO_KIND": "bridge", "IFLA_INFO_DATA": data},
    }


def test_settle_bridge() -> None:
    request = links.settle_bridge(BRIDGE)
    assert (request.kind, request.flags, fields(request)) == (SETLINK, 0, (5001, 1, 1))
    assert plain(read(request)) == {"IFLA_IFALIAS": BRIDGE.alias, "IFLA_AF_SPEC": NO_ADDRESS}


def test_settle_bridge_with_ipv6_touches_no_family() -> None:
    assert plain(read(links.settle_bridge(replace(BRIDGE, ipv6=True)))) == {"IFLA_IFALIAS": BRIDGE.alias}


def test_settle_bridge_with_route_localnet() -> None:
    families = plain(read(links.settle_bridge(replace(BRIDGE, route_localnet=True))))["IFLA_AF_SPEC"]
    # pyroute2 leaves this one alone: IFLA_INET_CONF holding attribute 26 of four bytes.
    assert families["AF_INET"] == b"\x10\0\x02\x80" + b"\x0c\0\x01\x80" + b"\x08\0\x1a\0\1\0\0\0"


pairs = st.builds(
    lambda name, peer_name, index, peer_index, peer_mac, mac: replace(
        VETH,
        name=name,
        peer_name=peer_name,
        ifindex=index,
        peer_ifindex=peer_index,
        peer_mac=peer_mac,
        mac=mac,
    ),
    names,
    names,
    indexes,
    indexes,
    macs,
    st.one_of(st.none(), macs),
)


@given(pairs, st.integers(0, 1 << 30))
def test_create_veth(veth: Veth, fd: int) -> None:
    request = links.create_veth(veth, fd)
    assert (request.kind, request.flags, fields(request)) == (NEWLINK, CREATE | EXCL, (veth.ifindex, 0, 0))
    outer = plain(read(request))
    info = outer.pop("IFLA_LINKINFO")
    expected = {"IFLA_IFNAME": veth.name, "IFLA_MTU": 1450, "IFLA_MASTER": 5001}
    assert outer == (expected if veth.mac is None else {**expected, "IFLA_ADDRESS": veth.mac})
    assert info["IFLA_INFO_KIND"] == "veth"
    assert info["IFLA_INFO_DATA"]["VETH_INFO_PEER"] == {
        "IFLA_IFNAME": veth.peer_name,
        "IFLA_MTU": 1450,
        "IFLA_ADDRESS": veth.peer_mac,
        "IFLA_NET_NS_FD": fd,
    }
    peer = read(request).get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "VETH_INFO_PEER")
    assert (peer["index"], peer["flags"], peer["change"]) == (veth.peer_ifindex, 0, 0)


def test_a_veth_without_a_bridge_names_no_master() -> None:
    assert "IFLA_MASTER" not in plain(read(links.create_veth(replace(VETH, master=0), 3)))


def test_settle_outer_end() -> None:
    request = links.settle_outer(VETH)
    assert (request.kind, request.flags, fields(request)) == (SETLINK, 0, (5002, 1, 1))
    assert plain(read(request)) == {"IFLA_IFALIAS": VETH.alias, "IFLA_AF_SPEC": NO_ADDRESS}


def test_settle_outer_end_with_hairpin_takes_a_newlink() -> None:
    request = links.settle_outer(replace(VETH, hairpin=True))
    assert (request.kind, request.flags) == (NEWLINK, 0)
    info = plain(read(request))["IFLA_LINKINFO"]
    assert info == {"IFLA_INFO_SLAVE_KIND": "bridge", "IFLA_INFO_SLAVE_DATA": {"IFLA_BRPORT_MODE": 1}}


@pytest.mark.parametrize(
    ("veth", "silent"),
    [
        (VETH, True),
        (replace(VETH, ipv6=True), True),  # a port of a bridge
        (replace(VETH, ipv6=True, master=0), False),
        (replace(VETH, mtu=1279), False),  # IPv6 is off, and the kernel refuses its settings
    ],
)
def test_which_outer_ends_get_no_address(veth: Veth, silent: bool) -> None:
    assert ("IFLA_AF_SPEC" in plain(read(links.settle_outer(veth)))) is silent


def test_settle_inner_end_sets_the_mode_before_up() -> None:
    mode, up = links.settle_inner(VETH)
    assert (fields(mode), plain(read(mode))) == ((5003, 0, 0), {"IFLA_AF_SPEC": NO_ADDRESS})
    assert (fields(up), plain(read(up))) == ((5003, 1, 1), {})
    assert links.settle_inner(replace(VETH, ipv6=True)) == [up]


def test_a_kernel_without_ipv6_is_told_nothing_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "kernel_has_ipv6", lambda: False)
    assert len(links.settle_inner(VETH)) == 1
    for request in (links.settle_bridge(BRIDGE), links.settle_outer(VETH)):
        assert "IFLA_AF_SPEC" not in plain(read(request))


def test_groups() -> None:
    moved, deleted = links.move_to_group(7, 0x1234_5678), links.delete_group(0x1234_5678)
    assert (fields(moved)[0], plain(read(moved))) == (7, {"IFLA_GROUP": 0x1234_5678})
    assert (fields(deleted)[0], plain(read(deleted))) == (0, {"IFLA_GROUP": 0x1234_5678})
    assert (fields(links.delete(7)), plain(read(links.delete(7)))) == ((7, 0, 0), {})


def test_questions() -> None:
    assert plain(read(links.get_by_name("x"))) == {"IFLA_IFNAME": "x", "IFLA_EXT_MASK": 8}
    assert fields(links.get_by_index(9)) == (9, 0, 0)


states = st.builds(
    lambda name, index, mac, mtu, hairpin: LinkState(
        index, name, "veth", mac, mtu, True, True, 3, 9, "mark", 4, hairpin, False, 1
    ),
    names,
    indexes,
    macs,
    st.integers(68, 65535),
    st.booleans(),
)


@given(states)
def test_read_a_port_of_a_bridge(state: LinkState) -> None:
    mode = {"IFLA_BRPORT_MODE": int(state.hairpin)}
    port = {"IFLA_INFO_SLAVE_KIND": "bridge", "IFLA_INFO_SLAVE_DATA": mode}
    body = written(
        NEWLINK,
        {"index": state.ifindex, "flags": 0x1_0001},
        {
            "IFLA_IFNAME": state.name,
            "IFLA_MTU": state.mtu,
            "IFLA_ADDRESS": state.mac,
            "IFLA_MASTER": 3,
            "IFLA_LINK": 9,
            "IFLA_IFALIAS": "mark",
            "IFLA_GROUP": 4,
            "IFLA_LINKINFO": {"IFLA_INFO_KIND": "veth", **port},
            "IFLA_AF_SPEC": NO_ADDRESS,
        },
    )
    assert links.decode(body) == state


def test_read_the_least_a_link_can_be() -> None:
    body = written(NEWLINK, {"index": 1, "flags": 0}, {"IFLA_IFNAME": "lo"})
    assert links.decode(body) == LinkState(1, "lo", "", "", 0, False, False, 0, 0, "", 0, False, False, None)


@pytest.mark.parametrize(
    ("changes", "ours"),
    [
        ({}, True),
        ({"ifindex": 9, "name": "moved"}, True),
        ({"alias": "ductwork:other"}, False),
        ({"alias": ""}, True),
        ({"alias": "", "ifindex": 9}, False),
        ({"alias": "", "name": "dwother"}, False),
        ({"alias": "", "peer_ifindex": 9}, False),
        ({"alias": "", "kind": "dummy"}, False),
    ],
)
def test_whose_a_veth_is(changes: dict[str, Any], ours: bool) -> None:
    assert links.is_ours(VETH, replace(OUTER_STATE, **changes)) is ours


@pytest.mark.parametrize(
    ("changes", "ours"),
    [({"alias": ""}, True), ({"alias": "", "mac": "02:00:00:00:00:99"}, False), ({"alias": "x"}, False)],
)
def test_whose_a_bridge_is(changes: dict[str, Any], ours: bool) -> None:
    assert links.is_ours(BRIDGE, replace(BRIDGE_STATE, **changes)) is ours


def test_what_is_in_line_is_left_alone() -> None:
    assert links.align_bridge(BRIDGE, BRIDGE_STATE) == []
    assert links.align_outer(VETH, OUTER_STATE) == []
    assert links.align_inner(VETH, INNER_STATE) == []
    # Its user may rename the inner end.
    assert links.align_inner(VETH, replace(INNER_STATE, name="lan0")) == []


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (replace(BRIDGE, mtu=1400), {"IFLA_MTU": 1400}),
        (replace(BRIDGE, mac=Mac("02:00:00:00:50:99")), {"IFLA_ADDRESS": "02:00:00:00:50:99"}),
        (replace(BRIDGE, alias="ductwork:n2"), {"IFLA_IFALIAS": "ductwork:n2"}),
        (replace(BRIDGE, name="dwbr2"), {"IFLA_IFNAME": "dwbr2"}),
    ],
)
def test_only_what_differs_is_told(wanted: Bridge, told: dict[str, Any]) -> None:
    (request,) = links.align_bridge(wanted, BRIDGE_STATE)
    assert (fields(request), plain(read(request))) == ((5001, 0, 0), told)


def test_a_link_that_is_down_comes_up() -> None:
    (request,) = links.align_outer(VETH, replace(OUTER_STATE, up=False))
    assert fields(request) == (5002, 1, 1)


def test_another_bridge_comes_before_its_port_settings() -> None:
    wanted = replace(VETH, master=6001, hairpin=True)
    master, port = links.align_outer(wanted, replace(OUTER_STATE, hairpin=True))
    assert plain(read(master)) == {"IFLA_MASTER": 6001}
    assert plain(read(port))["IFLA_LINKINFO"]["IFLA_INFO_SLAVE_DATA"] == {"IFLA_BRPORT_MODE": 1}


def test_hairpin_goes() -> None:
    (port,) = links.align_outer(VETH, replace(OUTER_STATE, hairpin=True))
    assert plain(read(port))["IFLA_LINKINFO"]["IFLA_INFO_SLAVE_DATA"] == {"IFLA_BRPORT_MODE": 0}


def test_ipv6_comes_to_a_link_that_is_up() -> None:
    mode, address = links.align_inner(replace(VETH, ipv6=True), INNER_STATE)
    assert plain(read(mode)) == {"IFLA_AF_SPEC": {"AF_INET6": {"IFLA_INET6_ADDR_GEN_MODE": 0}}}
    assert (address.kind, plain(read(address))["IFA_LOCAL"]) == (NEWADDR, "fe80::ff:fe00:5003")


def test_ipv6_leaves_a_link() -> None:
    mode, address = links.align_inner(VETH, replace(INNER_STATE, addr_gen_mode=0))
    assert plain(read(mode)) == {"IFLA_AF_SPEC": NO_ADDRESS}
    assert (address.kind, plain(read(address))["IFA_LOCAL"]) == (DELADDR, "fe80::ff:fe00:5003")


def test_a_link_without_ipv6_has_no_mode_to_set() -> None:
    state = replace(INNER_STATE, addr_gen_mode=None)
    assert links.align_inner(VETH, state) == links.align_inner(replace(VETH, ipv6=True), state) == []
