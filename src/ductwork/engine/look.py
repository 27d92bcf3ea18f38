"""What a person asks to see: a picture of the host, and each object Ductwork made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ductwork.drivers.bridge import BridgeDriver, BridgeOptions
from ductwork.drivers.registry import driver_of
from ductwork.engine.observe import Observer
from ductwork.engine.planner import (
    Owner,
    all_owners,
    endpoint_owner,
    namespace_key,
    plan_owner,
    port_owner,
    sandbox_owner,
)
from ductwork.engine.state import State
from ductwork.engine.work import Work
from ductwork.model.endpoint import Endpoint
from ductwork.model.network import Network
from ductwork.model.objects import HOST, Bridge, KernelObject, Veth
from ductwork.model.sandbox import Mode, Sandbox
from ductwork.model.view import EndpointView, HostView, Isolation, NetworkView, SandboxView, UplinkView
from ductwork.plan.describe import describe_object, with_names
from ductwork.plan.gateway import elect_gateway


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """One kernel object on record: whom it belongs to, whether it is there, and how to call it."""

    owner: str
    object: KernelObject
    present: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class HostStatus:
    """Everything Ductwork made on a host; `leftovers` carry our mark but are on no record."""

    objects: tuple[ObjectStatus, ...]
    leftovers: tuple[str, ...]

    @property
    def missing(self) -> tuple[ObjectStatus, ...]:
        """What should be there and is not."""
        return tuple(o for o in self.objects if not o.present)


def status(work: Work) -> HostStatus:
    """List every kernel object Ductwork made."""
    bind_all(work)
    observer = Observer(work.kernel)
    objects = objects_of(work, all_owners(work.state), observer)
    names = {o.object.name for o in objects if isinstance(o.object, (Bridge, Veth))}
    return HostStatus(tuple(objects), tuple(link.name for link in observer.leftovers(names)))


def objects_of(work: Work, owners: Sequence[Owner], observer: Observer | None = None) -> list[ObjectStatus]:
    """List the kernel objects of some owners."""
    observer = observer or Observer(work.kernel)
    found = [(owner, item) for owner in owners for item in plan_owner(work.state, owner)]
    # A link network has all of its objects inside sandboxes, which must be open to be looked into.
    for place in dict.fromkeys(getattr(item, "ns", HOST) for _, item in found):
        work.binder.bind(place, [work.state])
    names = {f"sandbox/{s.id}": s.name for s in work.state.sandboxes()}
    return [
        ObjectStatus(
            _title(work.state, owner), item, observer.exists(item), with_names(describe_object(item), names)
        )
        for owner, item in found
    ]


def sandbox_objects(work: Work, sandbox: Sandbox) -> list[ObjectStatus]:
    """List the kernel objects of a sandbox and its endpoints."""
    if sandbox.mode is not Mode.HOST:
        work.binder.bind(namespace_key(work.state, sandbox), [work.state])
    endpoints = work.state.endpoints_in(sandbox.id)
    ports = [port_owner(m) for e in endpoints for m in work.state.ports_of(e.id)]
    return objects_of(work, [sandbox_owner(sandbox.id), *(endpoint_owner(e.id) for e in endpoints), *ports])


def bind_all(work: Work) -> None:
    """Open every sandbox's namespace, so that one can look inside."""
    for sandbox in work.state.sandboxes():
        if sandbox.mode is not Mode.HOST:
            work.binder.bind(namespace_key(work.state, sandbox), [work.state])


def host_view(work: Work) -> HostView:
    """Draw the host: networks with their ports, sandboxes with their attachments, the ways out."""
    state = work.state
    names = {s.id: s.name for s in state.sandboxes()}
    endpoints: dict[str, list[Endpoint]] = {}
    for endpoint in state.endpoints():
        endpoints.setdefault(endpoint.network_id, []).append(endpoint)
    views: dict[str, list[tuple[int, EndpointView]]] = {}
    networks = []
    for network in state.networks():
        attached = sorted(endpoints.get(network.id, []), key=lambda e: e.slot)
        drawn = [_endpoint(work, e, network, names) for e in attached]
        for endpoint, view in zip(attached, drawn, strict=True):
            views.setdefault(view.sandbox, []).append((endpoint.order, view))
        networks.append(_network(network, tuple(drawn)))
    sandboxes = [
        _sandbox(work, s, tuple(v for _, v in sorted(views.get(s.name, ()), key=lambda pair: pair[0])))
        for s in state.sandboxes()
    ]
    return HostView(
        work.host.name or "this host", work.host.netns, tuple(networks), tuple(sandboxes), _uplinks(work)
    )


def _network(network: Network, endpoints: tuple[EndpointView, ...]) -> NetworkView:
    gateways = tuple(s.gateway for s in network.subnets if s.gateway is not None)
    view = NetworkView(
        network.name,
        network.driver,
        tuple(s.cidr for s in network.subnets),
        gateways,
        mtu=network.mtu,
        internal=network.internal,
        nat=False,
        endpoints=endpoints,
    )
    if network.driver != BridgeDriver.kind:
        return view
    options = BridgeOptions.of(network)
    return NetworkView(
        view.name,
        view.driver,
        view.subnets,
        view.gateways,
        options.bridge,
        view.mtu,
        view.internal,
        options.nat and not network.internal,
        {"on": Isolation.ON, "off": Isolation.OFF, "strict": Isolation.STRICT}[options.isolation.value],
        endpoints,
    )


def _endpoint(work: Work, endpoint: Endpoint, network: Network, names: dict[str, str]) -> EndpointView:
    siblings = work.state.endpoints_in(endpoint.sandbox_id)
    pairs = [(e, work.state.network(e.network_id)) for e in siblings]
    sandbox = work.state.sandbox_or_none(endpoint.sandbox_id)
    # A default route that was there before us stays, and then none of ours is the way out.
    versions = {4, 6} - set(sandbox.own_default if sandbox else ())
    elected = [elect_gateway(pairs, version) for version in versions]
    winners = {winner[0].id for winner in elected if winner is not None}
    return EndpointView(
        names.get(endpoint.sandbox_id, "?"),
        network.name,
        endpoint.host_ifname if driver_of(network.driver).has_gateway else "",
        endpoint.container_ifname,
        endpoint.addresses,
        endpoint.mac if endpoint.container_ifname else "",
        endpoint.aliases,
        work.state.ports_of(endpoint.id),
        endpoint.id in winners,
    )


def _sandbox(work: Work, sandbox: Sandbox, endpoints: tuple[EndpointView, ...]) -> SandboxView:
    alive = sandbox.mode is Mode.HOST or work.binder.bind(namespace_key(work.state, sandbox), [work.state])
    return SandboxView(sandbox.name, sandbox.mode, sandbox.target, alive, endpoints)


def _uplinks(work: Work) -> tuple[UplinkView, ...]:
    route = work.kernel.route(HOST)
    outward = {r.ifindex for r in route.routes() if r.dst.prefixlen == 0}
    addresses = route.addresses()
    return tuple(
        UplinkView(
            link.name, tuple(a.ip for a in addresses if a.ifindex == link.ifindex and not a.ip.is_link_local)
        )
        for link in route.links()
        if link.ifindex in outward
    )


def _title(state: State, owner: Owner) -> str:
    kind, _, identity = owner.partition("/")
    if kind == "network":
        network = state.network_or_none(identity)
        return f"network {network.name}" if network else owner
    if kind == "sandbox":
        sandbox = state.sandbox_or_none(identity)
        return f"sandbox {sandbox.name}" if sandbox else owner
    if kind == "endpoint":
        endpoint = state.endpoint_or_none(identity)
        if endpoint is not None:
            network = state.network(endpoint.network_id)
            return f"{state.sandbox(endpoint.sandbox_id).name} on {network.name}"
    if kind == "port":
        port = state.port_or_none(identity)
        return f"port {port.mapping}" if port else owner
    return "host"
