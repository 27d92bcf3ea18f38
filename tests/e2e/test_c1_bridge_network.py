"""Row C1: the bridge network: a switch on the host, the host's address on it, containers behind it.

one, two ── dw-… h1 192.0.2.1 ── underlay ── outside 192.0.2.254
"""

from ipaddress import ip_interface, ip_network

from tests.e2e.scene import QUICKLY_S, Scene, refused
from tests.lab import LabHost, fetch, http_server, ping


def test_c1_what_a_bridge_network_is(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene, http_server(outside, 8000, "far"):
        host.duct("network", "create", "net", "--driver", "bridge", "--subnet", "10.9.0.0/24")
        (bridge,) = host.ip("-d", "link", "show", "type", "bridge")
        assert bridge["ifname"] == host.duct_json("network", "inspect", "net")[0]["options"]["bridge"]
        assert "UP" in bridge["flags"]
        assert host.addresses(bridge["ifname"]) == ["10.9.0.1/24"]
        one, two = scene.sandbox("one", "net"), scene.sandbox("two", "net")
        ports = [p["ifname"] for p in host.ip("link", "show", "type", "veth") if "master" in p]
        assert len(ports) == 2
        assert host.ip("link", "show", "dev", bridge["ifname"])[0]["address"] == bridge["address"], (
            "a bridge keeps its MAC whatever is plugged in"
        )
        assert one.addresses("eth0") == ["10.9.0.2/24"]
        assert two.addresses("eth0") == ["10.9.0.3/24"]
        assert ping(one, "10.9.0.1")
        assert ping(one, "10.9.0.3")
        assert ping(host, "10.9.0.2")
        assert fetch(one, f"http://{outside.address}:8000/")
        with http_server(one, 80, "one"):
            host.duct("publish", "one", "8080:80")
            assert fetch(outside, f"http://{host.address}:8080/")
            host.duct("unpublish", "one", "8080")
            assert fetch(outside, f"http://{host.address}:8080/", timeout=QUICKLY_S) is None


def test_c1_mode_bridge_needs_no_network_first(host: LabHost) -> None:
    with Scene(host) as scene:
        for name in ("one", "two"):
            host.duct("sandbox", "create", name, "--mode", "bridge")
        assert [n["name"] for n in host.duct_json("network", "ls")] == ["default"]
        assert ping(scene.inside("one"), scene.address("two"))


def test_c1_chosen_subnets_keep_away_from_what_the_host_has(host: LabHost) -> None:
    host.ip_batch("route add 10.208.0.0/16 via 192.0.2.254", "addr add 10.209.0.1/16 dev lo")
    with Scene(host) as scene:
        taken = [ip_network("10.208.0.0/16"), ip_network("10.209.0.0/16"), ip_network("192.0.2.0/24")]
        for name in ("one", "two", "three"):
            host.duct("network", "create", name)
            bridge = host.duct_json("network", "inspect", name)[0]["options"]["bridge"]
            subnet = ip_interface(host.addresses(bridge)[0]).network
            assert not [other for other in taken if subnet.overlaps(other)]
            taken.append(subnet)
        scene.sandbox("box", "one")
        complaint = refused(host, "network", "create", "four", "--subnet", "192.0.2.0/25").stderr
        assert "192.0.2.1/24 on eth0" in complaint, "it says whose it is"
        assert refused(host, "network", "create", "one").returncode == 4
        assert refused(host, "network", "rm", "one").returncode == 5, "somebody is connected"
        assert ping(scene.inside("box"), host.address)
