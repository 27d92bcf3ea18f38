"""P3.connections: new TCP connections a second through a published port, alone and beside 9,999 others."""

from __future__ import annotations

import contextlib
import math
import statistics
from pathlib import Path

from bench.contestants import UnavailableError
from bench.contestants.publishers import IptablesRules, NftMap, OurPorts
from bench.generator import connection_rate, serving
from bench.lab import CONTAINER_PORT, HOST_ADDRESS, Lab
from bench.ours import find_adapter
from bench.ports import MANY, Pair, Side, build_pair
from bench.result import Result, bars
from bench.settings import Settings

BOUND = 0.95
_TIMEOUTS = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close"


def measure_connections(settings: Settings) -> list[Result]:
    """Load the last published port of each host: one port and ten thousand in turn, in pairs."""
    # many short pairs: load from elsewhere comes and goes in seconds, and must strike both of a pair
    rounds, seconds = (2 if settings.quick else 40), 0.3
    makers = [NftMap, IptablesRules]
    with Lab() as lab, contextlib.ExitStack() as servers:
        built = [build_pair(lab, make, 1, MANY, settings) for make in makers]
        try:
            adapter = find_adapter(settings.ours)
            built.insert(0, build_pair(lab, lambda: OurPorts(adapter()), 1, MANY, settings))
        except UnavailableError as reason:
            settings.say(str(reason))
        pairs = {pair.name: pair for pair in built if pair is not None}
        for side in (side for pair in pairs.values() for side in (pair.few, pair.many)):
            _ready(side, servers)
        for number in range(-1, rounds):
            for pair in pairs.values():
                _round(pair, number, seconds)
    return [_judge(pairs)]


def _ready(side: Side, servers: contextlib.ExitStack) -> None:
    """Prove the port, then start the server; closed connections leave the table of connections soon."""
    side.prove(side.ports[-1])
    side.host.thread.call(lambda: Path(_TIMEOUTS).write_text("1"))
    servers.enter_context(serving(side.container, CONTAINER_PORT))


def _round(pair: Pair, number: int, seconds: float) -> None:
    # in turn, so that neither side always comes second
    for side in (pair.few, pair.many) if number % 2 else (pair.many, pair.few):
        rate = connection_rate(side.host.client, HOST_ADDRESS, side.ports[-1], seconds)
        if number >= 0:
            side.samples.append(rate)


def _judge(pairs: dict[str, Pair]) -> Result:
    one = {name: statistics.median(pair.few.samples) for name, pair in pairs.items()}
    many = {name: statistics.median(pair.many.samples) for name, pair in pairs.items()}
    ratios = {name: statistics.median(_ratios(pair)) for name, pair in pairs.items()}
    ratio = ratios.get("ours")
    detail = {f"{name}_with_one": rate for name, rate in one.items()}
    detail |= {f"{name}_ratio": value for name, value in ratios.items()}
    for name, pair in pairs.items():
        detail[f"{name}_ratio_low"], detail[f"{name}_ratio_high"] = _interval(_ratios(pair))
    samples = {f"{name}_with_one": pair.few.samples for name, pair in pairs.items()}
    samples |= {f"{name}_with_many": pair.many.samples for name, pair in pairs.items()}
    shown: dict[str, float | None] = {}
    for name, pair in pairs.items():
        shown[f"{pair.label}: 1 port"] = one[name]
        shown[f"{pair.label}: {MANY:,} ports"] = many[name]
    return Result(
        "P3.connections",
        "1/s",
        many.get("ours"),
        many["floor"],
        {"iptables": many["iptables"]} if "iptables" in many else {},
        ratio,
        BOUND,
        None if ratio is None else ratio >= BOUND,
        f"last of {MANY:,} ports; ratio: many / one, median of pairs (low, high: 95 %), at least the bound",
        detail,
        samples,
        bars("/s", "New connections a second through a published port", shown),
    )


def _ratios(pair: Pair) -> list[float]:
    """With many over with one, pair by pair, in ascending order."""
    return sorted(many / one for one, many in zip(pair.few.samples, pair.many.samples, strict=True))


def _interval(ascending: list[float]) -> tuple[float, float]:
    """Where the true median lies in 95 of 100 cases, whatever the shape of the noise."""
    middle, reach = len(ascending) / 2, 0.98 * math.sqrt(len(ascending))
    return ascending[max(0, math.floor(middle - reach))], ascending[
        min(len(ascending), math.ceil(middle + reach)) - 1
    ]
