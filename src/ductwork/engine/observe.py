"""Whether a kernel object exists as planned, from one dump of each kind per namespace."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from ductwork.kernel.ports import Kernel, LinkInfo
from ductwork.model.nft_text import count_rules
from ductwork.model.objects import (
    ALIAS_PREFIX,
    HOST,
    Address,
    Bridge,
    ForeignAccept,
    HostsEntries,
    KernelObject,
    LinkUp,
    LoopbackGuard,
    NamespaceName,
    Neighbour,
    NftElement,
    NftField,
    NsKey,
    PinnedNamespace,
    Route,
    Ruleset,
    Sysctl,
    Veth,
)
from ductwork.plan.canonical import canonical_element


class Observer:
    """A look at the kernel at one moment; make a new one to look again."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._spaces: dict[NsKey, _Space] = {}
        self._folders: dict[str, set[str]] = {}
        self._sets: dict[tuple[NsKey, str], dict[tuple[NftField, ...], NftElement]] = {}

    def leftovers(self, known: set[str]) -> list[LinkInfo]:
        """Return links of the host that carry our mark although nothing on record explains them."""
        links = self._space(HOST).links.values()
        return [link for link in links if link.alias.startswith(ALIAS_PREFIX) and link.name not in known]

    def exists(self, item: KernelObject) -> bool:
        """Say whether an object is there, with the values it should have."""
        match item:
            case PinnedNamespace():
                return item.path in self._pinned(str(Path(item.path).parent))
            case NamespaceName():
                return Path(item.path).exists()
            case Bridge() | Veth():
                return self._link(item)
            case LinkUp() | Address() | Route() | Neighbour() | LoopbackGuard():
                return self._reachable(item.ns) and self._space(item.ns).has(item)
            case Sysctl():
                return self._reachable(item.ns) and self._kernel.sysctl(item.ns).get(item.path) == item.value
            case Ruleset():
                nft = self._kernel.nft(item.ns)
                return nft.owner() == item.owner and nft.rule_count() == count_rules(item.text)
            case NftElement():
                return self._element(item)
            case ForeignAccept():
                return item in self._foreign
            case HostsEntries():
                return True  # a file's content is the container's own to change

    def _pinned(self, folder: str) -> set[str]:
        if folder not in self._folders:
            self._folders[folder] = set(self._kernel.namespace_paths(folder))
        return self._folders[folder]

    @cached_property
    def _foreign(self) -> tuple[ForeignAccept, ...]:
        return self._kernel.observe_foreign(HOST).accepts

    def _reachable(self, key: NsKey) -> bool:
        return key == HOST or self._kernel.bound(key) is not None

    def _space(self, key: NsKey) -> _Space:
        if key not in self._spaces:
            self._spaces[key] = _Space(self._kernel, key)
        return self._spaces[key]

    def _link(self, item: Bridge | Veth) -> bool:
        if not self._reachable(item.ns):
            return False
        found = self._space(item.ns).links.get(item.name)
        if found is None or found.alias != item.alias or found.mtu != item.mtu or not found.up:
            return False
        return isinstance(item, Bridge) or item.master in (0, found.master)

    def _element(self, item: NftElement) -> bool:
        place = (item.ns, item.set)
        if place not in self._sets:
            nft = self._kernel.nft(item.ns)
            there = nft.elements(item.set) if nft.owner() is not None else []
            self._sets[place] = {canonical_element(e).key: canonical_element(e) for e in there}
        wanted = canonical_element(item)
        found = self._sets[place].get(wanted.key)
        return found is not None and found.value == wanted.value


class _Space:
    """The links, addresses, routes and neighbours of one namespace."""

    def __init__(self, kernel: Kernel, key: NsKey) -> None:
        route = kernel.route(key)
        self.links = {link.name: link for link in route.links()}
        self._up = {link.ifindex for link in self.links.values() if link.up}
        self._addresses = {(a.ifindex, a.ip) for a in route.addresses()}
        self._routes = {(r.dst, r.via, r.ifindex) for r in route.routes()}
        self._neighbours = {(n.ifindex, n.ip, n.mac) for n in route.neighbours()}
        self._guards = set(route.guards())

    def has(self, item: LinkUp | Address | Route | Neighbour | LoopbackGuard) -> bool:
        """Say whether an object stands in this namespace."""
        match item:
            case LinkUp():
                return item.ifindex in self._up
            case Address():
                return (item.ifindex, item.ip) in self._addresses
            case Route():
                return (item.dst, item.via, item.ifindex) in self._routes
            case Neighbour():
                return (item.ifindex, item.ip, item.mac) in self._neighbours
            case LoopbackGuard():
                return item.ifindex in self._guards
