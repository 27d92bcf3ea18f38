"""Row W15: order, names, addresses and gateway are the same every time, and whatever the process.

h1 ── alpha, beta, gamma ── app      connected in one order, in the reverse, all at once
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.e2e.scene import Scene
from tests.lab import LabHost

NETWORKS = {"alpha": "10.9.1.0/24", "beta": "10.9.2.0/24", "gamma": "10.9.3.0/24"}
TIMES = 3


def _seen(scene: Scene) -> dict[str, Any]:
    """Take down what the kernel has inside, without what the kernel itself numbers."""
    inside = scene.inside("app")
    links = {
        link["ifname"]: (link["address"], [a["local"] for a in link["addr_info"] if a["scope"] == "global"])
        for link in inside.ip("addr", "show")
    }
    routes = [(r["dst"], r.get("gateway"), r["dev"]) for r in inside.ip("route", "show")]
    return {"links": links, "order": list(links), "routes": routes}


def _life(
    scene: Scene, order: tuple[str, ...], *, at_once: bool, options: Mapping[str, tuple[str, ...]]
) -> Any:
    """Build all of it, each command a process of its own, look, and take it away."""
    host = scene.host
    for name in sorted(NETWORKS):
        host.duct("network", "create", name, "--subnet", NETWORKS[name])
    if at_once:
        scene.sandbox("app", *order)
    else:
        scene.sandbox("app")
        for name in order:
            host.duct("connect", name, "app", *options.get(name, ()))
    seen = _seen(scene)
    scene.remove_all()
    return seen


def test_w15_the_same_every_time(host: LabHost) -> None:
    order = ("gamma", "alpha", "beta")
    with Scene(host) as scene:
        lives = [_life(scene, order, at_once=False, options={}) for _ in range(TIMES)]
        lives.append(_life(scene, order, at_once=True, options={}))
        assert all(life == lives[0] for life in lives), lives
        first = lives[0]
        assert first["order"] == ["lo", "eth0", "eth1", "eth2"]
        assert [first["links"][n][1][0] for n in ("eth0", "eth1", "eth2")] == [
            "10.9.3.2",
            "10.9.1.2",
            "10.9.2.2",
        ], "interfaces in the order of connecting"


def test_w15_the_gateway_does_not_depend_on_the_order(host: LabHost) -> None:
    """The highest priority has the default route; among equals the rule is the same every time."""
    options = {"beta": ("--gateway-priority", "10")}
    with Scene(host) as scene:
        for order in (("gamma", "alpha", "beta"), ("beta", "alpha", "gamma"), ("alpha", "beta", "gamma")):
            seen = _life(scene, order, at_once=False, options=options)
            defaults = [route for route in seen["routes"] if route[0] == "default"]
            assert [gateway for _, gateway, _ in defaults] == ["10.9.2.1"], order


def test_w15_a_chosen_name_stays_and_the_gateway_moves_on(host: LabHost) -> None:
    with Scene(host) as scene:
        for name, subnet in NETWORKS.items():
            host.duct("network", "create", name, "--subnet", subnet)
        app = scene.sandbox("app")
        host.duct("connect", "alpha", "app", "--ifname", "front")
        host.duct("connect", "beta", "app")
        host.duct("connect", "gamma", "app")
        assert app.link_names() == ["eth0", "eth1", "front", "lo"]
        assert scene.gateway("app") == "10.9.1.1"
        host.duct("disconnect", "alpha", "app")
        assert scene.gateway("app") == "10.9.2.1"
        host.duct("connect", "alpha", "app", "--ifname", "front")
        assert app.addresses("front")[0].startswith("10.9.1.")
        assert app.addresses("eth0") == ["10.9.2.2/24"], "the others keep their names and addresses"
        assert app.addresses("eth1") == ["10.9.3.2/24"]


def test_w15_macs_are_the_same_on_every_life_and_differ_between_containers(host: LabHost) -> None:
    with Scene(host) as scene:
        macs = []
        for _ in range(2):
            host.duct("network", "create", "net")
            scene.sandbox("one", "net")
            scene.sandbox("two", "net")
            macs.append([scene.inside(n).ip("link", "show", "eth0")[0]["address"] for n in ("one", "two")])
            scene.remove_all()
        assert macs[0] == macs[1]
        assert macs[0][0] != macs[0][1]
