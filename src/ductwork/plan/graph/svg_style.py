"""Colours and fonts of the drawing, for light and for dark.

Plain classes and no CSS variables: several viewers draw SVG without knowing those.
"""

from __future__ import annotations

# One hue per network: strong and tint on light, strong and tint on dark.
_HUES = (
    ("#2563eb", "#eff5ff", "#6ea8fe", "#16233f"),
    ("#0d9467", "#ebfaf4", "#3fcf9b", "#0f2b26"),
    ("#7c3aed", "#f5f1ff", "#ab90fb", "#231d44"),
    ("#e0590b", "#fff4ec", "#fb9a55", "#36211a"),
    ("#d22672", "#fdf1f7", "#f47fb8", "#351c32"),
    ("#0b8fad", "#eafafd", "#35cbe6", "#0d2a38"),
    ("#5f9310", "#f5fbe9", "#a6de3f", "#212e18"),
    ("#b7820a", "#fdf9e6", "#f2c73a", "#302916"),
    ("#5148e0", "#f0f1ff", "#8f96fa", "#1f2147"),
)

_FIXED = """\
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:11px}
.mono{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
.b{font-weight:600}
.line{fill:none;stroke-width:1.6}
.rail{stroke-width:6;stroke-linecap:round}
.drop{stroke-width:2.2}
.halo{stroke-width:9}
.dash{stroke-dasharray:5 4}
.dots{stroke-dasharray:1 6;stroke-linecap:round;stroke-width:2.4}
.dead{opacity:.5}
"""

# class: light, dark
_THEMED = {
    ".page{fill:%s}": ("#eef2f7", "#0a0f1a"),
    ".frame{fill:%s}": ("#ffffff", "#111827"),
    ".edge{stroke:%s}": ("#cbd5e1", "#334155"),
    ".halo{stroke:%s}": ("#ffffff", "#111827"),
    ".card{fill:%s}": ("#f8fafc", "#1a2438"),
    ".ink{fill:%s}": ("#0f172a", "#f1f5f9"),
    ".soft{fill:%s}": ("#334155", "#cbd5e1"),
    ".dim{fill:%s}": ("#64748b", "#8b9bb4"),
    ".wire{stroke:%s}": ("#94a3b8", "#64748b"),
    ".wirefill{fill:%s}": ("#94a3b8", "#64748b"),
    ".tagfill{fill:%s}": ("#e2e8f0", "#2c3a52"),
    ".port{fill:%s}": ("#1e293b", "#e2e8f0"),
    ".portink{fill:%s}": ("#f8fafc", "#0f172a"),
    ".onhue{fill:%s}": ("#ffffff", "#0b1220"),
    ".warn{fill:%s}": ("#c2410c", "#fb923c"),
    ".warnfill{fill:%s}": ("#fee2e2", "#4c1d24"),
    ".warnink{fill:%s}": ("#b91c1c", "#fca5a5"),
    ".warnedge{stroke:%s}": ("#ef4444", "#f87171"),
}


def hue_class(hue: int) -> int:
    """Give a network's number in the palette."""
    return hue % len(_HUES)


def style_sheet(hues: int) -> str:
    """Write the CSS for a drawing with this many networks."""
    used = _HUES[:hues]
    light = [rule % pair[0] for rule, pair in _THEMED.items()]
    dark = [rule % pair[1] for rule, pair in _THEMED.items()]
    for i, (strong, tint, dark_strong, dark_tint) in enumerate(used):
        light.append(f".s{i}{{stroke:{strong}}}.f{i}{{fill:{strong}}}.t{i}{{fill:{tint}}}")
        dark.append(f".s{i}{{stroke:{dark_strong}}}.f{i}{{fill:{dark_strong}}}.t{i}{{fill:{dark_tint}}}")
    themed = "\n".join(light) + "\n@media (prefers-color-scheme:dark){\n" + "\n".join(dark) + "\n}\n"
    return _FIXED + themed
