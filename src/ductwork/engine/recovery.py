"""What to do about changes that were cut off: carry them through or take them back, and never block the host.

A creation that cannot be taken back wholly is taken back in the records, and what it left in the kernel
becomes a removal, which every later command tries again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ductwork.engine.change import Direction, Journal, Was, plan, reachable, restore, sandbox_names
from ductwork.engine.executor import Executor, target_of
from ductwork.engine.planner import Owner, all_owners, plan_owner
from ductwork.engine.state import State
from ductwork.engine.targets import Binder
from ductwork.errors import NotFound, TeardownErrors
from ductwork.kernel.ports import Kernel
from ductwork.model.objects import (
    HOST,
    Add,
    HostsEntries,
    KernelObject,
    NftElement,
    PinnedNamespace,
    Remove,
    Ruleset,
    Step,
)
from ductwork.plan.describe import with_names
from ductwork.plan.diff import diff, identity
from ductwork.store.protocol import Delete, Put, Store
from ductwork.store.records import decode, encode
from ductwork.store.staged import StagedStore


def recover(store: Store, binder: Binder, executor: Executor) -> list[str]:
    """Finish or take back every change that was cut off; say which, and what is still to be done.

    Call it only while holding the host's lock.
    """
    notes: list[str] = []
    for entry in store.scan("pending/"):
        notes.append(_recover_one(store, binder, executor, entry.key))
        notes += executor.take_notes()
    return notes


def _recover_one(store: Store, binder: Binder, executor: Executor, key: str) -> str:
    entry = store.get(key)
    assert entry is not None, "it was listed under the host's lock"
    journal = decode(Journal, entry.value)
    now, then = State(StagedStore(store)), _before(store, journal)
    back = journal.direction is Direction.UNDO
    wanted, other = (then, now) if back else (now, then)
    owners = [Owner(o) for o in journal.owners]
    steps = reachable(_steps(wanted, other, owners), binder, [now, then])
    try:
        executor.run_all(_without_lost_table(steps, executor.kernel), f"recovering: {journal.what}")
    except TeardownErrors as error:
        if back:
            left = encode(_as_removal(store, journal))
            store.commit([*restore(journal), Put(key, left)])
        return with_names(f"{error}; the next command tries again", sandbox_names([now, then], owners))
    store.commit([*(restore(journal) if back else []), Delete(key)])
    return f"{'took back' if back else 'finished'} what was cut off: {journal.what}"


def _before(store: Store, journal: Journal) -> State:
    """Return the records with what the journal kept in place of what is there."""
    then = State(StagedStore(store))
    for change in restore(journal):
        if isinstance(change, Put):
            then.store.put(change.key, change.value)
        else:
            then.store.delete(change.key)
    return then


def _as_removal(store: Store, journal: Journal) -> Journal:
    """Turn a creation that is being taken back into the removal of what it made."""
    entries = [(was.key, store.get(was.key)) for was in journal.before]
    written = tuple(Was(key, None if entry is None else entry.value.decode()) for key, entry in entries)
    return replace(journal, what=f"taking back: {journal.what}", direction=Direction.FINISH, before=written)


def _steps(wanted: State, other: State, owners: Sequence[Owner]) -> list[Step]:
    was = _plan_what_can_be(other, owners)
    steps = diff(was, plan(wanted, owners), tolerant=True)
    claims = {_claim(item) for item in plan(wanted, all_owners(wanted))}

    def is_due(step: Step) -> bool:
        if isinstance(step, Remove):
            return _claim(step.object) not in claims  # somebody who came later has it
        # A namespace that this change did not make and somebody has deleted since is not made again.
        return not (isinstance(step, Add) and isinstance(step.object, PinnedNamespace) and step.object in was)

    return [step for step in steps if is_due(step)]


def _claim(item: KernelObject) -> tuple[object, ...]:
    """Return what only one owner can have; a sandbox made anew has the hosts file of the old one."""
    return ("hosts", item.where) if isinstance(item, HostsEntries) else identity(item)


def _plan_what_can_be(state: State, owners: Iterable[Owner]) -> list[KernelObject]:
    planned: list[KernelObject] = []
    for owner in owners:
        # Changes since may have removed what an old record builds on; what it had went with that.
        with contextlib.suppress(NotFound):
            planned += plan_owner(state, owner)
    return planned


def _without_lost_table(steps: list[Step], kernel: Kernel) -> list[Step]:
    """Leave elements out when our table was flushed meanwhile: it comes back with all that belongs in it."""
    if any(isinstance(target_of(s), Ruleset) for s in steps) or kernel.nft(HOST).owner() is not None:
        return steps
    return [s for s in steps if not isinstance(target_of(s), NftElement)]
