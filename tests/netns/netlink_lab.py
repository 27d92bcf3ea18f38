"""What the rtnetlink tests share: a host and a sandbox to plug into it, and ip(8) as the judge."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from ductwork.kernel.netlink.route import RouteSocket
from ductwork.kernel.netns import BoundNamespace, Opener
from ductwork.model.names import Mac
from ductwork.model.objects import HOST, Add, Address, Bridge, Change, Neighbour, NsKey, Route, Step, Veth

BOX = NsKey("box")
BRIDGE = Bridge(HOST, "dwbr", 50001, Mac("02:00:00:00:50:01"), 1500, "ductwork:n1", False, False)
VETH = Veth(
    ns=HOST,
    name="dwv1",
    ifindex=50002,
    alias="ductwork:e1",
    mtu=1500,
    peer_ns=BOX,
    peer_name="eth0",
    peer_ifindex=50003,
    peer_mac=Mac("02:00:00:00:50:03"),
    master=BRIDGE.ifindex,
)
GATEWAY = Address(HOST, BRIDGE.name, BRIDGE.ifindex, IPv4Interface("10.50.0.1/24"))
INSIDE = Address(BOX, "eth0", VETH.peer_ifindex, IPv4Interface("10.50.0.2/24"))
DEFAULT = Route(BOX, IPv4Network("0.0.0.0/0"), IPv4Address("10.50.0.1"), "eth0", VETH.peer_ifindex)
NEIGHBOUR = Neighbour(BOX, "eth0", VETH.peer_ifindex, IPv4Address("10.50.0.1"), BRIDGE.mac)
OUTSIDE = Neighbour(HOST, BRIDGE.name, BRIDGE.ifindex, IPv4Address("10.50.0.2"), VETH.peer_mac)


class NetlinkLab:
    """Two namespaces, bound as HOST and BOX."""

    def __init__(self) -> None:
        self.names = {key: f"t{secrets.token_hex(5)}" for key in (HOST, BOX)}
        self.opener = Opener()
        self.spaces: dict[NsKey, BoundNamespace] = {}
        try:
            for key, name in self.names.items():
                subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
                self.spaces[key] = BoundNamespace.open(f"/run/netns/{name}", self.opener)
        except BaseException:
            self.close()
            raise
        self.host = RouteSocket(self.spaces[HOST], self.spaces.__getitem__)
        self.box = RouteSocket(self.spaces[BOX], self.spaces.__getitem__)

    def close(self) -> None:
        for space in self.spaces.values():
            space.close()
        self.opener.close()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False, timeout=10, capture_output=True)

    def try_to(self, *steps: Step) -> list[int | None]:
        """Apply steps of one namespace; the errno of each, None for success."""
        item = steps[0].new if isinstance(steps[0], Change) else steps[0].object
        port = self.box if getattr(item, "ns", HOST) == BOX else self.host
        return [None if error is None else error.errno for error in port.apply(steps)]

    def do(self, *steps: Step) -> None:
        """Apply steps of any namespaces one by one; each must succeed."""
        for step in steps:
            assert self.try_to(step) == [None], step

    def attach(self) -> None:
        self.do(Add(BRIDGE), Add(VETH), Add(GATEWAY), Add(INSIDE), Add(DEFAULT), Add(NEIGHBOUR), Add(OUTSIDE))

    def run(self, key: NsKey, *argv: str, check: bool = True) -> str:
        """Run a tool in a namespace."""
        name = self.names[key]
        return subprocess.run(
            ["ip", "netns", "exec", name, *argv], check=check, timeout=15, capture_output=True, text=True
        ).stdout

    def say(self, key: NsKey, command: str) -> str:
        """Run a tool whose words hold no spaces."""
        return self.run(key, *command.split())

    def ip(self, key: NsKey, *args: str) -> Any:
        """Return what `ip -j -d` says."""
        return self.told(key, "ip", "-j", "-d", *args)

    def told(self, key: NsKey, *argv: str) -> Any:
        text = self.run(key, *argv).strip()
        return [entry for entry in json.loads(text) if entry] if text else []

    def link(self, key: NsKey, name: str) -> Any:
        """Return one link as `ip -j -d link` sees it, None when it is not there."""
        return next((link for link in self.ip(key, "link", "show") if link["ifname"] == name), None)

    def link_names(self, key: NsKey) -> list[str]:
        return sorted(link["ifname"] for link in self.ip(key, "link", "show") if link["ifname"] != "lo")

    def addresses(self, key: NsKey, name: str) -> list[str]:
        shown = self.ip(key, "address", "show", "dev", name)
        return [f"{a['local']}/{a['prefixlen']}" for link in shown for a in link["addr_info"]]

    def sysctl(self, key: NsKey, name: str) -> str:
        return self.run(key, "cat", f"/proc/sys/net/{name}").strip()

    def is_connected(self, key: NsKey, name: str) -> bool:
        """Say whether a link is up and has a carrier; its operstate, `ip` tells with a delay."""
        return {"UP", "LOWER_UP"} <= set(self.link(key, name)["flags"])

    def ping(self, key: NsKey, address: str, tries: int = 3) -> bool:
        argv = ["ip", "netns", "exec", self.names[key], "ping", "-c1", "-W1", address]
        return any(
            subprocess.run(argv, check=False, timeout=15, capture_output=True).returncode == 0
            for _ in range(tries)
        )


def many_pairs(count: int) -> Sequence[Veth]:
    """Make pairs without a bridge, all into BOX."""
    return [
        Veth(
            ns=HOST,
            name=f"dwm{n}",
            ifindex=60000 + n,
            alias=f"ductwork:m{n}",
            mtu=1500,
            peer_ns=BOX,
            peer_name=f"eth{n}",
            peer_ifindex=70000 + n,
            peer_mac=Mac(f"02:00:00:01:{n >> 8:02x}:{n & 255:02x}"),
        )
        for n in range(count)
    ]
