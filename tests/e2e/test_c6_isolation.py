"""Row C6: containers on different networks do not reach each other, whichever way they try.

    a ── red  10.8.0.0/24 fd00:8::/64 ─┐
                                       h1 192.0.2.1 ── underlay ── outside 192.0.2.254
    b ── blue 10.9.0.0/24 fd00:9::/64 ─┘                           (routes to red and blue via h1)

Each test asks a table of questions at once and compares the whole table; what must be reached stands beside
what must not, so that a lab in which nothing works cannot pass.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.scene import QUICKLY_S, Scene, captured, refused
from tests.lab import LabHost, Namespace, fetch, http_server, ping, udp_ask, udp_echo
from tests.lab.topology import INTERNET, INTERNET6

RED, BLUE = ("10.8.0", "fd00:8:"), ("10.9.0", "fd00:9:")
Question = tuple[str, Namespace, str]
"""ping, tcp or udp; who asks; which address"""


def _ask(question: Question) -> bool:
    how, who, address = question
    if how == "ping":
        return ping(who, address, timeout=QUICKLY_S)
    if how == "udp":
        return udp_ask(who, address, 53, timeout=QUICKLY_S) is not None
    port = how.partition(":")[2] or "80"
    shown = f"[{address}]" if ":" in address else address
    return fetch(who, f"http://{shown}:{port}/", timeout=QUICKLY_S) is not None


def _answered(questions: list[Question]) -> list[str]:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(_ask, questions))
    return [_name(q) for q, answer in zip(questions, answers, strict=True) if answer]


def _name(question: Question) -> str:
    how, who, address = question
    return f"{how} {who.name.rpartition('-')[2]} to {address}"


def _every_way(who: Namespace, net: tuple[str, str], number: int) -> list[Question]:
    v4, v6 = f"{net[0]}.{number}", f"{net[1]}:{number}"
    return [(how, who, address) for how in ("ping", "tcp", "udp") for address in (v4, v6)]


@pytest.fixture(params=[0, 1], ids=["bridge-nf 0", "bridge-nf 1"])
def scene(request: pytest.FixtureRequest, host: LabHost, outside: LabHost) -> Iterator[Scene]:
    """The two networks, a server in each container, on the host and outside."""
    host.bridge_nf(request.param)
    outside.ip_batch(
        *(f"route add {net[0]}.0/24 via {host.address}" for net in (RED, BLUE)),
        *(f"route add {net[1]}:/64 via {host.address6}" for net in (RED, BLUE)),
    )
    with Scene(host) as stage:
        for name, net in (("red", RED), ("blue", BLUE)):
            host.duct("network", "create", name, "--subnet", f"{net[0]}.0/24", "--subnet", f"{net[1]}:/64")
        for place in (stage.sandbox("a", "red"), stage.sandbox("b", "blue"), host, outside):
            http_server(place, 80, place.name, "::")
            udp_echo(place, 53, place.name, "::")
        yield stage


def test_c6_neither_the_containers_nor_the_others_gateway(scene: Scene, host: LabHost) -> None:
    a, b = scene.inside("a"), scene.inside("b")
    c = scene.sandbox("c", "red")
    allowed = [*_every_way(c, RED, 2), *_every_way(a, RED, 1), *_every_way(b, BLUE, 1)]
    allowed += [(how, place, str(host.address)) for place in (a, b) for how in ("ping", "tcp")]
    forbidden = [*_every_way(a, BLUE, 2), *_every_way(b, RED, 2), *_every_way(c, BLUE, 2)]
    forbidden += [*_every_way(a, BLUE, 1), *_every_way(b, RED, 1)]
    assert _answered(allowed + forbidden) == [_name(q) for q in allowed]


def test_c6_not_with_a_borrowed_address_either(scene: Scene, tmp_path: Path) -> None:
    """Packets that claim to come from the other network do not even arrive there."""
    a, b = scene.inside("a"), scene.inside("b")
    a.ip_batch("addr add 10.9.0.77/32 dev lo", "addr add fd00:9::77/128 dev lo nodad")
    with captured(b, "eth0", "icmp or (icmp6 and ip6[40] == 128)", tmp_path) as arrived:
        for source, address in (("10.9.0.77", "10.9.0.2"), ("fd00:9::77", "fd00:9::2")):
            assert not ping(a, address, "-I", source, timeout=0.3)
        assert ping(scene.host, "10.9.0.2")
    assert {line.split()[2] for line in arrived if "echo request" in line} == {"10.9.0.1"}, arrived


@pytest.mark.parametrize("isolation", ["on", "strict"])
def test_c6_published_addresses_unless_strict(
    scene: Scene, host: LabHost, outside: LabHost, isolation: str
) -> None:
    a, b = scene.inside("a"), scene.inside("b")
    host.duct("network", "update", "blue", "--opt", f"isolation={isolation}")
    host.duct("publish", "b", "8080:80")
    addresses = (str(host.address), str(host.address6))
    own = [("tcp:8080", place, address) for place in (outside, host, b) for address in addresses]
    other = [("tcp:8080", a, address) for address in addresses]
    expected = own if isolation == "strict" else own + other
    assert _answered(own + other) == [_name(q) for q in expected]
    # A published port is no way around to what is not published.
    assert _answered(_every_way(a, BLUE, 2)) == []
    # It is published on every address of the host, and that is also the other network's gateway.
    by_gateway = ("tcp:8080", a, "10.9.0.1")
    assert _answered([by_gateway]) == ([] if isolation == "strict" else [_name(by_gateway)])


def test_c6_off_on_both_opens_and_on_one_does_not(scene: Scene, host: LabHost) -> None:
    a, b = scene.inside("a"), scene.inside("b")
    both_ways = [*_every_way(a, BLUE, 2), *_every_way(b, RED, 2)]
    host.duct("network", "update", "red", "--opt", "isolation=off")
    assert _answered(both_ways) == []
    host.duct("network", "update", "blue", "--opt", "isolation=off")
    assert _answered(both_ways) == [_name(q) for q in both_ways]
    host.duct("network", "update", "red", "--opt", "isolation=on")
    assert _answered(both_ways) == []


def test_c6_internal_has_no_way_out_and_none_in(scene: Scene, host: LabHost, outside: LabHost) -> None:
    a = scene.inside("a")
    host.duct(
        "network", "create", "vault", "--internal", "--subnet", "10.7.0.0/24", "--subnet", "fd00:7::/64"
    )
    safe, near = scene.sandbox("safe", "vault"), scene.sandbox("near", "vault")
    for place in (safe, near):
        assert place.ip("-4", "route", "show", "default") == place.ip("-6", "route", "show", "default") == []
        place.ip_batch("route add default via 10.7.0.1", "route add ::/0 via fd00:7::1")
        http_server(place, 80, place.name, "::")
        udp_echo(place, 53, place.name, "::")
    outside.ip_batch(
        f"route add 10.7.0.0/24 via {host.address}", f"route add fd00:7::/64 via {host.address6}"
    )
    vault = ("10.7.0", "fd00:7:")
    allowed = [*_every_way(safe, vault, 3), *_every_way(host, vault, 2), *_every_way(safe, vault, 1)]
    way_out = [
        (how, safe, str(ip)) for how in ("ping", "tcp") for ip in (INTERNET, INTERNET6, outside.address)
    ]
    way_in = [*_every_way(outside, vault, 2), *_every_way(a, vault, 2), *_every_way(safe, RED, 2)]
    assert _answered(allowed + way_out + way_in) == [_name(q) for q in allowed]
    assert "internal" in refused(host, "publish", "safe", "8081:80").stderr


def test_c6_not_from_the_lan_by_routing(scene: Scene, host: LabHost, outside: LabHost) -> None:
    """The outside machine knows the way to the container's subnet; only what is published is let in."""
    a = scene.inside("a")
    host.duct("publish", "a", "8080:80")
    allowed = [("tcp:8080", outside, str(ip)) for ip in (host.address, host.address6)]
    allowed += [("tcp", a, str(ip)) for ip in (outside.address, outside.address6)]
    gateway = ("tcp", outside, "10.8.0.1")
    forbidden = [*_every_way(outside, RED, 2), gateway, ("tcp:8080", outside, "10.8.0.2")]
    answered = _answered(allowed + forbidden)
    assert answered == [_name(q) for q in [*allowed, gateway]], (
        "the gateway is the host itself: its own services are its own business"
    )
    # With NAT off the container's address is no secret, and still no way in.
    host.duct("network", "update", "red", "--opt", "nat=off")
    assert _answered(allowed + forbidden) == answered
