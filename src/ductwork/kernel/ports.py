"""The protocol between the engine and a kernel, real or in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ductwork.model.addresses import IPAddress, IPInterface, IPNetwork
from ductwork.model.foreign import ForeignView
from ductwork.model.objects import FlowFilter, NftElement, NsKey, Ruleset, Step


class KernelError(Exception):
    """The kernel refused one step: errno, its own words (extended ack), and what was being done."""

    def __init__(self, errno: int, text: str, doing: str) -> None:
        super().__init__(f"{doing}: {text}")
        self.errno = errno
        self.text = text
        self.doing = doing


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """A link as it is; `kind` is rtnetlink's (bridge, veth, …) or empty, `peer_ifindex` is IFLA_LINK."""

    ifindex: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    carrier: bool
    master: int
    peer_ifindex: int
    alias: str


@dataclass(frozen=True, slots=True)
class AddressInfo:
    """An address on a link."""

    ifindex: int
    ip: IPInterface


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """A unicast route; `dst` is 0.0.0.0/0 or ::/0 for a default route, `source` the preferred source."""

    dst: IPNetwork
    via: IPAddress | None
    ifindex: int
    metric: int
    table: int
    protocol: int
    source: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class NeighbourInfo:
    """A permanent neighbour entry."""

    ifindex: int
    ip: IPAddress
    mac: str


@dataclass(frozen=True, slots=True)
class NftChainInfo:
    """A base chain of anybody's: its hook, type and policy ("accept" or "drop")."""

    family: str
    table: str
    name: str
    type: str
    hook: str
    priority: int
    policy: str


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """An open namespace: `cookie` is SO_NETNS_COOKIE, never reused while the machine is up."""

    cookie: int
    path: str


class RoutePort(Protocol):
    """rtnetlink and tc in one namespace."""

    def apply(self, steps: Sequence[Step]) -> list[KernelError | None]:
        """Do the steps in order, in as few sends as possible; one answer per step.

        A failing step does not stop the later ones (a netlink batch is not a transaction).
        Steps: PinnedNamespace, Ruleset, NftElement, ForeignAccept, HostsEntries, Sysctl never come here.
        """
        ...

    def links(self) -> list[LinkInfo]: ...
    def addresses(self) -> list[AddressInfo]: ...
    def routes(self) -> list[RouteInfo]: ...
    def neighbours(self) -> list[NeighbourInfo]: ...
    def guards(self) -> list[int]:
        """Return the ifindexes that carry our LoopbackGuard."""
        ...

    def routes_restore(self, routes: Sequence[RouteInfo]) -> None:
        """Put back routes of others exactly as they were observed."""
        ...

    def routes_remove(self, routes: Sequence[RouteInfo]) -> None:
        """Take routes of others away, as observed."""
        ...


class NftPort(Protocol):
    """nftables in one namespace."""

    def load(self, ruleset: Ruleset) -> None:
        """Replace our table by this text in one transaction."""
        ...

    def delete_table(self) -> None: ...
    def owner(self) -> str | None:
        """Return the owner our table was loaded for, None when there is no table."""
        ...

    def rule_count(self) -> int:
        """Count the rules in our table; 0 when there is no table."""
        ...

    def apply(self, steps: Sequence[Step]) -> None:
        """Add and remove elements in one transaction: all or nothing.

        Raises:
            KernelError: nothing was changed.
        """
        ...

    def elements(self, set_name: str) -> list[NftElement]: ...
    def base_chains(self) -> list[NftChainInfo]:
        """Return the base chains of every table in the namespace."""
        ...

    def run(self, text: str) -> str:
        """Run nft commands and return what they print (JSON where the command asks for it)."""
        ...


class SysctlPort(Protocol):
    """Sysctls below net/ in one namespace."""

    def get(self, path: str) -> str | None: ...
    def set(self, path: str, value: str) -> None: ...
    def tree(self, path: str) -> dict[str, str]:
        """Return every readable sysctl below a folder."""
        ...


class ConntrackPort(Protocol):
    """Connection tracking in one namespace."""

    def delete(self, flows: Sequence[FlowFilter]) -> None: ...


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that holds a port; `process` is "name (pid N)" where it can be known."""

    protocol: str
    ip: IPAddress
    port: int
    process: str


class SocketPort(Protocol):
    """Local sockets of a namespace."""

    def bind_conflict(self, protocol: str, ip: IPAddress, port: int) -> bool:
        """Try to bind; say whether somebody else's socket stands in the way."""
        ...

    def listeners(self, protocol: str, port: int) -> list[Listener]: ...


class Kernel(Protocol):
    """A host's kernel. Namespaces are bound to keys once and used by key from then on."""

    def bind(self, key: NsKey, path: str) -> NamespaceInfo:
        """Open the namespace at a path and use it for `key`.

        Raises:
            FileNotFoundError, PermissionError; NotADirectoryError never; ValueError: not a network namespace.
        """
        ...

    def unbind(self, key: NsKey) -> None: ...
    def release(self) -> None:
        """Unbind every namespace but the host's: an open one keeps a dead container's alive."""
        ...

    def is_the_machines(self, path: str) -> bool:
        """Say whether a namespace is the machine's own or the caller's, and so no container's."""
        ...

    @property
    def boot_id(self) -> str:
        """Return what is another after each boot of the machine."""
        ...

    @property
    def batch_limit(self) -> int:
        """How many namespaces one batch may touch."""
        ...

    def bound(self, key: NsKey) -> NamespaceInfo | None: ...
    def create_namespace(self, path: str) -> None:
        """Make a namespace pinned at path, as `ip netns add` does.

        Raises:
            FileExistsError: the path is taken.
        """
        ...

    def delete_namespace(self, path: str) -> None:
        """Unpin, or take a symbolic link away; a path that is gone is success."""
        ...

    def name_namespace(self, path: str, points_to: str) -> None:
        """Make a symbolic link to a namespace file of /proc; one of ours that is there already is success."""
        ...

    def namespace_paths(self, folder: str) -> list[str]: ...
    def route(self, key: NsKey) -> RoutePort: ...
    def nft(self, key: NsKey) -> NftPort: ...
    def sysctl(self, key: NsKey) -> SysctlPort: ...
    def conntrack(self, key: NsKey) -> ConntrackPort: ...
    def sockets(self, key: NsKey) -> SocketPort: ...
    def observe_foreign(self, key: NsKey) -> ForeignView:
        """Look at other people's forward chains."""
        ...

    def apply_foreign(self, key: NsKey, step: Step) -> None:
        """Add or remove one ForeignAccept; adding twice is once, removing what is gone is success.

        Raises:
            KernelError, DuctworkError: in words, e.g. which package is missing.
        """
        ...

    def run(self, key: NsKey, argv: Sequence[str], stdin: str = "") -> tuple[int, str]:
        """Run a tool that is itself the interface (iptables) in the namespace: exit code and output."""
        ...

    def write_hosts(self, where: str, lines: Sequence[str]) -> None:
        """Make `lines` the block of ours in a hosts file; no lines take the block away.

        `where` is "file:PATH" or "pid:N" (the /etc/hosts that process sees). A vanished process is success.
        """
        ...

    def close(self) -> None: ...
