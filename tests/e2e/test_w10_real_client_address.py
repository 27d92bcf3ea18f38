"""Row W10: a server behind a published port always sees its client's real address.

outside 192.0.2.254 ──┐
h2      192.0.2.2   ──┴ underlay ── h1 :8088 ── dw-… ── web :8000
far 203.0.113.9 ── behind outside, through its routing
"""

import pytest
from tests.e2e.scene import Scene, captured, set_bridge_nf
from tests.lab import Lab, LabHost, fetch, http_server, udp_ask, udp_echo

pytestmark = pytest.mark.parametrize("bridge_nf", [0, 1])


def test_w10_tcp_and_udp_of_both_families(lab: Lab, host: LabHost, outside: LabHost, bridge_nf: int) -> None:
    set_bridge_nf(host, bridge_nf)
    second = lab.host("h2")
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--ipv6")
        web = scene.sandbox("web", "net")
        http_server(web, 8000, "web", "::")
        udp_echo(web, 8000, "web", "::")
        host.duct("publish", "web", "8088:8000", "8088:8000/udp")
        for machine in (outside, second):
            for server, own in ((host.address, machine.address), (host.address6, machine.address6)):
                shown = f"[{server}]" if server.version == 6 else str(server)
                seen = fetch(machine, f"http://{shown}:8088/")
                asked = udp_ask(machine, server, 8088)
                assert seen is not None, shown
                assert asked is not None, shown
                assert (seen["client"], asked["client"]) == (str(own), str(own))


def test_w10_a_client_that_is_not_on_the_lan(
    lab: Lab, host: LabHost, outside: LabHost, bridge_nf: int
) -> None:
    """Judged by tcpdump inside the container: the packets themselves carry the far client's address."""
    set_bridge_nf(host, bridge_nf)
    far = lab.namespace("far")
    outside.ip_batch(
        f"link add far0 type veth peer name eth0 netns {far.name}",
        "addr add 203.0.113.1/24 dev far0",
        "link set far0 up",
    )
    outside.set_sysctl("net/ipv4/ip_forward", 1)
    far.ip_batch("addr add 203.0.113.9/24 dev eth0", "link set eth0 up", "route add default via 203.0.113.1")
    with Scene(host) as scene:
        host.duct("network", "create", "net")
        web = scene.sandbox("web", "net")
        http_server(web, 8000, "web")
        host.duct("publish", "web", "8088:8000")
        with captured(web, "eth0", "tcp dst port 8000", lab.folder("packets")) as packets:
            seen = fetch(far, f"http://{host.address}:8088/")
        assert seen is not None
        assert seen["client"] == "203.0.113.9"
        assert packets
        assert all("IP 203.0.113.9." in line for line in packets), packets
