"""Connections of a topology: made, changed in place, made again where nothing else helps, or removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from ductwork.drivers.registry import driver_of
from ductwork.engine import endpoints
from ductwork.engine.endpoints import ConnectSpec
from ductwork.engine.planner import namespace_key
from ductwork.engine.static_routes import check_routes
from ductwork.engine.topology.actions import Action, Sign
from ductwork.engine.topology.existing import Existing
from ductwork.engine.topology.networks import NetworkChanges
from ductwork.engine.topology.sandboxes import SandboxChanges
from ductwork.engine.work import Work
from ductwork.errors import Conflict
from ductwork.model.addresses import IPAddress
from ductwork.model.endpoint import Endpoint
from ductwork.model.sandbox import Mode, Sandbox
from ductwork.model.topology import Topology, WantedEndpoint, WantedSandbox
from ductwork.plan import names

# Who holds an address that an endpoint of the topology asks for, until that endpoint is made.
KEPT_FREE = "asked-for"


@dataclass(slots=True)
class EndpointChanges:
    """What to do about connections.

    Attributes:
        kept: those that are there and stay, by sandbox and network name in the topology.
        asked: addresses that connections to come ask for.
    """

    removals: list[Action] = field(default_factory=list)
    creations: list[Action] = field(default_factory=list)
    kept: dict[tuple[str, str], Endpoint] = field(default_factory=dict)
    asked: list[tuple[str, IPAddress]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What every connection is compared with; `asked` says which sandbox asks for an address."""

    existing: Existing
    networks: NetworkChanges
    asked: dict[tuple[str, IPAddress], str]
    changes: EndpointChanges


def compare_endpoints(
    existing: Existing, topology: Topology, networks: NetworkChanges, sandboxes: SandboxChanges
) -> EndpointChanges:
    """Compare every connection of a topology, and find those it has dropped.

    Raises:
        Conflict: a connection belongs to another topology.
    """
    asked = {(e.network, a): s.name for s in topology.sandboxes for e in s.endpoints for a in e.addresses}
    changes = EndpointChanges()
    here = _Comparison(existing, networks, asked, changes)
    by_id = {sandbox.id: name for name, sandbox in sandboxes.found.items()}
    wanted_by_name = {wanted.name: wanted for wanted in topology.sandboxes}
    for identity, name in _sandboxes(existing, sandboxes, by_id):
        wanted = wanted_by_name.get(by_id.get(identity, ""))
        for endpoint in existing.endpoints.get(identity, []):
            _compare(here, wanted, name, endpoint)
    for wanted in topology.sandboxes:
        for asking in wanted.endpoints:
            if (wanted.name, asking.network) not in changes.kept:
                _connect(existing, changes, wanted, asking, sandboxes.names[wanted.name])
    return changes


def _sandboxes(
    existing: Existing, sandboxes: SandboxChanges, by_id: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield id and name of every sandbox that stays: the topology's, then those it may have left."""
    yield from ((identity, sandboxes.names[name]) for identity, name in by_id.items())
    for sandbox in existing.sandboxes.values():
        if sandbox.id not in by_id and sandbox.id not in sandboxes.going:
            yield sandbox.id, sandbox.name


def _compare(here: _Comparison, wanted: WantedSandbox | None, name: str, endpoint: Endpoint) -> None:
    existing, changes = here.existing, here.changes
    network = existing.network_names[endpoint.network_id]
    asking = next((e for e in wanted.endpoints if e.network == network), None) if wanted else None
    if asking is None or wanted is None:
        if existing.is_ours(endpoint):
            _disconnect(changes, name, network, endpoint, ())
        return
    place = _place(wanted, asking)
    if endpoint.topology and not existing.is_ours(endpoint):
        raise Conflict(
            f"{place}: topology {endpoint.topology} has connected {name} to {network} already",
            hint="leave it to one of them",
        )
    if endpoint.network_id in here.networks.going:
        _disconnect(changes, name, network, endpoint, ("the network is made anew",))
        return
    reasons = _reasons_to_reconnect(here, wanted, asking, name, endpoint)
    if reasons:
        _disconnect(changes, name, network, endpoint, reasons)
        return
    changes.kept[(wanted.name, network)] = endpoint
    changed = _adjusted(endpoint, asking, existing.topology)
    if changed != endpoint:
        remarks = _remarks(endpoint, changed)
        do = partial(_change, identity=endpoint.id, asking=asking, topology=existing.topology)
        changes.creations.append(Action(Sign.CHANGE, "endpoint", f"{name} on {network}", do, remarks, place))


def _reasons_to_reconnect(
    here: _Comparison, wanted: WantedSandbox, asking: WantedEndpoint, name: str, endpoint: Endpoint
) -> tuple[str, ...]:
    network = here.existing.networks[asking.network]
    if not driver_of(network.driver).uses_addresses:
        return ()
    reasons = []
    fixed = {a.version for a in asking.addresses}
    for address in asking.addresses:
        has = endpoint.address(address.version)
        if has is None or has.ip != address:
            reasons.append(f"address {has.ip if has else 'none'} → {address}")
    for interface in endpoint.addresses:
        other = here.asked.get((asking.network, interface.ip))
        if interface.version not in fixed and other not in {None, wanted.name}:
            reasons.append(f"{other} asks for its address {interface.ip}")
    mac = asking.mac or names.endpoint_mac(here.existing.host_id, network.name, name)
    if mac != endpoint.mac:
        reasons.append(f"mac {endpoint.mac} → {mac}")
    if asking.ifname and asking.ifname != endpoint.container_ifname:
        reasons.append(f"ifname {endpoint.container_ifname} → {asking.ifname}")
    if not asking.ifname and endpoint.container_ifname in {e.ifname for e in wanted.endpoints}:
        reasons.append(f"another connection asks for its ifname {endpoint.container_ifname}")
    return tuple(reasons)


def _remarks(before: Endpoint, after: Endpoint) -> tuple[str, ...]:
    remarks = []
    if before.aliases != after.aliases:
        remarks.append(f"aliases {' '.join(after.aliases) or 'none'}")
    if before.routes != after.routes:
        listed = " ".join(f"{r.destination}@{r.via}" if r.via else str(r.destination) for r in after.routes)
        remarks.append(f"routes {listed or 'none'}")
    if before.gateway_priority != after.gateway_priority:
        remarks.append(f"gateway_priority {before.gateway_priority} → {after.gateway_priority}")
    if before.topology != after.topology:
        remarks.append("made by hand, the topology's from now on")
    return tuple(remarks)


def _place(wanted: WantedSandbox, asking: WantedEndpoint) -> str:
    return f"sandboxes.{wanted.name}.networks.{asking.network}"


def _disconnect(
    changes: EndpointChanges, name: str, network: str, endpoint: Endpoint, reasons: tuple[str, ...]
) -> None:
    do = partial(_drop, identity=endpoint.id)
    changes.removals.append(Action(Sign.REMOVE, "endpoint", f"{name} on {network}", do, reasons))


def _drop(work: Work, identity: str) -> None:
    endpoint = work.state.endpoint_or_none(identity)
    if endpoint is not None:
        sandbox = work.state.sandbox(endpoint.sandbox_id)
        endpoints.drop(work, endpoint)
        endpoints.forget_unused(work, sandbox)


def _adjusted(endpoint: Endpoint, asking: WantedEndpoint, topology: str) -> Endpoint:
    return replace(
        endpoint,
        aliases=asking.aliases,
        routes=asking.routes,
        gateway_priority=asking.gateway_priority,
        topology=topology,
    )


def _change(work: Work, identity: str, asking: WantedEndpoint, topology: str) -> None:
    endpoint = work.state.endpoint_or_none(identity)
    if endpoint is None:
        return
    # Routes may move between connections of the topology, which change one after the other.
    others = [e for e in work.state.endpoints_in(endpoint.sandbox_id) if e.topology != topology]
    check_routes(work.state.network(endpoint.network_id), others, asking.routes)
    changed = _adjusted(endpoint, asking, topology)
    work.state.put_endpoint(changed)
    endpoints.touch(work, changed, driver_of(work.state.network(changed.network_id).driver))


def _connect(
    existing: Existing, changes: EndpointChanges, wanted: WantedSandbox, asking: WantedEndpoint, name: str
) -> None:
    changes.asked += [(asking.network, address) for address in asking.addresses]
    do = partial(_attach, wanted=wanted, asking=asking, name=name, topology=existing.topology)
    details = tuple(str(a) for a in asking.addresses)
    changes.creations.append(
        Action(Sign.ADD, "endpoint", f"{name} on {asking.network}", do, details, _place(wanted, asking))
    )


def _attach(work: Work, wanted: WantedSandbox, asking: WantedEndpoint, name: str, topology: str) -> Endpoint:
    network = work.state.network(asking.network)
    sandbox = work.targets.resolve(work.state, wanted.target or _exact(work, name))
    if sandbox.mode is Mode.CONTAINER:
        sandbox = work.state.sandbox(sandbox.other)
    for address in asking.addresses:
        if work.state.address_holder(network.id, address) == KEPT_FREE:
            work.state.release_address(network.id, address)
    spec = ConnectSpec(
        addresses=asking.addresses,
        mac=asking.mac,
        ifname=asking.ifname or _ifname(work, wanted, asking, sandbox),
        aliases=asking.aliases,
        routes=asking.routes,
        gateway_priority=asking.gateway_priority,
    )
    return endpoints.attach(work, network, sandbox, spec, topology)


def _exact(work: Work, name: str) -> str:
    """Name a sandbox of ours by its path where it has one: nobody has to be asked what else is called so."""
    sandbox = work.state.find_sandbox(name)
    return sandbox.target if sandbox is not None and sandbox.target else name


def _ifname(work: Work, wanted: WantedSandbox, asking: WantedEndpoint, sandbox: Sandbox) -> str:
    """Choose an interface name that no other connection asks for; empty leaves it to the engine."""
    asked = {e.ifname for e in wanted.endpoints if e.ifname}
    if not asked or not driver_of(work.state.network(asking.network).driver).uses_addresses:
        return ""
    key = namespace_key(work.state, sandbox)
    present = work.kernel.route(key).links() if work.kernel.bound(key) is not None else []
    ours = {e.container_ifname for e in work.state.endpoints_in(sandbox.id)}
    return names.free_ifname(asked | ours | {link.name for link in present})
