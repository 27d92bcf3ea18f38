"""--plan: nothing is touched, and what it shows is what the real run then does."""

from __future__ import annotations

import pytest
from tests.unit.engine.histories import HISTORIES, one_network
from tests.unit.engine.world import World, Worlds, network, sandbox

from ductwork.errors import DuctworkError
from ductwork.kernel.fake import Killed


@pytest.mark.parametrize("name", HISTORIES)
def test_a_plan_is_what_is_done(worlds: Worlds, name: str) -> None:
    history = HISTORIES[name]
    planned = worlds()
    planned.engine.tidy()
    history.setup(planned)
    before, commits, steps = planned.picture(), planned.store.commits, planned.kernel.steps
    planned.engine.plan_only = True
    history.act(planned)
    assert planned.picture() == before
    assert (planned.store.commits, planned.kernel.steps) == (commits, steps)
    assert not planned.engine.tidy()
    planned.engine.close()
    done = worlds()
    done.engine.tidy()
    history.setup(done)
    history.act(done)
    assert planned.engine.report.lines() == done.engine.report.lines()
    assert not any("sandbox/" in line for line in done.engine.report.lines()), "names, not keys"


def test_a_plan_on_an_untouched_host(worlds: Worlds) -> None:
    world = worlds()
    world.engine.plan_only = True
    world.engine.create_network(network("n", "10.5.0.0/24"))
    planned = world.engine.report.lines()
    assert world.store.dump() == {}
    world.engine.plan_only = False
    world.engine.create_network(network("n", "10.5.0.0/24"))
    assert [line.split(" address ")[0][:9] for line in world.engine.report.lines()] == [
        line.split(" address ")[0][:9] for line in planned
    ]
    assert world.store.get("host") is not None, "the host's identity is kept from the first real change on"


def test_an_identity_that_was_only_planned_with_is_kept_by_the_first_change(world: World) -> None:
    world.engine.plan_only = True
    world.engine.create_sandbox(sandbox("a"))
    world.engine.plan_only = False
    world.engine.create_sandbox(sandbox("a"))
    identity = world.engine.host_id
    assert world.restart().tidy() == []
    assert world.engine.host_id == identity


def test_a_refused_plan_changes_nothing(world: World) -> None:
    one_network(world)
    before = world.picture()
    world.engine.plan_only = True
    with pytest.raises(DuctworkError):
        world.engine.create_network(network("front"))
    assert world.picture() == before


def test_a_plan_leaves_what_was_cut_off_alone_and_says_so(world: World) -> None:
    one_network(world)
    world.kernel.die_at(2)
    with pytest.raises(Killed):
        world.engine.create_sandbox(sandbox("b", "front"))
    engine = world.restart()
    before = world.picture()
    engine.plan_only = True
    engine.create_sandbox(sandbox("c"))
    assert world.picture() == before
    assert any("cut off" in note for note in engine.report.notes)
