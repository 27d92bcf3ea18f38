"""Rows D1–D3: a namespace, a veth pair, a bridge, an address; the namespace pings the bridge.

h1
  |- dw-…  bridge, 10.9.0.1/24
  |    |- dv-… ── eth0 10.9.0.2  ns1
  |    `- dv-… ── eth0 10.9.0.3  ns2
"""

import json

from tests.e2e.scene import Scene
from tests.lab import LabHost, ping


def _bridge_of(host: LabHost) -> dict[str, object]:
    (bridge,) = host.ip("-d", "link", "show", "type", "bridge")
    return dict(bridge)


def test_d1_a_namespace_has_its_own_stack(host: LabHost) -> None:
    with Scene(host) as scene:
        ns = scene.sandbox("ns1")
        assert ns.path.stat().st_ino != host.path.stat().st_ino
        assert ns.link_names() == ["lo"]
        assert ping(ns, "127.0.0.1"), "lo is up"
        assert ping(ns, "::1")


def test_d2_a_veth_pair_leads_from_the_namespace_to_the_host(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
        ns = scene.sandbox("ns1", "net")
        (inner,) = ns.ip("-d", "link", "show", "eth0")
        (outer,) = host.ip("-d", "link", "show", "type", "veth", "master", str(_bridge_of(host)["ifname"]))
        assert inner["linkinfo"]["info_kind"] == "veth"
        assert (inner["link_index"], outer["link_index"]) == (outer["ifindex"], inner["ifindex"])
        assert inner["operstate"] == outer["operstate"] == "UP"
        host.duct("disconnect", "net", "ns1")
        assert ns.link_names() == ["lo"]
        assert outer["ifname"] not in host.link_names()


def test_d3_the_namespace_pings_the_bridge_and_its_neighbour(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--subnet", "fd00:9::/64")
        one, two = scene.sandbox("ns1", "net"), scene.sandbox("ns2", "net")
        bridge = str(_bridge_of(host)["ifname"])
        assert host.addresses(bridge) == ["10.9.0.1/24", "fd00:9::1/64"]
        assert one.addresses("eth0") == ["10.9.0.2/24", "fd00:9::2/64"]
        ports = [p["ifname"] for p in _bridge_ports(host) if p["master"] == bridge]
        assert len(ports) == 2
        for address in ("10.9.0.1", "10.9.0.3", "fd00:9::1", "fd00:9::3"):
            assert ping(one, address), address
        assert ping(host, "10.9.0.2"), "and the other way round"
        assert ping(two, "10.9.0.2")


def _bridge_ports(host: LabHost) -> list[dict[str, str]]:
    return [p for p in json.loads(host.run("bridge", "-j", "link", "show").stdout) if "master" in p]
