"""What happened while nobody looked: deaths, restarts, a flushed ruleset, a reboot, a new firewall."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.engine.histories import busy, one_network
from tests.unit.engine.world import World, Worlds, differences, network, ports, sandbox, v4

from ductwork.engine.networks import NetworkUpdate
from ductwork.engine.repair import Repair
from ductwork.engine.state import HostRecord
from ductwork.errors import Conflict, FailedPrecondition, NotFound
from ductwork.kernel.fake import Killed
from ductwork.kernel.fake.namespace import FakeLink
from ductwork.model.foreign import IptablesForward
from ductwork.store.protocol import Put
from ductwork.store.records import encode

GUEST = "/run/netns/guest"


def settled(world: World) -> None:
    """Nothing is missing, nothing is left over, and looking again finds nothing to do."""
    status = world.engine.status()
    assert not status.missing and not status.leftovers
    before = world.picture()
    assert world.engine.tidy() == []
    assert world.picture() == before


def test_a_dead_container_is_forgotten(worlds: Worlds) -> None:
    world = worlds()
    world.engine.create_network(network("n", "10.5.0.0/24"))
    before = world.picture()
    world.foreign("guest")
    world.engine.connect("n", "netns:guest")
    world.engine.publish("netns:guest", ports("80:80"))
    world.kernel.forget_namespace(GUEST)
    assert world.engine.tidy() == ["forgot netns:guest: it has died"]
    after = world.picture()
    assert after["kernel"] == before["kernel"]
    settled(world)


def test_a_container_dies_while_the_process_lives(world: World) -> None:
    """No namespace stays open between two changes: that would keep the dead one alive."""
    busy(world)
    world.kernel.forget_namespace(GUEST)
    assert not any("guest" in str(link) for link in world.kernel.host.links.values())
    assert world.engine.tidy() == ["forgot netns:guest: it has died"]
    settled(world)


def test_a_restarted_container_is_another_one(world: World) -> None:
    busy(world)
    world.kernel.forget_namespace(GUEST)
    world.foreign("guest")
    old = next(s for s in world.engine.sandboxes() if s.name == "netns:guest")
    assert not world.engine.is_alive(old)
    assert world.engine.tidy() == ["forgot netns:guest: it has died"]
    world.engine.connect("front", "netns:guest")
    new = next(s for s in world.engine.sandboxes() if s.name == "netns:guest")
    assert new.id != old.id and new.cookie != old.cookie
    settled(world)


def test_connecting_a_restarted_container_without_tidying(world: World) -> None:
    busy(world)
    world.kernel.forget_namespace(GUEST)
    world.foreign("guest")
    world.engine.connect("front", "netns:guest")
    assert [s.name for s in world.engine.sandboxes()].count("netns:guest") == 1
    settled(world)


def test_who_shares_the_stack_of_the_dead_is_forgotten_too(world: World) -> None:
    busy(world)
    world.engine.create_sandbox(sandbox("side", mode="container:netns:guest"))
    world.kernel.forget_namespace(GUEST)
    assert sorted(world.engine.tidy()) == ["forgot netns:guest: it has died", "forgot side: it has died"]
    settled(world)


def test_a_stack_that_is_shared_is_not_forgotten(world: World) -> None:
    busy(world)
    world.engine.unlink("netns:guest", "server")
    world.engine.create_sandbox(sandbox("side", mode="container:netns:guest"))
    world.engine.disconnect("front", "netns:guest")
    settled(world)
    world.engine.remove_sandboxes(["side"])
    assert "netns:guest" not in [s.name for s in world.engine.sandboxes()], "now nobody needs it"


def test_a_stranger_is_forgotten_with_its_last_link(world: World) -> None:
    busy(world)
    world.engine.disconnect("front", "netns:guest")
    assert "netns:guest" in [s.name for s in world.engine.sandboxes()], "it knows web by a name"
    world.engine.unlink("netns:guest", "server")
    assert "netns:guest" not in [s.name for s in world.engine.sandboxes()]


def test_a_stranger_is_forgotten_with_whom_it_was_linked_to(world: World) -> None:
    busy(world)
    world.engine.disconnect("front", "netns:guest")
    world.engine.remove_sandboxes(["web"])
    assert "netns:guest" not in [s.name for s in world.engine.sandboxes()]
    settled(world)


def test_a_flush_is_repaired(world: World) -> None:
    busy(world)
    before = world.picture()
    world.kernel.host.tables.flush()
    (note,) = world.engine.tidy()
    assert "restored our nft table" in note
    assert world.picture() == before
    settled(world)


def _bridge(world: World) -> FakeLink:
    return next(x for x in world.kernel.host.links.values() if x.name.startswith("dw-"))


def _forget_set(world: World, name: str) -> None:
    world.kernel.host.tables.contents[name].clear()


# What somebody did to the host, and what the next command says about it.
DAMAGE = {
    "rules": (lambda w: w.kernel.host.tables.flush_rules(), "somebody had flushed our rules"),
    "set": (lambda w: _forget_set(w, "bridges"), "somebody had changed our sets"),
    "bridge": (lambda w: w.kernel.host.remove_link(_bridge(w).ifindex), "somebody had deleted bridge dw-"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_that_is_cheap_to_see_is_noticed(world: World, kind: str) -> None:
    spoil, words = DAMAGE[kind]
    busy(world)
    before = world.picture()
    spoil(world)
    assert world.engine.status().missing
    (note,) = world.engine.tidy()
    assert words in note
    assert differences(before, world.picture()) == []
    settled(world)


@pytest.mark.parametrize("kind", [*DAMAGE, "veth", "element", "table"])
def test_repair_brings_back_whatever_is_missing(world: World, kind: str) -> None:
    busy(world)
    before = world.picture()
    host = world.kernel.host
    if kind == "veth":
        host.remove_link(next(x.ifindex for x in host.links.values() if x.kind == "veth"))
    elif kind == "element":
        _forget_set(world, "publish_any4")
    elif kind == "table":
        host.tables.flush()
    else:
        DAMAGE[kind][0](world)
    damaged = world.picture()
    world.engine.plan_only = True
    planned = world.engine.repair()
    assert planned.missing and world.engine.report.lines()
    assert world.picture() == damaged
    world.engine.plan_only = False
    done = world.engine.repair()
    assert done.missing == planned.missing
    assert not done.still_missing
    assert differences(before, world.picture()) == []
    settled(world)
    assert world.engine.repair() == Repair((), (), ())


def test_repair_makes_our_own_namespace_again(world: World) -> None:
    busy(world)
    world.kernel.forget_namespace(str(world.host.netns_dir / "web"))
    assert not world.engine.repair().still_missing
    settled(world)
    world.remove_all()


def test_repair_says_what_is_in_the_way(world: World) -> None:
    one_network(world)
    bridge = _bridge(world)
    world.kernel.host.remove_link(bridge.ifindex)
    world.kernel.host.add_link(bridge.name)
    done = world.engine.repair()
    assert any("not restored" in note and bridge.name in note for note in done.notes)
    assert done.still_missing


def test_a_reboot_is_repaired(worlds: Worlds) -> None:
    world = worlds()
    busy(world)
    world.engine.create_network(network("other", "10.20.0.0/24"))
    before = world.picture()
    addresses = {e.id: (e.addresses, e.mac) for e in world.engine.state().endpoints()}
    store = world.store
    fresh = worlds()
    fresh.store = store
    fresh.foreign("unrelated")  # namespaces come back in another order
    engine = fresh.restart()
    notes = engine.tidy()
    assert "forgot netns:guest: it has died" in notes
    left = {e.id: (e.addresses, e.mac) for e in engine.state().endpoints()}
    assert left and left.items() <= addresses.items()
    settled(fresh)
    fresh.restart()
    settled(fresh)
    assert fresh.kernel.snapshot()["hosts"].keys() < before["kernel"]["hosts"].keys()  # type: ignore[index]
    engine = fresh.engine
    engine.connect("front", "db")
    fresh.remove_all()
    fresh.kernel.forget_namespace("/run/netns/unrelated")
    assert fresh.kernel.snapshot() == worlds().kernel.snapshot()


def test_a_reboot_with_something_in_the_way_is_told_and_does_not_block(worlds: Worlds) -> None:
    world = worlds()
    one_network(world)
    bridge = next(x.name for x in world.kernel.host.links.values() if x.name.startswith("dw-"))
    fresh = worlds()
    fresh.store = world.store
    fresh.kernel.host.add_link(bridge)
    notes = fresh.restart().tidy()
    assert any("not restored" in note and bridge in note for note in notes)
    fresh.engine.remove_sandboxes(["web"])
    fresh.engine.remove_networks(["front"])
    assert fresh.kernel.host.by_name(bridge) is not None, "it is not ours"


def test_a_new_firewall_is_opened(world: World) -> None:
    one_network(world)
    view = world.kernel.host.foreign
    world.kernel.host.foreign = replace(
        view, iptables=(*view.iptables, IptablesForward("iptables-legacy", "DROP", drops=True))
    )
    (note,) = world.engine.tidy()
    assert "opened iptables-legacy FORWARD for network front" in note
    settled(world)
    world.remove_all()
    assert world.kernel.host.foreign.accepts == ()


def test_notes_are_told_once(world: World) -> None:
    one_network(world)
    world.engine.create_sandbox(sandbox("b"))
    world.engine.disconnect("front", "b")
    assert world.engine.report.notes == ["b is not connected to front"]
    assert world.engine.tidy() == []


def test_our_own_namespace_was_deleted_by_hand(world: World) -> None:
    busy(world)
    world.kernel.forget_namespace(str(world.host.netns_dir / "web"))
    dead = next(s for s in world.engine.sandboxes() if s.name == "web")
    assert not world.engine.is_alive(dead)
    with pytest.raises(FailedPrecondition, match="web is gone"):
        world.engine.connect("cable", "web")
    world.engine.remove_sandboxes(["web"])
    settled(world)
    assert not any("web/hosts" in path for path in world.kernel.hosts)


@pytest.mark.parametrize("moment", [1, 4, 7])
def test_a_sandbox_dies_between_a_death_and_the_recovery(world: World, moment: int) -> None:
    """The recovery leaves out what went with it, and nobody is locked out."""
    busy(world)
    world.kernel.die_at(moment)
    with pytest.raises(Killed):
        world.engine.update_network("front", NetworkUpdate(mtu=1300, add_subnets=(v4("10.6.0.0/24"),)))
    world.kernel.faults.reset()
    world.kernel.restart()
    world.kernel.forget_namespace(GUEST)
    world.kernel.forget_namespace(str(world.host.netns_dir / "web"))
    world.restart().tidy()
    world.engine.remove_sandboxes(["web"])
    settled(world)


def test_a_network_is_updated_although_a_sandbox_is_dead(world: World) -> None:
    busy(world)
    world.kernel.forget_namespace(str(world.host.netns_dir / "web"))
    world.engine.update_network("front", NetworkUpdate(mtu=1300))
    world.engine.remove_sandboxes(["web"])
    settled(world)


def test_a_flush_between_a_death_and_the_recovery(worlds: Worlds) -> None:
    world = worlds()
    busy(world)
    before = world.picture()
    for step, act in (
        (1, lambda: world.engine.update_network("front", NetworkUpdate(options=(("nat", "off"),)))),
        (2, lambda: world.engine.connect("front", "db")),
        (3, lambda: world.engine.create_network(network("n", "10.5.0.0/24"))),
    ):
        world.kernel.die_at(step)
        with pytest.raises(Killed):
            act()
        world.kernel.host.tables.flush()
        world.restart().tidy()
        assert world.picture() == before


def test_another_host_in_the_same_namespace_is_refused(world: World, worlds: Worlds) -> None:
    one_network(world)
    second = worlds()
    second.kernel = world.kernel
    second.restart()
    second.engine.host_id = ""
    before = world.kernel.snapshot()
    record = second.engine.state()
    record.put_host(HostRecord("another"))
    second.store.commit(record.store.changes())
    with pytest.raises(Conflict, match="another Ductwork host"):
        second.engine.create_network(network("x", "10.9.0.0/24"))
    assert world.kernel.snapshot() == before


def test_a_reboot_of_a_host_without_bridges_is_repaired(worlds: Worlds) -> None:
    world = worlds()
    for name in ("left", "right"):
        world.engine.create_sandbox(sandbox(name))
    store = world.store
    fresh = worlds()
    fresh.store, fresh.kernel.boot = store, "boot-2"
    notes = fresh.restart().tidy()
    assert notes == ["made everything again that the reboot had taken"]
    settled(fresh)


def test_rules_of_another_version_are_loaded_with_every_element(world: World) -> None:
    busy(world)
    before = world.kernel.snapshot()
    record = world.engine.state().host()
    assert record is not None
    old = replace(record, rules="an older version's")
    world.store.commit([Put("host", encode(old))])
    assert world.restart().tidy() == ["loaded the rules of this version of Ductwork"]
    assert world.kernel.snapshot() == before
    settled(world)


def test_an_accept_that_another_firewall_lost_is_put_back(world: World) -> None:
    dropping = IptablesForward("iptables", "DROP", drops=True)
    world.kernel.host.foreign = replace(world.kernel.host.foreign, iptables=(dropping,))
    world.engine.create_network(network("n", "10.5.0.0/24"))
    standing = world.kernel.host.foreign.accepts
    assert len(standing) == 2
    world.kernel.host.foreign = replace(world.kernel.host.foreign, accepts=())  # their reload
    assert world.engine.tidy() == ["opened iptables FORWARD for network n"]
    assert set(world.kernel.host.foreign.accepts) == set(standing)
    settled(world)


def test_connecting_to_a_lost_bridge_without_tidying_is_told_in_words(world: World) -> None:
    one_network(world)
    world.engine.create_sandbox(sandbox("b"))
    world.kernel.host.remove_link(_bridge(world).ifindex)
    with pytest.raises(NotFound, match=r"its bridge is gone; `duct repair`"):
        world.engine.connect("front", "b")
