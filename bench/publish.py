"""P3.publish: the first published port against the ten-thousandth."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.contestants import UnavailableError
from bench.contestants.publishers import CniPortmap, IptablesRules, NftMap, OurPorts, Publisher
from bench.lab import Lab
from bench.ours import find_adapter
from bench.ports import FIRST_PORT, MANY, Pair, Side, build_pair
from bench.result import Result, bars
from bench.settings import Settings

BOUND = 1.2
_WARM_UP = 3
# one call of portmap takes long and longer with each port: ten thousand would take hours
_CNI_MANY = 200


@dataclass(frozen=True, slots=True)
class _Plan:
    make: Callable[[], Publisher]
    many: int
    rounds: int


def measure_publish(settings: Settings) -> list[Result]:
    """Publish one port more and withdraw it again, on an empty and on a full host in turn."""
    quick = settings.quick
    cni_many = 20 if quick else _CNI_MANY
    plans = [_Plan(NftMap, MANY, 20 if quick else 300), _Plan(IptablesRules, MANY, 3 if quick else 15)]
    plans.append(_Plan(CniPortmap, cni_many, 3 if quick else 15))
    try:
        adapter = find_adapter(settings.ours)
        plans.insert(0, _Plan(lambda: OurPorts(adapter()), MANY, 20 if quick else 300))
    except UnavailableError as reason:
        settings.say(str(reason))
    with Lab() as lab:
        built = [(plan, build_pair(lab, plan.make, 0, plan.many - 1, settings)) for plan in plans]
        pairs = [(plan, pair) for plan, pair in built if pair is not None]
        for number in range(-_WARM_UP, max(plan.rounds for plan in plans)):
            for plan, pair in pairs:
                if number < plan.rounds:
                    _round(pair, number)
        for _, pair in pairs:
            _prove(pair)
    return [_judge({pair.name: pair for _, pair in pairs}, cni_many)]


def _round(pair: Pair, number: int) -> None:
    # in turn, so that neither side always comes second
    sides = (pair.few, pair.many) if number % 2 else (pair.many, pair.few)
    for side in sides:
        spent = side.call(lambda side=side: _timed(side))  # type: ignore[misc]
        if number >= 0:
            side.samples.append(spent)


def _timed(side: Side) -> float:
    """Publish and withdraw, then once more with a clock: the caches are warm whatever ran before.

    A cold transaction of one element takes 15-30 µs, a warm one 3: more than 10,000 elements ever add.
    """
    port = FIRST_PORT + len(side.ports)
    side.publisher.publish(port)
    side.publisher.unpublish(port)
    began = time.perf_counter()
    side.publisher.publish(port)
    spent = (time.perf_counter() - began) * 1000
    side.publisher.unpublish(port)
    return spent


def _prove(pair: Pair) -> None:
    """Publish once more and connect through the new port."""
    for side in (pair.few, pair.many):
        port = FIRST_PORT + len(side.ports)
        side.call(lambda side=side, port=port: side.publisher.publish(port))  # type: ignore[misc]
        side.prove(port)


def _judge(pairs: dict[str, Pair], cni_many: int) -> Result:
    first = {name: statistics.median(pair.few.samples) for name, pair in pairs.items()}
    last = {name: statistics.median(pair.many.samples) for name, pair in pairs.items()}
    value = last.get("ours")
    ratio = None if value is None else value / first["ours"]
    detail = {f"{name}_first": spent for name, spent in first.items()}
    detail |= {f"{name}_ratio": last[name] / spent for name, spent in first.items()}
    samples = {f"{name}_first": pair.few.samples for name, pair in pairs.items()}
    samples |= {f"{name}_last": pair.many.samples for name, pair in pairs.items()}
    counts = {name: cni_many if name == "cni" else MANY for name in pairs}
    shown: dict[str, float | None] = {}
    for name, pair in pairs.items():
        shown[f"{pair.label}: first"] = first[name]
        shown[f"{pair.label}: {counts[name]:,}th"] = last[name]
    return Result(
        "P3.publish",
        "ms",
        value,
        last["floor"],
        {name: spent for name, spent in last.items() if name not in ("ours", "floor")},
        ratio,
        BOUND,
        None if ratio is None else ratio <= BOUND,
        f"one port more beside {MANY - 1:,}; cni beside {cni_many - 1} only, as each call slows the next",
        detail,
        samples,
        bars("ms", "Publish one more port", shown),
    )
