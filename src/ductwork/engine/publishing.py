"""Published ports: chosen, checked against everybody who could have them, added and removed while running."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import chain

from ductwork.drivers.registry import driver_of
from ductwork.engine.change import Direction
from ductwork.engine.planner import endpoint_owner, port_owner
from ductwork.engine.state import PublishedPort
from ductwork.engine.work import Work
from ductwork.errors import Conflict, Exhausted, FailedPrecondition, InvalidArgument
from ductwork.model.addresses import IPAddress
from ductwork.model.endpoint import Endpoint
from ductwork.model.network import Network
from ductwork.model.objects import HOST
from ductwork.model.port_mapping import PortMapping, PortRequest
from ductwork.model.sandbox import Mode, Sandbox
from ductwork.plan.gateway import elect_gateway
from ductwork.plan.port_grammar import expand

_EPHEMERAL = (32768, 60999)  # the kernel's own default of ip_local_port_range
_EVERYWHERE: tuple[IPAddress, ...] = (IPv4Address(0), IPv6Address(0))


def publish(
    work: Work, target: str, requests: Sequence[PortRequest], network_name: str = ""
) -> tuple[Endpoint, tuple[PortMapping, ...]]:
    """Publish ports of a connected sandbox while it runs."""
    sandbox = work.targets.known(work.state, target)
    endpoint, network = _publishing_endpoint(work, sandbox, network_name)
    work.targets.require_alive(work.state, sandbox)
    mappings = choose_ports(work, network, endpoint, requests)
    changed = replace(endpoint, port_count=endpoint.port_count + len(mappings))
    work.state.put_endpoint(changed)
    if not endpoint.port_count:
        work.change.touch(endpoint_owner(endpoint.id))  # from now on its bridge port is a hairpin
    return changed, mappings


def unpublish(work: Work, target: str, wanted: Sequence[PortRequest]) -> tuple[PortMapping, ...]:
    """Stop publishing ports, named by host port or by the whole mapping; none named means all.

    Raises:
        InvalidArgument: nothing like that is published; the hint lists what is.
    """
    work.change.direction = Direction.FINISH
    sandbox = work.targets.known(work.state, target)
    if sandbox.mode is Mode.CONTAINER:
        sandbox = work.state.sandbox(sandbox.other)
    endpoints = work.state.endpoints_in(sandbox.id)
    gone: list[PublishedPort] = []
    for request in expand(wanted):
        fits = [port for e in endpoints for port in _fitting(work, e, request)]
        if not fits:
            listed = [str(m) for e in endpoints for m in work.state.ports_of(e.id)]
            more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
            raise InvalidArgument(
                f"{sandbox.name} does not publish {_shown(request)}",
                hint=f"it publishes: {', '.join(listed[:10]) or 'nothing'}{more}",
            )
        gone += fits
    if not wanted:
        gone = [PublishedPort(e.id, m) for e in endpoints for m in work.state.ports_of(e.id)]
    gone = list(dict.fromkeys(gone))
    for endpoint in endpoints:
        withdraw(work, endpoint, [port.mapping for port in gone if port.endpoint_id == endpoint.id])
    return tuple(port.mapping for port in gone)


def _fitting(work: Work, endpoint: Endpoint, request: PortRequest) -> list[PublishedPort]:
    """Return an endpoint's mappings that a request names; only its host port is looked up."""
    first = request.container_port if request.host_port is None else request.host_port
    last = first if request.host_port_end is None else request.host_port_end
    holders = (h for port in range(first, last + 1) for h in work.state.port_holders(request.protocol, port))
    return [h for h in holders if h.endpoint_id == endpoint.id and _names(request, h.mapping)]


def withdraw(work: Work, endpoint: Endpoint, mappings: Sequence[PortMapping]) -> None:
    """Stop publishing some of an endpoint's ports."""
    if not mappings:
        return
    for mapping in mappings:
        work.state.release_port(mapping, endpoint.id)
        work.change.touch(port_owner(mapping))
    rest = endpoint.port_count - len(mappings)
    work.state.put_endpoint(replace(endpoint, port_count=rest))
    if not rest:
        work.change.touch(endpoint_owner(endpoint.id))


def choose_ports(
    work: Work, network: Network, endpoint: Endpoint, requests: Sequence[PortRequest]
) -> tuple[PortMapping, ...]:
    """Decide the host port of every request and reserve it.

    Raises:
        Conflict: somebody has the port; the message says who.
        Exhausted: no port of the range is free.
    """
    if not requests:
        return ()
    if not driver_of(network.driver).has_gateway or not network.subnets:
        raise InvalidArgument(
            f"network {network.name} (driver {network.driver}) cannot publish ports",
            hint="publish through a bridge network",
        )
    if network.internal:
        raise FailedPrecondition(
            f"network {network.name} is internal: its ports cannot be published",
            hint=f"duct network update {network.name} --no-internal, or use another network",
        )
    return tuple(_choose(work, endpoint, request) for request in expand(requests))


def _choose(work: Work, endpoint: Endpoint, request: PortRequest) -> PortMapping:
    _check_host_ip(work, endpoint, request)
    _check_sources(endpoint, request)
    wanted = _candidates(work, request)
    fixed = request.host_port is not None and request.host_port == (
        request.host_port_end or request.host_port
    )
    for port in wanted:
        mapping = PortMapping(
            request.protocol, request.host_ip, port, request.container_port, request.allow_from
        )
        refusal = _refusal(work, mapping)
        if refusal is None:
            work.state.reserve_port(mapping, endpoint.id)
            work.change.touch(port_owner(mapping))
            return mapping
        if fixed:
            raise refusal
    span = f"{request.host_port}-{request.host_port_end}" if request.host_port else "the ephemeral range"
    raise Exhausted(
        f"no free {request.protocol} port left in {span}", hint="unpublish one or widen the range"
    )


def ephemeral_range(work: Work) -> tuple[int, int]:
    """Return the first and last host port that is chosen when none is asked for."""
    text = work.kernel.sysctl(HOST).get("net/ipv4/ip_local_port_range")
    if text is None:
        return _EPHEMERAL
    low, high = (int(word) for word in text.split())
    return low, high


def _candidates(work: Work, request: PortRequest) -> Iterator[int]:
    if request.host_port is not None:
        yield from range(request.host_port, (request.host_port_end or request.host_port) + 1)
        return
    low, high = ephemeral_range(work)
    # Going on from the last one keeps the choice cheap with many published, and a port is not reused at once.
    start = max(low, work.state.port_cursor() + 1)
    for port in chain(range(start, high + 1), range(low, min(start, high + 1))):
        work.state.put_port_cursor(port)
        yield port


def _check_sources(endpoint: Endpoint, request: PortRequest) -> None:
    """Refuse limits that leave nobody: sources of a family in which the port cannot be reached anyway."""
    versions = {a.version for a in endpoint.addresses}
    if request.host_ip is not None:
        versions &= {request.host_ip.version}
    if request.allow_from and not versions & {source.version for source in request.allow_from}:
        listed = ", ".join(map(str, request.allow_from))
        families = " and ".join(f"IPv{v}" for v in sorted(versions))
        raise InvalidArgument(
            f"nobody could use port {request.container_port}: {listed} is not of {families}",
            hint="allow sources of a family the port is published for",
        )


def _check_host_ip(work: Work, endpoint: Endpoint, request: PortRequest) -> None:
    ip = request.host_ip
    if ip is None:
        return
    if ip.version == 6 and ip.is_loopback:
        raise InvalidArgument(
            "a port cannot be published on [::1]: Linux does not translate IPv6 loopback addresses",
            hint="publish on 127.0.0.1, or on an address of the host",
        )
    if endpoint.address(ip.version) is None:
        raise InvalidArgument(
            f"a port cannot be published on {ip}: the endpoint has no IPv{ip.version} address",
            hint="give the network a subnet of that family: duct network update NAME --subnet CIDR",
        )
    own = {a.ip.ip for a in work.kernel.route(HOST).addresses()}
    if ip not in own and not (ip.is_loopback or ip.is_unspecified):
        listed = ", ".join(sorted(str(a) for a in own if not (a.is_loopback or a.is_link_local))) or "none"
        raise FailedPrecondition(f"this host has no address {ip}", hint=f"its addresses: {listed}")


def _refusal(work: Work, mapping: PortMapping) -> Conflict | None:
    """Say who has a host port: another container's mapping, or a socket of the host."""
    shown = f"port {mapping.host_port}/{mapping.protocol}"
    for holder in work.state.port_holders(mapping.protocol, mapping.host_port):
        if mapping.overlaps(holder.mapping):
            endpoint = work.state.endpoint_or_none(holder.endpoint_id)
            who = work.state.sandbox(endpoint.sandbox_id).name if endpoint else "this very command"
            return Conflict(f"{shown} is already published by {who}", hint="choose another host port")
    sockets = work.kernel.sockets(HOST)
    for ip in _EVERYWHERE if mapping.host_ip is None else (mapping.host_ip,):
        if sockets.bind_conflict(mapping.protocol, ip, mapping.host_port):
            holders = sockets.listeners(mapping.protocol, mapping.host_port)
            who = ", ".join(sorted({x.process for x in holders if x.process})) or "a process of this host"
            return Conflict(f"{shown} is taken by {who}", hint="stop it or choose another host port")
    return None


def _publishing_endpoint(work: Work, sandbox: Sandbox, network_name: str) -> tuple[Endpoint, Network]:
    if sandbox.mode is Mode.HOST:
        raise InvalidArgument(
            f"{sandbox.name} uses the host's own network (unisolated): its ports are the host's already",
            hint="nothing to publish",
        )
    if sandbox.mode is Mode.CONTAINER:
        sandbox = work.state.sandbox(sandbox.other)
    pairs = [(e, work.state.network(e.network_id)) for e in work.state.endpoints_in(sandbox.id)]
    if network_name:
        wanted = work.state.network(network_name)
        pairs = [pair for pair in pairs if pair[1].id == wanted.id]
    if not pairs:
        where = f"network {network_name}" if network_name else "any network"
        raise FailedPrecondition(
            f"{sandbox.name} is not connected to {where}", hint=f"duct connect NETWORK {sandbox.name}"
        )
    able = [p for p in pairs if driver_of(p[1].driver).has_gateway and not p[1].internal] or pairs
    elected = elect_gateway(able, 4) or elect_gateway(able, 6)
    return next((p for p in able if elected is not None and p[0].id == elected[0].id), able[0])


def _names(request: PortRequest, port: PortMapping) -> bool:
    """Say whether a request names a mapping: by its host port alone, or by all it says."""
    if request.protocol != port.protocol or (request.host_ip not in (None, port.host_ip)):
        return False
    if request.host_port is None:
        return request.container_port == port.host_port
    in_range = request.host_port <= port.host_port <= (request.host_port_end or request.host_port)
    return in_range and request.container_port == port.container_port


def _shown(request: PortRequest) -> str:
    if request.host_port is None:
        return f"{request.container_port}/{request.protocol}"
    return f"{request.host_port}:{request.container_port}/{request.protocol}"
