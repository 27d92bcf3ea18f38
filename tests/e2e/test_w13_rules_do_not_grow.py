"""Row W13: the number of firewall rules is the same with one endpoint and with five hundred.

outside ── underlay ── h1 :20000…20499 ── dw-… ── s0 … s499, each with one published port
"""

from __future__ import annotations

import json
import time

from tests.e2e.scene import Scene, nft_rules
from tests.lab import LabHost, fetch, http_server

from ductwork import ConnectSpec, SandboxSpec, host_from_environment, open_engine, parse_ports

MANY = 500
FIRST_PORT = 20000


def _chains(host: LabHost) -> list[str]:
    listed = json.loads(host.run("nft", "-j", "list", "chains").stdout)["nftables"]
    return [item["chain"]["name"] for item in listed if "chain" in item]


def _add(host: LabHost, numbers: range) -> None:
    """Connect and publish with the library, in one process: five hundred commands would take minutes."""
    with open_engine(host_from_environment(str(host.path), str(host.state_dir))) as engine:
        for number in numbers:
            engine.create_sandbox(SandboxSpec(f"s{number}"))
            ports = tuple(parse_ports(f"{FIRST_PORT + number}:8000"))
            engine.connect("net", f"s{number}", ConnectSpec(ports=ports))


def test_w13_rules_are_constant(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.64.0.0/20")
        _add(host, range(1))
        rules, chains = nft_rules(host), _chains(host)
        _add(host, range(1, MANY))
        assert len(nft_rules(host)) == len(rules)
        assert nft_rules(host) == rules, "not even other ones"
        assert _chains(host) == chains
        assert len(host.ip("link", "show", "type", "veth")) >= MANY

        for number in (0, MANY // 2, MANY - 1):
            http_server(scene.inside(f"s{number}"), 8000, f"s{number}")
            seen = fetch(outside, f"http://{host.address}:{FIRST_PORT + number}/")
            assert seen is not None
            assert seen["text"] == f"s{number}"

        start = time.monotonic()
        status = host.duct_json("status")
        print(f"duct status of {len(status['objects'])} objects: {time.monotonic() - start:.2f} s")
        assert (status["missing"], status["leftovers"]) == (0, [])

        scene.end_processes()
        start = time.monotonic()
        host.duct("sandbox", "rm", *(f"s{number}" for number in range(MANY)), timeout=100)
        print(f"duct sandbox rm of {MANY}: {time.monotonic() - start:.2f} s")
        assert nft_rules(host) == rules
