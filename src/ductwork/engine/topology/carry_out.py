"""Carrying a topology's plan out: two changes, and a rehearsal of both before the first."""

from __future__ import annotations

from ductwork.engine.change import Direction
from ductwork.engine.planner import plan_owner
from ductwork.engine.topology.actions import Action, TopologyPlan
from ductwork.engine.topology.endpoints import KEPT_FREE
from ductwork.engine.topology.existing import at
from ductwork.engine.work import Work
from ductwork.model.objects import Step
from ductwork.plan.diff import diff


def stage_removals(work: Work, plan: TopologyPlan) -> None:
    """Stage everything that goes; the change is carried through, whatever happens."""
    work.change.direction = Direction.FINISH
    _do(work, plan.removals)


def stage_creations(work: Work, plan: TopologyPlan) -> None:
    """Stage everything that comes or changes; the change is taken back as a whole when anything fails."""
    coming = [action for action in plan.creations if action.kind == "network"]
    rest = [action for action in plan.creations if action.kind != "network"]
    _keep_free(work, plan)
    _do(work, coming)
    _keep_free(work, plan)
    _do(work, rest)
    work.change.direction = Direction.UNDO


def rehearse(work: Work, plan: TopologyPlan) -> None:
    """Stage everything in one change that is thrown away: what would be refused later is refused now.

    Raises:
        DuctworkError: the topology does not fit this host; nothing was changed.
    """
    stage_removals(work, plan)
    stage_creations(work, plan)


def plan_steps(removing: Work, rehearsal: Work, plan: TopologyPlan) -> list[Step]:
    """Say what would be done in the kernel, from two changes that are thrown away."""
    stage_removals(removing, plan)
    rehearse(rehearsal, plan)
    owners = list(rehearsal.change.owners)
    between = [item for owner in owners for item in plan_owner(removing.state, owner)]
    after = [item for owner in owners for item in plan_owner(rehearsal.state, owner)]
    return removing.change.steps() + diff(between, after)


def _do(work: Work, actions: list[Action] | tuple[Action, ...]) -> None:
    for action in actions:
        with at(action.place):
            action.do(work)


def _keep_free(work: Work, plan: TopologyPlan) -> None:
    """Hold the addresses that were asked for until their endpoints are made: none is chosen for another."""
    for name, address in plan.asked:
        network = work.state.find_network(name)
        if network is not None and work.state.address_holder(network.id, address) is None:
            work.state.reserve_address(network.id, address, KEPT_FREE)
