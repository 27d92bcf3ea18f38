"""Steps that need a look first: what exists may be ours, to be aligned or removed, or somebody else's."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from errno import EEXIST, EINVAL, ENODEV
from typing import Final, NamedTuple

from ductwork.kernel.netlink import guard, layer3, links
from ductwork.kernel.netlink.batch import (
    Batch,
    Outcomes,
    Resolve,
    creating_bridge,
    creating_pair,
    name_lost_bridges,
    settle_inner_ends,
)
from ductwork.kernel.netlink.codec import Request
from ductwork.kernel.netlink.links import LinkState
from ductwork.kernel.netlink.socket import NetlinkSocket, Refusal
from ductwork.kernel.netlink.words import describe, target_of
from ductwork.kernel.ports import KernelError
from ductwork.model.objects import (
    PROTOCOL,
    Bridge,
    Change,
    LoopbackGuard,
    Neighbour,
    NsKey,
    Step,
    Veth,
)

MANY: Final = 8  # from here on one dump costs less than questions, and one group less than single deletes

_Link = Bridge | Veth


class Found:
    """Links as they were when looked at, by index and by name."""

    def __init__(self, states: Iterable[LinkState]) -> None:
        self.all = list(states)
        self._by_index = {state.ifindex: state for state in self.all}
        self._by_name = {state.name: state for state in self.all}

    def of(self, item: _Link) -> list[LinkState]:
        """Return what has the object's index or name: at most two links."""
        found = [self._by_index.get(item.ifindex), self._by_name.get(item.name)]
        if found[0] is found[1]:
            found.pop()
        return [state for state in found if state is not None]


def look_up(sock: NetlinkSocket, items: Sequence[_Link]) -> Found:
    """Look at the links that have the objects' indexes or names."""
    if len(items) >= MANY:
        bodies = sock.dump(links.DUMP, "looking at all links")
        return Found(map(links.decode, bodies))
    requests: list[Request] = []
    for item in items:
        requests += (links.get_by_index(item.ifindex), links.get_by_name(item.name))
    answers = sock.ask(requests)
    return Found(links.decode(answer) for answer in answers if not isinstance(answer, Refusal))


# -- links brought in line -----------------------------------------------------------------------------------


def align_links(
    sock: NetlinkSocket, resolve: Resolve, steps: Sequence[Step], places: Sequence[int], outcomes: Outcomes
) -> None:
    """Make links that must exist, or bring those of ours in line."""
    items = {place: _link_of(steps[place]) for place in places}
    found = look_up(sock, list(items.values()))
    outer = Batch()
    fresh: list[tuple[int, Veth]] = []
    inner: dict[NsKey, Batch] = {}
    for place, item in items.items():
        try:
            state = _judge(steps[place], item, found.of(item))
            if isinstance(item, Bridge):
                outer.add(place, creating_bridge(item) if state is None else links.align_bridge(item, state))
            elif state is None:
                outer.add(place, creating_pair(item, resolve))
                fresh.append((place, item))
            else:
                peer = _inner_end(resolve, item, state)
                outer.add(place, links.align_outer(item, state))
                inner.setdefault(item.peer_ns, Batch()).add(place, links.align_inner(item, peer))
        except KernelError as error:
            outcomes[place] = KernelError(error.errno, error.text, describe(steps[place]))
    outer.run(sock, steps, outcomes)
    if outcomes:
        name_lost_bridges(sock, steps, outcomes)
    settle_inner_ends(resolve, steps, fresh, outcomes)
    for key, batch in inner.items():
        batch.run(resolve(key)[1], steps, outcomes)


def _link_of(step: Step) -> _Link:
    item = target_of(step)
    assert isinstance(item, (Bridge, Veth))
    return item


def _judge(step: Step, item: _Link, candidates: Sequence[LinkState]) -> LinkState | None:
    """Say which link is to be brought in line; None when it is to be made.

    Raises:
        KernelError: neither is possible.
    """
    kind = "bridge" if isinstance(item, Bridge) else "veth"
    old: _Link = item
    if isinstance(step, Change):
        if not isinstance(step.old, (Bridge, Veth)) or not _same_link(step.old, item):
            raise KernelError(EINVAL, "a link keeps its name, index and other end", describe(step))
        old = step.old
    for state in candidates:
        if state.ifindex == item.ifindex and state.kind == kind and links.is_ours(old, state):
            return state
    if isinstance(step, Change):
        raise KernelError(ENODEV, f"there is no link {item.name} of ours", describe(step))
    if candidates:
        other = candidates[-1]
        text = f"link {other.name} with index {other.ifindex} exists and is not the one we made"
        raise KernelError(EEXIST, text, describe(step))
    return None


def _same_link(old: _Link, new: _Link) -> bool:
    match old, new:
        case Bridge(), Bridge():
            return (old.name, old.ifindex) == (new.name, new.ifindex)
        case Veth(), Veth():
            return (old.name, old.ifindex, old.peer_ns, old.peer_name, old.peer_ifindex) == (
                new.name,
                new.ifindex,
                new.peer_ns,
                new.peer_name,
                new.peer_ifindex,
            )
        case _:
            return False


def _inner_end(resolve: Resolve, veth: Veth, outer: LinkState) -> LinkState:
    """Find the other end where it should be: each end must name the other.

    Raises:
        KernelError: it is elsewhere.
    """
    if outer.peer_ifindex == veth.peer_ifindex:
        (answer,) = resolve(veth.peer_ns)[1].ask([links.get_by_index(veth.peer_ifindex)])
        if not isinstance(answer, Refusal):
            state = links.decode(answer)
            if state.kind == "veth" and state.peer_ifindex == veth.ifindex:
                return state
    text = f"it is ours, but its other end is not link {veth.peer_ifindex} in {veth.peer_ns}"
    raise KernelError(EEXIST, text, f"looking for {veth.peer_name}")


# -- links removed -------------------------------------------------------------------------------------------


def remove_links(
    sock: NetlinkSocket, steps: Sequence[Step], places: Sequence[int], outcomes: Outcomes
) -> None:
    """Delete links of ours; what is gone, or is not ours, is no failure."""
    items = {place: _link_of(steps[place]) for place in places}
    found = look_up(sock, list(items.values()))
    ours: dict[int, int] = {}
    for place, item in items.items():
        for state in found.of(item):
            if links.is_ours(item, state):
                ours.setdefault(state.ifindex, place)
                break
    if len(ours) >= MANY and _remove_group(sock, list(ours), found):
        return
    batch = Batch()
    for ifindex, place in ours.items():
        batch.add(place, (links.delete(ifindex),))
    batch.run(sock, steps, outcomes)


def _remove_group(sock: NetlinkSocket, indexes: Sequence[int], found: Found) -> bool:
    """Delete links together, which costs little more than deleting one; say whether that went well."""
    taken = {state.group for state in found.all}
    group = secrets.randbits(31)
    while group in taken or group == 0:
        group = secrets.randbits(31)
    # A link that has gone meanwhile is refused here, and that is all right.
    sock.exchange([links.move_to_group(ifindex, group) for ifindex in indexes])
    return not sock.exchange([links.delete_group(group)])


# -- neighbours and guards removed ---------------------------------------------------------------------------


def remove_neighbours(
    sock: NetlinkSocket, steps: Sequence[Step], places: Sequence[int], outcomes: Outcomes
) -> None:
    """Delete neighbour entries that carry our protocol number."""
    items = [(place, target_of(steps[place])) for place in places]
    entries = [(place, item) for place, item in items if isinstance(item, Neighbour)]
    answers = sock.ask([layer3.get_neighbour(item) for _, item in entries])
    batch = Batch()
    for (place, item), answer in zip(entries, answers, strict=True):
        if not isinstance(answer, Refusal) and layer3.neighbour_state(answer).protocol == PROTOCOL:
            batch.add(place, (layer3.remove_neighbour(item),))
    batch.run(sock, steps, outcomes)


class Guarded(NamedTuple):
    """What a link with a filter of ours has.

    Attributes:
        whole: the filter does what ours does now.
        alone: nobody else's filter is there, so the place for filters may go too.
    """

    whole: bool
    alone: bool


def find_guards(sock: NetlinkSocket) -> dict[int, Guarded]:
    """Find the links that carry our filter."""
    doing = "looking for loopback guards"
    found: dict[int, Guarded] = {}
    for body in sock.dump(guard.dump_places(), doing):
        where = guard.decode_place(body)
        if where is None:
            continue
        ifindex, is_clsact = where
        filters = [f for r in guard.dump_filters(ifindex) for f in sock.dump(r, doing)]
        if any(map(guard.is_ours, filters)):
            alone = is_clsact and not any(map(guard.is_others, filters))
            found[ifindex] = Guarded(any(map(guard.is_guard, filters)), alone)
    return found


def remove_guards(
    sock: NetlinkSocket, steps: Sequence[Step], places: Sequence[int], outcomes: Outcomes
) -> None:
    """Delete our filters, and the place for filters where no others are in it."""
    guarded = find_guards(sock)
    batch = Batch()
    for place in places:
        item = target_of(steps[place])
        assert isinstance(item, LoopbackGuard)
        if item.ifindex in guarded:
            alone = guarded[item.ifindex].alone
            batch.add(place, (guard.remove_place(item.ifindex) if alone else guard.remove(item.ifindex),))
    batch.run(sock, steps, outcomes)
