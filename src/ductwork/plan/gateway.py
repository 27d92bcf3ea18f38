"""Which of a sandbox's networks has the default route: the same answer every time."""

from __future__ import annotations

from collections.abc import Iterable

from ductwork.model.addresses import IPAddress
from ductwork.model.endpoint import Endpoint
from ductwork.model.network import Network


def elect_gateway(
    candidates: Iterable[tuple[Endpoint, Network]], version: int
) -> tuple[Endpoint, IPAddress] | None:
    """Choose the endpoint whose gateway becomes the default: highest priority, then first network name.

    Internal networks and those without a gateway of this IP version do not take part.
    """
    best: tuple[tuple[int, str], Endpoint, IPAddress] | None = None
    for endpoint, network in candidates:
        gateway = None if network.internal else _gateway(endpoint, network, version)
        if gateway is None:
            continue
        rank = (-endpoint.gateway_priority, network.name)
        if best is None or rank < best[0]:
            best = (rank, endpoint, gateway)
    return None if best is None else (best[1], best[2])


def _gateway(endpoint: Endpoint, network: Network, version: int) -> IPAddress | None:
    """Return the gateway of the subnet the endpoint's first address of this version is in."""
    address = endpoint.address(version)
    if address is None:
        return None
    return next((s.gateway for s in network.subnets_of(version) if address.ip in s.cidr), None)
