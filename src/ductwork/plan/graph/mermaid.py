"""The graph as a Mermaid flowchart, for READMEs and wikis that draw those."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ductwork.model.sandbox import Mode
from ductwork.model.view import HostView, NetworkView, SandboxView
from ductwork.plan.graph.words import clean, complete, network_words, port_label

# Everything that a label's quotes, HTML or Markdown could be broken with is written as an entity.
_SPECIAL = re.compile(r"[^A-Za-z0-9 .,:/()\[\]@+=→·×-]|^(?=\d+[.)] )")
_PLAIN = frozenset("→·×")
_CLASSES = (
    "classDef network fill:#eff5ff,stroke:#2563eb,color:#0f172a",
    "classDef internal fill:#fff4ec,stroke:#e0590b,color:#0f172a",
    "classDef sandbox fill:#f8fafc,stroke:#94a3b8,color:#0f172a",
    "classDef gone fill:#f1f5f9,stroke:#94a3b8,color:#64748b,stroke-dasharray:4 4",
    "classDef unisolated fill:#fee2e2,stroke:#ef4444,color:#0f172a,stroke-dasharray:4 4",
    "classDef uplink fill:#e2e8f0,stroke:#64748b,color:#0f172a",
)


def render_mermaid(view: HostView) -> str:
    """Write a host as a Mermaid flowchart."""
    return "\n".join(_lines(complete(view))) + "\n"


def _lines(view: HostView) -> Iterator[str]:
    networks = {n.name: f"n{i}_{_slug(n.name)}" for i, n in enumerate(view.networks)}
    sandboxes = {s.name: f"s{i}_{_slug(s.name)}" for i, s in enumerate(view.sandboxes)}
    uplinks = [f"u{i}_{_slug(u.name)}" for i, u in enumerate(view.uplinks)]
    yield "flowchart TB"
    for key, uplink in zip(uplinks, view.uplinks, strict=True):
        yield f"  {key}([{_label(uplink.name, *map(str, uplink.addresses))}]):::uplink"
    yield f"  subgraph host[{_label(view.host_name or 'host')}]"
    for network in view.networks:
        yield f"    {networks[network.name]}{_network(network)}"
    for sandbox in view.sandboxes:
        yield f"    {sandboxes[sandbox.name]}{_sandbox(sandbox)}"
    yield "  end"
    routed = [networks[n.name] for n in view.networks if n.routed_out]
    yield from (f"  {key} --- {network}" for key in uplinks for network in routed)
    published = False
    for network in view.networks:
        for e in network.endpoints:
            ports = [p for p in (e.host_ifname, e.container_ifname) if p]
            label = _label(" → ".join(ports), *map(str, e.addresses))
            yield f"  {networks[e.network]} ---|{label}| {sandboxes[e.sandbox]}"
            for port in e.ports:
                published = True
                yield f"  outside -->|{_label(port_label(port))}| {sandboxes[e.sandbox]}"
    if published:
        yield "  outside((outside)):::uplink"
    yield from (f"  {line}" for line in _CLASSES)


def _network(network: NetworkView) -> str:
    facts = " · ".join([network.driver, *network_words(network)]).removeprefix(" · ")
    lines = [network.name, *map(str, network.subnets), *(f"gw {g}" for g in network.gateways)]
    if network.bridge:
        lines.append(f"on {network.bridge}")
    if network.note:
        lines.append(network.note)
    return f"[{_label(*lines, facts)}]:::{'internal' if network.internal else 'network'}"


def _sandbox(sandbox: SandboxView) -> str:
    if sandbox.mode is Mode.HOST:
        return f"({_label(sandbox.name, sandbox.mode_word)}):::unisolated"
    if not sandbox.alive:
        return f"({_label(sandbox.name, 'gone')}):::gone"
    words = [] if sandbox.mode is Mode.OWN else [sandbox.mode_word]
    return f"({_label(sandbox.name, *words)}):::sandbox"


def _slug(name: str) -> str:
    """Make the readable part of an id: Mermaid takes letters, digits and underscores everywhere."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:24]


def _label(*lines: str) -> str:
    """Quote a label of several lines; an empty one would be an error."""
    return '"' + ("<br/>".join(_escape(clean(line)) for line in lines if line) or " ") + '"'


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda m: _entity(m[0]), text)


def _entity(char: str) -> str:
    # "1. word" would become a Markdown list: an invisible joiner in front keeps it text.
    return "#8288;" if not char else char if char in _PLAIN or char.isalpha() else f"#{ord(char)};"
