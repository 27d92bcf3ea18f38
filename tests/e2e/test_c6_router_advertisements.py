"""Row C6, the host's side: a container cannot make itself the host's router.

    host ── dw-… ── eth0 evil          evil sends forged router advertisements to ff02::1

With IPv6 in its default state a Linux interface takes its default route from whoever sends one.
"""

from __future__ import annotations

import json
import sys

import pytest
from tests.e2e.scene import Scene
from tests.lab import LabHost, Namespace

ADVERTISE = """
import socket, struct, sys, time
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0)
prefix += socket.inet_pton(socket.AF_INET6, "fdba:d::")
message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0x08, 1800, 0, 0) + prefix
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
index = socket.if_nametoindex("eth0")
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
for _ in range(3):
    s.sendto(message, ("ff02::1", 0, 0, index))
    time.sleep(0.1)
"""


def _forge(evil: Namespace) -> None:
    evil.run("ip", "-6", "addr", "replace", "fe80::bad/64", "dev", "eth0", "nodad")
    evil.run(sys.executable, "-ISc", ADVERTISE)


def _from_advertisements(host: LabHost) -> list[str]:
    routes = json.loads(host.run("ip", "-6", "-j", "route").stdout)
    addresses = [a["local"] for link in host.ip("addr") for a in link["addr_info"]]
    learned = [r["dst"] for r in routes if r.get("protocol") == "ra" or r.get("gateway") == "fe80::bad"]
    return learned + [a for a in addresses if a.startswith("fdba:")]


@pytest.mark.parametrize("options", [(), ("--internal",), ("--ipv6",)])
def test_c6_a_forged_router_advertisement_changes_nothing(host: LabHost, options: tuple[str, ...]) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", *options)
        scene.sandbox("evil", "net")
        _forge(scene.inside("evil"))
        assert _from_advertisements(host) == []
        host.set_sysctl("net/ipv6/conf/all/forwarding", "0")  # somebody switches it off: still nothing
        _forge(scene.inside("evil"))
        assert _from_advertisements(host) == []
        if "--ipv6" in options:
            host.set_sysctl("net/ipv6/conf/all/forwarding", "1")
