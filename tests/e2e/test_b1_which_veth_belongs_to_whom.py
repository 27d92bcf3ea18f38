"""Row B1: `brctl show` says veth…; Ductwork says whose it is, from both ends, and the kernel agrees.

h1 ── dw-front ── web, api          api is on both
   `─ dw-back  ── api, db, netns:…
"""

import json
from typing import Any

from tests.e2e.scene import Scene
from tests.lab import Lab, LabHost, Namespace, ping

Port = tuple[str, str, str, str, str, tuple[str, ...]]
"""bridge, outer interface, sandbox, inner interface, MAC, addresses"""


def test_b1_network_bridge_port_container_address(lab: Lab, host: LabHost) -> None:
    with Scene(host) as scene:
        places = _build(lab, host, scene)
        truth = _from_the_kernel(host, places)
        assert len(truth) == 5
        assert _from_network_inspect(host) == truth
        assert _from_sandbox_inspect(host, list(places)) == truth
        assert _from_graph(host) == truth
        # And when things change: the port is gone everywhere, or moved.
        host.duct("disconnect", "back", "api")
        host.duct("connect", "back", "web", "--ifname", "backend")
        truth = _from_the_kernel(host, places)
        assert ("dw-back", "web", "backend") in {(p[0], p[2], p[3]) for p in truth}
        assert ("dw-back", "api") not in {(p[0], p[2]) for p in truth}
        assert _from_network_inspect(host) == _from_graph(host) == truth


def test_b1_the_bridge_tools_show_the_same_ports(lab: Lab, host: LabHost) -> None:
    with Scene(host) as scene:
        _build(lab, host, scene)
        brctl = _brctl_show(host)
        assert brctl.keys() == {"dw-front", "dw-back"}
        for network, bridge in (("front", "dw-front"), ("back", "dw-back")):
            (shown,) = host.duct_json("network", "inspect", network)
            ours = {e["host_ifname"] for e in shown["endpoints"]}
            assert brctl[bridge] == ours
            ports = json.loads(host.run("bridge", "-j", "link", "show").stdout)
            assert {p["ifname"] for p in ports if p["master"] == bridge} == ours


def test_b1_a_person_finds_it_in_the_text_too(lab: Lab, host: LabHost) -> None:
    with Scene(host) as scene:
        places = _build(lab, host, scene)
        drawn, inspected = host.duct("graph").stdout, host.duct("network", "inspect", "front", "back").stdout
        for bridge, outer, name, inner, mac, addresses in _from_the_kernel(host, places):
            (line,) = [line for line in inspected.splitlines() if outer in line and "→" in line]
            assert f"{outer} → {name}:{inner}" in line
            assert all(word in line for word in (mac, *addresses))
            rows = [line for line in drawn.splitlines() if outer in line]
            assert len(rows) == 2, "once below its network, once below its sandbox"
            assert name in rows[0]
            assert bridge in drawn


def test_b1_a_frame_comes_out_of_the_port_that_was_named(lab: Lab, host: LabHost) -> None:
    """The forwarding table, learned from real frames, has each MAC behind the port we say."""
    with Scene(host) as scene:
        places = _build(lab, host, scene)
        for port in _from_the_kernel(host, places):
            assert ping(host, port[-1][0].partition("/")[0])
        learned = {
            (entry["mac"], entry["ifname"])
            for entry in json.loads(host.run("bridge", "-j", "fdb", "show").stdout)
            if "permanent" not in entry.get("state", "")
        }
        assert {(p[4], p[1]) for p in _from_network_inspect(host)} <= learned


def _build(lab: Lab, host: LabHost, scene: Scene) -> dict[str, Namespace]:
    host.duct("network", "create", "front", "--subnet", "10.8.0.0/24", "--opt", "bridge=dw-front")
    host.duct("network", "create", "back", "--subnet", "10.9.0.0/24", "--ipv6", "--opt", "bridge=dw-back")
    made = lab.namespace("made")
    places: dict[str, Namespace] = {
        "web": scene.sandbox("web", "front"),
        "api": scene.sandbox("api", "front", "back"),
        "db": scene.sandbox("db", "back"),
        f"netns:{made.name}": made,
    }
    host.duct("connect", "back", f"netns:{made.name}")
    return places


def _from_the_kernel(host: LabHost, places: dict[str, Namespace]) -> set[Port]:
    """Walk from each bridge to its ports, and from each port to the other end of the pair."""
    inner = {
        link["ifindex"]: (name, link)
        for name, place in places.items()
        for link in place.ip("addr", "show")
        if link["ifname"] != "lo"
    }
    found = set()
    for port in host.ip("link", "show", "type", "veth"):
        if "master" in port:
            name, link = inner[port["link_index"]]
            assert link["link_index"] == port["ifindex"], "each end names the other"
            addresses = _global(link)
            found.add((port["master"], port["ifname"], name, link["ifname"], link["address"], addresses))
    return found


def _global(link: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] == "global")


def _from_network_inspect(host: LabHost) -> set[Port]:
    shown = host.duct_json("network", "inspect", "front", "back")
    return {_port(n["options"]["bridge"], e, e["sandbox"]) for n in shown for e in n["endpoints"]}


def _from_sandbox_inspect(host: LabHost, names: list[str]) -> set[Port]:
    shown = host.duct_json("inspect", *names)
    return {_port(f"dw-{e['network']}", e, s["name"]) for s in shown for e in s["endpoints"]}


def _from_graph(host: LabHost) -> set[Port]:
    graph = host.duct_json("graph", "--format", "json")
    nodes = {node["id"]: node for node in graph["nodes"]}
    edges = [e for e in graph["edges"] if e["kind"] == "endpoint"]
    return {_port(nodes[e["from"]]["bridge"], e, nodes[e["to"]]["name"]) for e in edges}


def _port(bridge: str, endpoint: dict[str, Any], name: str) -> Port:
    addresses = tuple(endpoint["addresses"])
    return (bridge, endpoint["host_ifname"], name, endpoint["container_ifname"], endpoint["mac"], addresses)


def _brctl_show(host: LabHost) -> dict[str, set[str]]:
    """Read brctl's table: a bridge's first port stands in its own line, the others alone in theirs."""
    found: dict[str, set[str]] = {}
    bridge = ""
    for line in host.run_with_sysfs("brctl", "show").stdout.splitlines()[1:]:
        words = line.split()
        if not line.startswith("\t"):
            bridge = words[0]
            found[bridge] = set()
            words = words[3:]
        found[bridge] |= set(words)
    return found
