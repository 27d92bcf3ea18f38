"""The difference between two sets of kernel objects, as steps in an order that never cuts what still runs.

New objects come before old ones go. Coming, a path stands before traffic is sent on it (links, addresses,
routes, then elements); going, traffic stops before its path. Objects that the kernel takes away together
with another (a link's addresses) are not removed one by one.
"""

from __future__ import annotations

from collections.abc import Iterable

from ductwork.model.objects import (
    HOST,
    Add,
    Address,
    Bridge,
    Change,
    ForeignAccept,
    HostsEntries,
    KernelObject,
    LinkUp,
    LoopbackGuard,
    NamespaceName,
    Neighbour,
    NftElement,
    PinnedNamespace,
    Remove,
    Route,
    Ruleset,
    Step,
    Sysctl,
    Veth,
)

# Stage, then rank inside it. Steps of one stage that live in one sandbox stay together: one send each.
_ORDER: dict[type, tuple[int, int]] = {
    PinnedNamespace: (0, 0),
    NamespaceName: (0, 1),
    Sysctl: (1, 0),
    Ruleset: (1, 1),
    Bridge: (2, 0),
    Veth: (2, 1),
    LinkUp: (3, 0),
    LoopbackGuard: (3, 1),
    Address: (3, 2),
    Route: (3, 3),
    Neighbour: (3, 4),
    HostsEntries: (4, 0),
    ForeignAccept: (5, 0),
    NftElement: (6, 0),
}


def identity(item: KernelObject) -> tuple[object, ...]:
    """Return what makes two values the same object: two of them cannot exist side by side."""
    match item:
        case Bridge() | Veth():
            return ("link", item.ns, item.name)
        case LinkUp():
            return ("up", item.ns, item.name)
        case Address():
            return ("address", item.ns, item.ifindex, item.ip)
        case Route():
            return ("route", item.ns, item.dst, item.metric)
        case Neighbour():
            return ("neighbour", item.ns, item.ifindex, item.ip)
        case LoopbackGuard():
            return ("guard", item.ns, item.ifindex)
        case Sysctl():
            return ("sysctl", item.ns, item.path)
        case Ruleset():
            return ("ruleset", item.ns)
        case NftElement():
            return ("element", item.ns, item.set, item.key)
        case HostsEntries():
            return ("hosts", item.key)
        case PinnedNamespace():
            return ("namespace", item.path)
        case NamespaceName():
            return ("name", item.path)
        case ForeignAccept():
            return ("foreign", item)


def diff(
    before: Iterable[KernelObject], after: Iterable[KernelObject], *, tolerant: bool = False
) -> list[Step]:
    """Say which steps lead from one set of objects to another; `tolerant` adds accept what is there."""
    old = {identity(item): item for item in before}
    new = {identity(item): item for item in after}
    coming: list[Add | Change] = []
    for key, item in new.items():
        was = old.get(key)
        if was is None:
            coming.append(Add(item, tolerant))
        elif was != item:
            coming.append(Change(was, item))
        elif tolerant:
            coming.append(Add(item, tolerant=True))
    gone = [item for key, item in old.items() if key not in new]
    return order_coming(coming) + [Remove(item) for item in order_going(_without_cascades(gone))]


def undo(steps: Iterable[Step]) -> list[Step]:
    """Say which steps take a list of steps back, whether or not each of them was done."""
    back: list[Step] = []
    for step in steps:
        match step:
            case Add(item):
                back.append(Remove(item))
            case Change(old, new):
                back.append(Change(new, old))
            case Remove(item):
                back.append(Add(item, tolerant=True))
    coming: list[Add | Change] = [s for s in back if not isinstance(s, Remove)]
    going = _without_cascades([s.object for s in back if isinstance(s, Remove)])
    return [Remove(item) for item in order_going(going)] + order_coming(coming)


def _target(step: Add | Change) -> KernelObject:
    return step.object if isinstance(step, Add) else step.new


def order_key(item: KernelObject) -> tuple[int, str, int]:
    """Sort objects for creation: stage, then (inside sandboxes) one sandbox after the other, then rank."""
    stage, rank = _ORDER[type(item)]
    if isinstance(item, Sysctl) and item.before is None:
        stage, rank = 3, 1  # of an interface of ours: it must be there, and have no address yet
    place = getattr(item, "ns", "") if stage == 3 else ""
    return stage, "" if place == HOST else place, rank


def order_coming(steps: list[Add | Change]) -> list[Step]:
    """Put creations in order; equal ones keep the order they were given in."""
    ordered: list[Add | Change] = sorted(steps, key=_step_key)
    return list(ordered)


def _step_key(step: Add | Change) -> tuple[int, str, int]:
    if isinstance(step, Change) and isinstance(step.new, Sysctl):
        return _ORDER[Sysctl][0], "", 0  # its interface stands, and what changes of that may need it
    return order_key(_target(step))


def order_going(items: list[KernelObject]) -> list[KernelObject]:
    """Put removals in order: the exact reverse of creation."""
    return sorted(items, key=order_key)[::-1]


def _without_cascades(items: list[KernelObject]) -> list[KernelObject]:
    """Leave out what vanishes by itself when a link or a namespace goes."""
    indexes: set[tuple[str, int]] = set()
    spaces: set[str] = set()
    for item in items:
        match item:
            case Veth():
                indexes |= {(item.ns, item.ifindex), (item.peer_ns, item.peer_ifindex)}
            case Bridge():
                indexes.add((item.ns, item.ifindex))
            case PinnedNamespace():
                spaces.add(item.key)

    def vanishes(item: KernelObject) -> bool:
        if isinstance(item, Sysctl):
            return item.before is None  # goes with its interface
        if not isinstance(item, (Address, Route, Neighbour, LoopbackGuard, LinkUp)):
            return False
        return item.ns in spaces or (item.ns, item.ifindex) in indexes

    return [item for item in items if not vanishes(item)]
