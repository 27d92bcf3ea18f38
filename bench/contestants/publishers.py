"""Ways to publish a container's port, for what grows with the number of published ports."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench import netlink
from bench.command import find_program, run
from bench.contestants import UnavailableError
from bench.contestants.cni import portmap_config, require_plugins, run_plugin
from bench.contestants.floor import MAP, RULES, TABLE
from bench.lab import CONTAINER_PORT, GATEWAY, Host, add_bridge, container_address
from bench.ours import Adapter

_ADDRESS = container_address(0)


class Publisher(Protocol):
    """One way to publish ports of one container. `publish` is timed, the rest is not."""

    name: str
    label: str
    in_host: bool

    def setup(self, host: Host, container: Path, state_dir: Path, ports: Sequence[int], /) -> None:
        """Connect the container and publish `ports` by the quickest way there is."""

    def publish(self, port: int, /) -> None:
        """Publish one port more."""

    def unpublish(self, port: int, /) -> None:
        """Undo `publish`."""

    def close(self) -> None:
        """Let go of processes and sockets."""


def _wire(host: Host, container: Path) -> None:
    add_bridge(host, "br0")
    run(
        ["ip", "-n", host.netns.name, "-batch", "-"],
        stdin=f"link add v0 type veth peer name eth0 netns {container.name}\nlink set v0 master br0 up\n",
    )
    run(
        ["ip", "-n", container.name, "-batch", "-"],
        stdin=f"addr add {_ADDRESS}/16 dev eth0\nlink set eth0 up\nroute add default via {GATEWAY}\n",
    )


@dataclass(slots=True)
class NftMap:
    """The floor: one map by hand, one element a port, raw nfnetlink, the bytes ready."""

    name: str = "floor"
    label: str = "one nft map by hand"
    in_host: bool = True
    _socket: socket.socket | None = None
    _ready: dict[int, bytes] = field(default_factory=dict)

    def setup(self, host: Host, container: Path, _state_dir: Path, ports: Sequence[int]) -> None:
        """Load the map and fill it."""
        _wire(host, container)
        run(["nft", "-f", "-"], stdin=RULES)
        self._socket = netlink.open_netfilter_socket()
        netlink.fill_map(self._socket, TABLE, MAP, ports, address=_ADDRESS, port=CONTAINER_PORT)

    def publish(self, port: int) -> None:
        """Add one element."""
        self._send(port, delete=False)

    def unpublish(self, port: int) -> None:
        """Delete it."""
        self._send(port, delete=True)

    def _send(self, port: int, *, delete: bool) -> None:
        assert self._socket is not None
        key = -port if delete else port
        if key not in self._ready:
            self._ready[key] = netlink.map_elements(
                TABLE, MAP, [port], _ADDRESS, CONTAINER_PORT, delete=delete
            )
        netlink.send(self._socket, self._ready[key])

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()


@dataclass(slots=True)
class IptablesRules:
    """One DNAT rule a port, in a chain of its own, as Docker lays them out."""

    name: str = "iptables"
    label: str = "iptables, one rule a port"
    in_host: bool = True

    def setup(self, host: Host, container: Path, _state_dir: Path, ports: Sequence[int]) -> None:
        """Restore all rules in one go."""
        if find_program("iptables") is None:
            raise UnavailableError("iptables is not installed")
        _wire(host, container)
        lines = ["*nat", ":PORTS - [0:0]", "-A PREROUTING -m addrtype --dst-type LOCAL -j PORTS"]
        lines += [f"-A {' '.join(_rule(port))}" for port in ports]
        run(["iptables-restore", "--noflush"], stdin="\n".join([*lines, "COMMIT", ""]))

    def publish(self, port: int) -> None:
        """Append one rule."""
        run(["iptables", "-t", "nat", "-A", *_rule(port)])

    def unpublish(self, port: int) -> None:
        """Delete it by its words."""
        run(["iptables", "-t", "nat", "-D", *_rule(port)])

    def close(self) -> None:
        """The rules go with the namespace."""


def _rule(port: int) -> list[str]:
    matches = ["PORTS", "-p", "tcp", "-m", "tcp", "--dport", str(port)]
    return [*matches, "-j", "DNAT", "--to-destination", f"{_ADDRESS}:{CONTAINER_PORT}"]


@dataclass(slots=True)
class CniPortmap:
    """One call of `portmap` a port, each for a container id of its own."""

    name: str = "cni"
    label: str = "CNI portmap"
    in_host: bool = True
    _container: Path = Path()
    _result: dict[str, Any] = field(default_factory=dict)

    def setup(self, host: Host, container: Path, _state_dir: Path, ports: Sequence[int]) -> None:
        """Call the plugin once for each port: it has no quicker way for many containers."""
        require_plugins()
        _wire(host, container)
        self._container = container
        address = {"version": "4", "interface": 2, "address": f"{_ADDRESS}/16", "gateway": GATEWAY}
        interfaces = [{"name": "br0"}, {"name": "v0"}, {"name": "eth0", "sandbox": str(container)}]
        self._result = {"cniVersion": "0.4.0", "interfaces": interfaces, "ips": [address], "dns": {}}
        for port in ports:
            self.publish(port)

    def publish(self, port: int) -> None:
        """Call the plugin with ADD."""
        self._call("ADD", port)

    def unpublish(self, port: int) -> None:
        """Call the plugin with DEL."""
        self._call("DEL", port)

    def _call(self, command: str, port: int) -> None:
        run_plugin("portmap", command, f"bench{port}", self._container, portmap_config(self._result, port))

    def close(self) -> None:
        """The plugin keeps no process; its rules go with the namespace."""


@dataclass(slots=True)
class OurPorts:
    """The adapter among the publishers."""

    adapter: Adapter
    name: str = "ours"
    label: str = "Ductwork"
    in_host: bool = False
    _container: Path = Path()

    def setup(self, host: Host, container: Path, state_dir: Path, ports: Sequence[int]) -> None:
        """Attach without a port, then publish all in one request."""
        self._container = container
        self.adapter.setup(host.netns, state_dir)
        self.adapter.attach(container, 0, None)
        if ports:
            self.adapter.publish(container, ports)

    def publish(self, port: int) -> None:
        """Ask for one port more."""
        self.adapter.publish(self._container, [port])

    def unpublish(self, port: int) -> None:
        """Take it back."""
        self.adapter.unpublish(self._container, [port])

    def close(self) -> None:
        """Close the engine."""
        self.adapter.close()
