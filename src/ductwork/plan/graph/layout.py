"""Where everything stands in the drawing: cards in bands, each band under rails of the networks in it.

A band is one row of cards. A network whose sandboxes fill several bands has a rail in each of them, so that a
line never runs through a card; only its first rail has the full plate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ductwork.model.port_mapping import PortMapping
from ductwork.model.sandbox import Mode
from ductwork.model.view import EndpointView, HostView, NetworkView, SandboxView, UplinkView
from ductwork.plan.graph.measure import fit, width
from ductwork.plan.graph.words import clean, complete, counted, network_words, port_label

MARGIN = 28.0
SPINE = 24.0  # from the frame to the line that leads out
PLATE_X, PLATE_W = 52.0, 214.0
GUTTER = PLATE_X + PLATE_W + 30
CARD_GAP = 18.0
CARD_MIN, CARD_USUAL, CARD_MAX = 156.0, 236.0, 336.0
CARD_PAD = 14.0
CHIP_H, CHIP_FONT = 20.0, 11.0
ROW_H = 15.0
PORT_H, PORT_FONT = 22.0, 11.0
PER_NETWORK = 60
CHIPS_MAX = 8
PORTS_MAX = 6
UPLINKS_MAX = 4
LINES_MAX = 3
HUES = 9


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text inside a plate or card; `style` is "mono", "dim" or "warn", `hue` a network."""

    text: str
    style: str
    hue: int | None = None


@dataclass(frozen=True, slots=True)
class Plate:
    """A network's label at the left, from which its rail goes to the right at `rail_y`."""

    network: NetworkView
    hue: int
    brief: bool
    lines: tuple[Line, ...]
    words: tuple[str, ...]
    height: float
    y: float = 0.0

    @property
    def rail_y(self) -> float:
        """Height of the rail."""
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Chip:
    """An interface on a card's upper edge, connected to the rail of its network."""

    network: str
    hue: int
    label: str
    title: str
    default: bool
    width: float
    x: float = 0.0
    rail_y: float = 0.0


@dataclass(frozen=True, slots=True)
class Port:
    """A published port's badge; `title` says all where the label had to be short."""

    label: str
    title: str


@dataclass(frozen=True, slots=True)
class Card:
    """A sandbox, or what stands for those left out."""

    title: str
    tag: str
    lines: tuple[Line, ...]
    chips: tuple[Chip, ...]
    ports: tuple[Port, ...]
    width: float
    height: float
    dead: bool = False
    unisolated: bool = False
    stack: bool = False
    x: float = 0.0
    y: float = 0.0
    lane_y: float = 0.0

    @property
    def lane_height(self) -> float:
        """Room for the published ports' badges below the band."""
        return len(self.ports) * (PORT_H + 5) + 5 if self.ports else 0.0


@dataclass(frozen=True, slots=True)
class Band:
    """Rails, cards below them, and a caption in place of plates when there are none."""

    plates: tuple[Plate, ...]
    cards: tuple[Card, ...]
    caption: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Pill:
    """An uplink on the frame's upper edge."""

    name: str
    lines: tuple[str, ...]
    x: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything placed; all in pixels from the top left."""

    width: float
    height: float
    frame_top: float
    frame_right: float
    rail_end: float
    title: str
    subtitle: str
    summary: str
    bands: tuple[Band, ...]
    pills: tuple[Pill, ...]
    port_width: float

    @property
    def bar_y(self) -> float:
        """Height of the line that joins the uplinks with the networks."""
        return self.frame_top + 78


def lay_out(given: HostView) -> Picture:
    """Place a whole host."""
    view = complete(given)
    hues = {network.name: i for i, network in enumerate(view.networks)}
    connected, apart = _cards(view, hues)
    usual = max((card.width for card in connected + apart if card.width <= CARD_USUAL), default=CARD_MIN)
    connected, apart = (
        [replace(c, width=max(c.width, usual)) for c in cards] for cards in (connected, apart)
    )
    area = _area(connected + apart, usual)
    port_width = max(
        (width(p.label, PORT_FONT, mono=True) + 22 for c in connected for p in c.ports), default=0.0
    )
    rail_end = MARGIN + GUTTER + area + 14
    frame_right = rail_end + 24 + (port_width / 2 + 20 if port_width else 0)
    total = frame_right + MARGIN + (port_width / 2 if port_width else 0)

    frame_top = MARGIN + (62 if view.uplinks else 0)
    y = frame_top + (112 if view.uplinks else 84)
    bands: list[Band] = []
    for band in _bands(view, connected, apart, area, hues):
        placed, y = _place(band, y)
        bands.append(placed)
    title = fit(clean(view.host_name) or "host", rail_end * 0.38, 20, bold=True)
    return Picture(
        width=math.ceil(total),
        height=math.ceil(y + 22 + MARGIN),
        frame_top=frame_top,
        frame_right=frame_right,
        rail_end=rail_end,
        title=title,
        subtitle=fit(clean(view.netns), rail_end * 0.38, 11, mono=True),
        summary=f"{counted(len(view.networks), 'network')}, {counted(len(view.sandboxes), 'sandbox')}",
        bands=tuple(bands),
        pills=_pills(view.uplinks, rail_end),
        port_width=port_width,
    )


def _area(cards: Sequence[Card], usual: float) -> float:
    """Choose the width for cards: a row for a few, a broad page for many."""
    number = len(cards)
    if 2 <= number <= 5:
        return sum(card.width + CARD_GAP for card in cards) - CARD_GAP
    across = min(8, max(5, math.ceil(math.sqrt(number * 1.3)))) if number > 5 else 2
    return max([across * (usual + CARD_GAP) - CARD_GAP, *(card.width for card in cards)])


# -- cards -------------------------------------------------------------------------------------------------


def _cards(view: HostView, hues: dict[str, int]) -> tuple[list[Card], list[Card]]:
    """Make the cards of connected sandboxes, neighbours by network, and of those apart from all networks."""

    def order(sandbox: SandboxView) -> list[int]:
        return sorted({hues[e.network] for e in sandbox.endpoints})

    connected: list[Card] = []
    ordered = sorted((s for s in view.sandboxes if s.endpoints), key=order)
    for first, group in groupby(ordered, key=lambda s: order(s)[0]):
        members = list(group)
        connected += [_card(s, hues) for s in members[:PER_NETWORK]]
        if len(members) > PER_NETWORK:
            connected.append(_more(len(members) - PER_NETWORK, view.networks[first].name, first))
    alone = sorted((s for s in view.sandboxes if not s.endpoints), key=lambda s: s.mode is not Mode.HOST)
    apart = [_card(s, hues) for s in alone[:PER_NETWORK]]
    if len(alone) > PER_NETWORK:
        apart.append(_more(len(alone) - PER_NETWORK, None, 0))
    return connected, apart


def _more(number: int, network: str | None, hue: int) -> Card:
    chips = () if network is None else (Chip(network, hue, f"×{number}", "", False, 44.0, CARD_MIN / 2),)
    lines = (Line("not drawn one by one", "dim"),)
    return Card(f"+{number} more", "", lines, chips, (), CARD_MIN, 66.0, stack=True)


def _card(sandbox: SandboxView, hues: dict[str, int]) -> Card:
    endpoints = sorted(sandbox.endpoints, key=lambda e: hues[e.network])
    chips = [_chip(e, hues[e.network]) for e in endpoints[:CHIPS_MAX]]
    lines = [line for e in endpoints[:CHIPS_MAX] for line in _endpoint_lines(e, hues[e.network])]
    if len(endpoints) > CHIPS_MAX:
        lines.append(Line(f"+{len(endpoints) - CHIPS_MAX} more attachments", "dim"))
    if not endpoints:
        unisolated = sandbox.mode is Mode.HOST
        lines.append(Line("shares the host's own network" if unisolated else "on no network", "dim"))
    ports = [_port(p) for e in endpoints for p in e.ports]
    if len(ports) > PORTS_MAX:
        rest = ports[PORTS_MAX - 1 :]
        ports[PORTS_MAX - 1 :] = [Port(f"+{len(rest)} more", ", ".join(p.title for p in rest))]
    tag = _tag(sandbox)
    name = clean(sandbox.name)
    wanted = max(
        [
            CARD_MIN,
            min(width(name, 14, bold=True), 190) + 2 * CARD_PAD + (width(tag, 10) + 24 if tag else 0),
            sum(chip.width + 10 for chip in chips) + 14,
            *(_line_width(line) + 2 * CARD_PAD + 12 for line in lines),
        ]
    )
    card_width = max(min(wanted, CARD_MAX), sum(chip.width + 10 for chip in chips) + 14)
    return Card(
        title=name,
        tag=tag,
        lines=tuple(lines),
        chips=tuple(chips),
        ports=tuple(ports),
        width=card_width,
        height=44 + ROW_H * len(lines) + 10,
        dead=not sandbox.alive,
        unisolated=sandbox.mode is Mode.HOST,
    )


def _port(port: PortMapping) -> Port:
    label = port_label(replace(port, allow_from=())) + (" limited" if port.allow_from else "")
    return Port(fit(label, 260, PORT_FONT, mono=True), port_label(port))


def _tag(sandbox: SandboxView) -> str:
    if not sandbox.alive:
        return "gone"
    return "" if sandbox.mode is Mode.OWN else sandbox.mode_word


def _line_width(line: Line) -> float:
    return width(line.text, 11.5 if line.style == "mono" else 10, mono=line.style != "plain")


def _chip(endpoint: EndpointView, hue: int) -> Chip:
    label = clean(endpoint.container_ifname) or "·"
    title = clean(f"{endpoint.host_ifname or endpoint.network} → {endpoint.container_ifname}")
    wide = width(label, CHIP_FONT, mono=True) + 18 + (11 if endpoint.default_gateway else 0)
    return Chip(endpoint.network, hue, label, title, endpoint.default_gateway, max(wide, 34.0))


def _endpoint_lines(endpoint: EndpointView, hue: int) -> list[Line]:
    addresses = [str(a) for a in endpoint.addresses[:LINES_MAX]] or ["no address"]
    lines = [Line(text, "mono", hue if i == 0 else None) for i, text in enumerate(addresses)]
    if len(endpoint.addresses) > LINES_MAX:
        lines.append(Line(f"+{len(endpoint.addresses) - LINES_MAX} more addresses", "dim"))
    port = " · ".join(part for part in (clean(endpoint.host_ifname), clean(endpoint.mac)) if part)
    if port:
        lines.append(Line(port, "dim"))
    if endpoint.aliases:
        lines.append(Line(fit("as " + ", ".join(map(clean, endpoint.aliases)), 200, 10, mono=True), "dim"))
    return lines


# -- networks and the outside ------------------------------------------------------------------------------


def _plate(network: NetworkView, hue: int, *, brief: bool) -> Plate:
    if brief:
        return Plate(network, hue, True, (), (), 34.0)
    lines: list[Line] = []
    for subnet in network.subnets[:LINES_MAX]:
        gateway = next((g for g in network.gateways if g in subnet), None)
        both = f"{subnet}  gw {gateway}"
        if gateway is None or width(both, 11, mono=True) <= PLATE_W - 28:
            lines.append(Line(str(subnet) if gateway is None else both, "mono"))
        else:
            lines += [Line(str(subnet), "mono"), Line(f"gw {gateway}", "dim")]
    if len(network.subnets) > LINES_MAX:
        lines.append(Line(f"+{len(network.subnets) - LINES_MAX} more subnets", "dim"))
    if network.bridge:
        lines.append(Line(f"on {clean(network.bridge)}", "dim"))
    if network.note:
        lines.append(Line(clean(network.note), "warn"))
    words = tuple(network_words(network))
    return Plate(network, hue, False, tuple(lines), words, 34 + ROW_H * len(lines) + 26)


def _pills(uplinks: Sequence[UplinkView], right: float) -> tuple[Pill, ...]:
    shown: list[tuple[str, tuple[str, ...]]] = []
    for uplink in uplinks[:UPLINKS_MAX]:
        rest = len(uplink.addresses) - 2
        more = (f"+{rest} more",) if rest > 0 else ()
        shown.append((clean(uplink.name), tuple(str(a) for a in uplink.addresses[:2]) + more))
    if len(uplinks) > UPLINKS_MAX:
        shown.append((f"+{len(uplinks) - UPLINKS_MAX} more", ()))
    pills: list[Pill] = []
    x = right
    for name, lines in reversed(shown):
        wide = max(width(name, 12, bold=True), *(width(t, 11, mono=True) for t in (*lines, ""))) + 32
        x -= wide
        pills.append(Pill(name, lines, x, wide, 30 + 14 * len(lines)))
        x -= 14
    return tuple(reversed(pills))


# -- bands -------------------------------------------------------------------------------------------------


def _rows(cards: Sequence[Card], area: float) -> list[list[Card]]:
    rows: list[list[Card]] = []
    used = math.inf
    for card in cards:
        if used + CARD_GAP + card.width > area + 0.5:
            rows.append([])
            used = -CARD_GAP
        rows[-1].append(card)
        used += CARD_GAP + card.width
    return rows


def _bands(
    view: HostView, connected: Sequence[Card], apart: Sequence[Card], area: float, hues: dict[str, int]
) -> list[Band]:
    bands: list[Band] = []
    seen: set[str] = set()
    for row in _rows(connected, area):
        names = sorted({chip.network for card in row for chip in card.chips}, key=hues.__getitem__)
        plates = [_plate(view.networks[hues[n]], hues[n], brief=n in seen) for n in names]
        seen.update(names)
        bands.append(Band(tuple(plates), tuple(row)))
    empty = [_plate(n, hues[n.name], brief=False) for n in view.networks if n.name not in seen]
    if empty:
        bands.append(Band(tuple(empty), ()))
    captions = {True: ("unisolated", "the host's own stack"), False: ("not connected", "on no network")}
    for unisolated, group in groupby(apart, key=lambda card: card.unisolated):
        rows = _rows(list(group), area)
        bands += [
            Band((), tuple(row), captions[unisolated] if i == 0 else None) for i, row in enumerate(rows)
        ]
    return bands


def _place(band: Band, y: float) -> tuple[Band, float]:
    """Give a band its heights, from y downwards, and say where it ends."""
    plates: list[Plate] = []
    for plate in band.plates:
        plates.append(replace(plate, y=y))
        y += plate.height + 14
    rails = {plate.network.name: plate.rail_y for plate in plates}
    if plates and band.cards:
        y += 22
    cards: list[Card] = []
    x = MARGIN + GUTTER
    for card in band.cards:
        chips = tuple(
            replace(chip, x=x + card.width * (i + 0.5) / len(card.chips), rail_y=rails[chip.network])
            for i, chip in enumerate(card.chips)
        )
        cards.append(replace(card, x=x, y=y, chips=chips))
        x += card.width + CARD_GAP
    bottom = y + max((card.height for card in cards), default=0.0)
    lane = bottom + 12
    for i in reversed(range(len(cards))):
        cards[i] = replace(cards[i], lane_y=lane)
        lane += cards[i].lane_height
    end = lane if any(card.ports for card in cards) else bottom
    return replace(band, plates=tuple(plates), cards=tuple(cards)), end + (34 if cards else 22)
