"""The floor: the messages an attachment cannot do without, ready as bytes, and nothing else."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench import netlink
from bench.command import run
from bench.contestants import Reach, Target
from bench.lab import CONTAINER_PORT, GATEWAY, HOST_ADDRESS, Host, add_bridge, container_address
from bench.netns import enter

TABLE = "floor"
MAP = "ports"
RULES = f"""
table ip {TABLE} {{
  map {MAP} {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  chain prerouting {{
    type nat hook prerouting priority -105;
    fib daddr type local dnat ip to meta l4proto . th dport map @{MAP}
  }}
}}
"""
_FIRST_LINK = 1000
_PEER_LINK = 10


@dataclass(slots=True)
class _Prepared:
    """The bytes of one attachment; the create message waits for the descriptor's number."""

    create: Callable[[int], bytes]
    configure: bytes
    publish: bytes
    container: socket.socket | None = None


@dataclass(slots=True)
class Floor:
    """Raw netlink: one create, one batch in the container, one map element.

    Opening the namespace and a socket in it is timed too: nobody can attach a namespace without.
    """

    name: str = "floor"
    label: str = "raw netlink + one nft element"
    in_host: bool = True
    parts: dict[str, list[float]] = field(default_factory=dict)
    _host: Host | None = None
    _sockets: list[socket.socket] = field(default_factory=list)
    _home: int = -1
    _bridge: int = 0
    _prepared: dict[int, _Prepared] = field(default_factory=dict)

    def setup(self, host: Host, _state_dir: Path) -> None:
        """Make a bridge, load the map, open the two sockets of the host."""
        self._host = host
        self._bridge = add_bridge(host, "br0")
        run(["nft", "-f", "-"], stdin=RULES)
        self._home = os.open(host.netns, os.O_RDONLY | os.O_CLOEXEC)
        self._sockets = [netlink.open_route_socket(), netlink.open_netfilter_socket()]

    def prepare(self, target: Target) -> None:
        """Build every byte that can be built before the namespace is open."""
        address = container_address(target.index)
        index = _FIRST_LINK + target.index
        bridge = self._bridge

        def create(fd: int) -> bytes:
            return netlink.create_veth(index, f"v{index}", bridge, _PEER_LINK, fd)

        self._prepared[target.index] = _Prepared(
            create,
            netlink.configure(_PEER_LINK, address, 16, GATEWAY),
            netlink.map_elements(TABLE, MAP, [target.host_port], address, CONTAINER_PORT),
        )

    def attach(self, target: Target) -> None:
        """Open, create, configure, publish, and note what each part took."""
        prepared = self._prepared[target.index]
        route, netfilter = self._sockets
        began = time.perf_counter()
        fd = os.open(target.netns, os.O_RDONLY | os.O_CLOEXEC)
        enter(fd)
        container = netlink.open_route_socket()
        enter(self._home)
        opened = time.perf_counter()
        netlink.send(route, prepared.create(fd))
        created = time.perf_counter()
        netlink.send(container, prepared.configure, acknowledgements=3)
        configured = time.perf_counter()
        netlink.send(netfilter, prepared.publish)
        published = time.perf_counter()
        os.close(fd)
        prepared.container = container
        self._note(open=opened - began, create=created - opened)
        self._note(configure=configured - created, publish=published - configured)

    def _note(self, **seconds: float) -> None:
        for part, spent in seconds.items():
            self.parts.setdefault(part, []).append(spent * 1000)

    def reach(self, target: Target) -> Reach:
        """From the client, through the published port."""
        assert self._host is not None
        return Reach(target.netns, self._host.client, HOST_ADDRESS, target.host_port)

    def detach(self, target: Target) -> None:
        """Delete the element and the link."""
        prepared = self._prepared.pop(target.index)
        route, netfilter = self._sockets
        address = container_address(target.index)
        withdraw = netlink.map_elements(TABLE, MAP, [target.host_port], address, CONTAINER_PORT, delete=True)
        netlink.send(netfilter, withdraw)
        netlink.send(route, netlink.delete_link(_FIRST_LINK + target.index))
        if prepared.container is not None:
            prepared.container.close()

    def close(self) -> None:
        """Close every descriptor that is still open."""
        for sock in self._sockets:
            sock.close()
        for prepared in self._prepared.values():
            if prepared.container is not None:
                prepared.container.close()
        if self._home >= 0:
            os.close(self._home)
            self._home = -1
