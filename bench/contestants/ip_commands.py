"""Attaching by hand: seven `ip` commands and one `nft` command, as the articles do it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.command import run
from bench.contestants import Reach, Target
from bench.contestants.floor import MAP, RULES, TABLE
from bench.lab import CONTAINER_PORT, GATEWAY, HOST_ADDRESS, Host, add_bridge, container_address


@dataclass(slots=True)
class IpCommands:
    """Eight processes an attachment."""

    name: str = "ip"
    label: str = "seven ip commands + nft add element"
    in_host: bool = True
    _host: Host | None = None

    def setup(self, host: Host, _state_dir: Path) -> None:
        """Make a bridge and load the same map as the floor."""
        self._host = host
        add_bridge(host, "br0")
        run(["nft", "-f", "-"], stdin=RULES)

    def prepare(self, target: Target) -> None:
        """Commands need no preparation."""

    def attach(self, target: Target) -> None:
        """Run the eight commands one after another."""
        inside, outside, address = target.netns.name, f"v{target.index}", container_address(target.index)
        run(["ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", inside])
        run(["ip", "link", "set", outside, "master", "br0"])
        run(["ip", "link", "set", outside, "up"])
        run(["ip", "-n", inside, "addr", "add", f"{address}/16", "dev", "eth0"])
        run(["ip", "-n", inside, "link", "set", "lo", "up"])
        run(["ip", "-n", inside, "link", "set", "eth0", "up"])
        run(["ip", "-n", inside, "route", "add", "default", "via", GATEWAY])
        run(["nft", "add", "element", "ip", TABLE, MAP, _element(target)])

    def reach(self, target: Target) -> Reach:
        """From the client, through the published port."""
        assert self._host is not None
        return Reach(target.netns, self._host.client, HOST_ADDRESS, target.host_port)

    def detach(self, target: Target) -> None:
        """Delete the element and the link."""
        run(["nft", "delete", "element", "ip", TABLE, MAP, _element(target)])
        run(["ip", "link", "del", f"v{target.index}"])

    def close(self) -> None:
        """Nothing is held open."""


def _element(target: Target) -> str:
    address = container_address(target.index)
    return f"{{ tcp . {target.host_port} : {address} . {CONTAINER_PORT} }}"
