"""A topology as wanted: networks, sandboxes, who is connected to what, with what published and linked.

Everything here was checked by itself; whether it fits the host is found out when it is compared with it.
Order counts: sandboxes are connected in the order given, and each to its networks in the order given.
"""

from __future__ import annotations

from dataclasses import dataclass

from ductwork.model.addresses import IPAddress
from ductwork.model.endpoint import StaticRoute
from ductwork.model.names import Mac
from ductwork.model.network import NetworkSpec
from ductwork.model.port_mapping import PortRequest


@dataclass(frozen=True, slots=True)
class WantedEndpoint:
    """A connection of a sandbox to a network; what is left out is chosen when it is made, and then kept."""

    network: str
    addresses: tuple[IPAddress, ...] = ()
    mac: Mac | None = None
    ifname: str = ""
    aliases: tuple[str, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    gateway_priority: int = 0


@dataclass(frozen=True, slots=True)
class WantedPort:
    """A port to publish; without a network, through the one that has the sandbox's default route."""

    request: PortRequest
    network: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class WantedLink:
    """Another sandbox, by its name in the topology or a TARGET outside of it, known under an alias."""

    other: str
    alias: str


@dataclass(frozen=True, slots=True)
class WantedSandbox:
    """A sandbox of the topology.

    Attributes:
        mode: as `sandbox create --mode`; empty for a stack of its own.
        target: an existing container or namespace to use instead of making one.
    """

    name: str
    mode: str = ""
    target: str = ""
    endpoints: tuple[WantedEndpoint, ...] = ()
    ports: tuple[WantedPort, ...] = ()
    links: tuple[WantedLink, ...] = ()

    @property
    def shares_with(self) -> str:
        """Return whose stack it uses, empty when it has one of its own."""
        return self.mode.partition(":")[2] if self.mode.startswith("container:") else ""


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything one file describes; `external` names networks that are used and belong to others."""

    name: str
    networks: tuple[NetworkSpec, ...] = ()
    external: tuple[str, ...] = ()
    sandboxes: tuple[WantedSandbox, ...] = ()
