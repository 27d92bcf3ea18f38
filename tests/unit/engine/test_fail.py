"""The kernel refuses any step of any change: creations leave nothing behind, removals go on and tell all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from errno import EBUSY, EEXIST, ENOBUFS, ENODEV, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM, ESTALE
from uuid import UUID

import pytest
from tests.unit.engine.histories import HISTORIES, IN_KERNEL, History, busy
from tests.unit.engine.world import World, Worlds, network, ports, sandbox

from ductwork.engine.networks import NetworkUpdate
from ductwork.errors import (
    Conflict,
    Denied,
    DuctworkError,
    Exhausted,
    FailedPrecondition,
    Internal,
    NotFound,
    TeardownErrors,
    Unavailable,
)
from ductwork.kernel.fake import FakeLink, Killed
from ductwork.kernel.fake.tables import FakeNft
from ductwork.kernel.ports import KernelError
from ductwork.model.objects import HostsEntries, Step

CREATIONS = [name for name in IN_KERNEL if not HISTORIES[name].finishes]
REMOVALS = [name for name in IN_KERNEL if HISTORIES[name].finishes]


def prepared(worlds: Worlds, history: History) -> World:
    world = worlds()
    world.engine.tidy()
    history.setup(world)
    return world


def steps_of(worlds: Worlds, history: History) -> int:
    world = prepared(worlds, history)
    before = world.kernel.steps
    history.act(world)
    return world.kernel.steps - before


def refusal(world: World, history: History) -> DuctworkError | None:
    """Make a change and return how it failed; None when only a hosts file did, which is but a note."""
    try:
        history.act(world)
    except DuctworkError as error:
        return error
    assert any("hosts file" in note for note in world.engine.report.notes)
    return None


@pytest.mark.parametrize("name", CREATIONS)
def test_a_creation_undoes_itself(worlds: Worlds, name: str) -> None:
    history = HISTORIES[name]
    for n in range(1, steps_of(worlds, history) + 1):
        world = prepared(worlds, history)
        before = world.picture()
        world.kernel.fail_at(n, ENOMEM)
        refused = refusal(world, history)
        if refused is None:
            continue
        assert isinstance(refused, Exhausted)
        assert world.picture() == before, f"step {n} failed"
        assert not world.engine.tidy()
        history.act(world)
        assert not world.engine.status().leftovers


@pytest.mark.parametrize("name", CREATIONS)
def test_an_undoing_that_fails_is_ended_by_the_next_change(worlds: Worlds, name: str) -> None:
    history = HISTORIES[name]
    total = steps_of(worlds, history)
    for n in range(1, total + 1):
        world = prepared(worlds, history)
        before = world.picture()
        for later in range(n, n + 3):
            world.kernel.fail_at(later, ENOMEM)
        if refusal(world, history) is None:
            continue
        world.kernel.faults.reset()
        world.engine.tidy()
        assert world.picture() == before, f"steps {n} to {n + 2} failed"


@pytest.mark.parametrize("name", REMOVALS)
def test_a_removal_goes_on_and_is_finished_later(worlds: Worlds, name: str) -> None:
    history = HISTORIES[name]
    done = prepared(worlds, history)
    history.act(done)
    for n in range(1, steps_of(worlds, history) + 1):
        world = prepared(worlds, history)
        world.kernel.fail_at(n, EPERM)
        refused = refusal(world, history)
        if refused is None:
            continue
        assert isinstance(refused, TeardownErrors) and len(refused.causes) == 1
        assert world.store.scan("pending/")
        assert world.engine.tidy(), "says that it finished what was left"
        assert world.picture() == done.picture(), f"step {n} failed"


def test_a_removal_tells_everything_that_failed(worlds: Worlds) -> None:
    history = HISTORIES["remove sandboxes"]
    world = prepared(worlds, history)
    total = steps_of(worlds, history)
    for n in range(1, total + 1):
        world.kernel.fail_at(n, EBUSY)
    with pytest.raises(TeardownErrors) as caught:
        history.act(world)
    assert len(caught.value.causes) > total // 2  # map elements are one step, and flows only follow them
    text = str(caught.value)
    assert "removing sandbox db, web, netns:guest" in text and "element changes" in text and "netns " in text


@pytest.mark.parametrize(
    ("errno", "kind"),
    [
        (EEXIST, Conflict),
        (EPERM, Denied),
        (EOPNOTSUPP, FailedPrecondition),
        (ENODEV, NotFound),
        (ENOENT, NotFound),
        (ENOSPC, Exhausted),
        (ENOBUFS, Unavailable),
        (ESTALE, Internal),
    ],
)
def test_the_kernels_answer_becomes_what_the_caller_should_do(
    world: World, errno: int, kind: type[DuctworkError]
) -> None:
    busy(world)
    world.kernel.fail_at(1, errno)
    with pytest.raises(kind) as caught:
        world.engine.connect("front", "db")
    assert type(caught.value) is kind
    assert "adding link dv-" in caught.value.message and caught.value.hint


def test_a_namespace_that_cannot_be_made(world: World) -> None:
    world.kernel.declare_namespace(str(world.host.netns_dir / "new"))
    before = world.picture()["kernel"]
    with pytest.raises(Conflict, match="adding netns"):
        world.engine.create_sandbox(sandbox("new"))
    assert world.picture()["kernel"] == before, "the stranger's namespace stays"


def test_a_namespace_that_cannot_be_opened_is_taken_back(world: World) -> None:
    before = world.kernel.snapshot()
    world.kernel.denied.add(str(world.host.netns_dir / "new"))
    with pytest.raises(Denied):
        world.engine.create_sandbox(sandbox("new"))
    assert world.kernel.snapshot() == before


def test_removing_after_everything_vanished_is_success(worlds: Worlds) -> None:
    """Somebody deleted our links, namespaces, hosts files and rules: nothing is left to be done."""
    world = worlds()
    before = world.kernel.snapshot()
    busy(world)
    for name in ("web", "db"):
        world.kernel.forget_namespace(str(world.host.netns_dir / name))
    world.kernel.forget_namespace("/run/netns/guest")
    for link in list(world.kernel.host.links.values()):
        if link.name.startswith(("dw-", "dv-")):
            world.kernel.host.remove_link(link.ifindex)
    world.kernel.host.tables.flush()
    world.remove_all()
    assert world.kernel.snapshot() == before


def test_removing_after_a_flush_is_success(worlds: Worlds) -> None:
    world = worlds()
    before = world.kernel.snapshot()
    busy(world)
    world.kernel.host.tables.flush()
    world.engine.unpublish("web", ports("8080"))
    world.engine.disconnect("front", "web")
    world.remove_all()
    world.kernel.forget_namespace("/run/netns/guest")
    assert world.kernel.snapshot() == before


def test_the_uplink_went_before_the_last_network(worlds: Worlds) -> None:
    """Its sysctls cannot be written back and need not be."""
    world = worlds()
    world.kernel.host.sysctls.values["net/ipv4/conf/eth0/forwarding"] = "1"
    world.engine.create_network(network("n", "10.5.0.0/24", "fd00:5::/64"))
    world.kernel.host.remove_link(2)
    world.engine.remove_networks(["n"])
    assert world.kernel.host.sysctls.values["net/ipv4/ip_forward"] == "0"
    assert not world.store.scan("pending/")


def test_a_removal_that_cannot_be_finished_does_not_block_others(world: World) -> None:
    """Its records are right already; only what it left in the kernel waits."""
    busy(world)
    world.kernel.fail_at(1, EBUSY)
    with pytest.raises(DuctworkError):
        world.engine.unpublish("web")
    for _ in range(2):
        world.kernel.fail_at(1, EBUSY)
        world.engine.create_sandbox(sandbox(f"more{_}"))
        assert any("tries again" in note for note in world.engine.report.notes)
    world.kernel.faults.reset()
    assert any(note.startswith("finished") for note in world.engine.tidy())
    assert not world.engine.status().leftovers


def test_an_interface_that_somebody_deleted_blocks_nobody(world: World) -> None:
    """Its change fails; taking that back finds nothing, and that is well."""
    busy(world)
    world.kernel.namespace(str(world.host.netns_dir / "web")).remove_link(inner(world, "web").ifindex)
    with pytest.raises(NotFound):
        world.engine.update_network("front", NetworkUpdate(mtu=1300))
    assert not world.store.scan("pending/")
    world.engine.create_sandbox(sandbox("other"))
    assert not world.engine.report.notes
    world.engine.disconnect("front", "web")
    world.engine.connect("front", "web")


def test_an_interface_that_somebody_deleted_between_a_death_and_the_recovery(world: World) -> None:
    busy(world)
    world.kernel.die_at(3)
    with pytest.raises(Killed):
        world.engine.update_network("front", NetworkUpdate(mtu=1300))
    world.kernel.faults.reset()
    world.kernel.namespace(str(world.host.netns_dir / "web")).remove_link(inner(world, "web").ifindex)
    assert any("took back what was cut off" in note for note in world.restart().tidy())
    assert not world.store.scan("pending/")


def inner(world: World, name: str) -> FakeLink:
    links = world.kernel.namespace(str(world.host.netns_dir / name)).links.values()
    return next(link for link in links if link.name == "eth0")


def test_a_hosts_file_that_cannot_be_written_is_a_note(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(world)

    def refuse(where: str, _: object) -> None:
        raise KernelError(EPERM, "it is immutable", f"write hosts of {where}")

    monkeypatch.setattr(world.kernel, "write_hosts", refuse)
    world.engine.connect("front", "db")
    assert any("hosts file" in note and "immutable" in note for note in world.engine.report.notes)
    assert all(isinstance(o.object, HostsEntries) for o in world.engine.status().missing)
    world.kernel.die_at(6)
    with pytest.raises(Killed):
        world.engine.create_sandbox(sandbox("new", "front"))
    notes = world.restart().tidy()
    assert any("took back" in note for note in notes)
    world.remove_all()
    assert not world.store.scan("pending/")


@pytest.mark.parametrize("name", CREATIONS)
def test_what_cannot_be_taken_back_becomes_a_removal(worlds: Worlds, name: str) -> None:
    """Records go back at once, nobody is blocked, and each later command tries again."""
    history = HISTORIES[name]
    world = prepared(worlds, history)
    before = world.picture()
    world.kernel.die_at(steps_of(worlds, history))
    with pytest.raises(Killed):
        history.act(world)
    world.restart()
    for n in range(1, 200):
        world.kernel.fail_at(n, EBUSY)
    notes = world.engine.tidy()
    assert any("tries again" in note for note in notes)
    assert not any("sandbox/" in note for note in notes)
    records = {k: v for k, v in world.store.dump().items() if not k.startswith("pending/")}
    assert records == before["store"]
    world.kernel.faults.reset()
    world.kernel.fail_at(1, EBUSY)
    world.engine.create_sandbox(sandbox("later"))
    world.kernel.faults.reset()
    world.engine.remove_sandboxes(["later"])
    world.engine.tidy()
    assert world.picture() == before


def test_a_removal_that_is_tried_again_spares_what_somebody_has_by_now(world: World) -> None:
    busy(world)
    old = next(s for s in world.engine.sandboxes() if s.name == "db")
    for n in range(1, 100):
        world.kernel.fail_at(n, EBUSY)
    with pytest.raises(TeardownErrors):
        world.engine.remove_sandboxes(["db"])
    world.kernel.faults.reset()
    state = world.engine.state()
    state.put_sandbox(replace(old, id=str(UUID(int=1 << 100))))
    world.store.commit(state.store.changes())
    world.engine.tidy()
    assert not world.store.scan("pending/")
    assert old.target in world.picture()["kernel"]["namespaces"]  # type: ignore[index]


def test_a_removal_is_given_up_with_the_network_it_was_on(world: World) -> None:
    """The old records cannot be planned any more: that blocks nobody."""
    world.engine.create_network(network("n", "10.5.0.0/24"))
    world.engine.create_sandbox(sandbox("one", "n"))
    for n in range(1, 100):
        world.kernel.fail_at(n, EBUSY)
    with pytest.raises(TeardownErrors):
        world.engine.disconnect("n", "one")
    with pytest.raises(TeardownErrors):
        world.engine.remove_networks(["n"])
    world.kernel.faults.reset()
    world.engine.tidy()
    assert not world.store.scan("pending/")


def test_elements_that_fail_together_are_told_in_the_kernels_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy(world)

    def refuse(self: object, steps: Sequence[Step]) -> None:
        raise KernelError(ENOSPC, "no room", "add element tcp 82")

    monkeypatch.setattr(FakeNft, "apply", refuse)
    with pytest.raises(Exhausted, match="add element tcp 82: no room"):
        world.engine.publish("web", ports("81:81", "82:82"))
