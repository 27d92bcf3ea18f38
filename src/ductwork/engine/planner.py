"""From the store's records to kernel objects, owner by owner.

An owner is whatever can be planned alone: the host, a network, a sandbox, an endpoint. A change plans only
the owners it touches, so its cost does not grow with the host.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import NewType

from ductwork.drivers.base import Attachment
from ductwork.drivers.registry import driver_of
from ductwork.engine.state import PublishedPort, State
from ductwork.model.endpoint import Endpoint
from ductwork.model.network import Network
from ductwork.model.objects import (
    HOST,
    HostsEntries,
    KernelObject,
    LinkUp,
    NamespaceName,
    NftElement,
    NsKey,
    PinnedNamespace,
    Route,
    Ruleset,
    Sysctl,
)
from ductwork.model.port_mapping import PortMapping
from ductwork.model.sandbox import Mode, Sandbox
from ductwork.plan import names
from ductwork.plan.gateway import elect_gateway
from ductwork.plan.hosts_file import plan_hosts_lines
from ductwork.plan.publish import plan_published_ports
from ductwork.plan.ruleset import render_ruleset

Owner = NewType("Owner", str)

THE_HOST = Owner("host")


def network_owner(identity: str) -> Owner:
    """Name a network as an owner."""
    return Owner(f"network/{identity}")


def sandbox_owner(identity: str) -> Owner:
    """Name a sandbox as an owner."""
    return Owner(f"sandbox/{identity}")


def endpoint_owner(identity: str) -> Owner:
    """Name an endpoint as an owner."""
    return Owner(f"endpoint/{identity}")


def port_owner(mapping: PortMapping) -> Owner:
    """Name a published port as an owner."""
    return Owner(f"port/{mapping.key}")


def namespace_key(state: State, sandbox: Sandbox) -> NsKey:
    """Return the key of the namespace a sandbox uses: its own, the host's or another sandbox's."""
    if sandbox.mode is Mode.HOST:
        return HOST
    if sandbox.mode is Mode.CONTAINER:
        return namespace_key(state, state.sandbox(sandbox.other))
    return NsKey(f"sandbox/{sandbox.id}")


def plan_owner(state: State, owner: Owner) -> list[KernelObject]:
    """Say what must exist for one owner; nothing when the store does not know it (any more)."""
    kind, _, identity = owner.partition("/")
    if kind == "network":
        network = state.network_or_none(identity)
        return [] if network is None else _plan_network(state, network)
    if kind == "endpoint":
        endpoint = state.endpoint_or_none(identity)
        return [] if endpoint is None else _plan_endpoint(state, endpoint)
    if kind == "sandbox":
        sandbox = state.sandbox_or_none(identity)
        return [] if sandbox is None else _plan_sandbox(state, sandbox)
    if kind == "port":
        port = state.port_or_none(identity)
        return [] if port is None else _plan_port(state, port)
    return _plan_host(state)


def all_owners(state: State) -> list[Owner]:
    """Return every owner the store knows; the host itself counts while a network needs something of it."""
    record = state.host()
    return [
        *([THE_HOST] if record is not None and record.active else []),
        *(network_owner(n.id) for n in state.networks()),
        *(sandbox_owner(s.id) for s in state.sandboxes()),
        *(endpoint_owner(e.id) for e in state.endpoints()),
        *(port_owner(p.mapping) for p in state.ports()),
    ]


def _plan_host(state: State) -> list[KernelObject]:
    record = state.host()
    if record is None:
        return []
    # Without a network, what is still on record stays as it is for somebody else: nothing to write back.
    switches: list[KernelObject] = [
        Sysctl(HOST, s.path, s.value, s.before if record.active else None) for s in record.sysctls
    ]
    if not record.active:
        return switches
    guarded = [NftElement(HOST, "guarded", (name,)) for name in record.guarded]
    return [*switches, Ruleset(HOST, record.id, render_ruleset(record.id)), *guarded]


def _plan_network(state: State, network: Network) -> list[KernelObject]:
    driver = driver_of(network.driver)
    attached: list[Attachment] = []
    if driver.couples_endpoints:
        attached = [_attachment(state, endpoint) for endpoint in state.endpoints_on(network.id)]
    return [*driver.plan_network(network, attached), *state.foreign(network.id)]


def _attachment(state: State, endpoint: Endpoint) -> Attachment:
    return Attachment(endpoint, namespace_key(state, state.sandbox(endpoint.sandbox_id)))


def _plan_endpoint(state: State, endpoint: Endpoint) -> list[KernelObject]:
    network = state.network(endpoint.network_id)
    return driver_of(network.driver).plan_endpoint(network, _attachment(state, endpoint))


def _plan_port(state: State, port: PublishedPort) -> list[KernelObject]:
    endpoint = state.endpoint_or_none(port.endpoint_id)
    if endpoint is None:
        return []
    return list(plan_published_ports([port.mapping], [a.ip for a in endpoint.addresses]))


def _plan_sandbox(state: State, sandbox: Sandbox) -> list[KernelObject]:
    if sandbox.mode is Mode.HOST:
        return []
    key = namespace_key(state, sandbox)
    objects: list[KernelObject] = []
    if sandbox.mode is Mode.OWN:
        objects += [PinnedNamespace(key, sandbox.target), LinkUp(key, "lo")]
    if sandbox.adopted:
        objects.append(NamespaceName(sandbox.adopted, sandbox.adopted_from))
    if sandbox.mode is not Mode.CONTAINER:
        objects += _default_routes(state, sandbox, key)
    endpoints = state.endpoints_in(sandbox.id)
    linked = [(link, state.sandbox(link.sandbox_id)) for link in state.links(sandbox.id)]
    known = [(link, other.hostname, state.endpoints_in(other.id)) for link, other in linked]
    lines = plan_hosts_lines(sandbox.hostname, endpoints, known)
    if lines:
        objects.append(HostsEntries(key, sandbox.target, tuple(lines)))
    return objects


def _default_routes(state: State, sandbox: Sandbox, key: NsKey) -> list[KernelObject]:
    """One default route of each family, by the endpoint that wins it, unless one was declared or found."""
    candidates = [(e, state.network(e.network_id)) for e in state.endpoints_in(sandbox.id)]
    declared = {route.destination for endpoint, _ in candidates for route in endpoint.routes}
    routes: list[KernelObject] = []
    for version, everywhere in ((4, IPv4Network("0.0.0.0/0")), (6, IPv6Network("::/0"))):
        if version in sandbox.own_default or everywhere in declared:
            continue
        winner = elect_gateway(candidates, version)
        if winner is not None:
            endpoint, gateway = winner
            index = names.inner_ifindex(endpoint.slot)
            routes.append(Route(key, everywhere, gateway, endpoint.container_ifname, index))
    return routes
