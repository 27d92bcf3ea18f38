"""P1.attach: attach an existing namespace to a bridge network with one published port."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.command import CommandError
from bench.contestants import Attacher, Target, UnavailableError
from bench.contestants.cni import Cni
from bench.contestants.docker import DockerApi, DockerCommand, DockerEngine
from bench.contestants.floor import Floor
from bench.contestants.ip_commands import IpCommands
from bench.contestants.netavark import Netavark
from bench.lab import CONTAINER_PORT, Host, Lab
from bench.netns import prove_connection
from bench.ours import Ours, find_adapter
from bench.result import Result, bars
from bench.settings import Settings

T = TypeVar("T")
FLOOR_BOUND = 1.5
PEER_BOUND = 20.0
_FIRST_PORT = 20000


@dataclass(slots=True)
class _Entry:
    """A contestant with its host, its fresh namespaces and what was measured, in milliseconds."""

    attacher: Attacher
    host: Host
    namespaces: list[Path]
    samples: list[float] = field(default_factory=list)

    def call(self, work: Callable[[], T]) -> T:
        return self.host.thread.call(work) if self.attacher.in_host else work()

    def resident(self) -> None:
        """Attach one that stays: nobody then makes or removes a bridge, and no bridge is without carrier."""
        self._attach(0)

    def sample(self, index: int) -> float:
        """Attach, prove it, detach; only the first is timed."""
        spent = self._attach(index)
        self.call(lambda: self.attacher.detach(self._target(index)))
        return spent

    def _target(self, index: int) -> Target:
        return Target(self.namespaces[index], index, _FIRST_PORT + index)

    def _attach(self, index: int) -> float:
        target = self._target(index)
        self.call(lambda: self.attacher.prepare(target))
        spent = self.call(lambda: _timed(self.attacher, target))
        reach = self.call(lambda: self.attacher.reach(target))
        prove_connection(reach.server, CONTAINER_PORT, reach.client, reach.address, reach.port)
        return spent


def _timed(attacher: Attacher, target: Target) -> float:
    began = time.perf_counter()
    attacher.attach(target)
    return (time.perf_counter() - began) * 1000


def measure_attach(settings: Settings) -> list[Result]:
    """Attach in interleaved rounds, in a new order each round, every attachment proved by a connection."""
    rounds, warm_up = (5, 1) if settings.quick else (40, 3)
    floor = Floor()
    with Lab() as lab:
        entries = [
            entry
            for attacher in _contestants(floor, settings)
            if (entry := _enter(lab, attacher, warm_up + rounds + 1, settings)) is not None
        ]
        order = random.Random(1)
        for index in range(1, warm_up + rounds + 1):
            for entry in order.sample(entries, len(entries)):
                spent = entry.sample(index)
                if index > warm_up:
                    entry.samples.append(spent)
    return _judge({entry.attacher.name: entry for entry in entries}, floor, warm_up + 1)


def _contestants(floor: Floor, settings: Settings) -> list[Attacher]:
    engine = DockerEngine()
    all_of_them: list[Attacher] = [
        floor,
        IpCommands(),
        Cni(),
        Netavark(),
        DockerCommand(engine),
        DockerApi(engine),
    ]
    try:
        all_of_them.insert(0, Ours(find_adapter(settings.ours)()))
    except UnavailableError as reason:
        settings.say(str(reason))
    return all_of_them


def _enter(lab: Lab, attacher: Attacher, namespaces: int, settings: Settings) -> _Entry | None:
    # docker brings its own containers
    count = 1 if attacher.name.startswith("docker") else namespaces
    host = lab.host()
    paths = lab.namespaces(count)
    entry = _Entry(attacher, host, paths if count > 1 else paths * namespaces)
    lab.cleanup.callback(lambda: entry.call(attacher.close))
    try:
        entry.call(lambda: attacher.setup(host, lab.folder(attacher.name)))
        if not attacher.name.startswith("docker"):
            entry.resident()
    except (UnavailableError, CommandError, OSError) as reason:
        # a peer that does not work here is left out; without ours or the floor there is nothing to say
        if attacher.name in ("ours", "floor") and not isinstance(reason, UnavailableError):
            raise
        settings.say(f"{attacher.name} is left out: {reason}")
        return None
    return entry


def _judge(entries: dict[str, _Entry], floor: Floor, skipped: int) -> list[Result]:
    medians = {name: statistics.median(entry.samples) for name, entry in entries.items()}
    value, least = medians.get("ours"), medians["floor"]
    peers = {name: spent for name, spent in medians.items() if name not in ("ours", "floor")}
    parts = {f"floor_{part}": statistics.median(spent[skipped:]) for part, spent in floor.parts.items()}
    named: dict[str, float | None] = {entry.attacher.label: medians[name] for name, entry in entries.items()}
    ratio = None if value is None else value / least
    first = Result(
        "P1.attach",
        "ms",
        value,
        least,
        peers,
        ratio,
        FLOOR_BOUND,
        None if ratio is None else ratio <= FLOOR_BOUND,
        "median of an attachment proved by a TCP connection; docker and docker_api publish no port",
        parts,
        {name: entry.samples for name, entry in entries.items()},
        bars(
            "ms",
            "Attach a namespace to a bridge network, one published port",
            dict(sorted(named.items(), key=_second)),
        ),
    )
    return [first, _judge_peers(value, [medians[name] for name in ("cni", "netavark") if name in medians])]


def _second(item: tuple[str, float | None]) -> float:
    return item[1] or 0.0


def _judge_peers(value: float | None, peers: Sequence[float]) -> Result:
    """How many times faster than the nearer of CNI and netavark."""
    times = None if value is None or not peers else min(peers) / value
    ok = None if times is None else times >= PEER_BOUND
    note = "the nearer of cni and netavark, divided by ours; at least the bound"
    return Result("P1.faster", "x", times, None, {}, times, PEER_BOUND, ok, note)
