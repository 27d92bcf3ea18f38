"""What a benchmark says: one object a line for programs, a table for people, raw samples in a file."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.chart import Bar, Chart

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Result:
    """One figure beside its floor and its peers.

    `ok` is None when there is nothing to judge, as without ours. `samples` goes to the results file only.
    """

    name: str
    unit: str
    value: float | None
    floor: float | None
    peers: Mapping[str, float]
    ratio: float | None
    bound: float
    ok: bool | None
    note: str = ""
    detail: Mapping[str, float] = field(default_factory=dict)
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    chart: Chart | None = None

    def as_object(self) -> dict[str, object]:
        """What `--json` prints, rounded to four digits."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "floor": _rounded(self.floor),
            "peers": {name: _rounded(value) for name, value in self.peers.items()},
            "ratio": _rounded(self.ratio),
            "bound": self.bound,
            "ok": self.ok,
            "detail": {name: _rounded(value) for name, value in self.detail.items()},
            "note": self.note,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def render_table(results: Sequence[Result]) -> str:
    """Align the judged columns; peers and details follow each line, for they differ from one to the next."""
    head = ("name", "value", "unit", "floor", "ratio", "bound", "ok")
    rows = [
        (r.name, _shown(r.value), r.unit, _shown(r.floor), _shown(r.ratio), _shown(r.bound), _VERDICTS[r.ok])
        for r in results
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [_aligned(head, widths)]
    for result, row in zip(results, rows, strict=True):
        lines.append(_aligned(row, widths))
        lines += [
            f"    {name:<24} {_shown(value):>8}" for name, value in {**result.peers, **result.detail}.items()
        ]
        if result.note:
            lines.append(f"    {result.note}")
    return "\n".join(lines)


_VERDICTS = {True: "yes", False: "NO", None: "-"}


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if column in (0, 2, 6) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def bars(unit: str, title: str, values: Mapping[str, float | None]) -> Chart:
    """A chart of what was measured; ours is the bar that stands out."""
    shown = tuple(
        Bar(name, value, name.startswith("Ductwork")) for name, value in values.items() if value is not None
    )
    return Chart(title, unit, shown)


def save(results: Sequence[Result]) -> Path:
    """Keep every sample, with what one must know to compare two files."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.json"
    machine: dict[str, object] = {
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }
    content = [
        {**r.as_object(), "samples": {name: list(values) for name, values in r.samples.items()}}
        for r in results
    ]
    path.write_text(json.dumps({"machine": machine, "results": content}, indent=1) + "\n")
    return path
