"""Anything after anything: whatever people do, what is wanted and what exists are the same afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from errno import ENOMEM
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.engine.world import World, network, ports, sandbox, v4

from ductwork.engine.endpoints import ConnectSpec
from ductwork.engine.networks import NetworkUpdate
from ductwork.errors import DuctworkError
from ductwork.kernel.fake import Killed

NETWORKS = ("red", "green", "blue")
SANDBOXES = ("a", "b", "c")
GUESTS = ("netns:x", "netns:y")
PORTS = ("80:80", "80:81/udp", "81-83:90", "127.0.0.1:80:82", "[::]:80:83", "192.0.2.1:81:84", "85")
SHAPES = (
    {},
    {"ipv6": True},
    {"internal": True},
    {"driver": "link"},
    {"driver": "none"},
    {"options": (("nat", "off"), ("isolation", "strict"))},
    {"options": (("isolation", "off"), ("nat-source", "192.0.2.1"))},
)
UPDATES = (
    {"mtu": 1400},
    {"internal": True},
    {"internal": False},
    {"options": (("nat", "off"),)},
    {"options": (("nat", ""), ("isolation", "strict"))},
    {"ipv6": True},
    {"labels": (("k", "v"),)},
)

networks = st.sampled_from(NETWORKS)
own = st.sampled_from(SANDBOXES)
targets = st.sampled_from((*SANDBOXES, *GUESTS))


class Hosts(RuleBasedStateMachine):
    """One host, its users, and accidents."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="duct-"))
        self.patch = pytest.MonkeyPatch()
        self.world = World(self.folder, self.patch)
        self.guests()
        self.first = self.world.kernel.snapshot()

    def guests(self) -> None:
        for guest in GUESTS:
            path = f"/run/netns/{guest.partition(':')[2]}"
            if path not in self.world.kernel._paths:
                self.world.kernel.declare_namespace(path)

    @property
    def engine(self):  # type: ignore[no-untyped-def]
        return self.world.engine

    @initialize()
    def begin(self) -> None:
        self.engine.create_network(network("red", "10.1.0.0/24", "fd00:1::/64"))

    # -- people ----------------------------------------------------------------------------------------

    @rule(name=networks, shape=st.sampled_from(SHAPES))
    def create_network(self, name: str, shape: dict[str, object]) -> None:
        with suppress(DuctworkError):
            self.engine.create_network(network(name, **shape))

    @rule(name=networks, wanted=st.sampled_from(UPDATES))
    def update_network(self, name: str, wanted: dict[str, object]) -> None:
        with suppress(DuctworkError):
            self.engine.update_network(name, NetworkUpdate(**wanted))  # type: ignore[arg-type]

    @rule(name=networks, number=st.integers(1, 3))
    def add_subnet(self, name: str, number: int) -> None:
        with suppress(DuctworkError):
            self.engine.update_network(name, NetworkUpdate(add_subnets=(v4(f"10.7.{number}.0/24"),)))

    @rule(name=networks)
    def remove_network(self, name: str) -> None:
        with suppress(DuctworkError):
            self.engine.remove_networks([name])

    @rule(name=own, joined=st.lists(networks, max_size=2, unique=True))
    def create_sandbox(self, name: str, joined: list[str]) -> None:
        with suppress(DuctworkError):
            self.engine.create_sandbox(sandbox(name, *joined))

    @rule(name=own, other=targets)
    def share_stack(self, name: str, other: str) -> None:
        with suppress(DuctworkError):
            self.engine.create_sandbox(sandbox(name, mode=f"container:{other}"))

    @rule(name=targets)
    def remove_sandbox(self, name: str) -> None:
        with suppress(DuctworkError):
            self.engine.remove_sandboxes([name])

    @rule(
        name=networks,
        who=targets,
        published=st.lists(st.sampled_from(PORTS), max_size=2, unique=True),
        priority=st.integers(0, 2),
    )
    def connect(self, name: str, who: str, published: list[str], priority: int) -> None:
        spec = ConnectSpec(aliases=(f"{name}-alias",), ports=ports(*published), gateway_priority=priority)
        with suppress(DuctworkError):
            self.engine.connect(name, who, spec)

    @rule(name=networks, who=targets)
    def disconnect(self, name: str, who: str) -> None:
        with suppress(DuctworkError):
            self.engine.disconnect(name, who)

    @rule(who=targets, published=st.sampled_from(PORTS))
    def publish(self, who: str, published: str) -> None:
        with suppress(DuctworkError):
            self.engine.publish(who, ports(published))

    @rule(who=targets, some=st.booleans())
    def unpublish(self, who: str, some: bool) -> None:
        with suppress(DuctworkError):
            self.engine.unpublish(who, ports("80") if some else ())

    @rule(one=targets, two=targets)
    def link(self, one: str, two: str) -> None:
        with suppress(DuctworkError):
            self.engine.link(one, two, "friend")

    @rule(one=targets)
    def unlink(self, one: str) -> None:
        with suppress(DuctworkError):
            self.engine.unlink(one, "friend")

    @rule()
    def prune(self) -> None:
        self.engine.prune_networks()

    # -- accidents -------------------------------------------------------------------------------------

    @rule(guest=st.sampled_from(GUESTS), again=st.booleans())
    def die(self, guest: str, again: bool) -> None:
        path = f"/run/netns/{guest.partition(':')[2]}"
        if path in self.world.kernel._paths:
            self.world.kernel.forget_namespace(path)
        if again:
            self.guests()
        self.engine.tidy()

    @rule(name=networks, who=targets, step=st.integers(1, 12))
    def killed_while_connecting(self, name: str, who: str, step: int) -> None:
        self.world.kernel.die_at(step)
        with suppress(DuctworkError, Killed):
            self.engine.connect(name, who, ConnectSpec(ports=ports("88:88")))
        self.world.restart().tidy()

    @rule(who=targets, step=st.integers(1, 12))
    def killed_while_removing(self, who: str, step: int) -> None:
        self.world.kernel.die_at(step)
        with suppress(DuctworkError, Killed):
            self.engine.remove_sandboxes([who])
        self.world.restart().tidy()

    @rule(name=networks, step=st.integers(1, 12))
    def refused_while_updating(self, name: str, step: int) -> None:
        self.world.kernel.fail_at(step, ENOMEM)
        with suppress(DuctworkError):
            self.engine.update_network(name, NetworkUpdate(mtu=1400, ipv6=True))
        self.world.kernel.faults.reset()
        self.engine.tidy()

    @rule()
    def flush(self) -> None:
        self.world.kernel.host.tables.flush()
        self.engine.tidy()

    # -- what always holds -----------------------------------------------------------------------------

    @invariant()
    def wanted_is_observed(self) -> None:
        status = self.engine.status()
        assert not status.missing, [str(o) for o in status.missing]
        assert not status.leftovers
        assert not self.world.store.scan("pending/")

    @invariant()
    def nothing_exists_that_is_not_wanted(self) -> None:
        wanted = {o.object for o in self.engine.status().objects}
        there = self.world.kernel.host.tables.contents
        elements = {e for by_key in there.values() for e in by_key.values()}
        assert elements <= wanted, elements - wanted

    @invariant()
    def nothing_is_given_twice(self) -> None:
        state = self.engine.state()
        addresses = Counter((e.network_id, a.ip) for e in state.endpoints() for a in e.addresses)
        assert all(count == 1 for count in addresses.values())
        claimed = [p.mapping for p in state.ports()]
        for number, one in enumerate(claimed):
            for other in claimed[:number]:
                same = (one.protocol, one.host_port) == (other.protocol, other.host_port)
                assert not (same and one.overlaps(other))

    @invariant()
    def the_indexes_agree(self) -> None:
        state = self.engine.state()
        endpoints = state.endpoints()
        for each in state.networks():
            assert state.count_endpoints(each.id) == len(state.endpoints_on(each.id))
        for endpoint in endpoints:
            assert endpoint.port_count == len(state.ports_of(endpoint.id))
        leases = {entry.key for entry in self.world.store.scan("lease/")}
        assert len(leases) == sum(len(e.addresses) for e in endpoints)
        assert len(state.ports()) == len(self.world.store.scan("published/"))
        known = {s.id for s in state.sandboxes()}
        assert {e.sandbox_id for e in endpoints} <= known
        for prefix in ("link/", "linked-from/", "shared-by/", "attached-to/"):
            assert {e.key.split("/")[1] for e in self.world.store.scan(prefix)} <= known

    def teardown(self) -> None:
        try:
            self.guests()
            self.world.engine.tidy()
            self.world.remove_all()
            left = set(self.world.store.dump())
            assert left <= {"host", "slot", "port-cursor"}, left
            got, first = self.world.kernel.snapshot(), self.first
            for picture in (got, first):
                for guest in GUESTS:  # they may have been started anew
                    picture["namespaces"][f"/run/netns/{guest.partition(':')[2]}"].pop("cookie")  # type: ignore[index]
            assert got == first
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder, ignore_errors=True)


TestTransitions = Hosts.TestCase
TestTransitions.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
