"""What cannot be done is refused: with the right class, what and why, what to do, and nothing changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest
from tests.unit.engine.world import UPLINK, World, network, ports, sandbox, v4

from ductwork.engine.endpoints import ConnectSpec
from ductwork.engine.networks import NetworkUpdate
from ductwork.errors import (
    Conflict,
    Denied,
    DuctworkError,
    Exhausted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from ductwork.kernel.fake.namespace import RT_TABLE_MAIN
from ductwork.kernel.ports import Listener, RouteInfo
from ductwork.model.addresses import parse_network
from ductwork.model.endpoint import StaticRoute
from ductwork.model.names import Mac, parse_ifname, parse_mac
from ductwork.model.network import NetworkSpec, Subnet


@dataclass(frozen=True)
class Refusal:
    """A request, what it is refused with, and words that the message and the hint must contain."""

    act: Callable[[World], object]
    kind: type[DuctworkError]
    message: tuple[str, ...]
    hint: str


def ip(address: str, target: str = "db", on: str = "front") -> Callable[[World], object]:
    return lambda w: w.engine.connect(on, target, ConnectSpec(addresses=(ip_address(address),)))


def create(name: str, *cidrs: str, **more: object) -> Callable[[World], object]:
    return lambda w: w.engine.create_network(network(name, *cidrs, **more))


def connect(on: str, target: str, **spec: object) -> Callable[[World], object]:
    return lambda w: w.engine.connect(on, target, ConnectSpec(**spec))  # type: ignore[arg-type]


def publish(target: str, *texts: str, on: str = "") -> Callable[[World], object]:
    return lambda w: w.engine.publish(target, ports(*texts), on)


def make(name: str, *joined: str, mode: str = "") -> Callable[[World], object]:
    return lambda w: w.engine.create_sandbox(sandbox(name, *joined, mode=mode))


def update(name: str, **wanted: object) -> Callable[[World], object]:
    return lambda w: w.engine.update_network(name, NetworkUpdate(**wanted))  # type: ignore[arg-type]


WEB = "10.1.0.2"

REFUSALS: dict[str, Refusal] = {
    # subnets
    "host bits": Refusal(
        lambda _: parse_network("10.1.0.1/24"), InvalidArgument, ("10.1.0.1/24", "host bits"), "10.1.0.0/24"
    ),
    "no prefix": Refusal(lambda _: parse_network("10.1.0.0"), InvalidArgument, ("10.1.0.0", "prefix"), "/24"),
    "no network": Refusal(
        lambda _: parse_network("ten/24"), InvalidArgument, ("ten/24", "CIDR"), "10.1.0.0/24"
    ),
    "overlaps a network": Refusal(
        create("n", "10.1.0.128/25"), Conflict, ("10.1.0.128/25", "overlaps", "front"), "--subnet"
    ),
    "overlaps itself": Refusal(create("n", "10.5.0.0/24", "10.5.0.0/25"), Conflict, ("twice",), "--subnet"),
    "overlaps a route": Refusal(
        create("n", "203.0.113.0/26"), Conflict, ("203.0.113.0/26", "route", "eth0"), "--subnet"
    ),
    "overlaps an address": Refusal(
        create("n", "192.0.2.0/25"), Conflict, ("192.0.2.0/25", "192.0.2.1/24", "eth0"), "--subnet"
    ),
    "loopback": Refusal(create("n", "127.5.0.0/24"), InvalidArgument, ("loopback",), "10.1.0.0/24"),
    "single address": Refusal(create("n", "10.5.0.0/32"), InvalidArgument, ("single address",), "/31"),
    "gateway outside": Refusal(
        lambda w: w.engine.create_network(
            NetworkSpec("n", subnets=(Subnet(ip_network("10.5.0.0/24"), gateway=ip_address("10.6.0.1")),))
        ),
        InvalidArgument,
        ("gateway 10.6.0.1", "not in 10.5.0.0/24"),
        "inside",
    ),
    "added subnet overlaps": Refusal(
        update("front", add_subnets=(v4("10.2.0.0/25"),)), Conflict, ("10.2.0.0/25", "back"), "--subnet"
    ),
    "subnet of a none network": Refusal(
        update("void", add_subnets=(v4("10.5.0.0/24"),)), InvalidArgument, ("none",), "--subnet"
    ),
    # addresses and interfaces
    "address in use": Refusal(ip(WEB), Conflict, (WEB, "front", "in use by web"), "--ip"),
    "address outside": Refusal(ip("10.9.0.2"), InvalidArgument, ("10.9.0.2", "front"), "10.1.0.0/24"),
    "gateway address": Refusal(ip("10.1.0.1"), InvalidArgument, ("10.1.0.1", "gateway"), "another"),
    "network address": Refusal(ip("10.1.0.0"), InvalidArgument, ("network address",), "10.1.0.1"),
    "broadcast address": Refusal(ip("10.1.0.255"), InvalidArgument, ("broadcast",), "10.1.0.254"),
    "anycast address": Refusal(ip("fd00:1::"), InvalidArgument, ("anycast",), "fd00:1::1"),
    "address of a none network": Refusal(ip("10.1.0.9", on="void"), InvalidArgument, ("none",), "leave"),
    "two of one family": Refusal(
        connect("front", "db", addresses=(ip_address("10.1.0.8"), ip_address("10.1.0.9"))),
        InvalidArgument,
        ("two addresses",),
        "--ip6",
    ),
    "MAC in use": Refusal(
        connect("front", "db", mac=Mac("02:00:00:00:00:01")),
        Conflict,
        ("02:00:00:00:00:01", "other"),
        "another",
    ),
    "MAC multicast": Refusal(lambda _: parse_mac("03:00:00:00:00:01"), InvalidArgument, ("unicast",), "02:"),
    "ifname taken": Refusal(connect("front", "db", ifname="eth0"), Conflict, ("db", "eth0"), "--ifname"),
    "ifname of a stranger": Refusal(
        connect("front", "netns:guest", ifname="docker0"), Conflict, ("guest", "docker0"), "--ifname"
    ),
    "ifname lo": Refusal(connect("front", "db", ifname="lo"), Conflict, ("lo",), "--ifname"),
    "ifname too long": Refusal(
        connect("front", "db", ifname="interface-number"), InvalidArgument, ("16 bytes", "15"), "shorter"
    ),
    "ifname illegal": Refusal(lambda _: parse_ifname("a/b"), InvalidArgument, ("a/b",), "letters"),
    "alias illegal": Refusal(
        connect("front", "db", aliases=("-x",)), InvalidArgument, ("alias", "-x"), "letters"
    ),
    "no way to the next hop": Refusal(
        connect("front", "db", routes=(StaticRoute(ip_network("10.9.0.0/16"), ip_address("10.2.0.1")),)),
        InvalidArgument,
        ("10.9.0.0/16", "10.2.0.1", "front"),
        "10.1.0.0/24",
    ),
    "next hop of another family": Refusal(
        connect("front", "db", routes=(StaticRoute(ip_network("10.9.0.0/16"), ip_address("fd00:1::1")),)),
        InvalidArgument,
        ("10.9.0.0/16", "fd00:1::1", "families"),
        "IPv4",
    ),
    "the same route twice": Refusal(
        connect("plain", "other", routes=2 * (StaticRoute(ip_network("10.9.0.0/16")),)),
        Conflict,
        ("10.9.0.0/16", "already"),
        "one of the connections",
    ),
    # words
    "unknown network": Refusal(connect("frnt", "db"), NotFound, ("'frnt'",), "back, cable, front, full"),
    "unknown driver": Refusal(
        create("n", driver="brigde"), InvalidArgument, ("'brigde'",), "bridge, host, link"
    ),
    "unknown option": Refusal(
        create("n", options=(("nta", "on"),)), InvalidArgument, ("bridge", "'nta'"), "nat, nat-source"
    ),
    "unknown value": Refusal(
        create("n", options=(("nat", "maybe"),)), InvalidArgument, ("nat", "maybe"), "nat=on"
    ),
    "unknown isolation": Refusal(
        create("n", options=(("isolation", "open"),)), InvalidArgument, ("isolation", "open"), "strict"
    ),
    "unknown target": Refusal(connect("front", "nobody"), NotFound, ("'nobody'",), "netns:NAME"),
    "unknown kind": Refusal(connect("front", "dokcer:x"), InvalidArgument, ("'dokcer'",), "docker:NAME"),
    "unknown named namespace": Refusal(
        connect("front", "netns:nothing"), NotFound, ("/run/netns/nothing",), "netns:NAME"
    ),
    "pid of nobody": Refusal(connect("front", "pid:0"), NotFound, ("pid:0",), "running"),
    "pid beyond all": Refusal(connect("front", "pid:99999999999999"), NotFound, ("pid:9999",), "running"),
    "pid is a word": Refusal(connect("front", "pid:x"), InvalidArgument, ("pid",), "pid:4711"),
    "unknown mode": Refusal(make("n", mode="bridged"), InvalidArgument, ("'bridged'",), "container:OTHER"),
    "name too long": Refusal(create("n" * 64), InvalidArgument, ("64", "63"), "shorter"),
    "name illegal": Refusal(make("no/slash"), InvalidArgument, ("no/slash",), "letters"),
    "name empty": Refusal(make(""), InvalidArgument, ("sandbox name",), "letters"),
    "network name taken": Refusal(create("front"), Conflict, ("front", "exists"), "update front"),
    "sandbox name taken": Refusal(make("web"), Conflict, ("web", "exists"), "another name"),
    "bridge name taken": Refusal(
        create("n", options=(("bridge", "eth0"),)), Conflict, ("eth0", "not Ductwork's"), "--opt bridge"
    ),
    "mtu too small": Refusal(create("n", mtu=10), InvalidArgument, ("mtu 10",), "68 to 65535"),
    "mtu too small for IPv6": Refusal(update("front", mtu=1279), InvalidArgument, ("mtu 1279",), "1280"),
    "not a namespace": Refusal(
        connect("front", "/etc/passwd"), InvalidArgument, ("/etc/passwd", "not a network namespace"), "netns:"
    ),
    "no permission": Refusal(connect("front", "/run/netns/secret"), Denied, ("permission", "secret"), "root"),
    "the host itself": Refusal(connect("front", "netns:host"), FailedPrecondition, ("unisolated",), "own"),
    # who may be with whom
    "network in use": Refusal(
        lambda w: w.engine.remove_networks(["front"]),
        FailedPrecondition,
        ("front", "in use by", "web"),
        "disconnect front",
    ),
    "connected already": Refusal(
        connect("front", "web"), Conflict, ("web", "already"), "disconnect front web"
    ),
    "third end of a cable": Refusal(connect("cable", "web"), Exhausted, ("cable", "2 endpoints"), "another"),
    "pool full": Refusal(connect("tiny", "web"), Exhausted, ("10.4.0.0/30", "tiny"), "larger subnet"),
    "bridge full": Refusal(connect("full", "web"), Exhausted, ("full", "1023"), "another network"),
    "sandbox dead": Refusal(connect("front", "late"), FailedPrecondition, ("late", "gone"), "rm late"),
    "publish of the dead": Refusal(publish("late", "1:1"), FailedPrecondition, ("late",), "duct"),
    "host mode on a bridge": Refusal(
        connect("front", "bare"), FailedPrecondition, ("bare", "unisolated", "front"), "--mode host"
    ),
    "own stack on a host network": Refusal(
        connect("outer", "web"), FailedPrecondition, ("outer", "unisolated", "web"), "--mode host"
    ),
    "mode host with a bridge": Refusal(
        make("n", "front", mode="host"), FailedPrecondition, ("unisolated", "front"), "--mode host"
    ),
    "mode none with networks": Refusal(make("n", "front", mode="none"), InvalidArgument, ("none",), "leave"),
    "container with networks": Refusal(
        make("n", "front", mode="container:web"), InvalidArgument, ("shares", "web"), "connect web"
    ),
    "container of nobody": Refusal(make("n", mode="container:nobody"), NotFound, ("nobody",), "TARGET"),
    "container of the dead": Refusal(
        make("n", mode="container:late"), FailedPrecondition, ("late",), "rm late"
    ),
    "rm of a shared stack": Refusal(
        lambda w: w.engine.remove_sandboxes(["web"]), FailedPrecondition, ("side", "share", "web"), "rm side"
    ),
    "adopt our own": Refusal(
        lambda w: w.engine.adopt_sandbox("web"), InvalidArgument, ("web", "Ductwork's own"), "nothing"
    ),
    "adopt what has a name": Refusal(
        lambda w: w.engine.adopt_sandbox("netns:guest"), InvalidArgument, ("guest", "path already"), "nothing"
    ),
    "link to itself": Refusal(
        lambda w: w.engine.link("web", "web", "me"), InvalidArgument, ("itself",), "another"
    ),
    "link to the stackless": Refusal(
        lambda w: w.engine.link("web", "bare", "x"), InvalidArgument, ("bare", "no network stack"), "link"
    ),
    "alias taken": Refusal(
        lambda w: w.engine.link("web", "fixed", "database"),
        Conflict,
        ("web", "db", "database"),
        "another alias",
    ),
    "unlink unknown": Refusal(
        lambda w: w.engine.unlink("web", "nobody"), NotFound, ("nobody",), "inspect web"
    ),
    # ports
    "port of another": Refusal(
        publish("fixed", "8080:80"), Conflict, ("8080/tcp", "web"), "another host port"
    ),
    "port of another by address": Refusal(
        publish("fixed", "192.0.2.1:8080:80"), Conflict, ("8080/tcp", "web"), "another host port"
    ),
    "port twice in one command": Refusal(publish("web", "99:1", "99:2"), Conflict, ("99/tcp",), "another"),
    "port of a process": Refusal(publish("web", "22:22"), Conflict, ("22/tcp", "sshd (pid 7)"), "stop it"),
    "range full": Refusal(publish("web", "8080-8081:80"), Exhausted, ("tcp", "8080-8081"), "range"),
    "publish on internal": Refusal(
        publish("db", "1:1", on="back"), FailedPrecondition, ("back", "internal"), "--no"
    ),
    "publish on a cable": Refusal(
        publish("db", "1:1", on="cable"), InvalidArgument, ("cable", "link"), "bridge"
    ),
    "publish on none": Refusal(publish("lone", "1:1"), InvalidArgument, ("void", "none"), "bridge"),
    "publish unconnected": Refusal(
        publish("web", "1:1", on="back"), FailedPrecondition, ("web", "back"), "connect"
    ),
    "publish of host mode": Refusal(
        publish("bare", "1:1"), InvalidArgument, ("bare", "unisolated"), "nothing"
    ),
    "IPv6 loopback": Refusal(publish("web", "[::1]:1:1"), InvalidArgument, ("[::1]",), "127.0.0.1"),
    "address of another machine": Refusal(
        publish("web", "192.0.2.77:1:1"), FailedPrecondition, ("192.0.2.77",), "192.0.2.1"
    ),
    "address of a family that is missing": Refusal(
        publish("fixed", "[fd00::1]:1:1"), InvalidArgument, ("IPv6",), "--subnet"
    ),
    "unpublish unknown": Refusal(
        lambda w: w.engine.unpublish("web", ports("9999")),
        InvalidArgument,
        ("web", "9999/tcp"),
        "8080:80/tcp",
    ),
    "internal while publishing": Refusal(
        update("front", internal=True), FailedPrecondition, ("front", "web", "8080"), "unpublish web 8080"
    ),
    "another bridge name": Refusal(
        update("front", options=(("bridge", "br9"),)), InvalidArgument, ("name",), "new network"
    ),
    "addresses of a host network": Refusal(
        create("n", "10.5.0.0/24", driver="host"), InvalidArgument, ("host",), "--subnet"
    ),
    "internal cable": Refusal(
        create("n", driver="link", internal=True), InvalidArgument, ("link",), "--internal"
    ),
    # removal of the unknown
    "rm unknown network": Refusal(lambda w: w.engine.remove_networks(["x"]), NotFound, ("'x'",), "front"),
    "rm unknown sandbox": Refusal(lambda w: w.engine.remove_sandboxes(["x"]), NotFound, ("'x'",), "web"),
    "ambiguous bare name": Refusal(
        connect("front", "twin"), InvalidArgument, ("docker:twin", "lxc:twin"), "kind"
    ),
    "ambiguous with a sandbox": Refusal(
        connect("back", "web"), InvalidArgument, ("web", "docker:web"), "kind"
    ),
}


class Engines:
    """Container engines that know some names, none of them running."""

    names = frozenset({("docker", "twin"), ("lxc", "twin")})

    def exists(self, kind: str, name: str) -> bool:
        return (kind, name) in self.names


@pytest.fixture
def crowded(world: World) -> World:
    """A host with something of everything that can be in the way."""
    host = world.kernel.host
    route = RouteInfo(ip_network("203.0.113.0/24"), ip_address("192.0.2.9"), UPLINK, 0, RT_TABLE_MAIN, 3)
    host.static_routes[(route.dst, 0, RT_TABLE_MAIN)] = route
    host.listeners.append(Listener("tcp", ip_address("0.0.0.0"), 22, "sshd (pid 7)"))
    world.kernel.files.add("/etc/passwd")
    world.kernel.denied.add("/run/netns/secret")
    world.kernel.declare_namespace("/run/netns/guest").add_link("docker0")
    engine = world.engine
    engine.create_network(network("front", "10.1.0.0/24", "fd00:1::/64"))
    engine.create_network(network("back", "10.2.0.0/24", internal=True))
    engine.create_network(network("cable", "10.3.0.0/29", driver="link"))
    engine.create_network(network("tiny", "10.4.0.0/30"))
    engine.create_network(network("plain", "10.8.0.0/24"))
    engine.create_network(network("full", "10.16.0.0/12"))
    engine.create_network(NetworkSpec("void", driver="none"))
    engine.create_network(NetworkSpec("outer", driver="host"))
    engine.create_sandbox(sandbox("web", "front"))
    engine.publish("web", ports("8080:80", "8081:81"))
    engine.create_sandbox(sandbox("db", "back", "cable", "tiny"))
    engine.create_sandbox(sandbox("fixed", "plain", "cable"))
    engine.create_sandbox(sandbox("other"))
    engine.connect("front", "other", ConnectSpec(mac=Mac("02:00:00:00:00:01")))
    engine.create_sandbox(sandbox("lone", "void"))
    engine.create_sandbox(sandbox("bare", mode="host"))
    engine.create_sandbox(sandbox("side", mode="container:web"))
    engine.create_sandbox(sandbox("late"))
    engine.link("web", "db", "database")
    state = engine.state()
    state.store.put(f"count/{state.network('full').id}", b"1023")
    world.store.commit(state.store.changes())
    world.kernel.forget_namespace(str(world.host.netns_dir / "late"))
    return world


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(crowded: World, name: str) -> None:
    refusal = REFUSALS[name]
    engines = Engines()
    if name == "ambiguous with a sandbox":
        engines.names = frozenset({("docker", "web")})
    crowded.engine.targets.engines = engines  # type: ignore[assignment]
    before, steps = crowded.picture(), crowded.kernel.steps
    with pytest.raises(refusal.kind) as caught:
        refusal.act(crowded)
    error = caught.value
    assert type(error) is refusal.kind
    for word in refusal.message:
        assert word in error.message
    assert refusal.hint in error.hint
    assert crowded.picture() == before
    assert crowded.kernel.steps == steps, "the kernel was not even asked"


def test_the_last_endpoint_of_a_bridge(world: World) -> None:
    """The kernel's own limit and ours are the same: 1,023 connect, the next is refused in our words."""
    world.engine.create_network(network("wide", "10.16.0.0/16"))
    for number in range(1023):
        world.engine.create_sandbox(sandbox(f"s{number}", "wide"))
    before = world.kernel.steps
    with pytest.raises(Exhausted, match="1023"):
        world.engine.create_sandbox(sandbox("one-too-many", "wide"))
    assert world.kernel.steps == before


def test_a_process_that_has_just_ended(world: World) -> None:
    world.engine.create_network(network("n"))
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(NotFound, match=f"no process {pid}"):
        world.engine.connect("n", f"pid:{pid}")
