"""Many commands at once on one host: each waits its turn, and nothing is given out twice.

h1 ── net dw-… ── s0 … s7, each connected by a process of its own, all started together
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.scene import Scene
from tests.lab import LabHost, Result, fetch, http_server

MANY = 8


def _all_at_once(host: LabHost, *commands: tuple[str, ...]) -> list[Result]:
    """Start every command in a process of its own before waiting for any."""
    with ThreadPoolExecutor(len(commands)) as pool:
        results = list(pool.map(lambda words: host.duct(*words, check=False), commands))
    assert [r.stderr for r in results if r.returncode] == []
    return results


def test_connecting_and_publishing_at_once(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--ipv6")
        names = [f"s{number}" for number in range(MANY)]
        _all_at_once(host, *(("sandbox", "create", name) for name in names))
        _all_at_once(host, *(("connect", "net", name, "-p", "8000") for name in names))
        addresses = [scene.address(name, version) for name in names for version in (4, 6)]
        assert len(set(addresses)) == 2 * MANY
        links = [scene.inside(name).ip("link", "show", "eth0")[0] for name in names]
        assert len({link["address"] for link in links}) == MANY

        more = _all_at_once(host, *(("publish", name, "8000", "--json") for name in names))
        later = [json.loads(result.stdout)[0]["host_port"] for result in more]
        sandboxes = host.duct_json("inspect", *names)
        ports = {s["name"]: [p["host_port"] for p in s["endpoints"][0]["ports"]] for s in sandboxes}
        assert len({port for found in ports.values() for port in found}) == 2 * MANY
        assert set(later) <= {port for found in ports.values() for port in found}
        for name in names:
            http_server(scene.inside(name), 8000, name)
        for name, found in ports.items():
            for port in found:
                seen = fetch(outside, f"http://{host.address}:{port}/")
                assert seen is not None, (name, port)
                assert seen["text"] == name


def test_the_same_thing_asked_for_at_once(host: LabHost) -> None:
    """Exactly one of them gets it; the others are told so."""
    with Scene(host), ThreadPoolExecutor(MANY) as pool:
        made = list(pool.map(lambda _: host.duct("network", "create", "net", check=False), range(MANY)))
        assert sorted(r.returncode for r in made) == [0] + [4] * (MANY - 1)
        assert len(host.ip("link", "show", "type", "bridge")) == 1


def test_making_and_removing_at_once(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net")
        for number in range(MANY // 2):
            host.duct("sandbox", "create", f"old{number}", "--network", "net")
        old = [("sandbox", "rm", f"old{number}") for number in range(MANY // 2)]
        new = [("sandbox", "create", f"new{number}", "--network", "net") for number in range(MANY // 2)]
        _all_at_once(host, *(command for pair in zip(old, new, strict=True) for command in pair))
        addresses = [scene.address(f"new{number}") for number in range(MANY // 2)]
        assert len(set(addresses)) == MANY // 2
        status = host.duct_json("status")
        assert (status["missing"], status["leftovers"]) == (0, [])
