"""Facts about the kernel's rtnetlink that our design rests on; each fails the day it stops being true."""

import errno
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.netns.netlink_lab import BOX, BRIDGE, VETH, NetlinkLab, many_pairs

from ductwork.kernel.netlink import links
from ductwork.kernel.netlink.codec import Request
from ductwork.kernel.netlink.links import create_bridge, create_veth, set_up
from ductwork.kernel.netlink.tables import (
    CREATE,
    EXCL,
    IFINFOMSG,
    NEWLINK,
    SETLINK,
    Inet6,
    Link,
    LinkKind,
    PerFamily,
    VethData,
)
from ductwork.model.objects import HOST, Add

UP = (0x1, 0x1)


@pytest.fixture
def lab(machine_untouched: None) -> Iterator[NetlinkLab]:
    lab = NetlinkLab()
    yield lab
    lab.close()


def exchange(lab: NetlinkLab, *requests: Request) -> list[tuple[int, int]]:
    return [(r.place, r.errno) for r in lab.spaces[HOST].rtnetlink.exchange(requests)]


def no_address(index: int, flags: tuple[int, int] = (0, 0)) -> Request:
    families = PerFamily.INET6.encode(Inet6.ADDR_GEN_MODE.encode(1))
    return Request(SETLINK, 0, IFINFOMSG.pack(0, 0, index, *flags) + Link.AF_SPEC.encode(families))


def test_fact_a_failing_message_does_not_stop_its_batch(lab: NetlinkLab) -> None:
    """And by name the message after a failed create hits a stranger's link; by index it hits nothing."""
    lab.run(HOST, "ip", "link", "add", BRIDGE.name, "type", "bridge")
    by_name = Request(
        SETLINK, 0, IFINFOMSG.pack(0, 0, 0, *UP) + Link.IFNAME.encode(BRIDGE.name) + Link.MTU.encode(1300)
    )
    refused = exchange(lab, create_bridge(BRIDGE), set_up(BRIDGE.ifindex), by_name)
    assert refused == [(0, errno.EEXIST), (1, errno.ENODEV)]
    assert lab.link(HOST, BRIDGE.name)["mtu"] == 1300


def test_fact_one_create_carries_both_ends_of_a_pair(lab: NetlinkLab) -> None:
    create = create_veth(replace(VETH, mtu=1400), lab.spaces[BOX].fd)
    grouped = Request(create.kind, create.flags, create.body + Link.GROUP.encode(77))
    assert exchange(lab, create_bridge(BRIDGE), grouped) == []
    outer, inner = lab.link(HOST, VETH.name), lab.link(BOX, "eth0")
    assert (outer["ifindex"], outer["mtu"], outer["group"], outer["master"]) == (
        VETH.ifindex,
        1400,
        "77",
        BRIDGE.name,
    )
    assert (inner["ifindex"], inner["mtu"], inner["address"]) == (VETH.peer_ifindex, 1400, VETH.peer_mac)


@pytest.mark.parametrize("taken", ["name", "index"])
def test_fact_a_create_whose_other_end_is_refused_leaves_nothing(lab: NetlinkLab, taken: str) -> None:
    lab.do(Add(replace(VETH, master=0)))
    second = replace(VETH, master=0, name="dwv2", ifindex=50012, peer_name="eth1", peer_ifindex=50013)
    changes = {"peer_name": "eth0"} if taken == "name" else {"peer_ifindex": VETH.peer_ifindex}
    assert exchange(lab, create_veth(replace(second, **changes), lab.spaces[BOX].fd))
    assert lab.link_names(HOST) == [VETH.name]
    assert lab.link_names(BOX) == ["eth0"]


def test_fact_a_create_whose_master_is_refused_leaves_nothing(lab: NetlinkLab) -> None:
    assert exchange(lab, create_veth(replace(VETH, master=999), lab.spaces[BOX].fd))
    assert lab.link_names(HOST) == lab.link_names(BOX) == []


def test_fact_a_peer_that_is_to_be_up_is_refused(lab: NetlinkLab) -> None:
    peer = IFINFOMSG.pack(0, 0, 50003, *UP) + Link.IFNAME.encode("eth0")
    data = LinkKind.DATA.encode(VethData.PEER.encode(peer))
    body = IFINFOMSG.pack(0, 0, 50002, 0, 0) + Link.IFNAME.encode("dwv1")
    body += Link.LINKINFO.encode(LinkKind.KIND.encode("veth") + data)
    assert exchange(lab, Request(NEWLINK, CREATE | EXCL, body)) == [(0, errno.ENOTCONN)]
    assert lab.link_names(HOST) == []


def test_fact_a_create_takes_no_settings_of_a_family(lab: NetlinkLab) -> None:
    create = create_bridge(BRIDGE)
    families = Link.AF_SPEC.encode(PerFamily.INET6.encode(Inet6.ADDR_GEN_MODE.encode(1)))
    assert exchange(lab, Request(create.kind, create.flags, create.body + families))
    assert lab.link_names(HOST) == []


def test_fact_a_create_forgets_the_alias(lab: NetlinkLab) -> None:
    create = create_bridge(BRIDGE)
    aliased = Request(create.kind, create.flags, create.body + Link.IFALIAS.encode("mark"))
    assert exchange(lab, aliased) == []
    assert "ifalias" not in lab.link(HOST, BRIDGE.name)


def test_fact_flags_act_before_the_settings_of_their_message(lab: NetlinkLab) -> None:
    """So a link that has its carrier at once must be told the mode before it is set up."""
    pair = replace(VETH, master=0)
    for together in (True, False):
        assert exchange(lab, create_veth(pair, lab.spaces[BOX].fd)) == []
        lab.run(BOX, "ip", "link", "set", "eth0", "up")
        index = pair.ifindex
        requests = [no_address(index, UP)] if together else [no_address(index), set_up(index)]
        assert exchange(lab, *requests) == []
        assert bool(lab.addresses(HOST, pair.name)) is together
        lab.run(HOST, "ip", "link", "delete", pair.name)


def test_fact_a_link_below_1280_takes_no_ipv6_settings(lab: NetlinkLab) -> None:
    assert exchange(lab, create_bridge(replace(BRIDGE, mtu=1279)), no_address(BRIDGE.ifindex)) == [
        (1, errno.EAFNOSUPPORT)
    ]


def test_fact_a_chosen_index_does_not_lead_the_kernels_own_on(lab: NetlinkLab) -> None:
    """So a stranger's link never gets one of ours by itself."""
    lab.do(Add(BRIDGE))
    lab.run(HOST, "ip", "link", "add", "theirs", "type", "bridge")
    assert lab.link(HOST, "theirs")["ifindex"] < 1000


def test_fact_a_group_is_deleted_at_once(lab: NetlinkLab) -> None:
    pairs = many_pairs(20)
    lab.do(*map(Add, pairs), Add(BRIDGE))
    requests = [links.move_to_group(pair.ifindex, 4711) for pair in pairs]
    assert exchange(lab, *requests, links.delete_group(4711)) == []
    assert lab.link_names(HOST) == [BRIDGE.name]
    assert lab.link_names(BOX) == []


def test_fact_a_kernel_that_knows_no_such_group_says_so(lab: NetlinkLab) -> None:
    assert exchange(lab, links.delete_group(4712)) == [(0, errno.ENODEV)]


def test_fact_only_newlink_takes_settings_of_a_port(lab: NetlinkLab) -> None:
    lab.do(Add(BRIDGE), Add(VETH))
    hairpin = links.settle_outer(replace(VETH, hairpin=True))
    assert hairpin.kind == NEWLINK
    assert exchange(lab, Request(SETLINK, 0, hairpin.body)) == []
    assert lab.link(HOST, VETH.name)["linkinfo"]["info_slave_data"]["hairpin"] is False
    assert exchange(lab, hairpin) == []
    assert lab.link(HOST, VETH.name)["linkinfo"]["info_slave_data"]["hairpin"] is True


def test_fact_a_taken_name_carries_no_words(lab: NetlinkLab) -> None:
    (refusal,) = lab.spaces[HOST].rtnetlink.exchange([create_bridge(BRIDGE), create_bridge(BRIDGE)])
    assert (refusal.errno, refusal.text) == (errno.EEXIST, "")
