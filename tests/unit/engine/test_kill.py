"""The process dies at every step of every change: the next one finishes or undoes, and nothing leaks."""

from __future__ import annotations

import pytest
from tests.unit.engine.histories import HISTORIES, IN_KERNEL, History, busy
from tests.unit.engine.world import World, Worlds, sandbox

from ductwork.engine.networks import NetworkUpdate
from ductwork.kernel.fake import Killed

COUNTERS = {"host", "slot", "port-cursor"}  # all that may stay in the store of a host with nothing on it


def prepared(worlds: Worlds, history: History) -> World:
    world = worlds()
    world.engine.tidy()  # the host's identity is older than all histories
    history.setup(world)
    return world


def expected(worlds: Worlds, history: History) -> tuple[object, int, int]:
    """Return how the host must look after a recovery, and how many steps and commits the change takes."""
    world = prepared(worlds, history)
    before = world.picture()
    steps, commits = world.kernel.steps, world.store.commits
    history.act(world)
    picture = world.picture() if history.finishes else before
    return picture, world.kernel.steps - steps, world.store.commits - commits


def die(world: World, history: History) -> None:
    with pytest.raises(Killed):
        history.act(world)


def nothing_is_left(worlds: Worlds, world: World) -> None:
    world.remove_all()
    empty, got = worlds().kernel.snapshot(), world.kernel.snapshot()
    strangers = {path for path in got["namespaces"] if path not in empty["namespaces"]}
    for path in strangers:
        world.kernel.forget_namespace(path)
    assert world.kernel.snapshot() == empty
    assert set(world.store.dump()) <= COUNTERS


@pytest.mark.parametrize("name", IN_KERNEL)
def test_death_in_the_kernel(worlds: Worlds, name: str) -> None:
    history = HISTORIES[name]
    picture, steps, _ = expected(worlds, history)
    for n in range(1, steps + 1):
        world = prepared(worlds, history)
        world.kernel.die_at(n)
        die(world, history)
        world.restart().tidy()
        assert world.picture() == picture, f"died at step {n} of {steps}"
    nothing_is_left(worlds, world)


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("moment", ["die_before", "die_after"])
def test_death_beside_the_store(worlds: Worlds, name: str, moment: str) -> None:
    history = HISTORIES[name]
    picture, _, commits = expected(worlds, history)
    done = prepared(worlds, history)
    before = done.picture()
    history.act(done)
    for n in range(1, commits + 1):
        world = prepared(worlds, history)
        setattr(world.store, moment, world.store.commits + n)
        die(world, history)
        is_pending = bool(world.store.scan("pending/"))
        world.restart().tidy()
        # Without a journal entry the change had not begun, or it was over.
        assert world.picture() in ([picture] if is_pending else [before, done.picture()])
        nothing_is_left(worlds, world)


@pytest.mark.parametrize("name", IN_KERNEL)
def test_death_in_the_recovery_from_a_death(worlds: Worlds, name: str) -> None:
    history = HISTORIES[name]
    picture, steps, _ = expected(worlds, history)
    for first in sorted({steps // 2 + 1, steps}):
        for second in range(1, 100):
            world = prepared(worlds, history)
            world.kernel.die_at(first)
            die(world, history)
            world.restart()
            world.kernel.die_at(second)
            try:
                world.engine.tidy()
            except Killed:
                world.restart().tidy()
                assert world.picture() == picture, f"died at step {first}, then at step {second}"
            else:
                break
        else:
            pytest.fail("the recovery does not come to an end")


@pytest.mark.parametrize("name", IN_KERNEL)
def test_death_at_the_end_of_the_recovery(worlds: Worlds, name: str) -> None:
    history = HISTORIES[name]
    picture, steps, _ = expected(worlds, history)
    for moment in ("die_before", "die_after"):
        world = prepared(worlds, history)
        world.kernel.die_at(steps)
        die(world, history)
        setattr(world.restart().store, moment, 1)
        with pytest.raises(Killed):
            world.engine.tidy()
        world.restart().tidy()
        assert world.picture() == picture


@pytest.mark.parametrize("name", IN_KERNEL)
def test_any_change_recovers_first(worlds: Worlds, name: str) -> None:
    history = HISTORIES[name]
    picture, steps, _ = expected(worlds, history)
    world = prepared(worlds, history)
    world.kernel.die_at(steps // 2 + 1)
    die(world, history)
    world.restart().create_sandbox(sandbox("later"))
    assert any("what was cut off" in note for note in world.engine.report.notes)
    world.engine.remove_sandboxes(["later"])
    assert world.picture() == picture


def test_death_between_the_file_and_the_mount_of_a_new_namespace(world: World) -> None:
    busy(world)
    before = world.picture()
    path = str(world.host.netns_dir / "new")
    world.kernel.die_at(1)
    with pytest.raises(Killed):
        world.engine.create_sandbox(sandbox("new", "front"))
    world.kernel.files.add(path)
    world.restart().tidy()
    assert world.picture()["kernel"] == before["kernel"]
    world.engine.create_sandbox(sandbox("new"))


def test_a_pin_that_lost_its_mount_is_a_dead_sandbox(world: World) -> None:
    busy(world)
    path = str(world.host.netns_dir / "web")
    world.kernel.forget_namespace(path)
    world.kernel.files.add(path)
    web = next(s for s in world.engine.sandboxes() if s.name == "web")
    assert not world.engine.is_alive(web)
    assert world.engine.status().missing
    world.engine.tidy()
    world.engine.create_sandbox(sandbox("other", "front"))
    world.engine.update_network("front", NetworkUpdate(mtu=1300))
    world.engine.disconnect("front", "web")
    world.engine.remove_sandboxes(["web"])
    assert path not in world.kernel.files
    status = world.engine.status()
    assert not status.missing and not status.leftovers
