"""An endpoint: one sandbox's attachment to one network."""

from __future__ import annotations

from dataclasses import dataclass

from ductwork.model.addresses import IPAddress, IPInterface, IPNetwork
from ductwork.model.names import Mac


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A route inside the sandbox, declared with the attachment; via None means directly connected."""

    destination: IPNetwork
    via: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Another sandbox, known inside this one's hosts file under `alias`; `topology` as for an endpoint."""

    sandbox_id: str
    alias: str
    topology: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An attachment with every choice made; equal input makes an equal endpoint again after a rebuild.

    Attributes:
        slot: small number, unique on the host; both interface indexes are derived from it.
        order: position among the sandbox's endpoints, kept over rebuilds.
        port_count: how many ports are published through it. The mappings are records of their own, so that
            publishing one more costs the same with ten thousand.
        gateway_priority: the highest of a sandbox's endpoints has the default route; ties go by network name.
            A default route that somebody else made in the sandbox is left alone.
        topology: the topology file that wants it, empty for one made by hand.
    """

    id: str
    network_id: str
    sandbox_id: str
    slot: int
    order: int
    host_ifname: str
    container_ifname: str
    mac: Mac
    addresses: tuple[IPInterface, ...] = ()
    aliases: tuple[str, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    gateway_priority: int = 0
    port_count: int = 0
    topology: str = ""

    def address(self, version: int) -> IPInterface | None:
        """Return the first address of IP version 4 or 6."""
        return next((a for a in self.addresses if a.version == version), None)
