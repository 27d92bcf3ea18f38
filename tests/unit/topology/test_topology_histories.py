"""Whatever a host went through, a topology brings it to the same state as a fresh host."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.topology.conftest import make_engine

from ductwork.drivers.registry import driver_of
from ductwork.engine.engine import Engine
from ductwork.errors import DuctworkError
from ductwork.kernel.fake import FakeKernel
from ductwork.model.endpoint import StaticRoute
from ductwork.model.names import Mac
from ductwork.model.network import NetworkSpec, Subnet
from ductwork.model.port_mapping import PortRequest
from ductwork.model.topology import Topology, WantedEndpoint, WantedLink, WantedPort, WantedSandbox

NETWORKS = ("n0", "n1", "n2")
SANDBOXES = ("a", "b", "c", "d")


@st.composite
def subnets(draw: st.DrawFn, number: int) -> tuple[Subnet, ...]:
    found = []
    for cidr in draw(
        st.sets(st.sampled_from([f"10.{number}.0.0/24", f"10.{number}.1.0/24", f"fd{number}::/64"]))
    ):
        network = ip_network(cidr)
        reserved = (network[99],) if draw(st.booleans()) else ()
        gateway = network[77] if draw(st.integers(0, 4)) == 0 else None
        found.append(Subnet(network, gateway, None, reserved))
    return tuple(sorted(found, key=lambda s: str(s.cidr)))


@st.composite
def network(draw: st.DrawFn, number: int) -> NetworkSpec:
    driver = draw(st.sampled_from(["bridge", "bridge", "bridge", "link", "none"]))
    has_addresses = driver_of(driver).uses_addresses
    options = draw(st.sampled_from([(), (("isolation", "strict"),), (("bridge", f"br{number}"),)]))
    return NetworkSpec(
        f"n{number}",
        driver,
        draw(subnets(number)) if has_addresses else (),
        draw(st.booleans()) and has_addresses,
        draw(st.booleans()) and driver == "bridge",
        draw(st.sampled_from([None, 1400])),
        draw(st.sampled_from([(), (("k", "v"),), (("k", "w"), ("l", "x"))])),
        options if driver == "bridge" else (),
    )


@st.composite
def connection(draw: st.DrawFn, spec: NetworkSpec, sandbox: int) -> WantedEndpoint:
    if not driver_of(spec.driver).uses_addresses:
        return WantedEndpoint(spec.name, aliases=draw(st.sampled_from([(), ("x",)])))
    given4 = [s.cidr for s in spec.subnets if s.cidr.version == 4]
    address = (ip_address(int(given4[0][2 + sandbox])),) if given4 and draw(st.booleans()) else ()
    return WantedEndpoint(
        spec.name,
        address,
        Mac(f"02:00:00:00:{spec.name[1]}0:0{sandbox}") if draw(st.integers(0, 3)) == 0 else None,
        draw(st.sampled_from(["", "", "eth0", "eth1"])),
        draw(st.sampled_from([(), ("x",), ("x", "y")])),
        draw(st.sampled_from([(), (StaticRoute(ip_network(f"192.168.{spec.name[1]}.0/24")),)])),
        draw(st.integers(0, 1)),
    )


@st.composite
def sandbox(draw: st.DrawFn, number: int, specs: tuple[NetworkSpec, ...]) -> WantedSandbox:
    mode = draw(st.sampled_from(["", "", "", "", "host"]))
    if mode:
        return WantedSandbox(SANDBOXES[number], mode)
    joined = [draw(connection(s, number)) for s in draw(st.permutations(specs)) if draw(st.booleans())]
    names = [e.ifname for e in joined if e.ifname]
    if len(set(names)) < len(names):
        joined = joined[:1]
    able = [
        s for s in specs if s.driver == "bridge" and not s.internal and s.name in {e.network for e in joined}
    ]
    hosts = draw(st.sets(st.sampled_from([None, 8000 + number, 9000])) if able else st.just(set()))
    requests = [PortRequest(80, 1, None, h, 9005 if h == 9000 else h) for h in sorted(hosts, key=str)]
    return WantedSandbox(
        SANDBOXES[number], "", "", tuple(joined), tuple(WantedPort(r, "", f"port {r}") for r in requests)
    )


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    specs = tuple(draw(network(i)) for i in range(3) if draw(st.integers(0, 3)))
    wanted = [draw(sandbox(i, specs)) for i in range(4) if draw(st.integers(0, 3))]
    own = [w.name for w in wanted if not w.mode]
    linked = []
    for one in wanted:
        others = [n for n in own if n != one.name and not one.mode]
        links = draw(st.sets(st.sampled_from(others), max_size=2)) if others else set()
        linked.append(
            WantedSandbox(
                one.name,
                one.mode,
                "",
                one.endpoints,
                one.ports,
                tuple(WantedLink(o, f"my-{o}") for o in sorted(links)),
            )
        )
    return Topology("t", specs, (), tuple(linked))


@st.composite
def edits(draw: st.DrawFn, topology: Topology) -> Topology:
    """The same topology with some of what can be changed in place changed."""
    specs = tuple(
        replace(
            s,
            labels=draw(st.sampled_from([s.labels, (("new", "1"),)])),
            mtu=draw(st.sampled_from([s.mtu, 1300])),
            ipv6=s.ipv6 or (driver_of(s.driver).uses_addresses and draw(st.booleans())),
        )
        for s in topology.networks
    )
    wanted = []
    for one in topology.sandboxes:
        joined = []
        for e in one.endpoints:
            priority = draw(st.sampled_from([e.gateway_priority, 5]))
            aliases = draw(st.sampled_from([e.aliases, ("other",)]))
            joined.append(replace(e, gateway_priority=priority, aliases=aliases))
        ports = tuple(p for p in one.ports if draw(st.booleans()))
        links = tuple(k for k in one.links if draw(st.booleans()))
        wanted.append(replace(one, endpoints=tuple(joined), ports=ports, links=links))
    return replace(topology, networks=specs, sandboxes=tuple(wanted))


@st.composite
def histories(draw: st.DrawFn) -> tuple[Topology, Topology]:
    first = draw(topologies())
    return first, draw(edits(first) if draw(st.booleans()) else topologies())


def desired(engine: Engine, topology: Topology) -> dict[str, object]:
    """What the records say, without what is chosen once and kept: ids, subnets, addresses, names, ports."""
    state = engine.state()
    specs = {s.name: s for s in topology.networks}
    names = {n.id: n.name for n in state.networks()}
    people = {s.id: s.name for s in state.sandboxes()}
    asked = {(w.name, e.network): e for w in topology.sandboxes for e in w.endpoints}
    networks = {}
    for n in state.networks():
        given = {s.cidr for s in specs[n.name].subnets}
        kept = [(str(s) if s.cidr in given else (s.cidr.version, s.reserved)) for s in n.subnets]
        networks[n.name] = (
            n.driver,
            sorted(map(str, kept)),
            n.internal,
            n.mtu,
            n.labels,
            n.options,
            n.topology,
        )
    endpoints = {}
    for e in state.endpoints():
        pair = (people[e.sandbox_id], names[e.network_id])
        want = asked[pair]
        addresses = [str(a) if a.ip in want.addresses else a.version for a in e.addresses]
        ports = [(m.container_port, m.host_port if m.host_port < 9000 else 0) for m in state.ports_of(e.id)]
        endpoints[pair] = (
            want.mac and e.mac,
            want.ifname and e.container_ifname,
            addresses,
            e.aliases,
            e.routes,
            e.gateway_priority,
            sorted(ports),
            e.topology,
        )
    links = {(people[s], people[k.sandbox_id], k.alias) for s in people for k in state.links(s)}
    return {
        "networks": networks,
        "sandboxes": {(s.name, s.mode, s.topology) for s in state.sandboxes()},
        "endpoints": endpoints,
        "links": links,
    }


def kernel_matches_records(engine: Engine) -> None:
    status = engine.status()
    assert status.leftovers == ()
    # The fake's namespaces are no files, which is what this observation asks for.
    assert [o for o in status.missing if type(o.object).__name__ != "PinnedNamespace"] == []


def try_up(engine: Engine, topology: Topology) -> bool:
    try:
        engine.up(topology)
    except DuctworkError:
        return False
    return True


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_any_history_leads_to_the_same_state(history: tuple[Topology, Topology]) -> None:
    first, second = history
    with TemporaryDirectory() as folder:
        engine, fresh = make_engine(Path(folder) / "a"), make_engine(Path(folder) / "b")
        assert isinstance(engine.kernel, FakeKernel)
        before = engine.kernel.snapshot()
        try_up(engine, first)
        if try_up(fresh, second):
            engine.up(second)
            assert engine.diff(second).actions == () == fresh.diff(second).actions
            assert desired(engine, second) == desired(fresh, second)
            kernel_matches_records(engine)
        engine.down("t")
        assert engine.kernel.snapshot() == before
