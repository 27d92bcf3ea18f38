"""What happens to hosts in the tests that kill and fail: a state to begin from, and the change to spoil."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network

from tests.unit.engine.world import World, network, ports, sandbox, v4

from ductwork.engine.endpoints import ConnectSpec
from ductwork.engine.networks import NetworkUpdate
from ductwork.model.endpoint import StaticRoute
from ductwork.model.port_mapping import PortRequest


@dataclass(frozen=True)
class History:
    """`act` is the change under test; `finishes` says that a cut-off one is carried through, not undone."""

    setup: Callable[[World], object]
    act: Callable[[World], object]
    finishes: bool = False


def nothing(world: World) -> None:
    pass


def one_network(world: World) -> None:
    world.engine.create_network(network("front", "10.1.0.0/24"))
    world.engine.create_sandbox(sandbox("web", "front"))
    world.engine.publish("web", ports("8080:80"))


def busy(world: World) -> None:
    """Everything at once: both families, an internal network, a cable, links, ports, a stranger."""
    engine = world.engine
    engine.create_network(network("front", "10.1.0.0/24", "fd00:1::/64"))
    engine.create_network(network("back", "10.2.0.0/24", internal=True))
    engine.create_network(network("cable", "10.3.0.0/30", driver="link"))
    engine.create_sandbox(sandbox("web", "front", "back"))
    engine.create_sandbox(sandbox("db", "back"))
    engine.connect("cable", "db")
    engine.connect("front", world.foreign("guest"), ConnectSpec(aliases=("visitor",)))
    engine.link("web", "db", "database")
    engine.link("netns:guest", "web", "server")
    engine.publish("web", ports("8080:80", "127.0.0.1:5353:53/udp"))


FULL = ConnectSpec(
    aliases=("www", "api"),
    ports=(*ports("8090-8092:90-92", "192.0.2.1:53:53/udp"), PortRequest(443, host_port=8443)),
    routes=(StaticRoute(ip_network("10.99.0.0/16")),),
    gateway_priority=5,
)
_LIMITED = PortRequest(
    22, host_port=2222, allow_from=(ip_network("198.51.100.0/24"), ip_network("fd00:9::/64"))
)


def _bystander(world: World) -> None:
    busy(world)
    world.engine.create_sandbox(sandbox("new"))


def _stranger(world: World) -> None:
    busy(world)
    world.foreign("other")


def _removable_network(world: World) -> None:
    busy(world)
    world.engine.create_network(network("spare", "10.7.0.0/24", "fd00:7::/64"))


def _last_network(world: World) -> None:
    world.engine.create_network(network("only", "10.7.0.0/24", "fd00:7::/64"))


def _cabled(world: World) -> None:
    busy(world)
    world.engine.connect("cable", "web")


def _process(world: World) -> None:
    """Let this very process stand for a container; only its number matters."""
    busy(world)
    world.kernel.declare_namespace(f"/proc/{os.getpid()}/ns/net")


def _update(name: str, **wanted: object) -> Callable[[World], object]:
    return lambda w: w.engine.update_network(name, NetworkUpdate(**wanted))  # type: ignore[arg-type]


HISTORIES: dict[str, History] = {
    "create the first network": History(
        nothing, lambda w: w.engine.create_network(network("n", "10.5.0.0/24"))
    ),
    "create a network of the other family": History(
        one_network, lambda w: w.engine.create_network(network("n", "10.5.0.0/24", "fd00:5::/64"))
    ),
    "create a cable": History(
        one_network, lambda w: w.engine.create_network(network("n", "10.5.0.0/30", driver="link"))
    ),
    "create a sandbox on the default network": History(
        nothing, lambda w: w.engine.create_sandbox(sandbox("new", mode="bridge"))
    ),
    "create a sandbox": History(busy, lambda w: w.engine.create_sandbox(sandbox("new", "front", "back"))),
    "create a sandbox in another's stack": History(
        busy, lambda w: w.engine.create_sandbox(sandbox("new", mode="container:web"))
    ),
    "connect": History(_bystander, lambda w: w.engine.connect("front", "new", FULL)),
    "connect a stranger": History(_stranger, lambda w: w.engine.connect("front", "netns:other", FULL)),
    "connect the second end": History(busy, lambda w: w.engine.connect("cable", "web")),
    "connect what others link to": History(busy, lambda w: w.engine.connect("front", "db")),
    "publish": History(
        busy, lambda w: w.engine.publish("web", (*ports("81:81", "82:82/udp", "[::]:83:83"), _LIMITED))
    ),
    "publish the first port": History(_bystander, lambda w: w.engine.publish("netns:guest", ports("81:81"))),
    "unpublish one": History(busy, lambda w: w.engine.unpublish("web", ports("8080")), finishes=True),
    "unpublish all": History(busy, lambda w: w.engine.unpublish("web"), finishes=True),
    "link": History(busy, lambda w: w.engine.link("db", "web", "frontend")),
    "unlink": History(busy, lambda w: w.engine.unlink("web", "database"), finishes=True),
    "update mtu": History(busy, _update("front", mtu=1400)),
    "update mtu of a cable": History(_cabled, _update("cable", mtu=1400)),
    "update subnets": History(busy, _update("back", add_subnets=(v4("10.6.0.0/24"), v4("fd00:6::/64")))),
    "update the only family": History(one_network, _update("front", add_subnets=(v4("fd00:6::/64"),))),
    "update internal": History(_bystander, _update("back", internal=False)),
    "update nat": History(busy, _update("front", options=(("nat", "off"),))),
    "update isolation": History(busy, _update("front", options=(("isolation", "off"),))),
    "disconnect": History(busy, lambda w: w.engine.disconnect("front", "web"), finishes=True),
    "disconnect an end": History(_cabled, lambda w: w.engine.disconnect("cable", "web"), finishes=True),
    "disconnect a stranger": History(
        busy, lambda w: w.engine.disconnect("front", "netns:guest"), finishes=True
    ),
    "remove a sandbox": History(busy, lambda w: w.engine.remove_sandboxes(["web"]), finishes=True),
    "remove sandboxes": History(
        _cabled, lambda w: w.engine.remove_sandboxes(["db", "web", "netns:guest"]), finishes=True
    ),
    "remove a network": History(
        _removable_network, lambda w: w.engine.remove_networks(["spare"]), finishes=True
    ),
    "remove the last network": History(
        _last_network, lambda w: w.engine.remove_networks(["only"]), finishes=True
    ),
    "prune": History(_removable_network, lambda w: w.engine.prune_networks(), finishes=True),
    "adopt": History(_process, lambda w: w.engine.adopt_sandbox(f"pid:{os.getpid()}", "adopted")),
}
ONLY_RECORDS = {"create a cable", "create a sandbox in another's stack"}
IN_KERNEL = [name for name in HISTORIES if name not in ONLY_RECORDS]
