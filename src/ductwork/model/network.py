"""A network: endpoints that can reach each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from ductwork.model.addresses import IPAddress, IPNetwork


class Scope(StrEnum):
    """Where a network's endpoints may live: on this host only, or on every host of the store."""

    LOCAL = "local"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class Subnet:
    """One address range of a network.

    Attributes:
        gateway: the host's own address in it; None when the network has no gateway (internal to a link).
        ip_range: automatic addresses come from here; the whole subnet when None.
        reserved: never handed out automatically.
    """

    cidr: IPNetwork
    gateway: IPAddress | None = None
    ip_range: IPNetwork | None = None
    reserved: tuple[IPAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network as the user asked for it; nothing is checked against the host yet."""

    name: str
    driver: str = "bridge"
    subnets: tuple[Subnet, ...] = ()
    ipv6: bool = False
    internal: bool = False
    mtu: int | None = None
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """A network as it is kept in the store: every choice made.

    Attributes:
        slot: small number, unique on the host, from which interface indexes are derived.
        options: the driver's options as key and value; the driver parses them into its own dataclass.
        used_by: who else holds it, e.g. a topology file's name.
    """

    id: str
    name: str
    driver: str
    slot: int
    subnets: tuple[Subnet, ...] = ()
    ipv6: bool = False
    internal: bool = False
    mtu: int = 1500
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    scope: Scope = Scope.LOCAL
    topology: str = ""

    def subnets_of(self, version: int) -> tuple[Subnet, ...]:
        """Return the subnets of IP version 4 or 6, in the order given."""
        return tuple(s for s in self.subnets if s.cidr.version == version)

    def with_options(self, changed: dict[str, str]) -> Network:
        """Return a copy with some options replaced, sorted by key."""
        return replace(self, options=tuple(sorted({**dict(self.options), **changed}.items())))
