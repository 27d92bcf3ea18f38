"""The loopback guard on the real kernel, judged by tc(8) and by packets."""

import errno
from collections.abc import Iterator

import pytest
from tests.netns.netlink_lab import BOX, BRIDGE, NetlinkLab

from ductwork.model.marks import LOOPBACK_ANSWER
from ductwork.model.objects import HOST, Add, Change, LoopbackGuard, Remove

GUARD = LoopbackGuard(HOST, BRIDGE.name, BRIDGE.ifindex)
THEIRS = "filter add dev dwbr ingress protocol ip prio 7 u32 match ip dst 192.0.2.0/24 classid 1:1"


@pytest.fixture
def lab(machine_untouched: None) -> Iterator[NetlinkLab]:
    lab = NetlinkLab()
    try:
        lab.attach()
        yield lab
    finally:
        lab.close()


def filters(lab: NetlinkLab) -> list[str]:
    told = lab.told(HOST, "tc", "-j", "filter", "show", "dev", BRIDGE.name, "ingress")
    return sorted({entry["kind"] for entry in told})


def has_place(lab: NetlinkLab) -> bool:
    told = lab.told(HOST, "tc", "-j", "qdisc", "show", "dev", BRIDGE.name)
    return "clsact" in [entry["kind"] for entry in told]


def test_comes_and_goes_with_its_place(lab: NetlinkLab) -> None:
    assert lab.host.guards() == []
    lab.do(Add(GUARD))
    assert (lab.host.guards(), filters(lab), has_place(lab)) == ([BRIDGE.ifindex], ["bpf"], True)
    shown = lab.run(HOST, "tc", "-s", "filter", "show", "dev", BRIDGE.name, "ingress")
    assert "protocol ip pref 55255" in shown
    assert "handle 0xd7 direct-action" in shown
    lab.do(Remove(GUARD), Remove(GUARD))
    assert (lab.host.guards(), filters(lab), has_place(lab)) == ([], [], False)


def test_twice(lab: NetlinkLab) -> None:
    assert lab.try_to(Add(GUARD), Add(GUARD), Add(GUARD, True), Change(GUARD, GUARD)) == [
        None,
        errno.EEXIST,
        None,
        None,
    ]
    assert lab.host.guards() == [BRIDGE.ifindex]


def test_filters_of_others_stay(lab: NetlinkLab) -> None:
    lab.run(HOST, "tc", "qdisc", "add", "dev", BRIDGE.name, "clsact")
    lab.run(HOST, "tc", *THEIRS.split())
    lab.do(Add(GUARD))
    assert filters(lab) == ["bpf", "u32"]
    lab.do(Remove(GUARD))
    assert (filters(lab), has_place(lab)) == (["u32"], True)


def test_a_filter_at_egress_keeps_the_place(lab: NetlinkLab) -> None:
    lab.do(Add(GUARD))
    lab.run(HOST, "tc", *THEIRS.replace("ingress", "egress").split())
    lab.do(Remove(GUARD))
    assert (lab.host.guards(), has_place(lab)) == ([], True)


def test_one_with_another_program_is_replaced(lab: NetlinkLab) -> None:
    lab.run(HOST, "tc", "qdisc", "add", "dev", BRIDGE.name, "clsact")
    older = "filter add dev dwbr ingress protocol ip prio 55255 handle 0xd7 bpf da bytecode"
    lab.run(HOST, "tc", *older.split(), "1,6 0 0 4294967295,")
    assert lab.host.guards() == []
    lab.do(Add(GUARD, True))
    assert lab.host.guards() == [BRIDGE.ifindex]
    lab.do(Remove(GUARD))
    assert filters(lab) == []


def test_an_older_kind_of_place_will_do(lab: NetlinkLab) -> None:
    lab.run(HOST, "tc", "qdisc", "add", "dev", BRIDGE.name, "ingress")
    lab.do(Add(GUARD))
    assert lab.host.guards() == [BRIDGE.ifindex]
    lab.do(Remove(GUARD))
    assert lab.host.guards() == []


def test_on_no_link(lab: NetlinkLab) -> None:
    nowhere = LoopbackGuard(HOST, "x", 9)
    assert lab.try_to(Add(nowhere), Add(nowhere, True)) == [errno.ENODEV, errno.ENODEV]
    lab.do(Remove(nowhere))


def test_a_sandbox_cannot_reach_what_listens_on_loopback(lab: NetlinkLab) -> None:
    for path in ("all/route_localnet", f"{BRIDGE.name}/route_localnet", "all/rp_filter"):
        value = "0" if "rp_filter" in path else "1"
        lab.run(HOST, "sh", "-c", f"echo {value} >/proc/sys/net/ipv4/conf/{path}")
    lab.run(HOST, "ip", "link", "set", "lo", "up")
    lab.run(BOX, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet")
    lab.run(BOX, "ip", "route", "add", "127.9.0.0/16", "via", "10.50.0.1", "dev", "eth0", "src", "10.50.0.2")
    assert lab.ping(BOX, "127.9.0.1")
    lab.do(Add(GUARD))
    assert not lab.ping(BOX, "127.9.0.1", tries=1)
    assert lab.ping(BOX, "10.50.0.1")


def test_a_packet_with_our_mark_passes(lab: NetlinkLab) -> None:
    """Marks do not leave a namespace, so the bridge must set it, as our rules do with bridge-nf on."""
    lab.do(Add(GUARD))
    shown = lab.told(HOST, "tc", "-j", "filter", "show", "dev", BRIDGE.name, "ingress")
    (program,) = [e["options"]["bytecode"]["insns"] for e in shown if "options" in e]
    assert LOOPBACK_ANSWER in [instruction["k"] for instruction in program]
