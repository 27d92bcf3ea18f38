"""Row W4: a network is changed in place; its endpoints and their connections stay.

outside ── underlay ── h1 :7000 ── dw-… ─┬─ web  :7000
                                         └─ app ── web, outside
"""

from __future__ import annotations

import pytest
from tests.e2e.scene import QUICKLY_S, Inside, Scene, ifindexes
from tests.lab import HeldConnection, LabHost, fetch, http_server, ping, tcp_connect, tcp_hold
from tests.lab.topology import INTERNET


class _Living:
    """Connections of all kinds through one network, and the kernel's numbers of what carries them."""

    def __init__(self, scene: Scene, outside: LabHost) -> None:
        self.scene = scene
        self.app, self.web = scene.sandbox("app", "net"), scene.sandbox("web", "net")
        tcp_hold(self.web, 7000)
        scene.host.duct("publish", "web", "7000:7000")
        self.connections: dict[str, HeldConnection] = {
            "inside": tcp_connect(self.app, scene.address("web"), 7000),
            "published": tcp_connect(outside, scene.host.address, 7000),
            "outward": tcp_connect(self.app, INTERNET, 7000),
        }
        self.numbers = self._numbers()

    def _numbers(self) -> list[dict[str, int]]:
        return [ifindexes(ns) for ns in (self.scene.host, self.app, self.web)]

    def check(self, *but: str) -> None:
        """Insist that everything lives, on the very same interfaces."""
        for name, connection in self.connections.items():
            if name not in but:
                assert connection.ask() is not None, name
        assert self._numbers() == self.numbers

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()


CHANGES = {
    "a subnet of the other family": ("--subnet", "fd00:9::/64"),
    "a second subnet": ("--subnet", "10.99.0.0/24"),
    "a smaller MTU": ("--mtu", "1400"),
    "a label": ("--label", "team=blue"),
    "isolation off": ("--opt", "isolation=off"),
    "another source address": ("--opt", "nat-source=192.0.2.101"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_w4_connections_live_through(host: LabHost, outside: LabHost, change: str) -> None:
    host.ip_batch("addr add 192.0.2.101/24 dev eth0")
    with Scene(host) as scene, tcp_hold(outside, 7000):
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
        living = _Living(scene, outside)
        host.duct("network", "update", "net", *CHANGES[change])
        living.check()
        living.close()


def test_w4_what_was_changed_is_so(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene, http_server(outside, 80, "internet"):
        host.ip_batch("addr add 192.0.2.101/24 dev eth0")
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
        app, web = scene.sandbox("app", "net"), scene.sandbox("web", "net")
        (bridge,) = host.ip("link", "show", "type", "bridge")

        host.duct("network", "update", "net", "--subnet", "fd00:9::/64")
        assert app.addresses("eth0") == ["10.9.0.2/24", "fd00:9::2/64"]
        assert scene.gateway("app", 6) == "fd00:9::1"
        assert ping(app, "fd00:9::3")

        host.duct("network", "update", "net", "--mtu", "1400")
        assert {ns.ip("link", "show", "eth0")[0]["mtu"] for ns in (app, web)} == {1400}
        assert host.ip("link", "show", bridge["ifname"])[0]["mtu"] == 1400

        host.duct("network", "update", "net", "--opt", "nat-source=192.0.2.101")
        seen = fetch(app, f"http://{INTERNET}/")
        assert seen is not None
        assert seen["client"] == "192.0.2.101"

        host.duct("network", "update", "net", "--internal")
        assert fetch(app, f"http://{INTERNET}/", QUICKLY_S) is None
        assert ping(app, scene.address("web"))
        host.duct("network", "update", "net", "--no-internal")
        assert fetch(app, f"http://{INTERNET}/")

        host.duct("network", "update", "net", "--label", "team=blue")
        assert host.duct_json("network", "inspect", "net")[0]["labels"] == {"team": "blue"}
        host.duct("network", "update", "net", "--label", "team=")
        assert host.duct_json("network", "inspect", "net")[0]["labels"] == {}
        host.ip_batch("addr del 192.0.2.101/24 dev eth0")


def test_w4_isolation_opens_and_closes(host: LabHost) -> None:
    def reaches(one: Inside, address: str) -> bool:
        return ping(one, address, timeout=QUICKLY_S)

    with Scene(host) as scene:
        for name in ("one", "two"):
            host.duct("network", "create", name)
        app, far = scene.sandbox("app", "one"), scene.sandbox("far", "two")
        assert not reaches(app, scene.address(far.name))
        host.duct("network", "update", "one", "--opt", "isolation=off")
        assert not reaches(app, scene.address("far")), "both must agree"
        host.duct("network", "update", "two", "--opt", "isolation=off")
        assert reaches(app, scene.address("far"))
        host.duct("network", "update", "two", "--opt", "isolation=on")
        assert not reaches(app, scene.address("far"))
