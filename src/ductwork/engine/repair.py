"""Putting back what somebody else took away, and telling firewalls that came later about our bridges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ductwork.drivers.bridge import BridgeDriver, BridgeOptions
from ductwork.engine.change import learn_identities
from ductwork.engine.host_setup import keep_closed
from ductwork.engine.look import ObjectStatus, status
from ductwork.engine.planner import THE_HOST, all_owners, network_owner, plan_owner
from ductwork.engine.state import HostRecord
from ductwork.engine.targets import Binder
from ductwork.engine.work import Work
from ductwork.errors import TeardownErrors
from ductwork.model.foreign import ForeignView
from ductwork.model.network import Network
from ductwork.model.nft_text import count_rules
from ductwork.model.objects import (
    HOST,
    Add,
    Bridge,
    KernelObject,
    NftElement,
    NsKey,
    PinnedNamespace,
    Ruleset,
    Step,
    Veth,
)
from ductwork.plan.diff import diff
from ductwork.plan.foreign import plan_foreign
from ductwork.plan.ruleset import render_ruleset, ruleset_digest
from ductwork.store.protocol import Put
from ductwork.store.records import encode


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair found missing, what it did or would do about it, and what is missing still."""

    missing: tuple[ObjectStatus, ...]
    steps: tuple[Step, ...]
    still_missing: tuple[ObjectStatus, ...]
    notes: tuple[str, ...] = ()


def repair(work: Work, *, plan_only: bool) -> Repair:
    """Make everything on record exist again, whatever is missing; `restore_all` looks at a few signs."""
    missing = status(work).missing
    steps = _steps_for(work, missing)
    if plan_only:
        return Repair(missing, tuple(steps), missing)
    notes = restore_all(work)
    left = status(work).missing if notes else missing
    notes += _restore(work, _steps_for(work, left))
    return Repair(missing, tuple(steps), status(work).missing if left else (), tuple(notes))


def _steps_for(work: Work, missing: Sequence[ObjectStatus]) -> list[Step]:
    """Say how the missing objects come back; with our table every element, which loading it takes away."""
    gone = {s.object for s in missing}
    loads = any(isinstance(item, Ruleset) for item in gone)
    return [
        step
        for step in plan_restore(work)
        if isinstance(step, Add) and (step.object in gone or (loads and isinstance(step.object, NftElement)))
    ]


def restore_all(work: Work) -> list[str]:
    """Make everything exist again after a reboot, after damage by others, or with newer rules of ours.

    What exists already is left as it is; endpoints of sandboxes that are gone are left out.
    """
    record = work.state.host()
    reason = None if record is None else _reason(work, record)
    if record is None or reason is None:
        return []
    notes = [reason, *_restore(work, plan_restore(work))]
    current = replace(record, boot=work.kernel.boot_id, rules=ruleset_digest())
    work.change.store.commit([Put("host", encode(current))])
    return notes


def _restore(work: Work, steps: Sequence[Step]) -> list[str]:
    """Take steps that put things back, going on past failures; say what could not be done."""
    if not steps:
        return []
    notes: list[str] = []
    try:
        work.change.executor.run_all(steps, "restoring what was taken away")
    except TeardownErrors as error:
        # What is in the way is to be told, and must not keep anybody from clearing it away.
        notes += [f"not restored: {cause}" for cause in error.causes]
    store, sandboxes = work.change.store, work.state.sandboxes()
    learned = learn_identities(store, work.kernel, [s.id for s in sandboxes])
    if learned:
        store.commit(learned)
    return notes


def _reason(work: Work, record: HostRecord) -> str | None:
    """Say why everything must be gone through, None when nothing tells that anything is missing."""
    something = record.active or bool(work.state.sandboxes())
    if something and record.boot not in ("", work.kernel.boot_id):
        return "made everything again that the reboot had taken"
    if not record.active:
        return None
    if work.kernel.nft(HOST).owner() != record.id:
        return "restored our nft table and what belongs to it: somebody had removed it"
    if record.rules != ruleset_digest():
        return "loaded the rules of this version of Ductwork"
    damage = _damage(work, record)
    return f"restored what Ductwork had made: {damage}" if damage else None


def _damage(work: Work, record: HostRecord) -> str:
    """Say what is gone besides the table; only signs that are cheap to read on a busy host."""
    nft = work.kernel.nft(HOST)
    if nft.rule_count() != count_rules(render_ruleset(record.id)):
        return "somebody had flushed our rules"
    planned = [o for n in _bridge_networks(work) for o in plan_owner(work.state, network_owner(n.id))]
    listed = {o.key for o in planned if isinstance(o, NftElement) and o.set == "bridges"}
    if listed != {element.key for element in nft.elements("bridges")}:
        return "somebody had changed our sets"
    bridges = {o.name for o in planned if isinstance(o, Bridge)}
    lost = bridges - {link.name for link in work.kernel.route(HOST).links()} if bridges else ()
    return f"somebody had deleted {_listed(lost)}" if lost else ""


def _listed(bridges: Iterable[str]) -> str:
    names = sorted(bridges)
    return f"bridge{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _bridge_networks(work: Work) -> list[Network]:
    return [n for n in work.state.networks() if n.driver == BridgeDriver.kind]


def plan_restore(work: Work) -> list[Step]:
    """Say what to do so that everything the store knows exists, whatever exists now."""
    wanted: list[KernelObject] = []
    for owner in all_owners(work.state):
        wanted += plan_owner(work.state, owner)
    spaces = [item for item in wanted if isinstance(item, PinnedNamespace)]
    for space in spaces:
        work.binder.expect(space.key, space.path)
    making = {space.key for space in spaces}
    steps = diff([], [item for item in wanted if _can_exist(item, work, making)], tolerant=True)
    # Our table is loaded anew whatever stands there: every element follows, and the rules may be older ones.
    return [Add(s.object) if isinstance(s, Add) and isinstance(s.object, Ruleset) else s for s in steps]


def _can_exist(item: KernelObject, work: Work, making: set[NsKey]) -> bool:
    places = {getattr(item, "ns", getattr(item, "key", HOST))}
    if isinstance(item, Veth):
        places.add(item.peer_ns)
    binder: Binder = work.binder
    return all(p in making or binder.bind(p, [work.state]) for p in places)


def refresh_foreign(work: Work) -> list[str]:
    """Open firewalls that appeared, or lost our accepts, since our bridges were made.

    The records come first: an accept that stands on no record would stay for ever.
    """
    bridges = _bridge_networks(work)
    if not bridges:
        return []
    view = work.kernel.observe_foreign(HOST)
    notes: list[str] = []
    lost: list[Step] = diff(plan_owner(work.state, THE_HOST), _with_guarded(work, view))
    for network in bridges:
        versions = {s.cidr.version for s in network.subnets}
        wanted = plan_foreign(view, BridgeOptions.of(network).bridge, network.id, versions)
        missing = [accept for accept in wanted if accept not in view.accepts]
        known = work.state.foreign(network.id)
        work.state.put_foreign(network.id, list(dict.fromkeys([*known, *missing])))
        lost += [Add(accept, tolerant=True) for accept in missing]
        if missing:
            notes.append(f"opened {missing[0].firewall} {missing[0].chain} for network {network.name}")
    changes = work.state.store.changes()
    if changes:
        work.change.store.commit(changes)
    try:
        work.change.executor.run_all(lost, "opening other firewalls for our bridges")
    except TeardownErrors as error:
        notes += [f"not opened: {cause}" for cause in error.causes]
    return notes


def _with_guarded(work: Work, view: ForeignView) -> list[KernelObject]:
    """Note the bridges others keep closed, and say what the host consists of then."""
    keep_closed(work, view)
    return plan_owner(work.state, THE_HOST)
