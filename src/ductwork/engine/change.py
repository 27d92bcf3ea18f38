"""One change of the host: staged, planned, journalled, committed, applied, and finished or undone.

The order is what makes a kill harmless. The new records and a journal entry reach the store together and
before the kernel is touched; the entry goes when the kernel is done. Whoever holds the lock next and finds
an entry knows which owners were being changed and in which direction to go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from uuid import uuid4

from ductwork.drivers.registry import driver_of
from ductwork.engine.executor import Executor, target_of
from ductwork.engine.planner import Owner, namespace_key, plan_owner
from ductwork.engine.state import State
from ductwork.engine.targets import Binder
from ductwork.errors import DuctworkError, TeardownErrors
from ductwork.kernel.ports import Kernel
from ductwork.model.objects import (
    HOST,
    Add,
    HostsEntries,
    KernelObject,
    NsKey,
    PinnedNamespace,
    Remove,
    Step,
    Veth,
)
from ductwork.model.sandbox import Mode
from ductwork.plan.describe import with_names
from ductwork.plan.diff import diff, undo
from ductwork.store.protocol import Delete, Put, Store
from ductwork.store.records import encode
from ductwork.store.staged import StagedStore


class Direction(StrEnum):
    """What to do with a change that was cut off: take it back, or carry it through."""

    UNDO = "undo"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Was:
    """What a key held before a change; None where there was no such key."""

    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Journal:
    """A change under way: the owners it touches, and what each changed key held before."""

    what: str
    direction: Direction
    owners: tuple[str, ...]
    before: tuple[Was, ...]


@dataclass(slots=True)
class Change:
    """A change being put together: the staged records, and the owners whose plans may differ.

    Attributes:
        direction: creations are undone when they fail or are cut off; removals are carried through.
        notes: what the person should be told although it went well.
    """

    what: str
    store: Store
    binder: Binder
    executor: Executor
    direction: Direction = Direction.UNDO
    owners: dict[Owner, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    before: State = field(init=False)
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.before = State(StagedStore(self.store))
        self.state = State(StagedStore(self.store))

    def touch(self, *owners: Owner) -> None:
        """Plan these owners too."""
        for owner in owners:
            self.owners[owner] = None

    def touched_sandboxes(self) -> list[str]:
        """Return the ids of the sandboxes among the owners."""
        return [owner.partition("/")[2] for owner in self.owners if owner.startswith("sandbox/")]

    def sandbox_names(self) -> dict[str, str]:
        """Return the names of the sandboxes that steps may be in by the keys of their namespaces."""
        return sandbox_names([self.before, self.state], self.owners)

    def steps(self) -> list[Step]:
        """Say what would be done."""
        steps = diff(plan(self.before, self.owners), plan(self.state, self.owners))
        return reachable(steps, self.binder, [self.state, self.before])

    def commit(self) -> list[Step]:
        """Carry the change out.

        Raises:
            DuctworkError: it failed and, unless it was a removal, was taken back.
        """
        changes = self.state.store.changes()
        if not changes:
            return []
        steps = self.steps()
        if not steps:
            self.store.commit(changes)
            return []
        journal = self._journal(changes)
        key = f"pending/{uuid4().hex}"
        self.store.commit([*changes, Put(key, encode(journal))])
        try:
            if self.direction is Direction.FINISH:
                self.executor.run_all(steps, self.what)
            else:
                self.executor.run(steps)
        except DuctworkError:
            if self.direction is Direction.UNDO:
                self._take_back(list(self.executor.attempted), journal, key)
            raise
        finally:
            self.notes += self.executor.take_notes()
        learned = learn_identities(self.store, self.binder.kernel, self.touched_sandboxes())
        self.store.commit([*learned, Delete(key)])
        return steps

    def _journal(self, changes: Sequence[Put | Delete]) -> Journal:
        entries = [(change.key, self.store.get(change.key)) for change in changes]
        before = tuple(Was(key, None if entry is None else entry.value.decode()) for key, entry in entries)
        return Journal(self.what, self.direction, tuple(self.owners), before)

    def _take_back(self, steps: Sequence[Step], journal: Journal, key: str) -> None:
        """Undo what may have been done; what cannot be undone now stays journalled for the next start."""
        try:
            self.executor.run_all(undo(steps), f"taking back: {self.what}")
        except TeardownErrors as error:
            self.notes.append(with_names(str(error), self.sandbox_names()))
            return
        self.store.commit([*restore(journal), Delete(key)])


def sandbox_names(states: Sequence[State], owners: Iterable[Owner]) -> dict[str, str]:
    """Return the names of the sandboxes that owners have something in by the keys of their namespaces."""
    names: dict[str, str] = {}
    for state in states:
        for identity in dict.fromkeys(i for owner in owners for i in _sandboxes_of(state, owner)):
            sandbox = state.sandbox_or_none(identity)
            if sandbox is not None:
                names[f"sandbox/{sandbox.id}"] = sandbox.name
    return names


def _sandboxes_of(state: State, owner: Owner) -> list[str]:
    kind, _, identity = owner.partition("/")
    if kind == "sandbox":
        return [identity]
    if kind == "endpoint":
        endpoint = state.endpoint_or_none(identity)
        return [] if endpoint is None else [endpoint.sandbox_id]
    network = state.network_or_none(identity) if kind == "network" else None
    if network is not None and driver_of(network.driver).couples_endpoints:
        return [endpoint.sandbox_id for endpoint in state.endpoints_on(network.id)]
    return []


def reachable(steps: Sequence[Step], binder: Binder, states: Sequence[State]) -> list[Step]:
    """Leave out what would happen inside namespaces that are gone: it went with them."""
    making = [s.object for s in steps if isinstance(s, Add) and isinstance(s.object, PinnedNamespace)]
    for space in making:
        binder.expect(space.key, space.path)
    alive: dict[NsKey, bool] = {HOST: True, **dict.fromkeys([space.key for space in making], True)}

    def is_alive(key: NsKey) -> bool:
        if key not in alive:
            alive[key] = binder.bind(key, states)
        return alive[key]

    def is_reachable(step: Step) -> bool:
        match target_of(step):
            case HostsEntries(key):
                # The file of a named namespace is on the host and outlives it.
                return is_alive(key) or key in binder.places
            case Veth() as pair if not isinstance(step, Remove):
                return is_alive(pair.ns) and is_alive(pair.peer_ns)
            case target:
                return is_alive(getattr(target, "ns", HOST))

    return [step for step in steps if is_reachable(step)]


def learn_identities(store: Store, kernel: Kernel, sandbox_ids: Sequence[str]) -> list[Put | Delete]:
    """Note which namespaces our own sandboxes have now: they are new, or were made again."""
    state = State(StagedStore(store))
    for sandbox in (state.sandbox_or_none(identity) for identity in sandbox_ids):
        if sandbox is None or sandbox.mode is not Mode.OWN:
            continue
        info = kernel.bound(namespace_key(state, sandbox))
        if info is not None and info.cookie != sandbox.cookie:
            state.put_sandbox(replace(sandbox, cookie=info.cookie))
    return state.store.changes()


def restore(journal: Journal) -> list[Put | Delete]:
    """Say how to put back what each changed key held before."""
    return [
        Delete(was.key) if was.value is None else Put(was.key, was.value.encode()) for was in journal.before
    ]


def plan(state: State, owners: Iterable[Owner]) -> list[KernelObject]:
    """Say what must exist for some owners."""
    return [item for owner in owners for item in plan_owner(state, owner)]
