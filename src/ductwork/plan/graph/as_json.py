"""The graph as data: nodes and edges with ids that stay the same while names do."""

from __future__ import annotations

from ductwork.model.port_mapping import PortMapping
from ductwork.model.view import EndpointView, HostView, NetworkView, SandboxView, UplinkView
from ductwork.plan.graph.words import complete

Record = dict[str, object]


def graph_json(view: HostView) -> dict[str, object]:
    """Describe a host as nodes and edges.

    Both lists are sorted by id. Ids are "KIND:NAME", an endpoint's "endpoint:NETWORK/SANDBOX/IFNAME"; an edge
    goes from network to sandbox, from uplink to host, or (published port) from host to sandbox.
    """
    whole = complete(view)
    host = f"host:{whole.host_name}"
    nodes: list[Record] = [{"id": host, "kind": "host", "name": whole.host_name, "netns": whole.netns}]
    nodes += [_uplink(uplink) for uplink in whole.uplinks]
    nodes += [_network(network) for network in whole.networks]
    nodes += [_sandbox(sandbox) for sandbox in whole.sandboxes]
    endpoints = [e for network in whole.networks for e in network.endpoints]
    edges: list[Record] = [
        {"id": f"uplink:{u.name}>{host}", "kind": "uplink", "from": f"uplink:{u.name}", "to": host}
        for u in whole.uplinks
    ]
    edges += [_endpoint(e) for e in endpoints]
    edges += [_port(host, e, port) for e in endpoints for port in e.ports]
    return {"nodes": sorted(nodes, key=_id), "edges": sorted(edges, key=_id)}


def _id(record: Record) -> str:
    return str(record["id"])


def _uplink(uplink: UplinkView) -> Record:
    addresses = [str(a) for a in uplink.addresses]
    return {"id": f"uplink:{uplink.name}", "kind": "uplink", "name": uplink.name, "addresses": addresses}


def _network(network: NetworkView) -> Record:
    return {
        "id": f"network:{network.name}",
        "kind": "network",
        "name": network.name,
        "driver": network.driver,
        "subnets": [str(s) for s in network.subnets],
        "gateways": [str(g) for g in network.gateways],
        "bridge": network.bridge,
        "mtu": network.mtu,
        "internal": network.internal,
        "nat": network.nat,
        "isolation": network.isolation.value,
        "note": network.note,
    }


def _sandbox(sandbox: SandboxView) -> Record:
    return {
        "id": f"sandbox:{sandbox.name}",
        "kind": "sandbox",
        "name": sandbox.name,
        "mode": sandbox.mode_word,
        "target": sandbox.target,
        "alive": sandbox.alive,
    }


def _endpoint_id(endpoint: EndpointView) -> str:
    ifname = endpoint.container_ifname or endpoint.host_ifname
    return f"endpoint:{endpoint.network}/{endpoint.sandbox}/{ifname}"


def _endpoint(endpoint: EndpointView) -> Record:
    return {
        "id": _endpoint_id(endpoint),
        "kind": "endpoint",
        "from": f"network:{endpoint.network}",
        "to": f"sandbox:{endpoint.sandbox}",
        "host_ifname": endpoint.host_ifname,
        "container_ifname": endpoint.container_ifname,
        "addresses": [str(a) for a in endpoint.addresses],
        "mac": endpoint.mac,
        "aliases": list(endpoint.aliases),
        "default_gateway": endpoint.default_gateway,
    }


def _port(host: str, endpoint: EndpointView, port: PortMapping) -> Record:
    return {
        "id": f"port:{port.host_ip or '*'}:{port.host_port}/{port.protocol}>{_endpoint_id(endpoint)}",
        "kind": "port",
        "from": host,
        "to": f"sandbox:{endpoint.sandbox}",
        "endpoint": _endpoint_id(endpoint),
        "protocol": port.protocol.value,
        "host_ip": None if port.host_ip is None else str(port.host_ip),
        "host_port": port.host_port,
        "container_port": port.container_port,
        "allow_from": [str(n) for n in port.allow_from],
    }
