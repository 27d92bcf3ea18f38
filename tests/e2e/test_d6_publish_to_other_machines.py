"""Row D6: another machine reaches h1:8088, and the server in the container sees that machine's address.

outside 192.0.2.254 ── underlay ── h1 192.0.2.1:8088 ── dw-… ── web :8000
h2      192.0.2.2   ──────┘
"""

from __future__ import annotations

import json
import re

import pytest
from tests.e2e.scene import QUICKLY_S, Inside, Scene, flows, refused, set_bridge_nf, udp_client
from tests.lab import (
    Lab,
    LabHost,
    fetch,
    http_server,
    tcp_connect,
    tcp_hold,
    udp_ask,
    udp_echo,
    wait_listening,
    wait_until,
)

pytestmark = pytest.mark.parametrize("bridge_nf", [0, 1])


@pytest.fixture(autouse=True)
def _bridge_nf(host: LabHost, bridge_nf: int) -> None:
    set_bridge_nf(host, bridge_nf)


def _web(scene: Scene, *ports: int) -> Inside:
    scene.host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--subnet", "fd00:9::/64")
    web = scene.sandbox("web", "net")
    for port in ports:
        http_server(web, port, f"web {port}", "::")
    return web


def _client(machine: LabHost, url: str, timeout: float = 3) -> str | None:
    seen = fetch(machine, url, timeout)
    return None if seen is None else str(seen["client"])


def test_d6_another_machine_reaches_it_with_its_own_address(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        _web(scene, 8000)
        four, six = f"http://{host.address}:8088/", f"http://[{host.address6}]:8088/"
        assert fetch(outside, four, QUICKLY_S) is None, "not published yet"
        host.duct("publish", "web", "8088:8000")
        assert _client(outside, four) == str(outside.address)
        assert _client(outside, six) == str(outside.address6)
        host.duct("unpublish", "web", "8088")
        assert fetch(outside, four, QUICKLY_S) is None
        assert fetch(outside, six, QUICKLY_S) is None


def test_d6_published_at_connect(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net")
        web = scene.sandbox("web")
        host.duct("connect", "net", "web", "-p", "8088:8000", "-p", "8089:8000/udp")
        http_server(web, 8000, "web")
        udp_echo(web, 8000)
        assert _client(outside, f"http://{host.address}:8088/") == str(outside.address)
        assert udp_ask(outside, host.address, 8089)


def test_d6_a_range(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        _web(scene, 8000, 8001, 8002)
        host.duct("publish", "web", "9000-9002:8000-8002")
        for offset in range(3):
            seen = fetch(outside, f"http://{host.address}:{9000 + offset}/")
            assert seen is not None
            assert seen["text"] == f"web {8000 + offset}"
        host.duct("unpublish", "web", "9001")
        assert fetch(outside, f"http://{host.address}:9001/", QUICKLY_S) is None
        assert fetch(outside, f"http://{host.address}:9002/"), "the rest of the range stays"


def test_d6_udp_of_both_families(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        web = _web(scene)
        udp_echo(web, 53, "dns", "::")
        host.duct("publish", "web", "5353:53/udp")
        for address, own in ((host.address, outside.address), (host.address6, outside.address6)):
            seen = udp_ask(outside, address, 5353)
            assert seen is not None, address
            assert seen["client"] == str(own)
        assert fetch(outside, f"http://{host.address}:5353/", QUICKLY_S) is None, "udp only"


def test_d6_one_address_of_the_host_only(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        host.ip_batch("addr add 192.0.2.101/24 dev eth0")
        _web(scene, 8000)
        host.duct("publish", "web", "192.0.2.101:8088:8000", f"[{host.address6}]:8089:8000")
        assert _client(outside, "http://192.0.2.101:8088/") == str(outside.address)
        assert fetch(outside, f"http://{host.address}:8088/", QUICKLY_S) is None
        assert fetch(outside, f"http://[{host.address6}]:8088/", QUICKLY_S) is None
        assert _client(outside, f"http://[{host.address6}]:8089/") == str(outside.address6)
        assert fetch(outside, f"http://{host.address}:8089/", QUICKLY_S) is None
        host.ip_batch("addr del 192.0.2.101/24 dev eth0")


def test_d6_one_family_only(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        _web(scene, 8000)
        host.duct("publish", "web", "0.0.0.0:8088:8000", "[::]:8089:8000")
        assert fetch(outside, f"http://{host.address}:8088/")
        assert fetch(outside, f"http://[{host.address6}]:8088/", QUICKLY_S) is None
        assert fetch(outside, f"http://[{host.address6}]:8089/")
        assert fetch(outside, f"http://{host.address}:8089/", QUICKLY_S) is None


def test_d6_an_ephemeral_port(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        _web(scene, 8000)
        low, high = map(int, host.sysctl("net/ipv4/ip_local_port_range").split())
        (chosen,) = host.duct_json("publish", "web", "8000")
        (another,) = host.duct_json("publish", "web", "8000")
        assert low <= chosen["host_port"] <= high
        assert chosen["host_port"] != another["host_port"]
        for port in (chosen, another):
            assert fetch(outside, f"http://{host.address}:{port['host_port']}/")


def test_d6_allow_from(lab: Lab, host: LabHost, outside: LabHost) -> None:
    friend = lab.host("h2")
    with Scene(host) as scene:
        _web(scene, 8000)
        allowed = ("--allow-from", f"{friend.address}/32", "--allow-from", f"{friend.address6}/128")
        host.duct("publish", "web", "8088:8000", *allowed)
        assert _client(friend, f"http://{host.address}:8088/") == str(friend.address)
        assert _client(friend, f"http://[{host.address6}]:8088/") == str(friend.address6)
        assert fetch(outside, f"http://{host.address}:8088/", QUICKLY_S) is None
        assert fetch(outside, f"http://[{host.address6}]:8088/", QUICKLY_S) is None


def test_d6_dockers_long_form(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        web = _web(scene, 8000)
        udp_echo(web, 8000, bind="::")
        host.duct("publish", "web", "published=8088,target=8000,protocol=tcp", "target=8000,protocol=udp")
        assert fetch(outside, f"http://{host.address}:8088/")
        ports = host.duct_json("inspect", "web")[0]["endpoints"][0]["ports"]
        (udp,) = (p["host_port"] for p in ports if p["protocol"] == "udp")
        assert udp_ask(outside, host.address, udp)


def test_d6_a_udp_flow_older_than_the_publish_is_taken_over(host: LabHost, outside: LabHost) -> None:
    """Without help it would go on being answered by nobody: only a flow's first packet asks the nat rules."""
    with Scene(host) as scene:
        web = _web(scene)
        udp_echo(web, 5000, "web")
        with udp_client(outside, host.address, 5500) as ask:
            assert ask() is None, "nobody answers yet, but the host has a conntrack entry now"
            wait_until(lambda: flows(host, "-p", "udp", "--orig-port-dst", "5500"), "a flow on the host")
            host.duct("publish", "web", "5500:5000/udp")
            assert ask() == "web", "the same flow, from the same port"


def test_d6_unpublish_ends_the_flows_of_that_mapping_alone(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        web = _web(scene)
        tcp_hold(web, 8000, "web")
        host.duct("publish", "web", "8088:8000", "8089:8000")
        with (
            tcp_connect(outside, host.address, 8088) as ended,
            tcp_connect(outside, host.address, 8089) as kept,
            tcp_connect(host, "10.9.0.2", 8000) as direct,
        ):
            assert all(c.ask() for c in (ended, kept, direct))
            host.duct("unpublish", "web", "8088")
            assert ended.ask(timeout=QUICKLY_S) is None
            assert kept.ask()
            assert direct.ask()
            assert not flows(host, "-p", "tcp", "--orig-port-dst", "8088", "--dst-nat")


def test_d6_no_process_stands_in_between(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        _web(scene, 8000)
        before = set(host.pids())
        host.duct("publish", "web", "8088:8000")
        assert set(host.pids()) == before
        assert not host.run("ss", "-Hltn", "sport = :8088").stdout
        assert fetch(outside, f"http://{host.address}:8088/")


def test_d6_a_port_of_the_host_is_not_taken_away(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        _web(scene, 8000)
        with http_server(host, 8088, "the host's own"):
            wait_listening(host, 8088)
            answer = refused(host, "publish", "web", "8088:8000")
            assert re.search(r"8088/tcp is taken by python", answer.stderr)
            seen = fetch(outside, f"http://{host.address}:8088/")
            assert seen is not None
            assert seen["text"] == "the host's own"
        assert not _published(host)


def _published(host: LabHost) -> list[object]:
    ruleset = json.loads(host.run("nft", "-j", "list", "ruleset").stdout)["nftables"]
    maps = [item["map"] for item in ruleset if "map" in item and item["map"]["name"].startswith("publish")]
    return [element for m in maps for element in m.get("elem", [])]
