"""Where Ductwork itself enters a benchmark: a small protocol, and the search for who fulfils it.

The adapter is a class without constructor arguments, by default `bench.engine_adapter:EngineAdapter`;
`--ours` names another, for example one that goes through the daemon's API. It is called from the main thread,
in the machine's own namespace and never in the host: which namespace is the host, only `setup` says.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from bench.contestants import Reach, Target, UnavailableError
from bench.lab import HOST_ADDRESS, Host

DEFAULT_ADAPTER = "bench.engine_adapter:EngineAdapter"


class Adapter(Protocol):
    """Ductwork in the words of a benchmark. One adapter is one host with one bridge network, 10.88.0.0/16.

    The host namespace has `lo` and a wire (`eth0`, 10.99.0.1/24) up and forwards IPv4. The rest is ours.
    """

    def setup(self, host_netns: Path, state_dir: Path) -> None:
        """Make the engine and the network, ready to attach. Not timed. `state_dir` exists and is empty."""

    def attach(self, ns: Path, ip_index: int, host_port: int | None) -> None:
        """Connect `ns` and publish tcp host_port → 80, or no port. Timed.

        `ip_index` counts from 0; the address may follow from it (`bench.lab.container_address`) or be the
        engine's choice.
        """

    def detach(self, ns: Path) -> None:
        """Undo `attach`, published ports included. Not timed."""

    def publish(self, ns: Path, host_ports: Sequence[int]) -> None:
        """Publish more tcp ports → 80 of what `attach` connected, in one request. Timed with one port."""

    def unpublish(self, ns: Path, host_ports: Sequence[int]) -> None:
        """Undo `publish`. Not timed."""

    def close(self) -> None:
        """Let go of sockets and the store. Not timed; the namespaces vanish afterwards."""


def find_adapter(spec: str = DEFAULT_ADAPTER) -> Callable[[], Adapter]:
    """Look for Ductwork's engine and the adapter that drives it.

    Raises:
        UnavailableError: with the one line to print.
    """
    module_name, _, class_name = spec.partition(":")
    try:
        if spec == DEFAULT_ADAPTER and not hasattr(importlib.import_module("ductwork"), "Engine"):
            raise UnavailableError("ours is not available: ductwork has no Engine")
        factory = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise UnavailableError(f"ours is not available: {error}") from error
    return cast(Callable[[], Adapter], factory)


@dataclass(slots=True)
class Ours:
    """The adapter among the contestants of P1."""

    adapter: Adapter
    name: str = "ours"
    label: str = "Ductwork"
    in_host: bool = False
    _hosts: list[Host] = field(default_factory=list)

    def setup(self, host: Host, state_dir: Path) -> None:
        """Hand the host to the adapter."""
        self._hosts.append(host)
        self.adapter.setup(host.netns, state_dir)

    def prepare(self, target: Target) -> None:
        """Whatever Ductwork prepares, it prepares by itself."""

    def attach(self, target: Target) -> None:
        """Make the one call that is measured."""
        self.adapter.attach(target.netns, target.index, target.host_port)

    def reach(self, target: Target) -> Reach:
        """From the client, through the published port."""
        return Reach(target.netns, self._hosts[0].client, HOST_ADDRESS, target.host_port)

    def detach(self, target: Target) -> None:
        """Undo it."""
        self.adapter.detach(target.netns)

    def close(self) -> None:
        """Close the engine."""
        self.adapter.close()
