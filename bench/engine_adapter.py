"""Ductwork's engine in process, as a benchmark drives it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from ductwork import ConnectSpec, Engine, Host, NetworkSpec, PortRequest, Subnet, open_engine

NETWORK = "bench"
SUBNET = ip_network("10.88.0.0/16")


class EngineAdapter:
    """One host with one bridge network; see bench.ours.Adapter."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The open engine."""
        assert self._engine is not None, "setup comes first"
        return self._engine

    def setup(self, host_netns: Path, state_dir: Path) -> None:
        """Open the engine and make the network."""
        self._engine = open_engine(Host.at(state_dir, str(host_netns)))
        self.engine.create_network(NetworkSpec(NETWORK, subnets=(Subnet(SUBNET),)))

    def attach(self, ns: Path, ip_index: int, host_port: int | None) -> None:  # noqa: ARG002
        """Connect a namespace by its path, with an address of the engine's choice."""
        ports = () if host_port is None else (_request(host_port),)
        self.engine.connect(NETWORK, str(ns), ConnectSpec(ports=ports))

    def detach(self, ns: Path) -> None:
        """Disconnect it."""
        self.engine.disconnect(NETWORK, str(ns))

    def publish(self, ns: Path, host_ports: Sequence[int]) -> None:
        """Publish ports of a connected namespace in one request."""
        self.engine.publish(str(ns), [_request(port) for port in host_ports])

    def unpublish(self, ns: Path, host_ports: Sequence[int]) -> None:
        """Take them back."""
        self.engine.unpublish(str(ns), [_request(port) for port in host_ports])

    def close(self) -> None:
        """Close the engine; what it made goes with the host's namespace."""
        if self._engine is not None:
            self._engine.close()


def _request(port: int) -> PortRequest:
    return PortRequest(80, host_port=port, host_port_end=port)
