"""Links of a topology: which sandbox knows which other by what alias."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from ductwork.engine import sandboxes as use_cases
from ductwork.engine.topology.actions import Action, Sign
from ductwork.engine.topology.existing import Existing
from ductwork.engine.topology.sandboxes import SandboxChanges
from ductwork.engine.work import Work
from ductwork.errors import NotFound
from ductwork.model.endpoint import Link
from ductwork.model.sandbox import Sandbox
from ductwork.model.topology import Topology


@dataclass(slots=True)
class LinkChanges:
    """What to do about links."""

    removals: list[Action] = field(default_factory=list)
    creations: list[Action] = field(default_factory=list)


def compare_links(
    work: Work, existing: Existing, topology: Topology, sandboxes: SandboxChanges
) -> LinkChanges:
    """Compare the links of every sandbox that stays, and find those to make."""
    changes = LinkChanges()
    by_id = {s.id: s for s in existing.sandboxes.values()}
    left = {s.id: s for s in by_id.values() if s.id not in sandboxes.going}
    left |= {s.id: s for s in sandboxes.found.values()}
    kept: dict[str, set[tuple[str, str]]] = {}
    wanted_links = {
        sandboxes.names[w.name]: {(_name(work, sandboxes, k.other), k.alias) for k in w.links}
        for w in topology.sandboxes
    }
    for sandbox in left.values():
        asked = wanted_links.get(sandbox.name, set())
        for link in existing.state.links(sandbox.id):
            other = by_id.get(link.sandbox_id)
            if other is None or other.id in sandboxes.going:
                continue  # it goes by itself with the sandbox it names
            pair = (other.name, link.alias)
            if pair in asked:
                kept.setdefault(sandbox.name, set()).add(pair)
                if not existing.is_ours(link):
                    changes.creations.append(_link(existing, sandbox.name, pair, Sign.CHANGE))
            elif existing.is_ours(link):
                changes.removals.append(_unlink(sandbox, other, link))
    for name, links in wanted_links.items():
        missing = links - kept.get(name, set())
        changes.creations += [_link(existing, name, pair, Sign.ADD) for pair in sorted(missing)]
    return changes


def _name(work: Work, sandboxes: SandboxChanges, other: str) -> str:
    """Return what the engine calls a sandbox of the topology, or another one that it knows."""
    if other in sandboxes.names:
        return sandboxes.names[other]
    try:
        return work.targets.known(work.state, other).name
    except NotFound:
        return other  # refused when the link is made, with words


def _link(existing: Existing, name: str, pair: tuple[str, str], sign: Sign) -> Action:
    other, alias = pair
    do = partial(_make, target=name, other=other, alias=alias, topology=existing.topology)
    details = () if sign is Sign.ADD else ("made by hand, the topology's from now on",)
    return Action(sign, "link", f"{name} knows {other} as {alias}", do, details, f"sandboxes.{name}.links")


def _make(work: Work, target: str, other: str, alias: str, topology: str) -> None:
    made = use_cases.link(work, target, other, alias)
    sandbox = work.targets.known(work.state, target)
    work.state.put_link(sandbox.id, replace(made, topology=topology))


def _unlink(sandbox: Sandbox, other: Sandbox, link: Link) -> Action:
    do = partial(use_cases.unlink, target=sandbox.name, alias=link.alias)
    return Action(Sign.REMOVE, "link", f"{sandbox.name} knows {other.name} as {link.alias}", do)
