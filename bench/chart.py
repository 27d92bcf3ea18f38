"""Horizontal bars as SVG, readable in light and in dark."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

_WIDTH, _ROW, _TOP, _LABEL, _VALUE = 760, 26, 44, 300, 110


@dataclass(frozen=True, slots=True)
class Bar:
    """One labelled length."""

    label: str
    value: float
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A title, a unit and bars from top to bottom."""

    title: str
    unit: str
    bars: tuple[Bar, ...]


def render_svg(chart: Chart) -> str:
    """Draw a chart: linear from zero, the value written beside each bar, so that no bar can mislead."""
    largest = max((bar.value for bar in chart.bars), default=0.0) or 1.0
    height = _TOP + _ROW * len(chart.bars) + 14
    rows = "".join(_render_bar(bar, number, largest, chart.unit) for number, bar in enumerate(chart.bars))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' width="{_WIDTH}" height="{height}" role="img" aria-label="{escape(chart.title)}">\n'
        "<style>text{font:13px system-ui,sans-serif;fill:#222}.t{font-weight:600;font-size:15px}"
        ".b{fill:#9aa5b1}.o{fill:#0b7a75}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}.b{fill:#5d6874}.o{fill:#2bb3ab}}</style>\n"
        f'<text class="t" x="12" y="26">{escape(chart.title)}</text>\n{rows}</svg>\n'
    )


def _render_bar(bar: Bar, number: int, largest: float, unit: str) -> str:
    top = _TOP + _ROW * number
    length = max(1.5, (_WIDTH - _LABEL - _VALUE) * bar.value / largest)
    value = f"{bar.value:,.0f}" if bar.value >= 1000 else f"{bar.value:.3g}"
    return (
        f'<text x="{_LABEL - 8}" y="{top + 15}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="{"o" if bar.ours else "b"}" x="{_LABEL}" y="{top + 2}"'
        f' width="{length:.1f}" height="18" rx="2"/>'
        f'<text x="{_LABEL + length + 6:.1f}" y="{top + 15}">{value} {escape(unit)}</text>\n'
    )
