"""Those who are measured, each behind the same few verbs.

A contestant has a host of its own, so that one's firewall rules never slow another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.lab import Host


@dataclass(frozen=True, slots=True)
class Target:
    """A container to attach: its namespace, its number (from 0) and the port its host publishes for it."""

    netns: Path
    index: int
    host_port: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How to prove an attachment: connect from `client` to address:port, see it in `server`."""

    server: Path
    client: Path
    address: str
    port: int


class Attacher(Protocol):
    """One way to attach an existing namespace to a bridge network with one published port.

    `prepare`, `detach` and `reach` are not timed; `attach` is. All are called in one thread.
    """

    name: str
    label: str
    in_host: bool
    """Whether the calls are made from inside the host, as an engine would, or from anywhere."""

    def setup(self, host: Host, state_dir: Path, /) -> None:
        """Make the network this contestant attaches to."""

    def prepare(self, target: Target, /) -> None:
        """Get ready what an engine would hold ready."""

    def attach(self, target: Target, /) -> None:
        """Connect the container and publish its port."""

    def reach(self, target: Target, /) -> Reach:
        """Say how to prove what `attach` did."""

    def detach(self, target: Target, /) -> None:
        """Undo `attach`, so that the next one meets the same host."""

    def close(self) -> None:
        """Let go of processes and sockets; the namespaces vanish afterwards."""


class UnavailableError(Exception):
    """A contestant cannot run on this machine; the text says what is missing."""
