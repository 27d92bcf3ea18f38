"""What the fake can do beyond a kernel: fail and die on demand, and be compared."""

from __future__ import annotations

from dataclasses import replace
from errno import EINTR, ENOBUFS
from ipaddress import IPv4Address, IPv6Network

import pytest

from ductwork.kernel.fake import FakeFlow, FakeKernel, Killed
from ductwork.kernel.ports import KernelError, Listener, RouteInfo
from ductwork.model.names import Mac
from ductwork.model.objects import HOST, Add, Bridge, FlowFilter, ForeignAccept, NsKey, Remove, Ruleset

BRIDGE = Bridge(HOST, "dwbr", 5001, Mac("02:00:00:00:50:01"), 1500, "ductwork:n1", False, False)
SECOND = replace(BRIDGE, name="dwbr2", ifindex=5002)
THIRD = replace(BRIDGE, name="dwbr3", ifindex=5003)


def test_the_nth_step_fails_and_the_others_do_not() -> None:
    kernel = FakeKernel()
    kernel.fail_at(2, ENOBUFS)
    errors = kernel.route(HOST).apply([Add(BRIDGE), Add(SECOND), Add(THIRD)])
    assert [error and error.errno for error in errors] == [None, ENOBUFS, None]
    assert [link.name for link in kernel.route(HOST).links()] == ["lo", "dwbr", "dwbr3"]
    assert kernel.steps == 3


def test_faults_meet_every_kind_of_change() -> None:
    kernel = FakeKernel()
    for n in range(1, 7):
        kernel.fail_at(n, EINTR)
    with pytest.raises(OSError, match="create namespace"):
        kernel.create_namespace("/run/netns/a")
    with pytest.raises(OSError, match="write hosts"):
        kernel.write_hosts("file:/etc/hosts", ["10.0.0.1 a"])
    with pytest.raises(KernelError):
        kernel.nft(HOST).load(Ruleset(HOST, "me", ""))
    with pytest.raises(KernelError):
        kernel.sysctl(HOST).set("net/ipv4/ip_forward", "1")
    with pytest.raises(KernelError):
        kernel.conntrack(HOST).delete([])
    assert kernel.run(HOST, ["iptables", "-S"])[0] == 1
    assert kernel.snapshot() == FakeKernel().snapshot()


def test_death_stops_everything_until_the_restart() -> None:
    kernel = FakeKernel()
    kernel.create_namespace("/run/netns/a")
    kernel.bind(NsKey("a"), "/run/netns/a")
    kernel.die_at(2)
    with pytest.raises(Killed):
        kernel.route(HOST).apply([Add(BRIDGE), Add(SECOND)])
    with pytest.raises(Killed):
        kernel.route(HOST).apply([Remove(BRIDGE)])
    kernel.restart()
    assert kernel.bound(NsKey("a")) is None
    assert [link.name for link in kernel.route(HOST).links()] == ["lo", "dwbr"]
    assert kernel.route(HOST).apply([Add(SECOND)]) == [None]


def test_snapshots_tell_every_difference_and_only_those() -> None:
    kernel = FakeKernel()
    before = kernel.snapshot()
    kernel.route(HOST).apply([Add(BRIDGE)])
    assert kernel.snapshot() != before
    kernel.route(HOST).apply([Remove(BRIDGE)])
    assert kernel.snapshot() == before


def test_a_namespace_lives_as_long_as_somebody_holds_it() -> None:
    kernel = FakeKernel()
    space = kernel.declare_namespace("/proc/7/ns/net")
    kernel.declare_namespace("/run/netns/same", same_as="/proc/7/ns/net")
    link = space.add_link("eth0")
    key = NsKey("seven")
    kernel.bind(key, "/run/netns/same")
    kernel.forget_namespace("/proc/7/ns/net")
    kernel.delete_namespace("/run/netns/same")
    assert link.ifindex in space.links
    kernel.unbind(key)
    assert not space.links


def test_sockets_conflict_as_in_bind() -> None:
    kernel = FakeKernel()
    any4, one4 = IPv4Address("0.0.0.0"), IPv4Address("192.0.2.1")
    kernel.host.listeners.append(Listener("tcp", one4, 22, "sshd (pid 1)"))
    sockets = kernel.sockets(HOST)
    assert sockets.bind_conflict("tcp", any4, 22)
    assert not sockets.bind_conflict("tcp", IPv4Address("192.0.2.2"), 22)
    assert not sockets.bind_conflict("udp", any4, 22)
    assert [held.process for held in sockets.listeners("tcp", 22)] == ["sshd (pid 1)"]


def test_flows_are_deleted_by_filter() -> None:
    kernel = FakeKernel()
    client, host, box = (IPv4Address(f"192.0.2.{n}") for n in (1, 2, 3))
    plain = FakeFlow(17, client, host, 53, host)
    translated = FakeFlow(17, client, host, 53, box)
    kernel.host.flows += [plain, translated]
    kernel.conntrack(HOST).delete([FlowFilter(17, 53, untranslated_only=True)])
    assert kernel.host.flows == [translated]
    kernel.conntrack(HOST).delete([FlowFilter(17, 53, host, box)])
    assert kernel.host.flows == []


def test_tools_answer_from_the_table() -> None:
    kernel = FakeKernel()
    kernel.tools = {("iptables", "-S"): (0, "-P FORWARD DROP"), ("ufw",): (1, "inactive")}
    assert kernel.run(HOST, ["iptables", "-S"]) == (0, "-P FORWARD DROP")
    assert kernel.run(HOST, ["ufw", "status"], "y") == (1, "inactive")
    assert kernel.run(HOST, ["firewall-cmd"])[0] == 127
    assert kernel.ran[1] == (HOST, ("ufw", "status"), "y")


@pytest.mark.parametrize(("accept_ra", "left"), [("1", 0), ("2", 1)])
def test_forwarding_forgets_advertised_routers(accept_ra: str, left: int) -> None:
    kernel = FakeKernel()
    uplink = kernel.host.add_link("eth0", up=True)
    advertised = RouteInfo(IPv6Network("::/0"), None, uplink.ifindex, 1024, 254, 9)
    kernel.route(HOST).routes_restore([advertised])
    kernel.sysctl(HOST).set("net/ipv6/conf/eth0/accept_ra", accept_ra)
    kernel.sysctl(HOST).set("net/ipv6/conf/all/forwarding", "1")
    assert len([r for r in kernel.route(HOST).routes() if r == advertised]) == left


def test_foreign_accepts_stand_once_and_go_once() -> None:
    kernel = FakeKernel()
    accept = ForeignAccept(HOST, "iptables", "filter", "DOCKER-USER", "dwbr", "in", "me")
    for step in (Add(accept), Add(accept)):
        kernel.apply_foreign(HOST, step)
    assert kernel.observe_foreign(HOST).accepts == (accept,)
    for undo in (Remove(accept), Remove(accept)):
        kernel.apply_foreign(HOST, undo)
    assert kernel.observe_foreign(HOST).accepts == ()
