"""What a person sees of a host: the engine fills these values, the renderers of `plan.graph` draw them.

A view is a picture and not a source of truth: it holds names where the store holds ids, and everything
that is drawn stands in it, so that a renderer never has to look anything up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ductwork.model.addresses import IPAddress, IPInterface, IPNetwork
from ductwork.model.port_mapping import PortMapping
from ductwork.model.sandbox import Mode


class Isolation(StrEnum):
    """How a network is kept apart from the host's other networks."""

    ON = "isolated"
    OFF = "open"
    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class EndpointView:
    """One attachment, named from both of its sides.

    Attributes:
        host_ifname: the port on the host's side, empty for a driver that has none there.
        default_gateway: the sandbox's way out goes over this endpoint.
    """

    sandbox: str
    network: str
    host_ifname: str = ""
    container_ifname: str = ""
    addresses: tuple[IPInterface, ...] = ()
    mac: str = ""
    aliases: tuple[str, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    default_gateway: bool = False


@dataclass(frozen=True, slots=True)
class NetworkView:
    """A network with its ports.

    Attributes:
        bridge: the interface that carries it in the host, empty when there is none.
        nat: traffic that leaves the host is masqueraded or source-translated.
        note: one remark for the reader, such as "bridge is missing".
    """

    name: str
    driver: str
    subnets: tuple[IPNetwork, ...] = ()
    gateways: tuple[IPAddress, ...] = ()
    bridge: str = ""
    mtu: int = 1500
    internal: bool = False
    nat: bool = True
    isolation: Isolation = Isolation.ON
    endpoints: tuple[EndpointView, ...] = ()
    note: str = ""

    @property
    def routed_out(self) -> bool:
        """Say whether traffic of this network leaves through the host."""
        return bool(self.gateways) and not self.internal


@dataclass(frozen=True, slots=True)
class SandboxView:
    """A sandbox with its attachments; `alive` is false once its namespace has gone."""

    name: str
    mode: Mode
    target: str = ""
    alive: bool = True
    endpoints: tuple[EndpointView, ...] = ()

    @property
    def mode_word(self) -> str:
        """Name the mode for a person: sharing the host's stack is no isolation at all and is called so."""
        return "unisolated" if self.mode is Mode.HOST else self.mode.value


@dataclass(frozen=True, slots=True)
class UplinkView:
    """An interface through which the host reaches the outside."""

    name: str
    addresses: tuple[IPInterface, ...] = ()


@dataclass(frozen=True, slots=True)
class HostView:
    """One host as it is drawn; empty `netns` means the machine's own namespace."""

    host_name: str
    netns: str = ""
    networks: tuple[NetworkView, ...] = ()
    sandboxes: tuple[SandboxView, ...] = ()
    uplinks: tuple[UplinkView, ...] = ()
