"""Row B2: `duct network update` changes a network while its containers talk on.

    a, b ── dw-… h1 ── underlay ── outside 192.0.2.254, 198.51.100.1

Through every update three TCP connections are held: a to b, a to the outside, and the outside to a's
published port.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from tests.e2e.scene import Inside, Scene, ifindexes, refused
from tests.lab import LabHost, fetch, http_server, ping, tcp_connect, tcp_hold
from tests.lab.topology import INTERNET, INTERNET6

Alive = Callable[[], None]


@contextlib.contextmanager
def _talking(scene: Scene, host: LabHost, outside: LabHost) -> Iterator[Alive]:
    """Hold connections; what is given says that they live, and fails when one does not."""
    a, b = scene.inside("a"), scene.inside("b")
    numbers = count()
    with contextlib.ExitStack() as stack:
        for place in (outside, a, b):
            stack.enter_context(tcp_hold(place, 7, bind="::"))
        host.duct("publish", "a", "7007:7")
        held = {
            "a to b": stack.enter_context(tcp_connect(a, scene.address("b"), 7)),
            "a to the outside": stack.enter_context(tcp_connect(a, INTERNET, 7)),
            "the outside to a": stack.enter_context(tcp_connect(outside, host.address, 7007)),
        }
        ports = {name: (connection.ask() or {}).get("port") for name, connection in held.items()}

        def alive() -> None:
            for name, connection in held.items():
                answer = connection.ask(word := str(next(numbers)))
                assert answer is not None, f"the connection {name} broke"
                assert (answer["data"], answer["port"]) == (word, ports[name])

        yield alive


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_b2_everything_at_once_and_connections_stay(host: LabHost, outside: LabHost, bridge_nf: int) -> None:
    host.bridge_nf(bridge_nf)
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--opt", "bridge=dw-net")
        a, b = scene.sandbox("a", "net"), scene.sandbox("b", "net")
        places = (host, a, b)
        with _talking(scene, host, outside) as alive:
            kept = [(ifindexes(p), p.addresses("eth0")) for p in places]
            for words in (
                ("--label", "team=web"),
                ("--mtu", "1400"),
                ("--opt", "nat=off"),
                ("--opt", "nat=on"),
                ("--opt", "isolation=strict"),
                ("--opt", "isolation=on"),
                ("--subnet", "10.10.0.0/24"),
                ("--subnet", "fd00:9::/64"),
            ):
                host.duct("network", "update", "net", *words)
                alive()
            for place, (indexes, addresses) in zip(places, kept, strict=True):
                assert ifindexes(place) == indexes, "not one interface was made anew"
                assert set(addresses) <= set(place.addresses("eth0"))


def test_b2_a_second_ipv4_subnet(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene, http_server(outside, 8000, "far"):
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/30", "--opt", "bridge=dw-net")
        a = scene.sandbox("a", "net")
        assert refused(host, "sandbox", "create", "b", "--network", "net").returncode == 6, "it is full"
        host.duct("network", "update", "net", "--subnet", "10.10.0.0/24", "--gateway", "10.10.0.9")
        assert host.addresses("dw-net") == ["10.9.0.1/30", "10.10.0.9/24"]
        assert a.addresses("eth0") == ["10.9.0.2/30"], "who had an address keeps it"
        b = scene.sandbox("b", "net")
        (address,) = b.addresses("eth0")
        assert address.startswith("10.10.0.")
        assert scene.gateway("b") == "10.10.0.9"
        for one, other in ((a, scene.address("b")), (b, scene.address("a"))):
            assert ping(one, other), "one network, whichever subnet"
        seen = fetch(b, f"http://{INTERNET}:8000/")
        assert seen is not None
        assert seen["client"] == str(host.address)


def test_b2_ipv6_for_a_network_that_had_none(host: LabHost, outside: LabHost) -> None:
    with Scene(host) as scene, http_server(outside, 8000, "far", "::"):
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--opt", "bridge=dw-net")
        a = scene.sandbox("a", "net")
        b = scene.sandbox("b", "net")
        http_server(b, 80, "b", "::")
        host.duct("publish", "b", "8080:80")
        assert fetch(outside, f"http://[{host.address6}]:8080/", timeout=0.5) is None
        host.duct("network", "update", "net", "--subnet", "fd00:9::/64")
        assert a.addresses("eth0") == ["10.9.0.2/24", "fd00:9::2/64"]
        assert host.addresses("dw-net") == ["10.9.0.1/24", "fd00:9::1/64"]
        assert scene.gateway("a", 6) == "fd00:9::1"
        assert ping(a, "fd00:9::1")
        assert ping(a, "fd00:9::3")
        assert ping(host, "fd00:9::2")
        seen = fetch(a, f"http://[{INTERNET6}]:8000/")
        assert seen is not None
        assert seen["client"] == str(host.address6)
        seen = fetch(outside, f"http://[{host.address6}]:8080/")
        assert seen is not None, "what was published is so in the new family as well"
        assert seen["client"] == str(outside.address6)


def test_b2_the_mtu_of_every_part(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--opt", "bridge=dw-net")
        a, b = scene.sandbox("a", "net"), scene.sandbox("b", "net")
        ports = [p["ifname"] for p in json.loads(host.run("bridge", "-j", "link", "show").stdout)]
        for mtu in (1400, 9000):
            host.duct("network", "update", "net", "--mtu", str(mtu))
            assert [_mtu(host, name) for name in ("dw-net", *ports)] == [mtu] * 3
            assert [_mtu(a, "eth0"), _mtu(b, "eth0")] == [mtu] * 2
            size = mtu - 20 - 8  # without the headers of IPv4 and ICMP
            assert ping(a, scene.address("b"), "-M", "do", "-s", str(size))
            assert not ping(a, scene.address("b"), "-M", "do", "-s", str(size + 1), timeout=0.3)
        late = scene.sandbox("late", "net")
        assert _mtu(late, "eth0") == 9000


def test_b2_labels_and_what_cannot_be_changed(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--label", "a=1")
        scene.sandbox("a", "net")
        kernel = host.snapshot()
        host.duct("network", "update", "net", "--label", "b=2", "--label", "a=")
        assert host.duct_json("network", "inspect", "net")[0]["labels"] == {"b": "2"}
        for words in (
            ("--mtu", "67"),
            ("--subnet", "10.9.0.128/25"),
            ("--subnet", "192.0.2.0/24"),
            ("--opt", "bridge=other"),
            ("--opt", "nonsense=1"),
        ):
            complaint = refused(host, "network", "update", "net", *words).stderr
            assert complaint.startswith("duct: "), complaint
        assert host.snapshot() == kernel, "labels are ours alone, and a refusal changes nothing"


def _mtu(place: LabHost | Inside, ifname: str) -> int:
    return int(place.ip("link", "show", "dev", ifname)[0]["mtu"])
