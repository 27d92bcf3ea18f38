"""What is written beside the things drawn, the same in every format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ductwork.model.port_mapping import PortMapping
from ductwork.model.sandbox import Mode
from ductwork.model.view import EndpointView, HostView, NetworkView, SandboxView

# Not allowed in XML, moving a terminal's cursor, or turning the direction of the text around them.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufffe\uffff]"
)
USUAL_MTU = 1500


def clean(text: str) -> str:
    """Replace what must not reach a terminal or a document."""
    return _UNPRINTABLE.sub("\ufffd", text)


def port_label(port: PortMapping) -> str:
    """Write a published port as it is seen from outside: `:8080 → 80/tcp`."""
    ip = port.host_ip
    host = "" if ip is None else f"[{ip}]" if ip.version == 6 else str(ip)
    limited = f" from {', '.join(map(str, port.allow_from))}" if port.allow_from else ""
    return f"{host}:{port.host_port} → {port.container_port}/{port.protocol}{limited}"


def network_words(network: NetworkView) -> list[str]:
    """Say in single words how a network is kept apart and gets out."""
    words = (
        ["internal"]
        if network.internal
        else ["NAT"]
        if network.nat
        else ["routed"]
        if network.gateways
        else []
    )
    words.append(network.isolation.value)
    if network.mtu != USUAL_MTU:
        words.append(f"mtu {network.mtu}")
    return words


def counted(number: int, noun: str) -> str:
    """Write a number with its noun."""
    return (
        f"{number} {noun}"
        if number == 1
        else f"{number} {noun}es"
        if noun.endswith("x")
        else f"{number} {noun}s"
    )


def complete(view: HostView) -> HostView:
    """Let every endpoint stand on both of its sides, whichever side named it, in the order given."""
    endpoints = list(
        dict.fromkeys(
            endpoint
            for side in (view.networks, view.sandboxes)
            for owner in side
            for endpoint in owner.endpoints
        )
    )
    networks = {n.name: n for n in view.networks}
    sandboxes = {s.name: s for s in view.sandboxes}
    for endpoint in endpoints:
        networks.setdefault(endpoint.network, NetworkView(endpoint.network, ""))
        sandboxes.setdefault(endpoint.sandbox, SandboxView(endpoint.sandbox, Mode.FOREIGN))
    return replace(
        view,
        networks=tuple(replace(n, endpoints=_those(endpoints, network=n.name)) for n in networks.values()),
        sandboxes=tuple(replace(s, endpoints=_those(endpoints, sandbox=s.name)) for s in sandboxes.values()),
    )


def _those(
    endpoints: Iterable[EndpointView], network: str | None = None, sandbox: str | None = None
) -> tuple[EndpointView, ...]:
    return tuple(e for e in endpoints if network in {None, e.network} and sandbox in {None, e.sandbox})
