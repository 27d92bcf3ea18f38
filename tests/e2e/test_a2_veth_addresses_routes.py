"""Row A2: `duct connect` makes the veth pair, the addresses and the routes, and shows each object it made.

h1 ── dw-… ── eth0 ns1                       (ns1: made with `ip netns add`)
        `──── eth0 box   with a route of its own to 198.51.100.0/24
"""

import json
from collections.abc import Iterator

import pytest
from tests.e2e.scene import Scene
from tests.lab import Lab, LabHost, Namespace, ping, wait_until

OURS = "215"
"""The number by which the kernel's objects say that Ductwork made them."""


@pytest.mark.parametrize("family", ["4", "6", "both"])
def test_a2_host_and_namespace_reach_each_other(lab: Lab, host: LabHost, family: str) -> None:
    ns1 = lab.namespace("ns1")
    words = {"4": ["10.9.0.0/24"], "6": ["fd00:9::/64"], "both": ["10.9.0.0/24", "fd00:9::/64"]}[family]
    addresses = {
        "4": ["10.9.0.2/24"],
        "6": ["fd00:9::2/64"],
        "both": ["10.9.0.2/24", "fd00:9::2/64"],
    }[family]
    with Scene(host):
        before = ns1.ip("-d", "addr", "show")
        host.duct("network", "create", "net", *(word for w in words for word in ("--subnet", w)))
        host.duct("connect", "net", f"netns:{ns1.name}")
        assert ns1.addresses("eth0") == addresses
        for address in addresses:
            inside = address.partition("/")[0]
            gateway = inside[:-1] + "1"
            assert ping(host, inside)
            assert ping(ns1, gateway)
            assert ping(ns1, host.address6 if ":" in inside else host.address), "by its default route"
        host.duct("disconnect", "net", f"netns:{ns1.name}")
        assert ns1.ip("-d", "addr", "show") == before


def test_a2_inspect_shows_exactly_what_the_kernel_has(lab: Lab, host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--ipv6")
        box = scene.sandbox("box")
        route = ("--route", "198.51.100.0/24@10.9.0.9")
        host.duct("network", "update", "net", "--subnet", "10.9.0.0/24")
        host.duct("connect", "net", "box", "--ip", "10.9.0.7", *route)
        (shown,) = host.duct_json("inspect", "box")
        (endpoint,) = shown["endpoints"]
        listed = {o["object"].replace(f"sandbox/{shown['id']}", "box") for o in shown["objects"]}
        assert all(o["present"] for o in shown["objects"])
        bridge = host.duct_json("network", "inspect", "net")[0]["options"]["bridge"]
        # Said by `ip`, in both directions: nothing is shown that is not there, nothing is there unshown.
        made = {
            *_links(host, endpoint["host_ifname"], box),
            *(f"{line} in box" for line in _addresses(box, "eth0")),
            *(f"{line} in box" for line in _routes(box)),
            *(f"{line} in box" for line in _neighbours(box)),
            *(line for line in _neighbours(host) if f"dev {bridge}" in line),
        }
        kinds = ("link dv-", "address", "route", "neighbour")
        assert {line for line in listed if line.startswith(kinds)} == made
        assert "link lo up in box" in listed
        assert f"netns {box.path}" in listed
        text = host.duct("inspect", "box").stdout
        assert all(o["object"] in text for o in shown["objects"])


def test_a2_inspect_shows_what_is_missing(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
        box = scene.sandbox("box", "net")
        box.ip_batch("addr del 10.9.0.2/24 dev eth0")
        (shown,) = host.duct_json("inspect", "box")
        missing = [o["object"].partition(" in ")[0] for o in shown["objects"] if not o["present"]]
        # With the address goes the route to the gateway, and with that the default route.
        assert "address 10.9.0.2/24 dev eth0" in missing
        assert not [o for o in missing if o.startswith("link")]
        assert host.duct_json("status")["missing"] == len(missing)


def test_a2_a_link_local_address_appears_only_where_there_is_ipv6(host: LabHost) -> None:
    with Scene(host) as scene:
        host.duct("network", "create", "four", "--subnet", "10.9.0.0/24")
        host.duct("network", "create", "six", "--subnet", "fd00:9::/64")
        box = scene.sandbox("box", "four", "six")
        found = {
            link["ifname"]: [a["local"] for a in link["addr_info"] if a["scope"] == "link"]
            for link in box.ip("addr", "show")
        }
        assert found["eth0"] == []
        assert len(found["eth1"]) == 1
        wait_until(lambda: not _tentative(box), "link-local address usable")
        assert host.run("ping", "-c1", "-W2", f"{found['eth1'][0]}%{_bridge(host, 'six')}").returncode == 0


def _bridge(host: LabHost, network: str) -> str:
    return str(host.duct_json("network", "inspect", network)[0]["options"]["bridge"])


def _tentative(ns: Namespace) -> bool:
    return bool([a for link in ns.ip("addr", "show", "tentative") for a in link.get("addr_info", []) if a])


def _links(host: LabHost, outer: str, box: Namespace) -> Iterator[str]:
    """Say of a veth pair what joins its ends: each names the other's index."""
    (out,) = host.ip("-d", "link", "show", "dev", outer)
    (inner,) = box.ip("-d", "link", "show", "dev", "eth0")
    assert (out["link_index"], inner["link_index"]) == (inner["ifindex"], out["ifindex"])
    kind = out["linkinfo"]["info_kind"]
    yield f"link {outer} type {kind} peer {inner['ifname']} address {inner['address']} netns box"


def _addresses(ns: Namespace, ifname: str) -> Iterator[str]:
    for address in ns.addresses(ifname):
        yield f"address {address} dev {ifname}"


def _routes(ns: Namespace) -> Iterator[str]:
    for route in [*ns.ip("-4", "route", "show"), *ns.ip("-6", "route", "show")]:
        if route["protocol"] == OURS:
            yield f"route {route['dst']} via {route['gateway']} dev {route['dev']}"


def _neighbours(ns: Namespace) -> Iterator[str]:
    for entry in json.loads(ns.run("ip", "-j", "neigh", "show", "nud", "permanent").stdout):
        if entry:
            yield f"neighbour {entry['dst']} lladdr {entry['lladdr']} dev {entry['dev']} nud permanent"
