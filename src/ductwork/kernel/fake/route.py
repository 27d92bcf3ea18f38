"""rtnetlink and tc of one namespace in memory: each step refused or done for itself, as in a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from errno import EINVAL

from ductwork.kernel.fake import layer3, links
from ductwork.kernel.fake.faults import Faults, refuse
from ductwork.kernel.fake.namespace import FakeNamespace
from ductwork.kernel.ports import AddressInfo, KernelError, LinkInfo, NeighbourInfo, RouteInfo
from ductwork.model.objects import (
    Add,
    Address,
    Bridge,
    Change,
    LinkUp,
    LoopbackGuard,
    Neighbour,
    NsKey,
    Remove,
    Route,
    Step,
    Veth,
)

RouteObject = Bridge | Veth | LinkUp | Address | Route | Neighbour | LoopbackGuard


class FakeRoute:
    """The rtnetlink port of one namespace; `find` gives the namespace of another key, for veth peers."""

    def __init__(
        self, key: NsKey, space: FakeNamespace, faults: Faults, find: Callable[[NsKey], FakeNamespace]
    ) -> None:
        self._key = key
        self._space = space
        self._faults = faults
        self._find = find

    def apply(self, steps: Sequence[Step]) -> list[KernelError | None]:
        """Do the steps in order; a refused one stops none of the others."""
        return [self._answer(step) for step in steps]

    def links(self) -> list[LinkInfo]:
        """Dump all links, by index."""
        return [self._space.link_info(link) for _, link in sorted(self._space.links.items())]

    def addresses(self) -> list[AddressInfo]:
        """Dump all addresses."""
        return [AddressInfo(ifindex, ip) for ifindex, ip in self._space.addresses]

    def routes(self) -> list[RouteInfo]:
        """Dump the main table."""
        return self._space.routes()

    def neighbours(self) -> list[NeighbourInfo]:
        """Dump the permanent neighbour entries."""
        return [NeighbourInfo(dev, ip, mac) for (dev, ip), mac in self._space.neighbours.items()]

    def guards(self) -> list[int]:
        """Return the links that carry our guard."""
        return sorted(self._space.guarded)

    def routes_restore(self, routes: Sequence[RouteInfo]) -> None:
        """Put routes back as they were."""
        for route in routes:
            doing = f"restore route {route.dst}"
            self._faults.begin(doing)
            layer3.check_gateway(self._space, route.dst, route.via, route.ifindex, doing)
            self._space.static_routes[(route.dst, route.metric, route.table)] = route

    def routes_remove(self, routes: Sequence[RouteInfo]) -> None:
        """Take routes away that are still exactly as observed."""
        for route in routes:
            self._faults.begin(f"remove route {route.dst}")
            key = (route.dst, route.metric, route.table)
            if self._space.static_routes.get(key) == route:
                del self._space.static_routes[key]

    def _answer(self, step: Step) -> KernelError | None:
        item, doing = _describe(step)
        if item.ns != self._key:
            raise ValueError(f"{doing}: the step is for {item.ns}, this is {self._key}")
        try:
            self._faults.begin(doing)
            self._do(step, doing)
        except KernelError as error:
            return error
        return None

    def _do(self, step: Step, doing: str) -> None:
        space = self._space
        match step:
            case Add(Bridge() as bridge, tolerant):
                links.add_bridge(space, bridge, doing, tolerant=tolerant)
            case Add(Veth() as veth, tolerant):
                links.add_veth(space, self._find(veth.peer_ns), veth, doing, tolerant=tolerant)
            case Remove((Bridge() | Veth()) as link):
                links.remove(space, link)
            case Change(Bridge() as old, Bridge() as new):
                links.change_bridge(space, old, new, doing)
            case Change(Veth() as old_veth, Veth() as new_veth):
                links.change_veth(space, old_veth, new_veth, doing)
            case Add((LinkUp() | Address() | Route() | Neighbour() | LoopbackGuard()) as item, tolerant):
                layer3.add(space, item, doing, tolerant=tolerant)
            case Remove((LinkUp() | Address() | Route() | Neighbour() | LoopbackGuard()) as item):
                layer3.remove(space, item)
            case Change(
                (LinkUp() | Address() | Route() | Neighbour() | LoopbackGuard()) as before,
                (LinkUp() | Address() | Route() | Neighbour() | LoopbackGuard()) as after,
            ):
                layer3.change(space, before, after, doing)
            case _:
                raise refuse(EINVAL, doing, "one object cannot become another kind of object")


def _describe(step: Step) -> tuple[RouteObject, str]:
    item = step.new if isinstance(step, Change) else step.object
    if not isinstance(item, RouteObject):
        raise TypeError(f"{item} is not for rtnetlink")
    what = [type(item).__name__.lower()]
    for attribute in ("dst", "ip", "name", "dev"):
        with contextlib.suppress(AttributeError):  # not every kind has each of these
            what.append(str(getattr(item, attribute)))
    return item, f"{type(step).__name__.lower()} {' '.join(what)} in {item.ns}"
