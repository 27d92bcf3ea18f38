"""Row C7: one container on several networks: order, interface names and default gateway, the same every time.

app ── eth0 ── zoo  10.8.0.0/24 ── h1 ── outside 198.51.100.1, which knows the way back to both subnets
   `── eth1 ── bar  10.9.0.0/24 ─┘       (both with nat=off, so that the server sees which way was taken)
"""

import pytest
from tests.e2e.scene import Inside, Scene, refused
from tests.lab import Lab, LabHost, fetch, http_server, ping
from tests.lab.topology import INTERNET

ZOO, BAR = ("10.8.0.0/24", "fd00:8::/64"), ("10.9.0.0/24", "fd00:9::/64")


def _networks(host: LabHost, outside: LabHost | None = None) -> None:
    for name, subnets in (("zoo", ZOO), ("bar", BAR)):
        words = [word for subnet in subnets for word in ("--subnet", subnet)]
        host.duct("network", "create", name, *words, "--opt", "nat=off")
    if outside is not None:
        outside.ip_batch(*(f"route add {subnets[0]} via {host.address}" for subnets in (ZOO, BAR)))


def _leaves_by(app: Inside) -> str:
    """Ask the outside by which network the container came."""
    seen = fetch(app, f"http://{INTERNET}:8000/")
    assert seen is not None
    return {"10.8.0": "zoo", "10.9.0": "bar"}[str(seen["client"]).rpartition(".")[0]]


def _defaults(app: Inside) -> list[tuple[str, str]]:
    routes = [*app.ip("-4", "route", "show", "default"), *app.ip("-6", "route", "show", "default")]
    return [(route["gateway"], route["dev"]) for route in routes]


BY_ZOO = [("10.8.0.1", "eth0"), ("fd00:8::1", "eth0")]
BY_BAR = [("10.9.0.1", "eth1"), ("fd00:9::1", "eth1")]


def test_c7_names_follow_the_order_of_connecting_and_the_gateway_the_networks_names(
    host: LabHost, outside: LabHost
) -> None:
    with Scene(host) as scene, http_server(outside, 8000, "far"):
        _networks(host, outside)
        app = scene.sandbox("app", "zoo", "bar")
        assert app.link_names() == ["eth0", "eth1", "lo"]
        assert app.addresses("eth0") == ["10.8.0.2/24", "fd00:8::2/64"]
        assert app.addresses("eth1") == ["10.9.0.2/24", "fd00:9::2/64"]
        assert _defaults(app) == BY_BAR
        assert _leaves_by(app) == "bar"
        near, far = scene.sandbox("near", "zoo"), scene.sandbox("far", "bar")
        for place in (near, far):
            assert ping(app, scene.address(place.name))
            assert ping(app, scene.address(place.name, 6))
        assert not ping(near, scene.address("far"), timeout=0.5), "whoever is on both is no router"


def test_c7_the_gateway_can_be_chosen_and_moves(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene, http_server(outside, 8000, "far"):
        _networks(host, outside)
        app = scene.sandbox("app")
        host.duct("connect", "zoo", "app", "--gateway-priority", "10")
        host.duct("connect", "bar", "app")
        assert _defaults(app) == BY_ZOO
        assert _leaves_by(app) == "zoo"
        host.duct("disconnect", "zoo", "app")
        assert _defaults(app) == BY_BAR
        assert _leaves_by(app) == "bar"
        host.duct("connect", "zoo", "app")
        assert app.link_names() == ["eth0", "eth1", "lo"], "the free name is taken again"
        assert _defaults(app) == BY_BAR, "no priority this time"
        host.duct("disconnect", "zoo", "app")
        host.duct("connect", "zoo", "app", "--gateway-priority", "1")
        assert _defaults(app) == BY_ZOO
        host.duct("disconnect", "bar", "app")
        assert _defaults(app) == BY_ZOO
        host.duct("disconnect", "zoo", "app")
        assert _defaults(app) == []
        assert app.link_names() == ["lo"]


def test_c7_each_family_has_its_own_winner(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "a4", "--subnet", "10.8.0.0/24")
        host.duct("network", "create", "b6", "--subnet", "fd00:9::/64")
        host.duct("network", "create", "a0", "--subnet", "10.7.0.0/24", "--internal")
        app = scene.sandbox("app", "a0", "b6", "a4")
        assert _defaults(app) == [("10.8.0.1", "eth2"), ("fd00:9::1", "eth1")]
        assert ping(app, "10.7.0.1"), "the internal one is reached all the same"


def test_c7_interface_names_can_be_chosen(host: LabHost) -> None:
    with Scene(host) as scene:
        _networks(host)
        app = scene.sandbox("app")
        host.duct("connect", "bar", "app", "--ifname", "lan")
        assert refused(host, "connect", "zoo", "app", "--ifname", "lan").returncode == 4
        assert refused(host, "connect", "zoo", "app", "--ifname", "much-too-long-a-name").returncode == 2
        assert refused(host, "connect", "bar", "app").returncode == 4, "once is enough"
        host.duct("connect", "zoo", "app")
        assert app.link_names() == ["eth0", "lan", "lo"]
        assert _defaults(app) == [("10.9.0.1", "lan"), ("fd00:9::1", "lan")]


@pytest.mark.parametrize("order", [("zoo", "bar"), ("bar", "zoo")])
def test_c7_the_same_every_time_and_on_every_host(lab: Lab, host: LabHost, order: tuple[str, str]) -> None:
    other = lab.host("h2")
    seen = []
    with Scene(host) as here, Scene(other) as there:
        for place, scene in ((host, here), (other, there)):
            _networks(place)
            app = scene.sandbox("app", *order)
            seen.append(_whole(app))
        host.duct("sandbox", "rm", "app")
        app = here.sandbox("app", *order)
        again = _whole(app)
    assert seen[0] == seen[1]
    names = [(name, addresses[0].rpartition(".")[0]) for name, addresses in again[0]]
    assert names == [(name, addresses[0].rpartition(".")[0]) for name, addresses in seen[0][0]]
    assert again[1] == seen[0][1]


def _whole(app: Inside) -> tuple[list[tuple[str, list[str]]], list[tuple[str, str]]]:
    names = [name for name in app.link_names() if name != "lo"]
    return [(name, app.addresses(name)) for name in names], _defaults(app)
