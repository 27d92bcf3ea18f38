"""RouteSocket: rtnetlink and tc in one namespace, as `kernel/ports.RoutePort` asks for it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from enum import Enum, auto
from itertools import groupby

from ductwork.kernel.netlink import layer3, links, owned
from ductwork.kernel.netlink.batch import Outcomes, apply_batch, our_routes
from ductwork.kernel.netlink.codec import Request
from ductwork.kernel.netlink.socket import NetlinkSocket
from ductwork.kernel.netlink.words import doing_all, telling, unknown
from ductwork.kernel.netns import BoundNamespace
from ductwork.kernel.ports import AddressInfo, KernelError, LinkInfo, NeighbourInfo, RouteInfo
from ductwork.model.objects import Add, Bridge, LoopbackGuard, Neighbour, NsKey, Remove, Step, Veth


class _Manner(Enum):
    """How a step is done: at once, or after what kind of look."""

    BLIND = auto()
    ALIGN = auto()
    REMOVE_LINKS = auto()
    REMOVE_NEIGHBOURS = auto()
    REMOVE_GUARDS = auto()


_REMOVALS = {
    Bridge: _Manner.REMOVE_LINKS,
    Veth: _Manner.REMOVE_LINKS,
    Neighbour: _Manner.REMOVE_NEIGHBOURS,
    LoopbackGuard: _Manner.REMOVE_GUARDS,
}


def _manner(step: Step) -> _Manner:
    if isinstance(step, Remove):
        return _REMOVALS.get(type(step.object), _Manner.BLIND)
    if isinstance(step, Add):
        aligns = step.tolerant and isinstance(step.object, (Bridge, Veth))
    else:
        aligns = isinstance(step.new, (Bridge, Veth))
    return _Manner.ALIGN if aligns else _Manner.BLIND


class RouteSocket:
    """The rtnetlink port of one namespace.

    Args:
        space: the namespace; whoever opened it closes it.
        resolve: gives the namespace of another key, where the inner end of a pair is; KeyError for none.
    """

    def __init__(self, space: BoundNamespace, resolve: Callable[[NsKey], BoundNamespace]) -> None:
        self._socket = space.rtnetlink
        self._resolve = resolve

    def _peer(self, key: NsKey) -> tuple[int, NetlinkSocket]:
        try:
            space = self._resolve(key)
        except KeyError as error:
            raise KernelError(errno.ENOENT, f"namespace {key} is not open", f"reaching {key}") from error
        return space.fd, space.rtnetlink

    def apply(self, steps: Sequence[Step]) -> list[KernelError | None]:
        """Do the steps in order, in as few sends as possible; one answer per step.

        Raises:
            KernelError: the kernel's answer was lost (ENOBUFS) or late (EAGAIN): no outcome is known.
        """
        outcomes: Outcomes = {}
        try:
            for manner, places in groupby(range(len(steps)), [_manner(step) for step in steps].__getitem__):
                outcomes |= self._apply_alike(manner, steps, list(places))
        except OSError as error:
            raise unknown(error, doing_all(steps)) from error
        return [outcomes.get(place) for place in range(len(steps))]

    def _apply_alike(self, manner: _Manner, steps: Sequence[Step], places: Sequence[int]) -> Outcomes:
        outcomes: Outcomes = {}
        match manner:
            case _Manner.BLIND:
                apply_batch(self._socket, self._peer, steps, places, outcomes)
            case _Manner.ALIGN:
                owned.align_links(self._socket, self._peer, steps, places, outcomes)
            case _Manner.REMOVE_LINKS:
                owned.remove_links(self._socket, steps, places, outcomes)
            case _Manner.REMOVE_NEIGHBOURS:
                owned.remove_neighbours(self._socket, steps, places, outcomes)
            case _Manner.REMOVE_GUARDS:
                owned.remove_guards(self._socket, steps, places, outcomes)
        return outcomes

    def links(self) -> list[LinkInfo]:
        """Return all links."""
        return [links.info(links.decode(body)) for body in self._dump(links.DUMP, "reading links")]

    def addresses(self) -> list[AddressInfo]:
        """Return all IP addresses."""
        found = map(layer3.decode_address, self._dump(layer3.dump_addresses(), "reading addresses"))
        return [address for address in found if address is not None]

    def routes(self) -> list[RouteInfo]:
        """Return the unicast routes of all tables; one with several next hops counts once for each."""
        return [
            route
            for version in ((4, 6) if links.kernel_has_ipv6() else (4,))
            for body in self._dump(layer3.dump_routes(version), "reading routes")
            for route in layer3.decode_route(body)
        ]

    def neighbours(self) -> list[NeighbourInfo]:
        """Return the permanent neighbour entries."""
        found = map(layer3.decode_neighbour, self._dump(layer3.dump_neighbours(), "reading neighbours"))
        return [neighbour for neighbour in found if neighbour is not None]

    def guards(self) -> list[int]:
        """Return the ifindexes that carry our LoopbackGuard."""
        with telling("looking for loopback guards"):
            found = owned.find_guards(self._socket)
        return sorted(ifindex for ifindex, has in found.items() if has.whole)

    def routes_restore(self, routes: Sequence[RouteInfo]) -> None:
        """Put back routes of others exactly as they were observed.

        One that is there already is left alone, one of ours in its place gives way.

        Raises:
            KernelError: the first that could not be restored; all were tried.
        """
        # A gateway can be named only when there is a route to it.
        ordered = sorted(routes, key=lambda route: route.via is not None)
        with telling("restoring routes"):
            self._restore(ordered)

    def _restore(self, routes: Sequence[RouteInfo]) -> None:
        refusals = self._socket.exchange([layer3.restore_route(route) for route in routes])
        failed = [refusal for refusal in refusals if refusal.errno != errno.EEXIST]
        taken = [routes[r.place] for r in refusals if r.errno == errno.EEXIST]
        if taken:
            there = set(self.routes())
            ours = our_routes(self._socket, {route.dst.version for route in taken})
            again = [route for route in taken if route not in there]
            for route in again:
                if route.table != layer3.MAIN_TABLE or layer3.place_of(route) not in ours:
                    text = "another route has taken its place"
                    raise KernelError(errno.EEXIST, text, f"restoring route {route.dst}")
            failed += self._socket.exchange([layer3.restore_route(r, over=True) for r in again])
        if failed:
            raise KernelError(failed[0].errno, failed[0].words(), "restoring routes")

    def routes_remove(self, routes: Sequence[RouteInfo]) -> None:
        """Take away routes of others that still are as observed.

        Raises:
            KernelError: the first that could not be removed; all were tried.
        """
        # Metric 0 in a request means any metric, so what is not there must not be asked for.
        there = set(self.routes())
        standing = [route for route in routes if route in there]
        with telling("removing routes"):
            refusals = self._socket.exchange([layer3.remove_observed(r) for r in standing])
        for refusal in refusals:
            if refusal.errno not in (errno.ESRCH, errno.ENODEV):
                doing = f"removing route {standing[refusal.place].dst}"
                raise KernelError(refusal.errno, refusal.words(), doing)

    def _dump(self, request: Request, doing: str) -> list[memoryview]:
        with telling(doing):
            return self._socket.dump(request, doing)
