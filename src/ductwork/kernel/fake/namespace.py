"""One network namespace in memory: its links and addresses, and what the kernel makes follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from errno import EBUSY, EEXIST, EINVAL, ENODEV
from ipaddress import IPv4Interface, IPv6Interface

from ductwork.kernel.fake.faults import refuse
from ductwork.kernel.fake.sysctl import Sysctls
from ductwork.kernel.fake.tables import Tables
from ductwork.kernel.fake.traffic import FakeFlow
from ductwork.kernel.ports import LinkInfo, Listener, RouteInfo
from ductwork.model.addresses import IPAddress, IPInterface, IPNetwork
from ductwork.model.foreign import ForeignView

LO = 1
RT_TABLE_MAIN = 254
RTPROT_KERNEL = 2
RTPROT_RA = 9
V6_PREFIX_METRIC = 256  # IP6_RT_PRIO_ADDRCONF, net/ipv6/addrconf.c
LOOPBACK: tuple[IPInterface, ...] = (IPv4Interface("127.0.0.1/8"), IPv6Interface("::1/128"))
BRIDGE_MAX_PORTS = 1023  # BR_PORT_BITS, net/bridge/br_private.h


@dataclass(slots=True)
class FakeLink:
    """A link; `peer` is the other end of a veth pair."""

    name: str
    ifindex: int
    kind: str = ""
    mac: str = ""
    mtu: int = 1500
    alias: str = ""
    up: bool = False
    master: int = 0
    hairpin: bool = False
    peer: tuple[FakeNamespace, int] | None = None


RouteKey = tuple[IPNetwork, int, int]


@dataclass(eq=False)
class FakeNamespace:
    """Everything that lives and dies with one namespace. Tests declare here what is not ours."""

    cookie: int
    links: dict[int, FakeLink] = field(default_factory=dict)
    addresses: list[tuple[int, IPInterface]] = field(default_factory=list)
    static_routes: dict[RouteKey, RouteInfo] = field(default_factory=dict)
    neighbours: dict[tuple[int, IPAddress], str] = field(default_factory=dict)
    guarded: set[int] = field(default_factory=set)
    sysctls: Sysctls = field(default_factory=Sysctls)
    tables: Tables = field(default_factory=Tables)
    flows: list[FakeFlow] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    foreign: ForeignView = field(default_factory=ForeignView)

    def __post_init__(self) -> None:
        self.links[LO] = FakeLink("lo", LO, mac="00:00:00:00:00:00", mtu=65536)
        self.sysctls.add_device("lo")
        self.sysctls.on_ipv6_off = self._ipv6_off
        self.sysctls.on_ipv6_forwarding = self._forget_advertised_routers

    # -- links ---------------------------------------------------------------------------------------------

    def link(self, ifindex: int, doing: str) -> FakeLink:
        """Return a link, or refuse as the kernel does."""
        if ifindex not in self.links:
            raise refuse(ENODEV, doing)
        return self.links[ifindex]

    def by_name(self, name: str) -> FakeLink | None:
        """Find a link by its name."""
        return next((link for link in self.links.values() if link.name == name), None)

    def check_free(self, name: str, ifindex: int, doing: str, *, as_peer: bool = False) -> None:
        """Refuse a taken name or index; a veth's second index fails otherwise than its first."""
        if ifindex in self.links:
            raise refuse(EBUSY if as_peer else EEXIST, doing)
        if self.by_name(name):
            raise refuse(EEXIST, doing)

    def add_link(
        self, name: str, kind: str = "dummy", ifindex: int | None = None, **more: object
    ) -> FakeLink:
        """Make a link; `more` are fields of FakeLink. Without an index the next free one is taken."""
        index = ifindex if ifindex is not None else max(self.links) + 1
        doing = f"add link {name}"
        self.check_free(name, index, doing)
        link = FakeLink(name, index, kind)
        for key, value in more.items():
            setattr(link, key, value)
        link.mac = link.mac or "02:fa:" + index.to_bytes(4).hex(":")
        check_mtu(link.mtu, doing)
        self.links[index] = link
        self.sysctls.add_device(name)
        if link.up:
            self.bring_up(link)
        return link

    def remove_link(self, ifindex: int) -> None:
        """Take a link away, and with it all that hangs on it, its peer included."""
        link = self.links.pop(ifindex, None)
        if link is None:
            return
        self.sysctls.drop_device(link.name)
        for port in self.links.values():
            if port.master == ifindex:
                port.master = 0
        self.guarded.discard(ifindex)
        self.addresses = [(dev, ip) for dev, ip in self.addresses if dev != ifindex]
        self.static_routes = {k: r for k, r in self.static_routes.items() if r.ifindex != ifindex}
        self.neighbours = {k: mac for k, mac in self.neighbours.items() if k[0] != ifindex}
        if link.peer:
            peer_space, peer_index = link.peer
            peer_space.remove_link(peer_index)

    def bring_up(self, link: FakeLink) -> None:
        """Set a link up; lo gets its addresses with that."""
        link.up = True
        if link.ifindex == LO and not any(dev == LO for dev, _ in self.addresses):
            self.addresses += [(LO, ip) for ip in LOOPBACK]

    def carrier(self, link: FakeLink) -> bool:
        """Say whether frames can leave: a bridge needs a port, a veth needs its other end."""
        if not link.up:
            return False
        if link.peer:
            space, index = link.peer
            return space.links[index].up
        if link.kind == "bridge":
            return any(self.carrier(port) for port in self.links.values() if port.master == link.ifindex)
        return True

    def link_info(self, link: FakeLink) -> LinkInfo:
        """Describe a link as a dump does."""
        return LinkInfo(
            ifindex=link.ifindex,
            name=link.name,
            kind=link.kind,
            mac=link.mac,
            mtu=link.mtu,
            up=link.up,
            carrier=self.carrier(link),
            master=link.master,
            peer_ifindex=link.peer[1] if link.peer else 0,
            alias=link.alias,
        )

    def destroy(self) -> None:
        """Do what happens when the last holder of a namespace lets go."""
        for ifindex in list(self.links):
            self.remove_link(ifindex)

    # -- routes --------------------------------------------------------------------------------------------

    def connected_routes(self) -> list[RouteInfo]:
        """Say which routes the kernel keeps for the addresses of links that are up."""
        found: dict[tuple[int, IPNetwork], RouteInfo] = {}
        for ifindex, ip in self.addresses:
            if not self.links[ifindex].up or (
                ip.version == 4 and (ifindex == LO or ip.network.prefixlen == 32)
            ):
                continue
            metric = 0 if ip.version == 4 else V6_PREFIX_METRIC
            source = ip.ip if ip.version == 4 else None
            route = RouteInfo(ip.network, None, ifindex, metric, RT_TABLE_MAIN, RTPROT_KERNEL, source)
            found.setdefault((ifindex, ip.network), route)
        return list(found.values())

    def routes(self) -> list[RouteInfo]:
        """Return the whole main table."""
        return self.connected_routes() + list(self.static_routes.values())

    def on_link(self, gateway: IPAddress, ifindex: int) -> bool:
        """Say whether a gateway is a neighbour on a link: by longest prefix, and not over another gateway."""
        fitting = [r for r in self.routes() if r.ifindex == ifindex and gateway in r.dst]
        best = max(fitting, key=lambda route: route.dst.prefixlen, default=None)
        return best is not None and best.via is None

    def drop_ipv4_routes(self, ifindex: int) -> None:
        """Follow the kernel: with a link's last IPv4 address all its IPv4 routes go (fib_disable_ip)."""
        self.static_routes = {
            key: route
            for key, route in self.static_routes.items()
            if route.ifindex != ifindex or route.dst.version != 4
        }

    def _ipv6_off(self, device: str) -> None:
        link = self.by_name(device)
        if link is None:
            return
        self.addresses = [(dev, ip) for dev, ip in self.addresses if dev != link.ifindex or ip.version != 6]
        self.static_routes = {
            key: route
            for key, route in self.static_routes.items()
            if route.ifindex != link.ifindex or route.dst.version != 6
        }

    def _forget_advertised_routers(self, device: str) -> None:
        # rt6_purge_dflt_routers: a router does not listen to routers, unless accept_ra is 2.
        link = self.by_name(device)
        if link is None or self.sysctls.values.get(f"net/ipv6/conf/{device}/accept_ra") == "2":
            return
        self.static_routes = {
            key: route
            for key, route in self.static_routes.items()
            if not (
                route.ifindex == link.ifindex
                and route.protocol == RTPROT_RA
                and route.dst.version == 6
                and route.dst.prefixlen == 0
            )
        }

    # -- the whole -----------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, object]:
        """Return a comparable value of everything in this namespace."""
        return {
            "cookie": self.cookie,
            "links": [(self.link_info(link), link.hairpin) for _, link in sorted(self.links.items())],
            "addresses": sorted((dev, str(ip)) for dev, ip in self.addresses),
            "routes": sorted(map(str, self.routes())),
            "neighbours": sorted((dev, str(ip), mac) for (dev, ip), mac in self.neighbours.items()),
            "guarded": sorted(self.guarded),
            "sysctls": dict(sorted(self.sysctls.values.items())),
            "tables": self.tables.snapshot(),
            "flows": sorted(map(str, self.flows)),
            "listeners": sorted(map(str, self.listeners)),
            "foreign": (self.foreign.iptables, self.foreign.nft, sorted(map(str, self.foreign.accepts))),
        }


def check_mtu(mtu: int, doing: str) -> None:
    """Refuse an MTU outside of what Ethernet-like links take."""
    if not 68 <= mtu <= 65536:
        raise refuse(
            EINVAL,
            doing,
            "mtu greater than device maximum" if mtu > 65536 else "mtu less than device minimum",
        )
