"""Row D4: a namespace reaches the outside, and nobody else's forwarding is broken.

outside 198.51.100.1 ── underlay ── h1 (192.0.2.1)
                                     |- dw-…   ours            ── app
                                     `- theirs 172.30.0.1/24   ── guest   somebody else's bridge and NAT
"""

import pytest
from tests.e2e.scene import QUICKLY_S, Scene, foreign_bridge, set_bridge_nf
from tests.lab import Lab, LabHost, fetch, http_server, ping, tcp_connect, tcp_hold
from tests.lab.topology import INTERNET, INTERNET6


def _policies(host: LabHost) -> list[str]:
    """List the policy of every chain of every firewall, as each tool itself says."""
    lines = host.run("nft", "--stateless", "list", "chains").stdout.splitlines()
    owned = False
    found = []
    for line in lines:
        if line.startswith("table"):
            owned = "ductwork" in line
        elif "policy" in line and not owned:
            found.append(line.strip())
    for tool in ("iptables-legacy-save", "ip6tables-legacy-save"):
        found += [line for line in host.run(tool, check=False).stdout.splitlines() if line.startswith(":")]
    return found


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_d4_a_namespace_reaches_the_outside_as_the_host(
    lab: Lab, host: LabHost, outside: LabHost, bridge_nf: int
) -> None:
    set_bridge_nf(host, bridge_nf)
    with Scene(host) as scene, http_server(outside, 80, "internet", "::"):
        host.duct("network", "create", "net", "--ipv6")
        app = scene.sandbox("app", "net")
        for url, own in ((f"http://{INTERNET}/", host.address), (f"http://[{INTERNET6}]/", host.address6)):
            seen = fetch(app, url)
            assert seen is not None, url
            assert (seen["text"], seen["client"]) == ("internet", str(own)), "masqueraded as the host"


def test_d4_without_nat_the_outside_sees_the_container(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene, http_server(outside, 80, "internet"):
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--opt", "nat=off")
        app = scene.sandbox("app", "net")
        outside.ip_batch(f"route add 10.9.0.0/24 via {host.address}")
        seen = fetch(app, f"http://{INTERNET}/")
        assert seen is not None
        assert seen["client"] == "10.9.0.2"


def test_d4_an_internal_network_reaches_nothing_outside(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene, http_server(outside, 80, "internet"):
        host.duct("network", "create", "net", "--internal")
        app, friend = scene.sandbox("app", "net"), scene.sandbox("friend", "net")
        assert ping(app, scene.address(friend.name))
        assert fetch(app, f"http://{INTERNET}/", timeout=QUICKLY_S) is None


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_d4_a_foreign_bridge_works_before_during_and_after(
    lab: Lab, host: LabHost, outside: LabHost, bridge_nf: int
) -> None:
    set_bridge_nf(host, bridge_nf)
    guest = foreign_bridge(lab, host)
    with http_server(outside, 80, "internet"), tcp_hold(outside, 7):

        def guest_works() -> bool:
            seen = fetch(guest, f"http://{INTERNET}/")
            return seen is not None and seen["client"] == str(host.address)

        assert guest_works(), "before"
        policies = _policies(host)
        with tcp_connect(guest, INTERNET, 7) as held, Scene(host) as scene:
            assert held.ask("before")
            host.duct("network", "create", "net")
            assert guest_works(), "with our network"
            app = scene.sandbox("app", "net")
            assert fetch(app, f"http://{INTERNET}/")
            assert guest_works(), "with our container"
            assert _policies(host) == policies
            assert not ping(guest, scene.address("app"), timeout=QUICKLY_S), "but it is not let in to ours"
            scene.remove_all()
            assert guest_works(), "after"
            assert held.ask("after"), "its connection lived through it all"
        assert _policies(host) == policies
        assert host.sysctl("net/ipv4/ip_forward") == "1"
