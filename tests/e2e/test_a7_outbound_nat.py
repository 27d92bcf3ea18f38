"""Row A7: what a network sends out leaves with the host's address, unless the network says otherwise.

    app ── dw-… h1 192.0.2.1 ── underlay ── outside 192.0.2.254, 198.51.100.1
                   192.0.2.101 (a second address, for nat-source)

The judge is the outside machine: the server there says whom it saw, and tcpdump what came by the wire.
"""

from pathlib import Path

import pytest
from tests.e2e.scene import QUICKLY_S, Inside, Scene, captured, nft_rules, refused
from tests.lab import LabHost, fetch, http_server, ping, tcp_connect, tcp_hold, udp_ask, udp_echo
from tests.lab.topology import INTERNET, INTERNET6

SUBNETS = ("--subnet", "10.9.0.0/24", "--subnet", "fd00:9::/64")
OWN = {4: "10.9.0.2", 6: "fd00:9::2"}
SECOND = {4: "192.0.2.101", 6: "2001:db8::101"}
FAR = {4: f"{INTERNET}", 6: f"[{INTERNET6}]"}


def _seen_as(app: Inside, version: int) -> str | None:
    answer = fetch(app, f"http://{FAR[version]}:8000/", timeout=QUICKLY_S)
    return None if answer is None else str(answer["client"])


def _second_address(host: LabHost) -> None:
    # Deprecated, so that IPv6 does not choose it by itself.
    host.ip_batch(
        f"addr add {SECOND[4]}/24 dev eth0", f"addr add {SECOND[6]}/64 dev eth0 nodad preferred_lft 0"
    )


def _route_back(host: LabHost, outside: LabHost) -> None:
    outside.ip_batch(
        f"route add 10.9.0.0/24 via {host.address}", f"route add fd00:9::/64 via {host.address6}"
    )


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_a7_the_outside_sees_the_hosts_address(
    host: LabHost, outside: LabHost, tmp_path: Path, bridge_nf: int
) -> None:
    host.bridge_nf(bridge_nf)
    with Scene(host) as scene, http_server(outside, 8000, "far", "::"), udp_echo(outside, 53, bind="::"):
        host.duct("network", "create", "net", *SUBNETS)
        app = scene.sandbox("app", "net")
        with captured(outside, "eth0", "tcp port 8000 or icmp or icmp6", tmp_path) as packets:
            assert (_seen_as(app, 4), _seen_as(app, 6)) == (str(host.address), str(host.address6))
            assert ping(app, INTERNET)
            assert ping(app, INTERNET6)
        assert any(f"IP {host.address}." in line for line in packets), packets
        assert not [line for line in packets if OWN[4] in line or OWN[6] in line], (
            "no address of ours out there"
        )
        answer = udp_ask(app, outside.address, 53)
        assert answer is not None
        assert answer["client"] == str(host.address)
        # The host itself is not the outside: it sees who asks.
        with http_server(host, 8000, "host"):
            near = fetch(app, f"http://{host.address}:8000/")
        assert near is not None
        assert near["client"] == OWN[4]


def test_a7_off_means_the_networks_own_addresses(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene, http_server(outside, 8000, "far", "::"):
        host.duct("network", "create", "net", *SUBNETS, "--opt", "nat=off")
        app = scene.sandbox("app", "net")
        assert (_seen_as(app, 4), _seen_as(app, 6)) == (None, None), "the outside has no way back yet"
        _route_back(host, outside)
        assert (_seen_as(app, 4), _seen_as(app, 6)) == (OWN[4], OWN[6])


def test_a7_the_source_can_be_chosen(host: LabHost, outside: LabHost) -> None:
    _second_address(host)
    source = f"nat-source={SECOND[4]},{SECOND[6]}"
    with Scene(host) as scene, http_server(outside, 8000, "far", "::"):
        host.duct("network", "create", "chosen", *SUBNETS, "--opt", source)
        host.duct("network", "create", "plain", "--subnet", "10.8.0.0/24")
        assert [n["name"] for n in host.duct_json("network", "ls")] == ["chosen", "plain"]
        app, other = scene.sandbox("app", "chosen"), scene.sandbox("other", "plain")
        assert (_seen_as(app, 4), _seen_as(app, 6)) == (SECOND[4], SECOND[6])
        assert _seen_as(other, 4) == str(host.address), "only the network that asked for it"
        assert (
            "nat-source" in refused(host, "network", "update", "plain", "--opt", "nat-source=nowhere").stderr
        )


@pytest.mark.parametrize("version", [4, 6])
def test_a7_changed_live_with_connections_kept(host: LabHost, outside: LabHost, version: int) -> None:
    _second_address(host)
    _route_back(host, outside)
    as_host = str(host.address if version == 4 else host.address6)
    far = INTERNET if version == 4 else INTERNET6
    rules = []
    with Scene(host) as scene, http_server(outside, 8000, "far", "::"), tcp_hold(outside, 7, bind="::"):
        host.duct("network", "create", "net", *SUBNETS)
        app = scene.sandbox("app", "net")
        with tcp_connect(app, far, 7) as old:
            first = old.ask("before")
            assert first is not None
            assert first["client"] == as_host
            for option, expected in (
                (f"nat-source={SECOND[version]}", SECOND[version]),
                ("nat-source=", as_host),
                ("nat=off", OWN[version]),
                ("nat=on", as_host),
            ):
                host.duct("network", "update", "net", "--opt", option)
                rules.append(len(nft_rules(host)))
                assert _seen_as(app, version) == expected, option
                assert old.ask(option) == {**first, "data": option}, "the old connection is the same one"
        assert len(set(rules)) == 1, "data changes, rules do not"


def test_a7_a_network_never_masquerades_towards_another(host: LabHost) -> None:
    """Between open networks a container is seen by its own address."""
    with Scene(host) as scene:
        for name, subnet in (("one", "10.8.0.0/24"), ("two", "10.9.0.0/24")):
            host.duct("network", "create", name, "--subnet", subnet, "--opt", "isolation=off")
        a, b = scene.sandbox("a", "one"), scene.sandbox("b", "two")
        with http_server(b, 80, "b"):
            seen = fetch(a, f"http://{scene.address('b')}/")
        assert seen is not None
        assert seen["client"] == scene.address("a")
