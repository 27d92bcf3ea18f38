"""Steps that need no look at what exists: straight into one batch, then what the answers ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from errno import EADDRNOTAVAIL, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, EOPNOTSUPP, ESRCH
from typing import TypeAlias

from ductwork.kernel.netlink import guard, layer3, links
from ductwork.kernel.netlink.codec import Request
from ductwork.kernel.netlink.socket import NetlinkSocket, Refusal
from ductwork.kernel.netlink.tables import (
    DELADDR,
    DELFILTER,
    DELLINK,
    DELNEIGH,
    DELQDISC,
    DELROUTE,
    NEWFILTER,
    NEWQDISC,
)
from ductwork.kernel.netlink.words import describe, refused, target_of
from ductwork.kernel.ports import KernelError
from ductwork.model.objects import (
    PROTOCOL,
    Add,
    Address,
    Bridge,
    Change,
    KernelObject,
    LinkUp,
    LoopbackGuard,
    Neighbour,
    NsKey,
    Route,
    Step,
    Veth,
)

# Gives the descriptor of a namespace and a socket inside it, or raises KernelError when it is not open.
Resolve: TypeAlias = Callable[[NsKey], tuple[int, NetlinkSocket]]
Outcomes: TypeAlias = dict[int, KernelError]

_GONE = {
    DELLINK: frozenset({ENODEV}),
    DELADDR: frozenset({ENODEV, EADDRNOTAVAIL}),
    DELROUTE: frozenset({ESRCH, ENODEV, ENOENT}),
    DELNEIGH: frozenset({ENODEV, ENOENT}),
    DELFILTER: guard.GONE,
    DELQDISC: guard.GONE,
}


class Batch:
    """Requests, each with the place of the step it belongs to."""

    __slots__ = ("_owners", "requests")

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._owners: list[int] = []

    def add(self, place: int, requests: Sequence[Request]) -> None:
        """Append the requests of one step."""
        self.requests += requests
        self._owners += (place,) * len(requests)

    def run(self, sock: NetlinkSocket, steps: Sequence[Step], outcomes: Outcomes) -> None:
        """Send all; for each step that failed keep why: its first refusal, as the others follow from it."""
        if not self.requests:
            return
        for refusal in sock.exchange(self.requests):
            place = self._owners[refusal.place]
            if place not in outcomes:
                error = _verdict(steps[place], self.requests[refusal.place], refusal)
                if error is not None:
                    outcomes[place] = error


def _verdict(step: Step, request: Request, refusal: Refusal) -> KernelError | None:
    """Say whether a refusal is a failure of the step."""
    kind, number = request.kind, refusal.errno
    if number in _GONE.get(kind, ()):
        return None
    if kind in (NEWQDISC, NEWFILTER):
        if kind == NEWQDISC and number == EEXIST:
            return None
        if number == guard.MISSING:
            return KernelError(EOPNOTSUPP, f"{guard.MISSING_TEXT} ({refusal.words()})", describe(step))
    return refused(step, refusal)


def apply_batch(
    sock: NetlinkSocket,
    resolve: Resolve,
    steps: Sequence[Step],
    places: Iterable[int],
    outcomes: Outcomes,
) -> None:
    """Do steps that need no look first. `places` index into `steps` and `outcomes`."""
    batch = Batch()
    pairs: list[tuple[int, Veth]] = []
    changes: list[tuple[int, Change]] = []
    for place in places:
        step = steps[place]
        try:
            batch.add(place, _requests(step, resolve))
        except KernelError as error:
            outcomes[place] = KernelError(error.errno, error.text, describe(step))
            continue
        if isinstance(step, Change):
            changes.append((place, step))
        elif isinstance(step, Add) and isinstance(step.object, Veth):
            pairs.append((place, step.object))
    batch.run(sock, steps, outcomes)
    if outcomes:
        _try_again(sock, steps, outcomes)
        _name_the_taken(sock, resolve, steps, outcomes)
        name_lost_bridges(sock, steps, outcomes)
    if pairs:
        settle_inner_ends(resolve, steps, pairs, outcomes)
    leaving = Batch()
    for place, change in changes:
        if place not in outcomes:
            leaving.add(place, _leaving(change.old, change.new))
    leaving.run(sock, steps, outcomes)


def _requests(step: Step, resolve: Resolve) -> Sequence[Request]:
    """Put a step, of a change only its new object, into requests.

    Raises:
        KernelError: it cannot be done here.
    """
    if isinstance(step, Add):
        return _adding(step.object, step.tolerant, resolve)
    if isinstance(step, Change):
        if type(step.old) is not type(step.new):
            raise KernelError(EINVAL, "one object cannot become another kind of object", describe(step))
        return _adding(step.new, True, resolve)
    return removing(step.object)


def _adding(item: KernelObject, tolerant: bool, resolve: Resolve) -> Sequence[Request]:
    match item:
        case Address():
            return (layer3.add_address(item.ifindex, item.ip, tolerant=tolerant),)
        case Neighbour():
            return (layer3.add_neighbour(item, over=tolerant),)
        case Route():
            return (layer3.add_route(item),)
        case LinkUp():
            return (links.set_up(item.ifindex),)
        case Veth():
            return creating_pair(item, resolve)
        case Bridge():
            return creating_bridge(item)
        case LoopbackGuard():
            return guard.add(item.ifindex, over=tolerant)
        case _:
            raise TypeError(f"{item} is not for rtnetlink")


def creating_bridge(bridge: Bridge) -> Sequence[Request]:
    """Make and settle a bridge."""
    return links.create_bridge(bridge), links.settle_bridge(bridge)


def creating_pair(veth: Veth, resolve: Resolve) -> Sequence[Request]:
    """Make a pair and settle its outer end; the inner end is for `settle_inner_ends`."""
    return links.create_veth(veth, resolve(veth.peer_ns)[0]), links.settle_outer(veth)


def removing(item: KernelObject) -> Sequence[Request]:
    """Take away what may be taken away without a look first."""
    match item:
        case Address():
            return (layer3.remove_address(item.ifindex, item.ip),)
        case Route():
            return (layer3.remove_route(item),)
        case LinkUp():
            return ()
        case _:
            raise TypeError(f"{item} cannot be removed unseen")


def _leaving(old: KernelObject, new: KernelObject) -> Sequence[Request]:
    """Take the old object away where it and the new one are not in the same place."""
    match old, new:
        case Address(), Address() if (old.ifindex, old.ip) != (new.ifindex, new.ip):
            return (layer3.remove_address(old.ifindex, old.ip),)
        case Route(), Route() if layer3.place_of(old) != layer3.place_of(new):
            return (layer3.remove_route(old),)
        case Neighbour(), Neighbour() if (old.ifindex, old.ip) != (new.ifindex, new.ip):
            return (layer3.remove_neighbour(old),)
        case LoopbackGuard(), LoopbackGuard() if old.ifindex != new.ifindex:
            return (guard.remove(old.ifindex),)
        case _:
            return ()


def settle_inner_ends(
    resolve: Resolve, steps: Sequence[Step], pairs: Sequence[tuple[int, Veth]], outcomes: Outcomes
) -> None:
    """Set up the inner ends of the pairs that were made, one send for each namespace."""
    batches: dict[NsKey, Batch] = {}
    for place, veth in pairs:
        # Were the pair not made, its inner index could be a stranger's.
        if place not in outcomes:
            batches.setdefault(veth.peer_ns, Batch()).add(place, links.settle_inner(veth))
    for key, batch in batches.items():
        batch.run(resolve(key)[1], steps, outcomes)


def _try_again(sock: NetlinkSocket, steps: Sequence[Step], outcomes: Outcomes) -> None:
    """Replace what was in the way of an entry and may be replaced."""
    batch = Batch()
    taken = [place for place, error in outcomes.items() if error.errno == EEXIST]
    neighbours: list[tuple[int, Neighbour]] = []
    routes: list[tuple[int, Route]] = []
    for place in taken:
        match steps[place]:
            case Add(Neighbour() as item, False):
                neighbours.append((place, item))
            case Add(Route() as route, True) | Change(_, Route() as route):
                routes.append((place, route))
    if neighbours:
        # What the kernel learned by itself is nobody's; only a permanent entry is in the way.
        answers = sock.ask([layer3.get_neighbour(item) for _, item in neighbours])
        for (place, item), answer in zip(neighbours, answers, strict=True):
            if not isinstance(answer, Refusal) and not layer3.neighbour_state(answer).permanent:
                batch.add(place, (layer3.add_neighbour(item, over=True),))
                del outcomes[place]
    if routes:
        ours = our_routes(sock, {route.dst.version for _, route in routes})
        for place, route in routes:
            if layer3.place_of(route) in ours:
                batch.add(place, (layer3.add_route(route, over=True),))
                del outcomes[place]
    batch.run(sock, steps, outcomes)


def our_routes(sock: NetlinkSocket, versions: Iterable[int]) -> set[tuple[object, int]]:
    """Return destination and metric of the routes with our protocol number."""
    found: set[tuple[object, int]] = set()
    for version in versions:
        request = layer3.dump_routes(version, layer3.MAIN_TABLE, PROTOCOL)
        for body in sock.dump(request, "looking for our routes"):
            found |= {layer3.place_of(r) for r in layer3.decode_route(body) if r.protocol == PROTOCOL}
    return found


def _name_the_taken(sock: NetlinkSocket, resolve: Resolve, steps: Sequence[Step], outcomes: Outcomes) -> None:
    """Say which name was taken: for links the kernel says only that something exists."""
    for place, error in outcomes.items():
        step = steps[place]
        if error.errno not in (EEXIST, EBUSY) or not isinstance(step, Add):
            continue
        if isinstance(step.object, (Bridge, Veth)):
            text = _taken(sock, resolve, step.object)
            if text:
                outcomes[place] = KernelError(error.errno, f"{error.text}: {text}", error.doing)


def name_lost_bridges(sock: NetlinkSocket, steps: Sequence[Step], outcomes: Outcomes) -> None:
    """Say that a pair's bridge is missing, of which the kernel says only that an argument is invalid."""
    for place, error in outcomes.items():
        match target_of(steps[place]):
            case Veth() as veth if error.errno == EINVAL and veth.master:
                (answer,) = sock.ask([links.get_by_index(veth.master)])
                if isinstance(answer, Refusal):
                    text = "its bridge is gone; `duct repair` makes it again"
                    outcomes[place] = KernelError(ENODEV, text, error.doing)


def _taken(sock: NetlinkSocket, resolve: Resolve, item: Bridge | Veth) -> str:
    asked = [(sock, item.name, item.ifindex, "")]
    if isinstance(item, Veth):
        asked.append((resolve(item.peer_ns)[1], item.peer_name, item.peer_ifindex, f" in {item.peer_ns}"))
    for where, name, ifindex, suffix in asked:
        answers = where.ask([links.get_by_name(name), links.get_by_index(ifindex)])
        if not isinstance(answers[0], Refusal):
            return f"there is a link {name}{suffix}"
        if not isinstance(answers[1], Refusal):
            return f"there is a link with index {ifindex}{suffix}"
    return ""
