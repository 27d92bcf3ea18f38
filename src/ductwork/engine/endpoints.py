"""Connecting sandboxes to networks and disconnecting them, while they run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from ductwork.drivers.base import Driver
from ductwork.drivers.registry import driver_of
from ductwork.engine.addresses import endpoint_addresses
from ductwork.engine.change import Direction
from ductwork.engine.planner import endpoint_owner, namespace_key, network_owner, port_owner, sandbox_owner
from ductwork.engine.publishing import choose_ports
from ductwork.engine.static_routes import check_routes
from ductwork.engine.work import Work
from ductwork.errors import Conflict, Exhausted, FailedPrecondition, InvalidArgument, NotFound
from ductwork.kernel.ports import LinkInfo
from ductwork.model.addresses import IPAddress
from ductwork.model.endpoint import Endpoint, StaticRoute
from ductwork.model.names import Mac, parse_ifname, parse_name
from ductwork.model.network import Network
from ductwork.model.objects import PROTOCOL
from ductwork.model.port_mapping import PortRequest
from ductwork.model.sandbox import Mode, Sandbox
from ductwork.plan import names
from ductwork.plan.gateway import elect_gateway


@dataclass(frozen=True, slots=True)
class ConnectSpec:
    """How to attach, as the user asked; what is left out is chosen.

    Attributes:
        addresses: at most one of each IP version.
        ifname: the interface's name inside; the lowest free ethN when empty.
        gateway_priority: the highest of a sandbox's endpoints has the default route.
    """

    addresses: tuple[IPAddress, ...] = ()
    mac: Mac | None = None
    ifname: str = ""
    aliases: tuple[str, ...] = ()
    ports: tuple[PortRequest, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    gateway_priority: int = 0


def connect(work: Work, network_name: str, target: str, spec: ConnectSpec | None = None) -> Endpoint:
    """Attach a sandbox to a network.

    Raises:
        NotFound, InvalidArgument, Conflict, Exhausted, FailedPrecondition: nothing was changed.
    """
    network = work.state.network(network_name)
    sandbox = work.targets.resolve(work.state, target)
    if sandbox.mode is Mode.CONTAINER:
        sandbox = work.state.sandbox(sandbox.other)
    return attach(work, network, sandbox, spec or ConnectSpec())


def attach(work: Work, network: Network, sandbox: Sandbox, spec: ConnectSpec, topology: str = "") -> Endpoint:
    """Attach a sandbox that was found already and does not share another's stack.

    Raises:
        InvalidArgument, Conflict, Exhausted, FailedPrecondition: nothing was changed.
    """
    driver = driver_of(network.driver)
    _check(work, network, driver, sandbox, spec)
    links = _links(work, sandbox)
    identity = str(uuid4())
    before = work.state.endpoints_in(sandbox.id)
    check_routes(network, before, spec.routes)
    sandbox = _respect_own_default(work, sandbox, before)
    endpoint = Endpoint(
        id=identity,
        network_id=network.id,
        sandbox_id=sandbox.id,
        slot=_free_slot(work, links),
        order=max((e.order for e in before), default=-1) + 1,
        host_ifname=names.host_ifname(identity),
        container_ifname=_ifname(driver, spec, sandbox, links, before),
        mac=_mac(work, network, sandbox, spec),
        addresses=endpoint_addresses(work, network, identity, spec.addresses),
        aliases=tuple(dict.fromkeys(parse_name(a, "alias") for a in spec.aliases)),
        routes=spec.routes,
        gateway_priority=spec.gateway_priority,
        topology=topology,
    )
    ports = choose_ports(work, network, endpoint, spec.ports)
    endpoint = replace(endpoint, port_count=len(ports))
    work.state.put_endpoint(endpoint)
    touch(work, endpoint, driver)
    return endpoint


def disconnect(work: Work, network_name: str, target: str) -> Endpoint | None:
    """Detach a sandbox from a network; one that is not attached is success, and None."""
    network = work.state.network(network_name)
    work.change.direction = Direction.FINISH
    try:
        sandbox = work.targets.known(work.state, target)
    except NotFound:
        work.change.notes.append(f"{target} is not connected to anything")
        return None
    if sandbox.mode is Mode.CONTAINER:
        sandbox = work.state.sandbox(sandbox.other)
    endpoint = work.state.endpoint_of(network.id, sandbox.id)
    if endpoint is None:
        work.change.notes.append(f"{sandbox.name} is not connected to {network.name}")
        return None
    drop(work, endpoint)
    forget_unused(work, sandbox)
    return endpoint


def drop(work: Work, endpoint: Endpoint) -> None:
    """Take one endpoint away."""
    network = work.state.network(endpoint.network_id)
    work.change.touch(*(port_owner(mapping) for mapping in work.state.ports_of(endpoint.id)))
    work.state.delete_endpoint(endpoint)
    touch(work, endpoint, driver_of(network.driver))


def forget_unused(work: Work, sandbox: Sandbox) -> None:
    """Forget somebody else's sandbox once nothing of ours is in it."""
    if sandbox.mode is not Mode.FOREIGN or sandbox.adopted:
        return
    if (
        work.state.endpoints_in(sandbox.id)
        or work.state.linked_from(sandbox.id)
        or work.state.links(sandbox.id)
        or work.state.sharers(sandbox.id)
    ):
        return
    work.state.delete_sandbox(sandbox)


def touch(work: Work, endpoint: Endpoint, driver: Driver) -> None:
    """Plan again all that may differ when an endpoint comes, goes or changes."""
    work.change.touch(endpoint_owner(endpoint.id), sandbox_owner(endpoint.sandbox_id))
    work.change.touch(*(sandbox_owner(other) for other in work.state.linked_from(endpoint.sandbox_id)))
    if driver.couples_endpoints:
        work.change.touch(network_owner(endpoint.network_id))


def _check(work: Work, network: Network, driver: Driver, sandbox: Sandbox, spec: ConnectSpec) -> None:
    if sandbox.mode is Mode.HOST and driver.own_stack:
        raise FailedPrecondition(
            f"{sandbox.name} uses the host's own network (unisolated) and cannot join {network.name}",
            hint="create the sandbox without --mode host",
        )
    if sandbox.mode is not Mode.HOST and not driver.own_stack:
        raise FailedPrecondition(
            f"network {network.name} is the host's own stack (unisolated); {sandbox.name} has its own",
            hint=f"duct sandbox create NAME --mode host --network {network.name}",
        )
    if work.state.endpoint_of(network.id, sandbox.id) is not None:
        raise Conflict(
            f"{sandbox.name} is already connected to {network.name}",
            hint=f"duct disconnect {network.name} {sandbox.name}",
        )
    limit = driver.max_endpoints
    if limit is not None and work.state.count_endpoints(network.id) >= limit:
        raise Exhausted(
            f"network {network.name} has {limit} endpoints, the most a {network.driver} network can have",
            hint="make another network",
        )
    versions = [a.version for a in spec.addresses]
    if len(versions) != len(set(versions)):
        raise InvalidArgument(
            "two addresses of one family were given", hint="give one --ip and one --ip6 at most"
        )
    if not driver.uses_addresses and (spec.addresses or spec.routes or spec.mac or spec.ifname):
        raise InvalidArgument(
            f"a {network.driver} network has no interface to configure", hint="leave the options out"
        )


def _links(work: Work, sandbox: Sandbox) -> list[LinkInfo]:
    """Return the links in the sandbox that this same change does not take away; none when it makes it."""
    key = namespace_key(work.state, sandbox)
    if work.kernel.bound(key) is None:
        return []
    before = work.change.before.endpoints_in(sandbox.id)
    going = {names.inner_ifindex(e.slot) for e in before if work.state.endpoint_or_none(e.id) is None}
    return [link for link in work.kernel.route(key).links() if link.ifindex not in going]


def _free_slot(work: Work, links: Iterable[LinkInfo]) -> int:
    """Take a slot whose index is free inside: another Ductwork may have put its links there too."""
    taken = {link.ifindex for link in links}
    while True:
        slot = work.state.next_slot()
        if names.inner_ifindex(slot) not in taken:
            return slot


def _ifname(
    driver: Driver, spec: ConnectSpec, sandbox: Sandbox, links: Iterable[LinkInfo], before: Iterable[Endpoint]
) -> str:
    if not driver.uses_addresses:
        return ""
    taken = {link.name for link in links} | {e.container_ifname for e in before}
    if not spec.ifname:
        return names.free_ifname(taken)
    if parse_ifname(spec.ifname) in taken or spec.ifname == "lo":
        raise Conflict(
            f"{sandbox.name} already has an interface {spec.ifname}", hint="choose another --ifname"
        )
    return spec.ifname


def _mac(work: Work, network: Network, sandbox: Sandbox, spec: ConnectSpec) -> Mac:
    if spec.mac is None:
        return names.endpoint_mac(work.host_id, network.name, sandbox.name)
    for other in work.state.endpoints_on(network.id):
        if other.mac == spec.mac:
            who = work.state.sandbox(other.sandbox_id).name
            raise Conflict(
                f"MAC {spec.mac} on network {network.name} is in use by {who}", hint="choose another"
            )
    return spec.mac


def _respect_own_default(work: Work, sandbox: Sandbox, before: Sequence[Endpoint]) -> Sandbox:
    """Note which default routes the sandbox has from somebody else: those stay, unless ours were first."""
    key = namespace_key(work.state, sandbox)
    if sandbox.mode is not Mode.FOREIGN or work.kernel.bound(key) is None:
        return sandbox
    routes = work.kernel.route(key).routes()
    theirs = {r.dst.version for r in routes if r.dst.prefixlen == 0 and r.protocol != PROTOCOL}
    if before:
        pairs = [(e, work.state.network(e.network_id)) for e in before]
        theirs = {v for v in theirs if v in sandbox.own_default or elect_gateway(pairs, v) is None}
    changed = replace(sandbox, own_default=tuple(sorted(theirs)))
    if changed != sandbox:
        work.state.put_sandbox(changed)
    return changed
