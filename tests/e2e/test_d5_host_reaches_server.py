"""Row D5: the host reaches a server in a namespace by its address.

h1 ── dw-… ── eth0 app :8000
"""

import pytest
from tests.e2e.scene import QUICKLY_S, Scene, set_bridge_nf
from tests.lab import LabHost, fetch, http_server, ping, udp_ask, udp_echo


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_d5_the_host_reaches_a_server_in_a_namespace(host: LabHost, bridge_nf: int) -> None:
    set_bridge_nf(host, bridge_nf)
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--ipv6")
        app = scene.sandbox("app", "net")
        http_server(app, 8000, "app", "::")
        udp_echo(app, 8000, "app", "::")
        for version in (4, 6):
            address = scene.address("app", version)
            shown = f"[{address}]" if version == 6 else address
            assert ping(host, address)
            seen = fetch(host, f"http://{shown}:8000/")
            assert seen is not None, shown
            assert seen["client"] == scene.gateway("app", version), "as the gateway, which it is"
            assert udp_ask(host, address, 8000)


def test_d5_nobody_else_reaches_it_by_its_address(host: LabHost, outside: LabHost) -> None:
    """A machine on the LAN that sets a route to the container's address is not let in."""
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
        app = scene.sandbox("app", "net")
        http_server(app, 8000, "app")
        outside.ip_batch(f"route add 10.9.0.0/24 via {host.address}")
        assert fetch(outside, "http://10.9.0.2:8000/", timeout=QUICKLY_S) is None
        assert not ping(outside, "10.9.0.2", timeout=QUICKLY_S)
        assert fetch(host, "http://10.9.0.2:8000/")
