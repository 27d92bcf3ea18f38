"""The command: python -m bench [NAME…] [--json] [--quick] [--picture DIR] [--ours MODULE:CLASS]."""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from bench.attach import measure_attach
from bench.chart import render_svg
from bench.command import CommandError
from bench.connections import measure_connections
from bench.generator import LoadError
from bench.ours import DEFAULT_ADAPTER
from bench.publish import measure_publish
from bench.result import Result, render_table, save
from bench.settings import Settings

BENCHMARKS: Mapping[str, Callable[[Settings], list[Result]]] = {
    "P1.attach": measure_attach,
    "P3.publish": measure_publish,
    "P3.connections": measure_connections,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks: 0 all bounds held, 1 one did not or a run broke off, 2 a wrong request."""
    options = _parse(argv)
    chosen = [
        name for name in BENCHMARKS if not options.names or any(name.startswith(n) for n in options.names)
    ]
    unknown = [n for n in options.names if not any(name.startswith(n) for name in BENCHMARKS)]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("benchmarks make network namespaces: run them as root", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _leave)
    _allow_many_files()
    settings = Settings(options.quick, options.ours, options.picture)
    results: list[Result] = []
    failed = False
    for name in chosen:
        settings.say(f"{name} …")
        try:
            found = BENCHMARKS[name](settings)
        except (OSError, CommandError, LoadError) as error:
            settings.say(f"{name} was broken off: {error}")
            failed = True
            continue
        except Exception:  # an adapter may raise anything; what others measured must not be lost with it
            traceback.print_exc()
            failed = True
            continue
        results += found
        if options.json:
            print(*(json.dumps(result.as_object()) for result in found), sep="\n", flush=True)
    if not options.json:
        print(render_table(results))
    if settings.picture is not None:
        _draw(results, settings.picture)
    settings.say(f"samples: {save(results)}")
    return 1 if failed or any(result.ok is False for result in results) else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Ductwork, its peers and the floor.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}, or how one begins"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that all works")
    parser.add_argument("--picture", type=Path, metavar="DIR", help="also write an SVG for each figure here")
    parser.add_argument(
        "--ours", default=DEFAULT_ADAPTER, metavar="MODULE:CLASS", help="the adapter to measure"
    )
    return parser.parse_args(argv)


def _draw(results: Sequence[Result], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for result in results:
        if result.chart is not None:
            (directory / f"bench-{result.name}.svg").write_text(render_svg(result.chart))


def _leave(number: int, _frame: FrameType | None) -> None:
    """Turn a request to end into an exception, so that every namespace is removed on the way out."""
    # a second request must not cut the removal short
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _allow_many_files() -> None:
    # a publisher may hold a bound socket for each of 10,000 ports
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
