"""Routes declared with an attachment: refused early, since the kernel's own words say little about why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ductwork.errors import Conflict, InvalidArgument
from ductwork.model.endpoint import Endpoint, StaticRoute
from ductwork.model.network import Network


def check_routes(network: Network, before: Iterable[Endpoint], routes: Sequence[StaticRoute]) -> None:
    """Check the routes of an endpoint that is about to be made.

    Args:
        before: the sandbox's other endpoints.
    Raises:
        InvalidArgument: a next hop that cannot be reached through this network.
        Conflict: two routes to one destination.
    """
    taken = {route.destination for endpoint in before for route in endpoint.routes}
    for route in routes:
        if route.destination in taken:
            raise Conflict(
                f"there is a route to {route.destination} in this sandbox already",
                hint="give it with one of the connections only",
            )
        taken.add(route.destination)
        _check_next_hop(network, routes, route)


def _check_next_hop(network: Network, routes: Iterable[StaticRoute], route: StaticRoute) -> None:
    via = route.via
    if via is None:
        return
    if via.version != route.destination.version:
        raise InvalidArgument(
            f"route to {route.destination} via {via}: the two are of different families",
            hint=f"give an IPv{route.destination.version} next hop",
        )
    ranges = [subnet.cidr for subnet in network.subnets_of(via.version)]
    direct = [other.destination for other in routes if other.via is None]
    if not any(via in each for each in (*ranges, *direct)):
        known = ", ".join(map(str, ranges)) or f"the network has no IPv{via.version} subnet"
        raise InvalidArgument(
            f"route to {route.destination}: next hop {via} is in no subnet of network {network.name}",
            hint=f"choose one in {known}" if ranges else known,
        )
