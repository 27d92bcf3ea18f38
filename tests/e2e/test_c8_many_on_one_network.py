"""Row C8: containers on one user-defined network reach each other, every one every other.

c1, c2, c3, c4 ── dw-… h1
"""

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest
from tests.e2e.scene import Inside, Scene
from tests.lab import LabHost, fetch, http_server, ping, udp_ask, udp_echo, wait_until

NAMES = ("c1", "c2", "c3", "c4")


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_c8_every_one_reaches_every_other(host: LabHost, bridge_nf: int) -> None:
    host.bridge_nf(bridge_nf)
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--subnet", "fd00:9::/64")
        for name in NAMES:
            place = scene.sandbox(name, "net")
            http_server(place, 80, name, "::")
            udp_echo(place, 53, name, "::")

        def talk(pair: tuple[str, str]) -> list[str]:
            one, other = pair
            return [
                f"{how} {one} to {other} over IPv{version}"
                for version in (4, 6)
                for how, good in _ways(scene, one, other, version)
                if not good
            ]

        with ThreadPoolExecutor(4) as pool:
            failed = [line for lines in pool.map(talk, permutations(NAMES, 2)) for line in lines]
        assert failed == []


def _ways(scene: Scene, one: str, other: str, version: int) -> list[tuple[str, bool]]:
    client, address, own = scene.inside(one), scene.address(other, version), scene.address(one, version)
    shown = f"[{address}]" if version == 6 else address
    page, datagram = fetch(client, f"http://{shown}/"), udp_ask(client, address, 53)
    return [
        ("ping", ping(client, address)),
        ("tcp", page is not None and (page["text"], page["client"]) == (other, own)),
        ("udp", datagram is not None and (datagram["text"], datagram["client"]) == (other, own)),
    ]


def test_c8_broadcast_and_multicast_are_heard_by_all(host: LabHost) -> None:
    """One network is one broadcast domain: what DHCP, mDNS and keepalived live on."""
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24", "--subnet", "fd00:9::/64")
        first, *others = [scene.sandbox(name, "net") for name in NAMES[:3]]
        for place in others:
            place.set_sysctl("net/ipv4/icmp_echo_ignore_broadcasts", 0)
        addresses = {scene.address(place.name) for place in others}
        for group in ("10.9.0.255", "224.0.0.1"):
            assert _who_answers(first, "-b", "-I", "eth0", group) == addresses, group
        near = {_link_local(place) for place in others}
        wait_until(lambda: near <= _who_answers(first, "ff02::1%eth0"), "all heard over IPv6")


def _who_answers(place: Inside, *words: str) -> set[str]:
    shown = place.run("ping", "-n", "-c3", "-i0.2", "-W0.3", *words, check=False).stdout
    return set(re.findall(r"from ([0-9a-f.:]+?)(?:%eth0)?: icmp_seq", shown))


def _link_local(place: Inside) -> str:
    (link,) = place.ip("addr", "show", "dev", "eth0", "scope", "link")
    return next(a["local"] for a in link["addr_info"] if a)


def test_c8_one_leaves_and_the_others_talk_on(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
        a, b = scene.sandbox("a", "net"), scene.sandbox("b", "net")
        c = scene.sandbox("c", "net")
        gone = scene.address("c")
        host.duct("disconnect", "net", "c")
        assert ping(a, scene.address("b"))
        assert not ping(a, gone, timeout=0.3)
        assert c.link_names() == ["lo"]
        host.duct("sandbox", "rm", "a")
        host.duct("connect", "net", "c")
        assert ping(b, scene.address("c"))
