"""What commands print: one JSON document with --json, lines and tables for people otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ductwork import DuctworkError, Endpoint, Network, PortMapping, Sandbox
from ductwork.engine.look import ObjectStatus
from ductwork.engine.state import State
from ductwork.model.endpoint import Link
from ductwork.model.sandbox import Mode

EXIT_CODES = {
    "invalid": 2,
    "not-found": 3,
    "conflict": 4,
    "precondition": 5,
    "exhausted": 6,
    "denied": 7,
    "unavailable": 8,
    "internal": 1,
}


def print_json(value: object) -> None:
    """Print a value as one JSON document."""
    text = msgspec.json.encode(value, enc_hook=str, order="deterministic")
    sys.stdout.write(msgspec.json.format(text, indent=2).decode() + "\n")


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns that are as wide as their widest cell."""
    table = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
    for row in table:
        sys.stdout.write(
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() + "\n"
        )


def note(text: str) -> None:
    """Tell the person something that is no result."""
    sys.stderr.write(f"duct: {text}\n")


def error_value(error: DuctworkError) -> dict[str, str]:
    """Show an error as data."""
    return {"error": error.kind, "message": error.message, "hint": error.hint}


def mode_word(sandbox: Sandbox) -> str:
    """Name a sandbox's mode; using the host's stack is called what it is."""
    words = {
        Mode.OWN: "own",
        Mode.FOREIGN: "foreign",
        Mode.CONTAINER: "container",
        Mode.HOST: "host (unisolated)",
    }
    return words[sandbox.mode]


def shared_word(sandbox: Sandbox, state: State) -> str:
    """Name a sandbox's mode with whose stack it shares."""
    if sandbox.mode is not Mode.CONTAINER:
        return mode_word(sandbox)
    other = state.sandbox_or_none(sandbox.other)
    return f"container:{other.name if other else '?'}"


def port_value(port: PortMapping) -> dict[str, Any]:
    """Show a published port as data."""
    return {
        "protocol": port.protocol.value,
        "host_ip": None if port.host_ip is None else str(port.host_ip),
        "host_port": port.host_port,
        "container_port": port.container_port,
        "allow_from": [str(n) for n in port.allow_from],
    }


def endpoint_value(
    endpoint: Endpoint, network: str, sandbox: str, ports: Sequence[PortMapping]
) -> dict[str, Any]:
    """Show an attachment as data."""
    return {
        "id": endpoint.id,
        "network": network,
        "sandbox": sandbox,
        "host_ifname": endpoint.host_ifname,
        "container_ifname": endpoint.container_ifname,
        "mac": endpoint.mac,
        "addresses": [str(a) for a in endpoint.addresses],
        "aliases": list(endpoint.aliases),
        "ports": [port_value(p) for p in ports],
        "routes": [
            {"dst": str(r.destination), "via": None if r.via is None else str(r.via)} for r in endpoint.routes
        ],
        "gateway_priority": endpoint.gateway_priority,
    }


def network_value(network: Network, options: dict[str, str]) -> dict[str, Any]:
    """Show a network as data."""
    return {
        "id": network.id,
        "name": network.name,
        "driver": network.driver,
        "scope": network.scope.value,
        "subnets": [
            {
                "cidr": str(s.cidr),
                "gateway": None if s.gateway is None else str(s.gateway),
                "ip_range": None if s.ip_range is None else str(s.ip_range),
                "reserved": [str(a) for a in s.reserved],
            }
            for s in network.subnets
        ],
        "ipv6": network.ipv6,
        "internal": network.internal,
        "mtu": network.mtu,
        "labels": dict(network.labels),
        "options": options,
    }


def sandbox_value(sandbox: Sandbox, alive: bool) -> dict[str, Any]:
    """Show a sandbox as data."""
    return {
        "id": sandbox.id,
        "name": sandbox.name,
        "mode": mode_word(sandbox),
        "target": sandbox.target,
        "alive": alive,
        "adopted": sandbox.adopted,
    }


def link_value(link: Link, other: str) -> dict[str, str]:
    """Show a link between sandboxes as data."""
    return {"alias": link.alias, "sandbox": other}


def object_value(status: ObjectStatus) -> dict[str, Any]:
    """Show a kernel object as data."""
    return {
        "owner": status.owner,
        "kind": type(status.object).__name__,
        "object": status.text,
        "present": status.present,
    }
