"""Row E1: the five modes of a container's network: bridge, host, none, container, user-defined.

h1 192.0.2.1 ── default dw-… ── one      --mode bridge
   │                       └──  shares   --mode container:one
   ├── mine dw-… ── two                  --network mine
   ├── hosted                            --mode host (unisolated)
   └── alone                             --mode none
"""

from tests.e2e.scene import QUICKLY_S, Scene, refused
from tests.lab import LabHost, fetch, http_server, ping
from tests.lab.topology import INTERNET


def test_e1_bridge_is_the_default_network(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene, http_server(outside, 80, "internet"):
        host.duct("sandbox", "create", "one", "--mode", "bridge")
        host.duct("sandbox", "create", "two", "--mode", "bridge")
        one = scene.inside("one")
        assert one.link_names() == ["eth0", "lo"]
        assert len(host.ip("link", "show", "type", "bridge")) == 1
        assert ping(one, scene.address("two"))
        assert fetch(one, f"http://{INTERNET}/")


def test_e1_host_is_the_hosts_own_stack_and_says_so(host: LabHost) -> None:
    with Scene(host):
        shown = host.duct("sandbox", "create", "hosted", "--mode", "host").stdout
        assert "unisolated" in shown
        inside = host.duct("sandbox", "exec", "hosted", "--", "readlink", "/proc/self/ns/net").stdout
        assert inside == host.run("readlink", "/proc/self/ns/net").stdout
        assert "unisolated" in host.duct("sandbox", "ls").stdout
        assert "unisolated" in host.duct("inspect", "hosted").stdout
        host.duct("network", "create", "net")
        assert "unisolated" in refused(host, "connect", "net", "hosted").stderr


def test_e1_none_has_loopback_only(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("sandbox", "create", "alone", "--mode", "none")
        alone = scene.inside("alone")
        assert alone.link_names() == ["lo"]
        assert ping(alone, "127.0.0.1")
        assert not ping(alone, host.address, timeout=QUICKLY_S)


def test_e1_container_shares_anothers_stack(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("sandbox", "create", "one", "--mode", "bridge")
        host.duct("sandbox", "create", "shares", "--mode", "container:one")
        one = scene.inside("one")
        http_server(one, 8000, "one", "127.0.0.1")
        url = "http://127.0.0.1:8000/"
        answer = host.duct("sandbox", "exec", "shares", "--", "curl", "-sS", "--noproxy", "*", url).stdout
        assert '"text": "one"' in answer, "they share even their loopback"
        host.duct("network", "create", "mine")
        host.duct("connect", "mine", "shares")
        assert one.link_names() == ["eth0", "eth1", "lo"], "connecting one connects both"
        host.duct("disconnect", "mine", "one")
        assert one.link_names() == ["eth0", "lo"]
        assert "shares" in refused(host, "sandbox", "rm", "one").stderr, "not while somebody shares it"
        assert one.path.exists()


def test_e1_user_defined_networks_are_apart(host: LabHost) -> None:
    with Scene(host) as scene:
        for name in ("mine", "yours"):
            host.duct("network", "create", name)
        one, two = scene.sandbox("one", "mine"), scene.sandbox("two", "mine")
        three, both = scene.sandbox("three", "yours"), scene.sandbox("both", "mine", "yours")
        assert ping(one, scene.address("two"))
        assert not ping(one, scene.address("three"), timeout=QUICKLY_S)
        assert not ping(three, scene.address("two"), timeout=QUICKLY_S)
        assert not ping(one, scene.gateway("three"), timeout=QUICKLY_S), "nor its gateway"
        assert ping(both, scene.address("one"))
        assert ping(both, scene.address("three"))
        assert ping(two, scene.address("both"))


def test_e1_a_container_cannot_reach_another_network_through_one_that_is_on_both(host: LabHost) -> None:
    with Scene(host) as scene:
        for name, subnet in (("mine", "10.9.0.0/24"), ("yours", "10.10.0.0/24")):
            host.duct("network", "create", name, "--subnet", subnet)
        one, both = scene.sandbox("one", "mine"), scene.sandbox("both", "mine", "yours")
        three = scene.sandbox("three", "yours")
        assert both.sysctl("net/ipv4/ip_forward") == "0"
        one.ip_batch("route add 10.10.0.0/24 via 10.9.0.3")
        assert scene.address("both") == "10.9.0.3"
        assert not ping(one, scene.address(three.name), timeout=QUICKLY_S)
