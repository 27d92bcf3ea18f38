"""Published ports of a topology: which are there already, which are missing, which are too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from ductwork.drivers.registry import driver_of
from ductwork.engine import publishing
from ductwork.engine.topology.actions import Action, Sign
from ductwork.engine.topology.endpoints import EndpointChanges
from ductwork.engine.topology.existing import Existing
from ductwork.engine.topology.sandboxes import SandboxChanges
from ductwork.engine.work import Work
from ductwork.errors import FailedPrecondition
from ductwork.model.endpoint import Endpoint
from ductwork.model.network import NetworkSpec
from ductwork.model.port_mapping import PortMapping, PortRequest, Protocol
from ductwork.model.topology import Topology, WantedPort, WantedSandbox
from ductwork.plan.port_grammar import expand

Fixed: TypeAlias = dict[tuple[Protocol, int], list[PortMapping]]

_WIDEST = 1 << 16


@dataclass(slots=True)
class PortChanges:
    """What to do about published ports."""

    removals: list[Action] = field(default_factory=list)
    creations: list[Action] = field(default_factory=list)


def compare_ports(
    existing: Existing, topology: Topology, sandboxes: SandboxChanges, endpoints: EndpointChanges
) -> PortChanges:
    """Compare the published ports of every connection that stays, and find those to publish.

    Raises:
        FailedPrecondition: a port is asked for and no network of its sandbox can publish it.
    """
    changes = PortChanges()
    specs = {spec.name: spec for spec in topology.networks}
    fixed = _fixed_ports(topology)
    missing: list[tuple[int, Action]] = []
    for wanted in topology.sandboxes:
        by_network: dict[str, list[WantedPort]] = {e.network: [] for e in wanted.endpoints}
        for port in wanted.ports:
            by_network[port.network or _elect(existing, specs, wanted, port)].append(port)
        name = sandboxes.names[wanted.name]
        for network, ports in by_network.items():
            endpoint = endpoints.kept.get((wanted.name, network))
            has = existing.state.ports_of(endpoint.id) if endpoint and endpoint.port_count else ()
            lacking, extra = _match(ports, has, fixed, existing.ephemeral)
            if endpoint is not None:
                changes.removals += [_unpublish(name, network, endpoint, mapping) for mapping in extra]
            missing += [(_width(r), _publish(name, network, p, r)) for p, r in lacking]
    # Ports that were asked for exactly are taken before any is chosen.
    changes.creations = [action for _, action in sorted(missing, key=lambda entry: entry[0])]
    return changes


def _fixed_ports(topology: Topology) -> Fixed:
    """Return the mappings of which no other host port would do."""
    fixed: Fixed = {}
    for sandbox in topology.sandboxes:
        for port in sandbox.ports:
            for mapping in (_as_mapping(r) for r in _each(port) if _width(r) == 1):
                fixed.setdefault((mapping.protocol, mapping.host_port), []).append(mapping)
    return fixed


def _each(port: WantedPort) -> list[PortRequest]:
    return expand([port.request])


def _width(request: PortRequest) -> int:
    """Count the host ports that would do."""
    if request.host_port is None:
        return _WIDEST
    return (request.host_port_end or request.host_port) - request.host_port + 1


def _as_mapping(request: PortRequest) -> PortMapping:
    return PortMapping(
        request.protocol,
        request.host_ip,
        request.host_port or 0,
        request.container_port,
        request.allow_from,
    )


def _match(
    ports: Sequence[WantedPort],
    has: Sequence[PortMapping],
    fixed: Fixed,
    ephemeral: tuple[int, int],
) -> tuple[list[tuple[WantedPort, PortRequest]], list[PortMapping]]:
    """Pair requests with mappings, the choosiest request first; return what is left over on both sides."""
    rest = list(has)
    lacking = []
    requests = [(port, request) for port in ports for request in _each(port)]
    # Among ranges, whichever ends first takes its lowest port: then all are served that can be.
    for port, request in sorted(requests, key=lambda entry: entry[1].host_port_end or _WIDEST):
        others = {} if _width(request) == 1 else fixed
        fit = next((m for m in rest if _serves(m, request, others, ephemeral)), None)
        if fit is None:
            lacking.append((port, request))
        else:
            rest.remove(fit)
    return lacking, rest


def _serves(mapping: PortMapping, request: PortRequest, fixed: Fixed, ephemeral: tuple[int, int]) -> bool:
    """Say whether a mapping is what a request asks for, and no other request needs its host port."""
    exactly = replace(_as_mapping(request), host_port=mapping.host_port)
    if mapping != exactly:
        return False
    first, last = ephemeral
    if request.host_port is not None:
        first, last = request.host_port, request.host_port_end or request.host_port
    if not first <= mapping.host_port <= last:
        return False
    asked = fixed.get((mapping.protocol, mapping.host_port), [])
    return not any(one.overlaps(mapping) for one in asked)


def _elect(existing: Existing, specs: dict[str, NetworkSpec], wanted: WantedSandbox, port: WantedPort) -> str:
    """Choose the network that has the default route among those that can publish, as the engine does."""
    ranked = []
    for endpoint in wanted.endpoints:
        spec = specs.get(endpoint.network)
        have = existing.networks.get(endpoint.network)
        internal = spec.internal if spec is not None else have is not None and have.internal
        driver = spec.driver if spec is not None else have.driver if have is not None else ""
        if not internal and driver_of(driver).has_gateway:
            only6 = 4 not in _versions(existing, spec, endpoint.network)
            ranked.append((only6, -endpoint.gateway_priority, endpoint.network))
    if not ranked:
        raise FailedPrecondition(
            f"{port.place}: no network of {wanted.name} can publish ports",
            hint="connect it to a bridge network that is not internal",
        )
    return min(ranked)[2]


def _versions(existing: Existing, spec: NetworkSpec | None, name: str) -> set[int]:
    if spec is None:
        return {s.cidr.version for s in existing.networks[name].subnets}
    given = {s.cidr.version for s in spec.subnets} or {4}
    return given | ({6} if spec.ipv6 else set())


def _publish(name: str, network: str, port: WantedPort, request: PortRequest) -> Action:
    do = partial(publishing.publish, target=name, requests=[request], network_name=network)
    title = f"{name} {_shown(request)} on {network}"
    return Action(Sign.ADD, "port", title, do, _sources(request.allow_from), port.place)


def _unpublish(name: str, network: str, endpoint: Endpoint, mapping: PortMapping) -> Action:
    do = partial(_withdraw, identity=endpoint.id, mapping=mapping)
    title = f"{name} {mapping} on {network}"
    return Action(Sign.REMOVE, "port", title, do, _sources(mapping.allow_from))


def _withdraw(work: Work, identity: str, mapping: PortMapping) -> None:
    endpoint = work.state.endpoint_or_none(identity)
    if endpoint is not None:
        publishing.withdraw(work, endpoint, [mapping])


def _shown(request: PortRequest) -> str:
    if request.host_port is None:
        host = "any free port"
    elif _width(request) > 1:
        host = f"one of {request.host_port}-{request.host_port_end}"
    else:
        return str(_as_mapping(request))
    ip = f" of {request.host_ip}" if request.host_ip is not None else ""
    return f"{host}{ip} for {request.container_port}/{request.protocol}"


def _sources(sources: Sequence[object]) -> tuple[str, ...]:
    return (f"only from {' '.join(map(str, sources))}",) if sources else ()
