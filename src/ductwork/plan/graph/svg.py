"""The drawing of a host as one self-contained SVG: no script, no font, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from ductwork.model.view import HostView
from ductwork.plan.graph.layout import (
    CARD_PAD,
    CHIP_FONT,
    CHIP_H,
    GUTTER,
    MARGIN,
    PLATE_W,
    PLATE_X,
    PORT_FONT,
    PORT_H,
    ROW_H,
    SPINE,
    Band,
    Card,
    Chip,
    Picture,
    Pill,
    Plate,
    lay_out,
)
from ductwork.plan.graph.measure import fit, width
from ductwork.plan.graph.svg_style import hue_class, style_sheet
from ductwork.plan.graph.words import clean, counted

_LOCK_BODY = "M1.2 5.2h7.6v5.6h-7.6z"
_LOCK_BOW = "M2.8 5V3.4a2.2 2.2 0 0 1 4.4 0V5"
_CLOUD = "M6 15a4.6 4.6 0 0 1 .6-9.2a6 6 0 0 1 11.4 1.4a4 4 0 0 1-.4 7.8z"
_UP = "M0 6L3.4 0L6.8 6z"


def render_svg(view: HostView) -> str:
    """Draw a host: uplinks on top, networks as rails, sandboxes below them, published ports at the edge."""
    picture = lay_out(view)
    hues = 1 + max((plate.hue for band in picture.bands for plate in band.plates), default=-1)
    size = f"{picture.width:.0f}", f"{picture.height:.0f}"
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 {size[0]} {size[1]}" role="img">',
        f"<title>{escape(picture.title)}: {escape(picture.summary)}</title>",
        f"<style>\n{style_sheet(hues)}</style>",
        _rect((0, 0, picture.width, picture.height), "page"),
        *_frame(picture),
        *_ways_out(picture),
        *(part for band in picture.bands for part in _band(band, picture)),
        *_legend(picture),
        "</svg>",
    ]
    return "\n".join(body) + "\n"


Box = tuple[float, float, float, float]


# -- primitives --------------------------------------------------------------------------------------------


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _rect(box: Box, css: str, r: float = 0) -> str:
    x, y, w, h = box
    corner = f' rx="{_n(r)}"' if r else ""
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}"{corner} class="{css}"/>'


def _path(d: str, css: str, at: tuple[float, float] | None = None) -> str:
    moved = f' transform="translate({_n(at[0])} {_n(at[1])})"' if at else ""
    return f'<path d="{d}" class="{css}"{moved}/>'


def _dot(x: float, y: float, r: float, css: str) -> str:
    return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}" class="{css}"/>'


def _text(at: tuple[float, float], text: str, css: str, size: float = 11, anchor: str = "") -> str:
    x, y = map(_n, at)
    side = f' text-anchor="{anchor}"' if anchor else ""
    look = f'class="{css}" style="font-size:{_n(size)}px"{side}'
    return f'<text x="{x}" y="{y}" {look}>{escape(text)}</text>'


def _tag(right: float, y: float, text: str, fill: str, ink: str) -> list[str]:
    """Write a word in a small rounded field that ends at `right`."""
    w = width(text, 10) + 14
    return [_rect((right - w, y, w, 16), fill, 8), _text((right - w / 2, y + 11.6), text, ink, 10, "middle")]


# -- the host and the outside ------------------------------------------------------------------------------


def _frame(p: Picture) -> Iterator[str]:
    w, h = p.frame_right - MARGIN, p.height - MARGIN - p.frame_top
    yield _rect((MARGIN, p.frame_top, w, h), "frame edge", 18)
    yield _text((MARGIN + 24, p.frame_top + 38), p.title, "ink b", 20)
    after = MARGIN + 24 + width(p.title, 20, bold=True) + 8
    if p.subtitle:
        yield _text((MARGIN + 24, p.frame_top + 57), p.subtitle, "mono dim", 11)
    else:
        yield _text((MARGIN + 24, p.frame_top + 57), p.summary, "dim", 11)
    if p.subtitle:
        yield _text((after, p.frame_top + 38), p.summary, "dim", 11)


def _ways_out(p: Picture) -> Iterator[str]:
    """Draw the uplinks, and the line from them to every network that is routed out."""
    if not p.pills:
        return
    sky = MARGIN + 4
    left, right = p.pills[0].x + 24, p.pills[-1].x + p.pills[-1].width
    yield _path(_CLOUD, "wirefill", (left - 52, sky - 11))
    yield _text((left - 56, sky + 4), "outside", "dim", 11, "end")
    yield _path(f"M{_n(left - 22)} {_n(sky)}H{_n(right)}", "line wire dots")
    spine, bar = MARGIN + SPINE, p.bar_y
    routed = [q for b in p.bands for q in b.plates if q.network.routed_out and not q.brief]
    centres = [pill.x + pill.width / 2 for pill in p.pills]
    for pill, x in zip(p.pills, centres, strict=True):
        yield _path(f"M{_n(x)} {_n(sky)}V{_n(p.frame_top - pill.height / 2)}", "line wire")
        if routed and x != centres[-1]:
            yield _path(f"M{_n(x)} {_n(p.frame_top + pill.height / 2)}V{_n(bar)}", "line wire")
    if routed:
        end = routed[-1].rail_y
        last, below = centres[-1], p.frame_top + p.pills[-1].height / 2
        yield _path(
            f"M{_n(last)} {_n(below)}V{_n(bar - 10)}Q{_n(last)} {_n(bar)} {_n(last - 10)} {_n(bar)}"
            f"H{_n(spine + 10)}Q{_n(spine)} {_n(bar)} {_n(spine)} {_n(bar + 10)}"
            f"V{_n(end - 10)}Q{_n(spine)} {_n(end)} {_n(spine + 10)} {_n(end)}H{_n(MARGIN + PLATE_X)}",
            "line wire",
        )
        for plate in routed[:-1]:
            yield _path(f"M{_n(spine)} {_n(plate.rail_y)}H{_n(MARGIN + PLATE_X)}", "line wire")
            yield _dot(spine, plate.rail_y, 3, "wirefill")
        for x in centres[:-1]:
            yield _dot(x, bar, 3, "wirefill")
    for pill in p.pills:
        yield from _pill(pill, p.frame_top)


def _pill(pill: Pill, edge: float) -> Iterator[str]:
    top, middle = edge - pill.height / 2, pill.x + pill.width / 2
    yield _rect((pill.x, top, pill.width, pill.height), "card edge", 11)
    yield _text((middle, top + 19), pill.name, "ink b", 12, "middle")
    for i, line in enumerate(pill.lines):
        yield _text((middle, top + 35 + 14 * i), line, "mono soft", 11, "middle")


# -- bands -------------------------------------------------------------------------------------------------


def _band(band: Band, p: Picture) -> Iterator[str]:
    """Draw rails first and lines over them: a halo lets a line cross the rails that it does not join."""
    for plate in band.plates:
        rail = f"M{_n(MARGIN + PLATE_X + PLATE_W)} {_n(plate.rail_y)}H{_n(p.rail_end)}"
        yield _path(rail, f"line rail s{hue_class(plate.hue)}")
    for card in band.cards:
        for chip in card.chips:
            yield _path(f"M{_n(chip.x)} {_n(chip.rail_y + 5)}V{_n(card.y)}", "line halo")
    for card in band.cards:
        for chip in card.chips:
            hue = hue_class(chip.hue)
            yield _path(f"M{_n(chip.x)} {_n(chip.rail_y)}V{_n(card.y)}", f"line drop s{hue}")
            yield _dot(chip.x, chip.rail_y, 6.5, f"frame s{hue}")
            yield _dot(chip.x, chip.rail_y, 3, f"f{hue}")
    for plate in band.plates:
        yield from _plate(plate, empty=not band.cards)
    if band.caption and band.cards:
        y = band.cards[0].y + 22
        yield _text((MARGIN + PLATE_X, y), band.caption[0], "ink b", 14)
        yield _text((MARGIN + PLATE_X, y + 17), band.caption[1], "dim", 11)
    for card in band.cards:
        yield from _card(card)
        yield from _ports(card, p)


def _plate(plate: Plate, *, empty: bool) -> Iterator[str]:
    hue = hue_class(plate.hue)
    x, y, n = MARGIN + PLATE_X, plate.y, plate.network
    yield _rect((x, y, PLATE_W, plate.height), f"frame s{hue}", 10)
    yield _rect((x, y, PLATE_W, plate.height), f"t{hue} s{hue}", 10)
    left = x + 14
    if n.internal:
        yield _path(_LOCK_BODY, f"f{hue}", (left, y + 11))
        yield _path(_LOCK_BOW, f"line s{hue}", (left, y + 11))
        left += 16
    driver = "continued" if plate.brief else fit(clean(n.driver), 70, 10)
    room = x + PLATE_W - 14 - left - width(driver, 10) - 8
    name = clean(n.name)
    yield "<g>"
    yield f"<title>{escape(name)}</title>"
    yield _text((left, y + 22), fit(name, room, 14, bold=True), "ink b", 14)
    yield _text((x + PLATE_W - 14, y + 21.5), driver, "dim", 10, "end")
    yield "</g>"
    line_y = y + 26
    for line in plate.lines:
        line_y += ROW_H
        css, size = {"mono": ("mono soft", 11.0), "warn": ("warn", 10.5)}.get(line.style, ("mono dim", 10.0))
        shown = fit(line.text, PLATE_W - 28, size, mono=line.style != "warn")
        yield _text((x + 14, line_y), shown, css, size)
    at = x + 14
    for word in plate.words:
        w = width(word, 9.5) + 14
        yield _rect((at, line_y + 9, w, 16), f"frame s{hue}", 8)
        yield _text((at + w / 2, line_y + 20.4), word, f"f{hue} b", 9.5, "middle")
        at += w + 5
    if empty:
        number = len(n.endpoints)
        remark = f"{counted(number, 'endpoint')} not drawn" if number else "no endpoints"
        yield _text((MARGIN + GUTTER, plate.rail_y - 9), remark, "dim", 10.5)


def _card(card: Card) -> Iterator[str]:
    edge = "warnedge dash" if card.unisolated else "edge"
    yield '<g class="dead">' if card.dead else "<g>"
    yield f"<title>{escape(card.title)}</title>"
    if card.stack:
        for shift in (8, 4):
            yield _rect((card.x + shift, card.y + shift, card.width, card.height), "card edge", 11)
    yield _rect((card.x, card.y, card.width, card.height), f"card {edge}{' dash' if card.dead else ''}", 11)
    right = card.x + card.width - CARD_PAD
    room = card.width - 2 * CARD_PAD
    if card.tag:
        warn = card.unisolated or card.dead
        yield from _tag(
            right + 4, card.y + 19, card.tag, *(("warnfill", "warnink") if warn else ("tagfill", "soft"))
        )
        room -= width(card.tag, 10) + 20
    yield _text((card.x + CARD_PAD, card.y + 32), fit(card.title, room, 14, bold=True), "ink b", 14)
    y = card.y + 37
    for line in card.lines:
        y += ROW_H
        size = 11.5 if line.style == "mono" else 10.0
        if line.hue is not None:
            yield _dot(card.x + CARD_PAD + 3, y - 4, 3, f"f{hue_class(line.hue)}")
        shown = fit(line.text, card.width - 2 * CARD_PAD - 10, size, mono=True)
        css = "mono ink" if line.style == "mono" else "mono dim"
        yield _text((card.x + CARD_PAD + 12, y), shown, css, size)
    yield "</g>"
    for chip in card.chips:
        yield from _chip(chip, card.y)


def _chip(chip: Chip, edge: float) -> Iterator[str]:
    left, top = chip.x - chip.width / 2, edge - CHIP_H / 2
    yield "<g>"
    yield f"<title>{escape(chip.title)}</title>"
    yield _rect((left, top, chip.width, CHIP_H), f"f{hue_class(chip.hue)}", CHIP_H / 2)
    shift = 5.5 if chip.default else 0.0
    if chip.default:
        yield _path(_UP, "onhue", (left + 9, top + 6.6))
    yield _text((chip.x + shift, top + 14), chip.label, "mono onhue b", CHIP_FONT, "middle")
    yield "</g>"


def _ports(card: Card, p: Picture) -> Iterator[str]:
    """Lead published ports from the frame's edge to the card, right-hand cards nearest: no lines cross."""
    if not card.ports:
        return
    x, step = card.x + card.width / 2, PORT_H + 5
    badge = p.frame_right - p.port_width / 2
    middle = card.lane_y + step * (len(card.ports) - 1) / 2 + PORT_H / 2
    bottom = card.y + card.height
    end = badge - 12 if len(card.ports) > 1 else badge
    corner = f"Q{_n(x)} {_n(middle)} {_n(x + 8)} {_n(middle)}"
    yield _path(f"M{_n(x)} {_n(bottom + 6)}V{_n(middle - 8)}{corner}H{_n(end)}", "line wire")
    yield _path(_UP, "wirefill", (x - 3.4, bottom + 1.5))
    first, last = card.lane_y + PORT_H / 2, card.lane_y + PORT_H / 2 + step * (len(card.ports) - 1)
    if first != last:
        yield _path(f"M{_n(badge)} {_n(first)}H{_n(badge - 12)}V{_n(last)}H{_n(badge)}", "line wire")
    for i, port in enumerate(card.ports):
        y = card.lane_y + step * i
        if 0 < i < len(card.ports) - 1:
            yield _path(f"M{_n(badge)} {_n(y + PORT_H / 2)}H{_n(badge - 12)}", "line wire")
        yield f"<g><title>{escape(port.title)}</title>"
        yield _rect((badge, y, p.port_width, PORT_H), "port", PORT_H / 2)
        yield _text((p.frame_right, y + 15), port.label, "mono portink", PORT_FONT, "middle")
        yield "</g>"


def _legend(p: Picture) -> Iterator[str]:
    y, x = p.height - MARGIN - 16, MARGIN + 24.0
    chips = [chip for band in p.bands for card in band.cards for chip in card.chips]
    if any(chip.default for chip in chips):
        yield _path(_UP, "dim", (x, y - 6.5))
        yield _text((x + 12, y), "default route", "dim", 10)
        x += 12 + width("default route", 10) + 22
    if any(plate.network.internal for band in p.bands for plate in band.plates):
        yield _path(_LOCK_BODY, "dim", (x, y - 10))
        yield _path(_LOCK_BOW, "line wire", (x, y - 10))
        yield _text((x + 15, y), "internal: no way out", "dim", 10)
        x += 15 + width("internal: no way out", 10) + 22
    if p.port_width:
        yield _rect((x, y - 9, 20, 11), "port", 5.5)
        yield _text((x + 26, y), "published port", "dim", 10)
