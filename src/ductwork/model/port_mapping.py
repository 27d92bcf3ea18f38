"""A published port: what makes a container's server reachable through an address of its host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ductwork.model.addresses import IPAddress, IPNetwork


class Protocol(StrEnum):
    """Transport protocols a port can be published for; the values are the words of Docker and nft."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"

    @property
    def number(self) -> int:
        """IP protocol number, IANA."""
        return {"tcp": 6, "udp": 17, "sctp": 132}[self.value]


@dataclass(frozen=True, slots=True, order=True)
class PortRequest:
    """A port mapping as the user wrote it, host port perhaps still to be chosen.

    Attributes:
        host_port, host_port_end: the allowed host ports, inclusive; None asks for an ephemeral one.
        container_port: first container port; `count` of them follow one another.
        allow_from: only these sources may use the mapping; empty means anyone.
    """

    container_port: int
    count: int = 1
    host_ip: IPAddress | None = None
    host_port: int | None = None
    host_port_end: int | None = None
    protocol: Protocol = Protocol.TCP
    allow_from: tuple[IPNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class PortMapping:
    """One published port, decided: traffic to host_ip:host_port goes to container_port of the endpoint.

    host_ip None means every address of the host, of each family the endpoint has; 0.0.0.0 or :: every address
    of that family.
    """

    protocol: Protocol
    host_ip: IPAddress | None
    host_port: int
    container_port: int
    allow_from: tuple[IPNetwork, ...] = ()

    @property
    def versions(self) -> frozenset[int]:
        """The IP versions it is published for."""
        return frozenset({4, 6} if self.host_ip is None else {self.host_ip.version})

    @property
    def everywhere(self) -> bool:
        """Say whether it holds on every address of the host."""
        return self.host_ip is None or self.host_ip.is_unspecified

    def overlaps(self, other: PortMapping) -> bool:
        """Say whether two mappings of one protocol and host port would claim the same packets."""
        if not self.versions & other.versions:
            return False
        return self.everywhere or other.everywhere or self.host_ip == other.host_ip

    @property
    def key(self) -> str:
        """Name the host port it takes: PROTOCOL/PORT/ADDRESS, `*` for every address."""
        return f"{self.protocol}/{self.host_port}/{'*' if self.host_ip is None else self.host_ip}"

    def __str__(self) -> str:
        ip = (
            ""
            if self.host_ip is None
            else f"[{self.host_ip}]:"
            if self.host_ip.version == 6
            else f"{self.host_ip}:"
        )
        return f"{ip}{self.host_port}:{self.container_port}/{self.protocol}"
