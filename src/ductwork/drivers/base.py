"""The contract of a driver, and the reading of options that all share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from ductwork.errors import InvalidArgument
from ductwork.model.endpoint import Endpoint
from ductwork.model.network import Network
from ductwork.model.objects import HOST, KernelObject, NsKey, Sysctl


@dataclass(frozen=True, slots=True)
class Attachment:
    """An endpoint together with the key of the namespace it is in."""

    endpoint: Endpoint
    key: NsKey


class Driver(Protocol):
    """What a driver must say about itself and its networks.

    Attributes:
        kind: the name the user types.
        summary: one line for help and `network ls`.
        uses_addresses: endpoints get addresses from the network's subnets.
        has_gateway: the host has an address in every subnet, so ports can be published.
        own_stack: a sandbox with a stack of its own can be connected.
        max_endpoints: None for no limit.
        couples_endpoints: what exists depends on all endpoints together, not on each alone.
    """

    kind: ClassVar[str]
    summary: ClassVar[str]
    uses_addresses: ClassVar[bool]
    has_gateway: ClassVar[bool]
    own_stack: ClassVar[bool]
    max_endpoints: ClassVar[int | None]
    couples_endpoints: ClassVar[bool]
    option_help: ClassVar[Mapping[str, str]]

    def validate(self, network: Network) -> None:
        """Check a network before anything changes.

        Raises:
            InvalidArgument: an option or a combination this driver does not have.
        """
        ...

    def describe(self, network: Network) -> Mapping[str, str]:
        """Return what a person wants to see of the options, with defaults filled in."""
        ...

    def plan_network(self, network: Network, attached: Sequence[Attachment]) -> list[KernelObject]:
        """Say what the network itself consists of; `attached` is given to coupling drivers only."""
        ...

    def plan_endpoint(self, network: Network, attached: Attachment) -> list[KernelObject]:
        """Say what one endpoint consists of, apart from default route, names and published ports."""
        ...


def switch_ipv6_on(key: NsKey, ifname: str) -> Sysctl:
    """Say that an interface takes IPv6 addresses: container engines switch that off in what they make."""
    return Sysctl(key, f"net/ipv6/conf/{ifname}/disable_ipv6", "0")


def refuse_advertisements(bridge: str, ipv6: bool) -> list[KernelObject]:
    """Say that the host takes no IPv6 configuration from its own containers.

    A forged router advertisement would otherwise give the host a default route through a container
    (CVE-2020-13401 in Docker). Without IPv6 on the network the host has none on the bridge at all.
    """
    conf = f"net/ipv6/conf/{bridge}"
    return [
        Sysctl(HOST, f"{conf}/disable_ipv6", "0" if ipv6 else "1"),
        Sysctl(HOST, f"{conf}/accept_ra", "0"),
    ]


def check_options(kind: str, options: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Refuse an option the driver does not know, naming those it does."""
    for key in options:
        if key not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise InvalidArgument(f"driver {kind} has no option {key!r}", hint=f"its options are: {listed}")


def read_switch(options: Mapping[str, str], key: str, default: bool) -> bool:
    """Read an on/off option."""
    text = options.get(key)
    if text is None:
        return default
    if text.lower() in {"on", "yes", "true", "1"}:
        return True
    if text.lower() in {"off", "no", "false", "0"}:
        return False
    raise InvalidArgument(f"option {key}={text!r} is neither on nor off", hint=f"write {key}=on or {key}=off")
