"""What the reader makes of a file, and what it says about a wrong one."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from ductwork.errors import DuctworkError, InvalidArgument, NotFound
from ductwork.frontends.topology_file import find_topology_file, parse_topology, read_name, read_topology
from ductwork.frontends.yaml_text import MAX_DEPTH, load_yaml
from ductwork.model.endpoint import StaticRoute
from ductwork.model.network import NetworkSpec, Subnet
from ductwork.model.topology import WantedEndpoint, WantedLink

HEAD = "name: t\n"


def test_every_form_of_a_connection() -> None:
    topology = parse_topology(
        HEAD
        + """
networks: {a: , b: {}, c: {external: true}}
sandboxes:
  listed: {networks: [b, {name: a, ip: 10.0.0.5, routes: ["10.9.0.0/16@10.0.0.1"]}, {network: c}]}
  named: {networks: {c: , a: {aliases: [x, x, y]}}}
  empty:
"""
    )
    assert topology.networks == (NetworkSpec("a"), NetworkSpec("b")) and topology.external == ("c",)
    listed, named, empty = topology.sandboxes
    route = StaticRoute(ip_network("10.9.0.0/16"), ip_address("10.0.0.1"))
    assert listed.endpoints == (
        WantedEndpoint("b"),
        WantedEndpoint("a", (ip_address("10.0.0.5"),), routes=(route,)),
        WantedEndpoint("c"),
    )
    assert named.endpoints == (WantedEndpoint("c"), WantedEndpoint("a", aliases=("x", "y")))
    assert (empty.name, empty.endpoints) == ("empty", ())


def test_words_are_as_they_are_written() -> None:
    data = load_yaml(
        "a: [22:22, 8080:80, off, no, 007, 1.10, 0x10, 2026-01-01, 80, true, ~]\n10: x\nno: y", "f"
    )
    assert data == {
        "a": ["22:22", "8080:80", "off", "no", "007", "1.10", "0x10", "2026-01-01", 80, True, None],
        "10": "x",
        "no": "y",
    }


def test_options_and_labels_become_text() -> None:
    text = HEAD + "networks: {a: {options: {nat: false, isolation: off}, labels: {n: 5, t: true}, mtu: 1400}}"
    (spec,) = parse_topology(text).networks
    assert spec.options == (("isolation", "off"), ("nat", "off"))
    assert spec.labels == (("n", "5"), ("t", "true")) and spec.mtu == 1400


def test_anchors_and_merging() -> None:
    data = load_yaml("x: &x {a: 1, b: 2}\ny: &y {b: 3}\nz: {<<: [*x, *y], c: 4}\nw: {a: 9, <<: *x}", "f")
    assert isinstance(data, dict)
    assert data["z"] == {"a": 1, "b": 2, "c": 4} and data["w"] == {"a": 9, "b": 2}


def test_anchors_in_anchors_stay_cheap() -> None:
    lines = ["l0: &l0 {k: 1}"] + [
        f"l{i}: &l{i} {{<<: [{', '.join([f'*l{i - 1}'] * 9)}]}}" for i in range(1, 40)
    ]
    data = load_yaml("\n".join(lines), "f")
    assert isinstance(data, dict) and data["l39"] == {"k": 1}


def test_subnets_ports_links_and_shared_stacks() -> None:
    topology = parse_topology(
        HEAD
        + """
networks:
  a:
    subnets: [{subnet: 10.0.0.0/24, gateway: 10.0.0.9, ip_range: 10.0.0.128/25, reserved: [10.0.0.130]}]
sandboxes:
  web:
    networks: [a]
    ports: [80, "8080-8081:90-91", {publish: 53:53/udp, allow_from: [10.0.0.0/8], network: a}]
    links: [db, "db:database", "docker:cache:c", "docker:cache"]
  db:
  one: {mode: "container:two"}
  two: {mode: "container:web"}
"""
    )
    cidr = ip_network("10.0.0.0/24")
    limits = ip_network("10.0.0.128/25"), (ip_address("10.0.0.130"),)
    assert topology.networks[0].subnets == (Subnet(cidr, ip_address("10.0.0.9"), *limits),)
    web, _, one, _ = topology.sandboxes
    assert [(p.request.host_port, p.request.container_port, p.network) for p in web.ports] == [
        (None, 80, ""),
        (8080, 90, ""),
        (53, 53, "a"),
    ]
    assert [p.place for p in web.ports] == [f"sandboxes.web.ports[{i}]" for i in range(3)]
    assert web.links == (
        WantedLink("db", "db"),
        WantedLink("db", "database"),
        WantedLink("docker:cache", "c"),
        WantedLink("docker:cache", "cache"),
    )
    assert one.mode == "container:web"


NET = "networks: {a: }\n"
WRONG = [
    ("networks: [a]", "f: networks: a list is not a mapping or nothing; write a mapping or nothing here"),
    ("version: 2", "f: version: "),
    ("nets: {}", "f: key 'nets' is not known; did you mean networks?"),
    ("networks: {a: {mtu: big}}", "f: networks.a.mtu: 'big' is not a number or nothing"),
    (
        "networks: {a: , b: {subnet: 10.0.0.0/8}}",
        "f: networks.b: key 'subnet' is not known; did you mean subnets?",
    ),
    ("networks: {a: {subnets: [{gateway: 10.0.0.1}]}}", "f: networks.a.subnets[0]: key 'subnet' is missing"),
    (
        "networks: {a: {subnets: [10.0.0.1/24]}}",
        "f: networks.a.subnets[0]: subnet '10.0.0.1/24' has host bits set",
    ),
    ("networks: {a: {subnets: [127.0.0.0/24]}}", "f: networks.a.subnets[0]: "),
    ("networks: {a b: }", "f: networks.a b: network name 'a b' is not allowed"),
    (
        "networks: {a: {external: true, mtu: 1400}}",
        "f: networks.a: it is external, so its mtu cannot be said here",
    ),
    ("sandboxes: {w: {networks: [x]}}", "f: sandboxes.w.networks[0]: network 'x' is not in this file"),
    (NET + "sandboxes: {w: {networks: [a, a]}}", "f: sandboxes.w.networks[1]: it is connected to a twice"),
    (
        NET + "sandboxes: {w: {networks: [{ip: 10.0.0.1}]}}",
        "f: sandboxes.w.networks[0]: it does not say which",
    ),
    (
        NET + "sandboxes: {w: {networks: {a: {ip: fd00::1}}}}",
        "f: sandboxes.w.networks.a: ip fd00::1 is an IPv6",
    ),
    (NET + "sandboxes: {w: {networks: {a: {ip: x}}}}", "f: sandboxes.w.networks.a: ip 'x' is not an IPv4"),
    (NET + "sandboxes: {w: {networks: {a: {mac: x}}}}", "f: sandboxes.w.networks.a: MAC address 'x'"),
    (NET + "sandboxes: {w: {networks: {a: {adr: x}}}}", "f: sandboxes.w.networks.a: key 'adr' is not known"),
    (
        NET + "sandboxes: {v: , w: {networks: {a: 5}}}",
        "f: sandboxes.w.networks.a: 5 is not a mapping or nothing",
    ),
    (
        NET + "sandboxes: {w: {networks: [a], ports: [80:http]}}",
        "f: sandboxes.w.ports[0]: port mapping '80:http'",
    ),
    (NET + "sandboxes: {w: {networks: [a], ports: [8080, 70000]}}", "f: sandboxes.w.ports[1]: "),
    (
        NET + "sandboxes: {w: {networks: [a], ports: [{publish: 80, network: b}]}}",
        "f: sandboxes.w.ports[0]: the sand",
    ),
    (
        "sandboxes: {w: {ports: [80]}}",
        "f: sandboxes.w.ports[0]: the sandbox has no network to publish through",
    ),
    ("sandboxes: {w: {links: [db]}}", "f: sandboxes.w.links[0]: sandbox 'db' is not in this file"),
    ("sandboxes: {w: {links: [w]}}", "f: sandboxes.w.links[0]: a sandbox cannot be linked to itself"),
    ("sandboxes: {w: {links: [d:x, e:x]}, d: , e: }", "f: sandboxes.w: link alias x stands there twice"),
    ("sandboxes: {w: {mode: bridg}}", "f: sandboxes.w: mode 'bridg' is not known"),
    ("sandboxes: {w: {mode: bridge}}", "f: sandboxes.w: mode bridge needs a network"),
    (NET + "sandboxes: {w: {mode: none, networks: [a]}}", "f: sandboxes.w: mode none has no networks"),
    ("sandboxes: {w: {mode: host, target: 'docker:x'}}", "f: sandboxes.w: w has a target"),
    ("sandboxes: {w: {mode: 'container:x'}}", "f: sandboxes.w.mode: sandbox 'x' is not in this file"),
    (
        "sandboxes: {a: {mode: 'container:b'}, b: {mode: 'container:a'}}",
        "f: sandboxes.a.mode: a shares with b",
    ),
    ("sandboxes: {a: {mode: 'container:a'}}", "f: sandboxes.a.mode: a shares with a"),
    ("networks: {a: , a: }", "f:2: key 'a' stands here twice"),
    ("networks:\n  a:\n\tmtu: 5", "f:4: "),
    ("? [a, b]\n: c", "f:2: a key must be a plain word"),
    ("a: !!python/object/apply:os.system [ls]", "f:2: could not determine a constructor"),
    ("a: *nothing", "f:2: "),
    ("a: " + "[" * (MAX_DEPTH + 1), "f:2: it is nested more than 50 deep"),
    ("a: " + "[" * 200_000, "f:2: it is nested more than 50 deep"),
    ("a: &a {<<: *a}", "f:2: "),
    ("a: \0", "f: "),
]


@pytest.mark.parametrize(("text", "says"), WRONG, ids=[text[:50].replace("\0", "NUL") for text, _ in WRONG])
def test_what_is_wrong_is_said_with_its_place(text: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_topology(HEAD + text, "f")
    assert str(caught.value).startswith(says)
    assert caught.value.hint or "MAC" in says or "'x'" in says or "port" in says


def test_a_file_is_found_and_named_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lab-1"
    folder.mkdir()
    with pytest.raises(NotFound, match=r"there is no ductwork\.yaml in"):
        find_topology_file(str(folder))
    with pytest.raises(NotFound, match="there is no file"):
        find_topology_file(str(folder / "other.yaml"))
    (folder / "ductwork.yml").write_text("networks: {a: }")
    monkeypatch.chdir(folder)
    assert read_topology(find_topology_file()).name == "lab-1"
    (folder / "ductwork.yml").write_text("name: five\nnetworks: {a: {nonsense: 1}}")
    assert read_name(find_topology_file()) == "five"
    (tmp_path / "ductwork.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DuctworkError, match="UTF-8"):
        read_topology(tmp_path / "ductwork.yaml")
