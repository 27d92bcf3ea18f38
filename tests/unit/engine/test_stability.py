"""What a person may rely on: the same MAC, names, order and default route every time."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from tests.unit.engine.histories import busy
from tests.unit.engine.world import World, Worlds, network, ports, sandbox, v4

from ductwork.engine.endpoints import ConnectSpec
from ductwork.engine.networks import NetworkUpdate
from ductwork.errors import Conflict
from ductwork.kernel.fake.namespace import RT_TABLE_MAIN, FakeNamespace
from ductwork.kernel.ports import RouteInfo
from ductwork.model.endpoint import StaticRoute
from ductwork.model.names import Mac
from ductwork.plan.names import SLOTS

EVERYWHERE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


def inside(world: World, name: str) -> FakeNamespace:
    return world.kernel.namespace(str(world.host.netns_dir / name))


def default(space: FakeNamespace, version: int = 4) -> list[str]:
    return [str(route.via) for route in space.routes() if route.dst == EVERYWHERE[version]]


def three(world: World) -> None:
    for name, cidrs in {
        "alpha": ("10.1.0.0/24", "fd00:1::/64"),
        "beta": ("10.2.0.0/24", "fd00:2::/64"),
        "gamma": ("10.3.0.0/24",),
    }.items():
        world.engine.create_network(network(name, *cidrs))
    world.engine.create_sandbox(sandbox("s"))


def test_the_mac_comes_back(world: World) -> None:
    three(world)
    first = world.engine.connect("alpha", "s")
    world.engine.connect("beta", "s")
    world.engine.disconnect("alpha", "s")
    again = world.engine.connect("alpha", "s")
    assert again.mac == first.mac and again.id != first.id
    world.engine.disconnect("alpha", "s")
    asked = Mac("02:00:00:00:00:09")
    assert world.engine.connect("alpha", "s", ConnectSpec(mac=asked)).mac == asked


def test_macs_differ_by_network_sandbox_and_host(worlds: Worlds) -> None:
    macs = set()
    for _ in range(2):
        world = worlds()
        three(world)
        world.engine.create_sandbox(sandbox("t", "alpha"))
        macs |= {e.mac for e in (world.engine.connect("alpha", "s"), world.engine.connect("beta", "s"))}
    assert len(macs) == 2, "the same history gives the same"


def test_names_and_order_follow_the_order_of_connecting(world: World) -> None:
    three(world)
    for name in ("gamma", "alpha", "beta"):
        world.engine.connect(name, "s")
    state = world.engine.state()
    sid = world.engine.sandboxes()[0].id
    assert [state.network(e.network_id).name for e in state.endpoints_in(sid)] == ["gamma", "alpha", "beta"]
    assert [e.container_ifname for e in state.endpoints_in(sid)] == ["eth0", "eth1", "eth2"]
    world.engine.disconnect("alpha", "s")
    assert world.engine.connect("alpha", "s").container_ifname == "eth1", "the lowest that is free"


def test_a_reserved_name_on_a_cable_with_one_end(world: World) -> None:
    """Nothing exists yet, and still nobody else gets the name."""
    three(world)
    world.engine.create_network(network("cable", "10.9.0.0/29", driver="link"))
    assert world.engine.connect("cable", "s").container_ifname == "eth0"
    assert world.engine.connect("alpha", "s").container_ifname == "eth1"


@pytest.mark.parametrize("order", [("alpha", "beta"), ("beta", "alpha")])
def test_the_default_route_does_not_depend_on_the_order(world: World, order: tuple[str, ...]) -> None:
    three(world)
    for name in order:
        world.engine.connect(name, "s")
    assert default(inside(world, "s")) == ["10.1.0.1"]
    assert default(inside(world, "s"), 6) == ["fd00:1::1"]


def test_the_default_route_moves(world: World) -> None:
    three(world)
    space = inside(world, "s")
    world.engine.connect("alpha", "s")
    world.engine.connect("gamma", "s", ConnectSpec(gateway_priority=10))
    assert (default(space), default(space, 6)) == (["10.3.0.1"], ["fd00:1::1"]), "each family for itself"
    world.engine.connect("beta", "s", ConnectSpec(gateway_priority=20))
    assert (default(space), default(space, 6)) == (["10.2.0.1"], ["fd00:2::1"])
    world.engine.update_network("beta", NetworkUpdate(internal=True))
    assert (default(space), default(space, 6)) == (["10.3.0.1"], ["fd00:1::1"]), (
        "an internal one has no way out"
    )
    world.engine.update_network("beta", NetworkUpdate(internal=False))
    world.engine.disconnect("beta", "s")
    world.engine.disconnect("gamma", "s")
    assert default(space) == ["10.1.0.1"]
    world.engine.disconnect("alpha", "s")
    assert default(space) == default(space, 6) == []


def test_a_strangers_default_route_stays(world: World) -> None:
    three(world)
    target = world.foreign("guest")
    space = world.kernel.namespace("/run/netns/guest")
    link = space.add_link("eth0", up=True)
    theirs = RouteInfo(EVERYWHERE[4], None, link.ifindex, 0, RT_TABLE_MAIN, 3)
    space.static_routes[(theirs.dst, 0, RT_TABLE_MAIN)] = theirs
    before = space.snapshot()
    assert world.engine.connect("alpha", target).container_ifname == "eth1"
    world.engine.connect("gamma", target, ConnectSpec(gateway_priority=99))
    assert [r for r in space.routes() if r.dst == EVERYWHERE[4]] == [theirs]
    assert default(space, 6) == ["fd00:1::1"], "they have none of this family"
    world.engine.disconnect("alpha", target)
    world.engine.disconnect("gamma", target)
    after = space.snapshot()
    assert after == before


def test_a_default_route_that_came_later_stays_too(world: World) -> None:
    three(world)
    world.engine.create_network(network("quiet", "10.8.0.0/24", internal=True))
    target = world.foreign("guest")
    world.engine.connect("quiet", target)
    space = world.kernel.namespace("/run/netns/guest")
    link = space.add_link("dhcp0", ifindex=77, up=True)
    theirs = RouteInfo(EVERYWHERE[4], None, link.ifindex, 0, RT_TABLE_MAIN, 3)
    space.static_routes[(theirs.dst, 0, RT_TABLE_MAIN)] = theirs
    world.engine.connect("alpha", target)
    assert [r for r in space.routes() if r.dst == EVERYWHERE[4]] == [theirs]


def test_a_declared_default_route_wins(world: World) -> None:
    three(world)
    space = inside(world, "s")
    world.engine.connect("alpha", "s")
    way = StaticRoute(EVERYWHERE[4], ip_address("10.3.0.254"))
    world.engine.connect("gamma", "s", ConnectSpec(routes=(way,)))
    assert default(space) == ["10.3.0.254"]
    with pytest.raises(Conflict, match=r"0\.0\.0\.0/0"):
        world.engine.connect("beta", "s", ConnectSpec(routes=(StaticRoute(EVERYWHERE[4]),)))
    world.engine.disconnect("gamma", "s")
    assert default(space) == ["10.1.0.1"]


def test_an_address_is_not_given_again_at_once(world: World) -> None:
    three(world)
    first = world.engine.connect("alpha", "s").addresses
    world.engine.disconnect("alpha", "s")
    assert world.engine.connect("alpha", "s").addresses != first


def test_ephemeral_ports_go_on_and_round(world: World) -> None:
    three(world)
    world.engine.connect("alpha", "s")
    world.kernel.host.sysctls.values["net/ipv4/ip_local_port_range"] = "40000\t40002"
    chosen = [world.engine.publish("s", ports(f"{n}"))[0].host_port for n in (1, 2)]
    world.engine.unpublish("s", ports("40000"))
    chosen += [world.engine.publish("s", ports(f"{n}"))[0].host_port for n in (3, 4)]
    assert chosen == [40000, 40001, 40002, 40000]


def test_a_whole_range_is_unpublished(world: World) -> None:
    three(world)
    world.engine.connect("alpha", "s")
    world.engine.publish("s", ports("8000-8002:80", "8000-8002:80", "8003-8004:8003-8004", "9000:80"))
    assert [m.host_port for m in world.engine.unpublish("s", ports("8000-8002:80"))] == [8000, 8001]
    assert [m.host_port for m in world.engine.unpublish("s", ports("8003-8004:8003-8004"))] == [8003, 8004]
    assert [m.host_port for m in world.engine.unpublish("s")] == [9000]


def test_slots_come_round_and_none_is_given_twice(world: World) -> None:
    three(world)
    world.engine.connect("alpha", "s")
    state = world.engine.state()
    state.store.put("slot", str(SLOTS - 1).encode())
    world.store.commit(state.store.changes())
    world.engine.connect("beta", "s")
    world.engine.connect("gamma", "s")
    world.engine.create_network(network("more", "10.7.0.0/24"))
    state = world.engine.state()
    slots = [n.slot for n in state.networks()] + [e.slot for e in state.endpoints()]
    assert len(set(slots)) == len(slots)
    assert not world.engine.status().missing


def test_status_knows_everything(world: World) -> None:
    busy(world)
    status = world.engine.status()
    assert not status.missing and not status.leftovers
    world.kernel.host.add_link("dv-lost", alias="ductwork:endpoint:lost")
    link = next(x for x in world.kernel.host.links.values() if x.name.startswith("dw-"))
    world.kernel.host.addresses = [a for a in world.kernel.host.addresses if a[0] != link.ifindex]
    status = world.engine.status()
    assert status.leftovers == ("dv-lost",)
    assert {type(o.object).__name__ for o in status.missing} == {"Address"}


def test_updates_keep_what_runs(world: World) -> None:
    busy(world)
    before = {e.id: (e.mac, e.addresses[:1], e.container_ifname) for e in world.engine.state().endpoints()}
    links = {x.ifindex for x in world.kernel.host.links.values()}
    world.engine.update_network("front", NetworkUpdate(mtu=1400, add_subnets=(v4("10.6.0.0/24"),)))
    world.engine.update_network("back", NetworkUpdate(add_subnets=(v4("fd00:6::/64"),)))
    after = {e.id: (e.mac, e.addresses[:1], e.container_ifname) for e in world.engine.state().endpoints()}
    assert after == before
    assert {x.ifindex for x in world.kernel.host.links.values()} == links
    assert all(x.mtu in {1400, 1500} for x in world.kernel.host.links.values() if x.name != "lo")


def test_disconnecting_what_is_gone_is_success(world: World) -> None:
    """A container that died is forgotten with its last endpoint: asking again must not fail."""
    world.engine.create_network(network("n", "10.5.0.0/24"))
    before = world.picture()
    assert world.engine.disconnect("n", "docker:gone") is None
    assert world.engine.report.notes == ["docker:gone is not connected to anything"]
    assert world.picture() == before
