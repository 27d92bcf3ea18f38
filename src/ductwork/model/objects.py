"""What exists in the kernel, as values: the common language of plans, the executor and the kernel adapters.

A plan says which of these must exist; the difference to what exists is a list of steps. Every object names
its namespace by a key (`HOST` or a sandbox's key), never by a path, and everything we create is addressed by
an interface index of our choosing: a failed create must never let the next message hit a stranger's link.
`alias` is our mark of ownership on a link (IFLA_IFALIAS); `PROTOCOL` marks our routes and neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType, TypeAlias

from ductwork.model.addresses import IPAddress, IPInterface, IPNetwork
from ductwork.model.names import Mac

NsKey = NewType("NsKey", str)
HOST = NsKey("host")

ALIAS_PREFIX = "ductwork:"
PROTOCOL = 0xD7  # rtm_protocol of our routes and neighbours; unassigned in iproute2's rt_protos


@dataclass(frozen=True, slots=True)
class PinnedNamespace:
    """A network namespace of ours, kept alive by a bind mount at `path`."""

    key: NsKey
    path: str


@dataclass(frozen=True, slots=True)
class NamespaceName:
    """A symbolic link by which `ip netns` sees somebody else's namespace; it keeps nothing alive."""

    path: str
    points_to: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """A Linux bridge in the host with an explicit MAC.

    Attributes:
        route_localnet: 127.0.0.0/8 may be routed over it, which publishing on 127.0.0.1 needs.
        ipv6: give it a link-local address; off keeps the segment free of multicast chatter.
    """

    ns: NsKey
    name: str
    ifindex: int
    mac: Mac
    mtu: int
    alias: str
    ipv6: bool
    route_localnet: bool


@dataclass(frozen=True, slots=True)
class Veth:
    """A veth pair: the outer end in `ns`, perhaps a port of bridge `master`, the inner end in `peer_ns`.

    Both ends are up. `hairpin` lets frames leave by the port they came in.
    """

    ns: NsKey
    name: str
    ifindex: int
    alias: str
    mtu: int
    peer_ns: NsKey
    peer_name: str
    peer_ifindex: int
    peer_mac: Mac
    master: int = 0
    mac: Mac | None = None
    ipv6: bool = False
    hairpin: bool = False


@dataclass(frozen=True, slots=True)
class LinkUp:
    """An existing link, such as lo, that must be up; taking it away does nothing."""

    ns: NsKey
    name: str
    ifindex: int = 1


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a link, added without duplicate address detection (IFA_F_NODAD)."""

    ns: NsKey
    dev: str
    ifindex: int
    ip: IPInterface


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table with our protocol number."""

    ns: NsKey
    dst: IPNetwork
    via: IPAddress | None
    dev: str
    ifindex: int
    metric: int = 0


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour entry: exempt from the table limits that all namespaces share."""

    ns: NsKey
    dev: str
    ifindex: int
    ip: IPAddress
    mac: Mac


@dataclass(frozen=True, slots=True)
class LoopbackGuard:
    """A tc ingress filter that drops packets to 127.0.0.0/8 arriving on a link without our mark.

    With route_localnet a container could otherwise reach servers the host binds to 127.0.0.1. It is a tc
    filter and not an nft rule because it must survive `nft flush ruleset`.
    """

    ns: NsKey
    dev: str
    ifindex: int


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A sysctl of a namespace, path below /proc/sys with slashes; `before` is what removal writes back."""

    ns: NsKey
    path: str
    value: str
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Our nft table with its constant chains, rules and empty maps; `text` is what `nft -f` takes."""

    ns: NsKey
    owner: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The value of a verdict map's element: accept, drop, or jump/goto a chain."""

    code: str
    chain: str = ""


NftField: TypeAlias = str | int | IPAddress | IPNetwork


@dataclass(frozen=True, slots=True)
class NftElement:
    """One element of a set or map of our table, named in nft_schema; an IPNetwork field is an interval."""

    ns: NsKey
    set: str
    key: tuple[NftField, ...]
    value: tuple[NftField, ...] | Verdict | None = None


@dataclass(frozen=True, slots=True)
class ForeignAccept:
    """An accept for one of our bridges in somebody else's forward chain, whose policy would drop us.

    Attributes:
        firewall: which dialect: "iptables", "ip6tables" (nft backend), "iptables-legacy", "ip6tables-legacy",
            or "nft" for a plain nft chain.
        table: "filter", or for nft "FAMILY TABLE".
        direction: "in" or "out" of the bridge.
    """

    ns: NsKey
    firewall: str
    table: str
    chain: str
    dev: str
    direction: str
    tag: str


@dataclass(frozen=True, slots=True)
class HostsEntries:
    """Lines of ours in a sandbox's /etc/hosts; `where` is the sandbox's target, `lines` are whole lines."""

    key: NsKey
    where: str
    lines: tuple[str, ...]


KernelObject: TypeAlias = (
    PinnedNamespace
    | NamespaceName
    | Bridge
    | Veth
    | LinkUp
    | Address
    | Route
    | Neighbour
    | LoopbackGuard
    | Sysctl
    | Ruleset
    | NftElement
    | ForeignAccept
    | HostsEntries
)


@dataclass(frozen=True, slots=True)
class Add:
    """Make an object that must not exist yet; with `tolerant`, one of ours that exists is brought in line."""

    object: KernelObject
    tolerant: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    """Take an object of ours away; one that is gone already is success."""

    object: KernelObject


@dataclass(frozen=True, slots=True)
class Change:
    """Bring an object of the same identity from one value to another without removing it."""

    old: KernelObject
    new: KernelObject


Step: TypeAlias = Add | Remove | Change


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Which conntrack entries to delete: by original destination, and perhaps by who answers.

    Attributes:
        original_dst, original_port: what the client asked for; None matches any address.
        reply_src: who answers (the container); None matches any. `untranslated_only` spares flows
            that already go through a translation.
    """

    protocol: int
    original_port: int | None
    original_dst: IPAddress | None = None
    reply_src: IPAddress | None = None
    version: int = 4
    untranslated_only: bool = False
