"""Row D7: the host itself, 127.0.0.1 and containers reach a published port; what is on 127.0.0.1 stays.

outside ── underlay ── h1 192.0.2.1, lo 127.0.0.1 ── dw-… ─┬─ web    :8000, published as 8088
                                                           └─ friend
                                                     dw-… ─── stranger
"""

from __future__ import annotations

import time

import pytest
from tests.e2e.scene import QUICKLY_S, Inside, Scene, refused, set_bridge_nf
from tests.lab import LabHost, curl, fetch, http_server, udp_ask, udp_echo
from tests.lab.namespace import Namespace

pytestmark = pytest.mark.parametrize("bridge_nf", [0, 1])

CURL_COULD_NOT_CONNECT = 7


@pytest.fixture(autouse=True)
def _bridge_nf(host: LabHost, bridge_nf: int) -> None:
    set_bridge_nf(host, bridge_nf)


def _web(scene: Scene, *options: str) -> Inside:
    scene.host.duct(
        "network", "create", "net", "--subnet", "10.9.0.0/24", "--subnet", "fd00:9::/64", *options
    )
    web = scene.sandbox("web", "net")
    http_server(web, 8000, "web", "::")
    udp_echo(web, 8000, "web", "::")
    return web


def _send_loopback_to(ns: Namespace, gateway: object) -> None:
    """Make a machine send packets to 127.0.0.0/8 out of its eth0, as an attacker would."""
    for interface in ("all", "eth0"):
        ns.set_sysctl(f"net/ipv4/conf/{interface}/route_localnet", 1)
    # A machine that has 127.0.0.1 itself would throw away the answers, as coming from its own address.
    ns.ip_batch("addr del 127.0.0.1/8 dev lo", f"route add 127.0.0.0/8 via {gateway} dev eth0")


def test_d7_the_host_reaches_it_by_its_own_addresses(host: LabHost) -> None:
    with Scene(host) as scene:
        _web(scene)
        host.duct("publish", "web", "8088:8000", "8088:8000/udp")
        for address in (str(host.address), "127.0.0.1", "127.0.0.53", "10.9.0.1"):
            seen = fetch(host, f"http://{address}:8088/")
            assert seen is not None, address
            assert seen["text"] == "web"
            assert udp_ask(host, address, 8088), address
        assert fetch(host, f"http://[{host.address6}]:8088/")
        assert udp_ask(host, host.address6, 8088)


def test_d7_ipv6_loopback_is_refused_at_once(host: LabHost) -> None:
    """Linux does not translate ::1; a client must learn so from the kernel, not wait."""
    with Scene(host) as scene:
        _web(scene)
        host.duct("publish", "web", "8088:8000")
        start = time.monotonic()
        answer = curl(host, "http://[::1]:8088/")
        assert answer.returncode == CURL_COULD_NOT_CONNECT, answer.stderr
        assert time.monotonic() - start < 1
        assert curl(host, "http://localhost:8088/").returncode == 0, "a client that tries both gets through"
        words = refused(host, "publish", "web", "[::1]:8089:8000")
        assert words.returncode == 2
        assert "[::1]" in words.stderr.splitlines()[0]
        assert "127.0.0.1" in words.stderr.splitlines()[1], "the remedy"


def test_d7_hairpin(host: LabHost) -> None:
    """A container reaches its own published port, its neighbour's, and one on another network."""
    with Scene(host) as scene:
        web = _web(scene)
        host.duct("network", "create", "other", "--ipv6")
        friend, stranger = scene.sandbox("friend", "net"), scene.sandbox("stranger", "other")
        host.duct("publish", "web", "8088:8000", "8088:8000/udp")
        for who in (web, friend, stranger):
            for address in (host.address, f"[{host.address6}]"):
                seen = fetch(who, f"http://{address}:8088/")
                assert seen is not None, (who, address)
                assert seen["text"] == "web"
            assert udp_ask(who, host.address, 8088), who
        assert fetch(stranger, "http://10.9.0.2:8000/", QUICKLY_S) is None, "but not unpublished"


def test_d7_a_strict_network_keeps_other_networks_from_its_published_ports(
    host: LabHost, outside: LabHost
) -> None:
    with Scene(host) as scene:
        _web(scene, "--opt", "isolation=strict")
        host.duct("network", "create", "other")
        stranger = scene.sandbox("stranger", "other")
        host.duct("publish", "web", "8088:8000")
        assert fetch(outside, f"http://{host.address}:8088/")
        assert fetch(stranger, f"http://{host.address}:8088/", QUICKLY_S) is None


def test_d7_published_on_loopback_means_this_host_only(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        web = _web(scene)
        friend = scene.sandbox("friend", "net")
        host.duct("publish", "web", "127.0.0.1:8088:8000")
        assert fetch(host, "http://127.0.0.1:8088/")
        assert fetch(host, f"http://{host.address}:8088/", QUICKLY_S) is None
        assert fetch(outside, f"http://{host.address}:8088/", QUICKLY_S) is None
        for who in (web, friend):
            assert fetch(who, f"http://{host.address}:8088/", QUICKLY_S) is None
            assert fetch(who, "http://10.9.0.1:8088/", QUICKLY_S) is None
        _send_loopback_to(friend, "10.9.0.1")
        _send_loopback_to(outside, host.address)
        assert fetch(friend, "http://127.0.0.1:8088/", QUICKLY_S) is None
        assert fetch(outside, "http://127.0.0.1:8088/", QUICKLY_S) is None


def test_d7_containers_cannot_reach_what_the_host_serves_on_loopback(host: LabHost, outside: LabHost) -> None:
    """Not even when somebody flushes the firewall; with both guards gone the same packets get through."""
    with Scene(host) as scene:
        _web(scene)
        friend = scene.sandbox("friend", "net")
        host.duct("publish", "web", "8088:8000")
        _send_loopback_to(friend, "10.9.0.1")
        _send_loopback_to(outside, host.address)
        with http_server(host, 631, "the host's own", "127.0.0.1"), udp_echo(host, 631, bind="127.0.0.1"):

            def gets_in(who: Namespace) -> bool:
                by_tcp = fetch(who, "http://127.0.0.1:631/", 0.5) is not None
                return by_tcp or udp_ask(who, "127.0.0.1", 631, timeout=0.3) is not None

            assert fetch(host, "http://127.0.0.1:631/")
            assert not gets_in(friend)
            assert not gets_in(outside)
            host.run("nft", "flush", "ruleset")
            assert not gets_in(friend), "the second guard is at the bridge's ingress"
            (bridge,) = host.ip("link", "show", "type", "bridge")
            host.run("tc", "qdisc", "del", "dev", bridge["ifname"], "clsact")
            assert gets_in(friend), "this test's packets are good ones"
            host.duct("network", "create", "another")
            assert not gets_in(friend), "the next command puts both guards back"
            host.run("nft", "flush", "ruleset")
            assert not gets_in(friend)
