"""What `duct graph` draws, in every format."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from ipaddress import ip_interface, ip_network
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.graph.views import large, small

from ductwork.model.sandbox import Mode
from ductwork.model.view import EndpointView, HostView, NetworkView, SandboxView, UplinkView
from ductwork.plan.graph import graph_json, render_mermaid, render_svg, render_text
from ductwork.plan.graph.measure import columns

GOLDEN = Path(__file__).parents[2] / "golden" / "graph"
FORMATS: dict[str, Callable[[HostView], str]] = {
    "txt": lambda view: render_text(view, 80, False),
    "svg": render_svg,
    "mmd": render_mermaid,
    "json": lambda view: json.dumps(graph_json(view), indent=2, ensure_ascii=False) + "\n",
}
VIEWS = {"small": small(), "large": large(), "empty": HostView("h1")}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", VIEWS)
def test_golden(name: str, kind: str) -> None:
    got = FORMATS[kind](VIEWS[name])
    file = GOLDEN / f"{name}.{kind}"
    if os.environ.get("DUCTWORK_GOLDEN") == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(got, encoding="utf-8")
    assert got == file.read_text(encoding="utf-8"), "refresh with DUCTWORK_GOLDEN=write and read the diff"


NAMES = st.text(max_size=40)
ADDRESSES = st.ip_addresses().map(ip_interface)


@st.composite
def views(draw: st.DrawFn) -> HostView:
    networks = draw(st.lists(NAMES, max_size=4))
    sandboxes = draw(st.lists(NAMES, max_size=5))
    endpoint = st.builds(
        EndpointView,
        st.sampled_from(sandboxes) if sandboxes else NAMES,
        st.sampled_from(networks) if networks else NAMES,
        NAMES,
        NAMES,
        st.lists(ADDRESSES, max_size=3).map(tuple),
        NAMES,
        st.lists(NAMES, max_size=2).map(tuple),
        st.just(()),
        st.booleans(),
    )
    found = tuple(draw(st.lists(endpoint, max_size=6)))
    modes = st.sampled_from(Mode)
    return HostView(
        draw(NAMES),
        draw(NAMES),
        tuple(NetworkView(n, draw(NAMES), (ip_network("fd00::/8"),), note=draw(NAMES)) for n in networks),
        tuple(SandboxView(s, draw(modes), draw(NAMES), draw(st.booleans()), found) for s in sandboxes),
        tuple(UplinkView(draw(NAMES), tuple(draw(st.lists(ADDRESSES, max_size=3)))) for _ in range(2)),
    )


@settings(max_examples=150, deadline=None)
@given(views())
def test_any_names_can_be_drawn(view: HostView) -> None:
    ET.fromstring(render_svg(view))
    for line in render_text(view, 80, False).splitlines():
        assert columns(line) <= 80
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", line)
    json.dumps(graph_json(view))
    for label in re.findall(r'"([^\n]*?)"', render_mermaid(view)):
        assert not set(label.replace("<br/>", "")) & set("<>`{}|*_~\\")


@pytest.mark.parametrize("width", [40, 60, 80, 132])
def test_text_fits(width: int) -> None:
    for view in VIEWS.values():
        assert max(map(columns, render_text(view, width, False).splitlines())) <= width


def test_colour_only_on_demand() -> None:
    assert "\x1b" not in render_text(small(), 80, False)
    coloured = render_text(small(), 80, True)
    plain = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line.rstrip() for line in plain.splitlines()] == render_text(small(), 80, False).splitlines()


def test_terminal_escapes_in_names_are_harmless() -> None:
    view = HostView("h\x1b[2J", networks=(NetworkView("n\x1b]0;x\x07", "bridge"),))
    assert "\x1b" not in render_text(view, 80, False)


def test_sharing_the_hosts_stack_is_called_unisolated() -> None:
    for kind, render in FORMATS.items():
        text = render(large())
        assert "unisolated" in text, kind


def test_both_directions_wherever_an_endpoint_was_named() -> None:
    endpoint = EndpointView("web", "lan", "dwv1", "eth0")
    one_sided = HostView("h", networks=(NetworkView("lan", "bridge", endpoints=(endpoint,)),))
    other = HostView("h", sandboxes=(SandboxView("web", Mode.OWN, endpoints=(endpoint,)),))
    for view in (one_sided, other):
        text = render_text(view, 80, False)
        assert "dwv1 ── web" in text
        assert "eth0 ── lan" in text


def test_crowds_are_collapsed() -> None:
    endpoints = tuple(EndpointView(f"job-{i}", "lan", f"dwv{i}", "eth0") for i in range(200))
    text = render_svg(HostView("h", networks=(NetworkView("lan", "bridge", endpoints=endpoints),)))
    assert "+140 more" in text
    assert "job-59<" in text
    assert "job-60<" not in text


def test_nothing_is_fetched_and_nothing_runs() -> None:
    text = render_svg(large())
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"<script|href|url\(|@import|@font-face|https?://(?!www\.w3\.org/2000/svg)", text)


def _boxes(svg: str) -> list[tuple[float, float, float, float]]:
    found = [
        (rect.get("class", ""), *(float(rect.get(key, "0")) for key in ("x", "y", "width", "height")))
        for rect in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")
    ]
    return [(x, y, w, h) for css, x, y, w, h in found if css.startswith("card ")]


@pytest.mark.parametrize("name", ["small", "large"])
def test_cards_do_not_overlap(name: str) -> None:
    boxes = _boxes(render_svg(VIEWS[name]))
    assert len(boxes) > len(VIEWS[name].sandboxes)
    for i, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[i + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_ids_in_json_are_unique_and_sorted() -> None:
    graph = graph_json(large())
    for key in ("nodes", "edges"):
        records = graph[key]
        assert isinstance(records, list)
        ids = [record["id"] for record in records]
        assert ids == sorted(set(ids))
