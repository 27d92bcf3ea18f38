"""Sandboxes of a topology: found, made, made anew, or removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from ductwork.engine import sandboxes
from ductwork.engine.sandboxes import SandboxSpec
from ductwork.engine.topology.actions import Action, Sign
from ductwork.engine.topology.existing import Existing, at
from ductwork.engine.work import Work
from ductwork.errors import Conflict, FailedPrecondition, InvalidArgument
from ductwork.model.sandbox import Mode, Sandbox
from ductwork.model.topology import Topology, WantedSandbox


@dataclass(slots=True)
class SandboxChanges:
    """What to do about sandboxes.

    Attributes:
        found: those that are there and stay, by their name in the topology.
        names: what the engine calls each one of the topology.
        going: ids of those that are taken away, for good or not.
    """

    removals: list[Action] = field(default_factory=list)
    creations: list[Action] = field(default_factory=list)
    found: dict[str, Sandbox] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    going: set[str] = field(default_factory=set)


def compare_sandboxes(work: Work, existing: Existing, topology: Topology) -> SandboxChanges:
    """Find every sandbox of a topology, and those it has dropped.

    Raises:
        Conflict: a name belongs to somebody else. FailedPrecondition: one that goes is shared by another.
        NotFound, InvalidArgument: a target that cannot be used.
    """
    changes = SandboxChanges()
    roots = [w for w in topology.sandboxes if not w.shares_with]
    for wanted in (*roots, *(w for w in topology.sandboxes if w.shares_with)):
        with at(f"sandboxes.{wanted.name}"):
            if wanted.target:
                _find_target(work, existing, changes, wanted)
            else:
                _compare(work, existing, changes, wanted)
    kept = {wanted.name for wanted in topology.sandboxes if not wanted.target}
    for sandbox in existing.sandboxes.values():
        if existing.is_ours(sandbox) and sandbox.name not in kept:
            _take_away(changes, sandbox, ())
    _refuse_shared(existing, changes)
    # Whoever uses another's stack goes first.
    changes.removals.sort(key=lambda action: existing.sandboxes[action.name].mode is not Mode.CONTAINER)
    return changes


def _find_target(work: Work, existing: Existing, changes: SandboxChanges, wanted: WantedSandbox) -> None:
    sandbox = work.targets.resolve(work.state, wanted.target)
    if sandbox.mode is Mode.CONTAINER:
        sandbox = work.state.sandbox(sandbox.other)
    if existing.is_ours(sandbox):
        raise InvalidArgument(
            f"target {wanted.target} is a sandbox of this topology", hint="describe it under its own name"
        )
    twin = next((name for name, found in changes.found.items() if found.id == sandbox.id), None)
    if twin is not None:
        raise InvalidArgument(
            f"target {wanted.target} is the same as sandbox {twin}", hint="describe it once"
        )
    changes.found[wanted.name] = sandbox
    changes.names[wanted.name] = sandbox.name


def _compare(work: Work, existing: Existing, changes: SandboxChanges, wanted: WantedSandbox) -> None:
    sandbox = existing.sandboxes.get(wanted.name)
    spec = SandboxSpec(wanted.name, _mode_word(changes, wanted), topology=existing.topology)
    create = partial(sandboxes.create, spec=spec)
    details = (wanted.mode,) if wanted.mode not in {"", "none", "bridge"} else ()
    place = f"sandboxes.{wanted.name}"
    changes.names[wanted.name] = wanted.name
    if sandbox is None:
        changes.creations.append(Action(Sign.ADD, "sandbox", wanted.name, create, details, place))
        return
    if not existing.is_ours(sandbox):
        owner = f"topology {sandbox.topology}" if sandbox.topology else "somebody else"
        raise Conflict(
            f"a sandbox of this name exists already and belongs to {owner}",
            hint=f"choose another name, or use it as it is with `target: {wanted.name}`",
        )
    reasons = _reasons_to_rebuild(work, existing, changes, wanted, sandbox)
    if reasons:
        _take_away(changes, sandbox, reasons)
        again = (*details, "made anew")
        changes.creations.append(Action(Sign.ADD, "sandbox", wanted.name, create, again, place))
    else:
        changes.found[wanted.name] = sandbox


def _mode_word(changes: SandboxChanges, wanted: WantedSandbox) -> str:
    """Return the mode as the engine takes it; it joins networks one by one, so "bridge" says nothing more."""
    if wanted.shares_with:
        return f"container:{changes.names.get(wanted.shares_with, wanted.shares_with)}"
    return "" if wanted.mode == "bridge" else wanted.mode


def _reasons_to_rebuild(
    work: Work, existing: Existing, changes: SandboxChanges, wanted: WantedSandbox, sandbox: Sandbox
) -> tuple[str, ...]:
    mode, other = _expected(work, changes, wanted)
    if mode is not sandbox.mode or other != sandbox.other:
        return (f"mode becomes {wanted.mode or 'a stack of its own'}",)
    if mode is Mode.OWN and sandbox.target not in existing.pinned:
        return ("its namespace is gone",)
    return ()


def _expected(work: Work, changes: SandboxChanges, wanted: WantedSandbox) -> tuple[Mode, str]:
    """Return the mode a sandbox should have, and whose stack it should share ("new" for one to be made)."""
    if not wanted.shares_with:
        return (Mode.HOST if wanted.mode == "host" else Mode.OWN), ""
    if wanted.shares_with in changes.names:
        other = changes.found.get(wanted.shares_with)
        if other is None:
            return Mode.CONTAINER, "new"
    else:
        other = work.targets.resolve(work.state, wanted.shares_with)
    if other.mode is Mode.HOST:
        return Mode.HOST, ""
    return Mode.CONTAINER, other.other or other.id


def _take_away(changes: SandboxChanges, sandbox: Sandbox, reasons: tuple[str, ...]) -> None:
    changes.going.add(sandbox.id)
    forget = partial(_forget, identity=sandbox.id)
    changes.removals.append(Action(Sign.REMOVE, "sandbox", sandbox.name, forget, reasons))


def _forget(work: Work, identity: str) -> None:
    sandboxes.forget(work, work.state.sandbox(identity))


def _refuse_shared(existing: Existing, changes: SandboxChanges) -> None:
    for sandbox in existing.sandboxes.values():
        if sandbox.other in changes.going and sandbox.id not in changes.going:
            other = existing.state.sandbox(sandbox.other)
            raise FailedPrecondition(
                f"sandbox {other.name} has to go and {sandbox.name} shares its stack",
                hint=f"remove first: duct sandbox rm {sandbox.name}",
            )
