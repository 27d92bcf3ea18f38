"""Hosts with few and with many published ports, side by side, for both P3 benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.command import CommandError
from bench.contestants import UnavailableError
from bench.contestants.publishers import Publisher
from bench.lab import CONTAINER_PORT, HOST_ADDRESS, Host, Lab
from bench.netns import prove_connection
from bench.settings import Settings

T = TypeVar("T")
MANY = 10_000
FIRST_PORT = 20_000


@dataclass(slots=True)
class Side:
    """One publisher on one host, with so many ports published before anything is measured."""

    publisher: Publisher
    host: Host
    container: Path
    ports: Sequence[int]
    samples: list[float] = field(default_factory=list)

    def call(self, work: Callable[[], T]) -> T:
        """Work where this publisher would: in the host, or here."""
        return self.host.thread.call(work) if self.publisher.in_host else work()

    def prove(self, port: int) -> None:
        """Connect through a published port."""
        prove_connection(self.container, CONTAINER_PORT, self.host.client, HOST_ADDRESS, port)


@dataclass(frozen=True, slots=True)
class Pair:
    """The same publisher twice: with few ports and with many."""

    name: str
    label: str
    few: Side
    many: Side


def build_pair(
    lab: Lab, make: Callable[[], Publisher], few: int, many: int, settings: Settings
) -> Pair | None:
    """Set both sides up, or say in one line why this publisher is left out."""
    sides: list[Side] = []
    for which, count in (("few", few), ("many", many)):
        publisher = make()
        host, (container,) = lab.host(), lab.namespaces(1)
        side = Side(publisher, host, container, range(FIRST_PORT, FIRST_PORT + count))
        state_dir = lab.folder(f"{publisher.name}-{which}")
        # the side is bound now: the loop goes on to the next one
        lab.cleanup.callback(side.call, publisher.close)
        try:
            side.call(_setup_of(side, state_dir))
        except (UnavailableError, CommandError) as reason:
            settings.say(f"{publisher.name} is left out: {reason}")
            return None
        sides.append(side)
    return Pair(sides[0].publisher.name, sides[0].publisher.label, *sides)


def _setup_of(side: Side, state_dir: Path) -> Callable[[], None]:
    return lambda: side.publisher.setup(side.host, side.container, state_dir, side.ports)
