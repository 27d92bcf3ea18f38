"""Putting back what somebody else took away, and telling firewalls that came later about our bridges."""

from __future__ import annotations

from ductwork.drivers.bridge import BridgeDriver, BridgeOptions
from ductwork.engine.change import learn_identities
from ductwork.engine.planner import all_owners, network_owner, plan_owner
from ductwork.engine.targets import Binder
from ductwork.engine.work import Work
from ductwork.errors import TeardownErrors
from ductwork.model.objects import HOST, KernelObject, NsKey, PinnedNamespace, Step, Veth
from ductwork.plan.diff import diff
from ductwork.plan.foreign import plan_foreign


def restore_all(work: Work) -> list[str]:
    """Make everything exist again when our table is gone: after `nft flush ruleset`, or a reboot.

    What exists already is left as it is; endpoints of sandboxes that are gone are left out.
    """
    record = work.state.host()
    if record is None or not record.active or work.kernel.nft(HOST).owner() == record.id:
        return []
    notes = ["restored our nft table and what belongs to it: somebody had removed it"]
    try:
        work.change.executor.run_all(plan_restore(work), "restoring what was taken away")
    except TeardownErrors as error:
        # What is in the way is to be told, and must not keep anybody from clearing it away.
        notes += [f"not restored: {cause}" for cause in error.causes]
    store, sandboxes = work.change.store, work.state.sandboxes()
    store.commit(learn_identities(store, work.kernel, [s.id for s in sandboxes]))
    return notes


def plan_restore(work: Work) -> list[Step]:
    """Say what to do so that everything the store knows exists, whatever exists now."""
    wanted: list[KernelObject] = []
    for owner in all_owners(work.state):
        wanted += plan_owner(work.state, owner)
    spaces = [item for item in wanted if isinstance(item, PinnedNamespace)]
    for space in spaces:
        work.binder.expect(space.key, space.path)
    making = {space.key for space in spaces}
    return diff([], [item for item in wanted if _can_exist(item, work, making)], tolerant=True)


def _can_exist(item: KernelObject, work: Work, making: set[NsKey]) -> bool:
    places = {getattr(item, "ns", getattr(item, "key", HOST))}
    if isinstance(item, Veth):
        places.add(item.peer_ns)
    binder: Binder = work.binder
    return all(p in making or binder.bind(p, [work.state]) for p in places)


def refresh_foreign(work: Work) -> list[str]:
    """Open firewalls that appeared or were reloaded since our bridges were made."""
    bridges = [n for n in work.state.networks() if n.driver == BridgeDriver.kind]
    if not bridges:
        return []
    view = work.kernel.observe_foreign(HOST)
    notes = []
    for network in bridges:
        versions = {s.cidr.version for s in network.subnets}
        wanted = plan_foreign(view, BridgeOptions.of(network).bridge, network.id, versions)
        missing = [accept for accept in wanted if accept not in work.state.foreign(network.id)]
        if missing:
            work.state.put_foreign(network.id, [*work.state.foreign(network.id), *missing])
            work.change.touch(network_owner(network.id))
            notes.append(f"opened {missing[0].firewall} {missing[0].chain} for network {network.name}")
    return notes
