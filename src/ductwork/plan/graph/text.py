"""The graph for a terminal: networks with their ports, then sandboxes with their attachments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ductwork.model.sandbox import Mode
from ductwork.model.view import EndpointView, HostView, NetworkView, SandboxView
from ductwork.plan.graph.measure import columns, fit_columns, pad
from ductwork.plan.graph.words import clean, complete, counted, network_words, port_label

NARROWEST = 40
_HUES = (34, 35, 32, 33, 36, 31, 94, 95, 92)
_BOLD, _DIM, _WARN = 1, 2, 31


@dataclass(frozen=True, slots=True)
class _Pen:
    """Writes with colours or without, and knows the colour of each network."""

    width: int
    color: bool
    hues: dict[str, int]

    def paint(self, text: str, *codes: int) -> str:
        if not self.color or not text:
            return text
        return f"\x1b[{';'.join(map(str, codes))}m{text}\x1b[0m"

    def network(self, name: str, text: str, *codes: int) -> str:
        return self.paint(text, _HUES[self.hues[name] % len(_HUES)], *codes)

    def rule(self, title: str, right: str) -> str:
        """Write a section's title in a line across the page."""
        left, end = f"── {title} ", f" {right} ──"
        return self.paint(left + "─" * max(self.width - columns(left) - columns(end), 1) + end, _DIM)


def render_text(view: HostView, width: int, color: bool) -> str:
    """Write a host as text no wider than `width` columns (40 at least)."""
    whole = complete(view)
    pen = _Pen(max(width, NARROWEST), color, {n.name: i for i, n in enumerate(whole.networks)})
    return "\n".join(line.rstrip() for line in _page(whole, pen)) + "\n"


def _page(view: HostView, pen: _Pen) -> Iterator[str]:
    netns = fit_columns(clean(view.netns), pen.width // 2)
    name = fit_columns(clean(view.host_name) or "host", pen.width - columns(netns) - 2)
    yield f"{pen.paint(name, _BOLD)}  {pen.paint(netns, _DIM)}"
    for uplink in view.uplinks:
        addresses = [str(a) for a in uplink.addresses] or ["no address"]
        head = pad(clean(uplink.name), max(columns(clean(u.name)) for u in view.uplinks))
        indent = columns(head) + 4
        for i, line in enumerate(_wrap(addresses, pen.width - indent)):
            yield f"↑ {head}  {line}" if i == 0 else " " * indent + line
    yield ""
    yield pen.rule("Networks", counted(len(view.networks), "network"))
    for network in view.networks:
        yield ""
        yield from _network(network, pen)
    yield ""
    yield pen.rule("Sandboxes", counted(len(view.sandboxes), "sandbox"))
    for sandbox in view.sandboxes:
        yield ""
        yield from _sandbox(sandbox, pen)
    if any(e.default_gateway for sandbox in view.sandboxes for e in sandbox.endpoints):
        yield ""
        yield pen.paint("▲ default route", _DIM)


# -- networks ----------------------------------------------------------------------------------------------


def _network(network: NetworkView, pen: _Pen) -> Iterator[str]:
    words = " · ".join(filter(None, [clean(network.driver), *network_words(network)]))
    name = fit_columns(clean(network.name), pen.width - 4)
    head = pen.network(network.name, "● ") + pen.network(network.name, name, _BOLD)
    if columns(name) + columns(words) + 4 <= pen.width:
        yield f"{head}  {pen.paint(words, _DIM)}"
    else:
        yield head
        yield f"{pen.network(network.name, '│')} {pen.paint(fit_columns(words, pen.width - 2), _DIM)}"
    bar = pen.network(network.name, "│")
    for line in _facts(network, pen.width - 2):
        yield f"{bar} {line}"
    if network.note:
        yield f"{bar} {pen.paint(fit_columns('! ' + clean(network.note), pen.width - 2), _WARN)}"
    if not network.endpoints:
        yield f"{pen.network(network.name, '└')} {pen.paint('no endpoints', _DIM)}"
        return
    yield bar
    rows = [
        (e, (clean(e.host_ifname), clean(e.sandbox), clean(e.container_ifname))) for e in network.endpoints
    ]
    yield from _tree(rows, pen, by_network=True)


def _facts(network: NetworkView, room: int) -> Iterator[str]:
    """Say bridge, subnets and gateways, one address range a line."""
    lead = f"{clean(network.bridge)}  " if network.bridge else ""
    free = list(network.gateways)
    for subnet in network.subnets:
        gateway = next((g for g in free if g in subnet), None)
        if gateway is not None:
            free.remove(gateway)
        yield from _wrap([f"{lead}{subnet}", *([f"gateway {gateway}"] if gateway else [])], room)
        lead = " " * columns(lead)
    yield from (f"{lead}gateway {g}" for g in free)
    if not network.subnets and not free and lead:
        yield lead


# -- sandboxes ---------------------------------------------------------------------------------------------


def _sandbox(sandbox: SandboxView, pen: _Pen) -> Iterator[str]:
    name = fit_columns(clean(sandbox.name), pen.width)
    words = [] if sandbox.mode is Mode.OWN else [sandbox.mode_word]
    if not sandbox.alive:
        words.append("gone")
    if not sandbox.endpoints and sandbox.mode is not Mode.HOST:
        words.append("not connected")
    if sandbox.target and sandbox.target != sandbox.name:
        words.append(clean(sandbox.target))
    tail = fit_columns(" · ".join(words), max(pen.width - columns(name) - 2, 0))
    code = _WARN if sandbox.mode is Mode.HOST or not sandbox.alive else _DIM
    yield f"{pen.paint(name, _BOLD)}  {pen.paint(tail, code)}"
    rows = [
        (e, (clean(e.container_ifname), clean(e.network), clean(e.host_ifname))) for e in sandbox.endpoints
    ]
    yield from _tree(rows, pen, by_network=False)


# -- rows --------------------------------------------------------------------------------------------------

_Row = tuple[EndpointView, tuple[str, str, str]]
_BRANCH, _DASH, _GAP = "├─ ", " ── ", "  "
_MOST = (15, 24, 15)  # columns for an interface, a name, an interface
_FEWEST = 18  # columns that addresses should have left


def _tree(rows: Sequence[_Row], pen: _Pen, *, by_network: bool) -> Iterator[str]:
    """Write endpoints as branches: three aligned names, then one below another what belongs to it."""
    sizes = [min(max(columns(cells[i]) for _, cells in rows), _MOST[i]) if rows else 0 for i in range(3)]
    fixed = columns(_BRANCH + _DASH + _GAP + _GAP)
    sizes[1] = max(4, sizes[1] - max(0, fixed + sum(sizes) + _FEWEST - pen.width))
    indent = fixed + sum(sizes)
    for i, (endpoint, cells) in enumerate(rows):
        last = i == len(rows) - 1
        hue = endpoint.network
        details = list(_details(endpoint, by_network=by_network))
        beside = all(columns(str(a)) + 2 <= pen.width - indent for a in endpoint.addresses)
        line = pen.network(hue, "└─ " if last else _BRANCH) + _names(endpoint, cells, sizes, pen)
        if beside:
            text, codes = details.pop(0)
            line += _GAP + pen.paint(text, *codes)
        yield line
        stem = pen.network(hue, "│") if by_network and not last else " " if last else "│"
        left = indent if beside else 6
        for text, codes in details:
            for part in _wrap(text.split(" "), pen.width - left, " "):
                yield stem + " " * (left - 1) + pen.paint(part, *codes)


def _names(endpoint: EndpointView, cells: tuple[str, str, str], sizes: Sequence[int], pen: _Pen) -> str:
    first, name, last = (pad(cell, size) for cell, size in zip(cells, sizes, strict=True))
    is_network = cells[1] == clean(endpoint.network)
    shown = pen.network(endpoint.network, name) if is_network else pen.paint(name, _BOLD)
    dash = _DASH if cells[0] else _DASH.replace("─", " ")
    return f"{first}{pen.paint(dash, _DIM)}{shown}{_GAP}{last}"


def _details(endpoint: EndpointView, *, by_network: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Say an endpoint's addresses, names and ports, one a line, and in which colour."""
    addresses = [str(a) for a in endpoint.addresses] or ["no address"]
    mark = " ▲" if endpoint.default_gateway else ""
    for i, address in enumerate(addresses):
        yield address + (mark if i == 0 else ""), ()
    for port in endpoint.ports:
        yield port_label(port), (36,)
    if endpoint.aliases and not by_network:
        yield "as " + ", ".join(map(clean, endpoint.aliases)), (_DIM,)
    if endpoint.mac and not by_network:
        yield clean(endpoint.mac), (_DIM,)


def _wrap(parts: Iterable[str], room: int, between: str = "  ") -> list[str]:
    """Put parts side by side, in as many lines as they need; one that is too long is cut."""
    lines: list[str] = []
    for part in parts:
        short = fit_columns(part, room)
        if lines and columns(lines[-1]) + len(between) + columns(short) <= room:
            lines[-1] += between + short
        else:
            lines.append(short)
    return lines
