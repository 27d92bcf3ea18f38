"""Row W6: other people's forwarding goes on; their firewall learns of our bridges and of nothing else.

outside ── underlay ── h1, FORWARD drops what nobody accepted
                        ├─ theirs 172.30.0.1 ── guest   accepted by its administrator
                        ├─ closed 172.31.0.1 ── locked  accepted by nobody
                        └─ dw-…              ── app :8000, published as 8088
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.scene import QUICKLY_S, Inside, Scene, foreign_bridge, set_bridge_nf
from tests.lab import DockerEngine, Lab, LabHost, docker_engine, fetch, http_server, ping
from tests.lab.namespace import Namespace
from tests.lab.topology import INTERNET

_PLAIN = """\
table inet admin {
  chain forwarded { type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "theirs" accept
  }
}
"""


@dataclass(frozen=True, slots=True)
class Firewall:
    """One kind of firewall: how an administrator closes and opens it, and how to read it."""

    close: tuple[tuple[str, ...], ...]
    open: tuple[tuple[str, ...], ...]
    read: tuple[str, ...]
    policy: str


def _iptables(tool: str) -> Firewall:
    return Firewall(
        (
            (tool, "-A", "FORWARD", "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"),
            (tool, "-A", "FORWARD", "-i", "theirs", "-j", "ACCEPT"),
            (tool, "-P", "FORWARD", "DROP"),
        ),
        ((tool, "-P", "FORWARD", "ACCEPT"), (tool, "-F", "FORWARD")),
        (f"{tool}-save", "-t", "filter"),
        ":FORWARD DROP",
    )


FIREWALLS = {
    "iptables-nft": _iptables("iptables-nft"),
    "iptables-legacy": _iptables("iptables-legacy"),
    "nft": Firewall(
        (("nft", _PLAIN),),
        (("nft", "delete table inet admin"),),
        ("nft", "--stateless", "list", "ruleset"),
        "priority filter; policy drop;",
    ),
}


def _run(host: LabHost, commands: tuple[tuple[str, ...], ...]) -> None:
    for command in commands:
        host.run(*command)


def _accepts(host: LabHost, firewall: Firewall) -> list[str]:
    """List the rules of ours in their chains: each carries our mark."""
    text = host.run(*firewall.read).stdout
    theirs = "\n".join(part for part in text.split("\ntable ") if 'comment "ductwork host' not in part)
    return [line for line in theirs.splitlines() if "ductwork:" in line]


def _locked(lab: Lab, host: LabHost) -> Namespace:
    """A second bridge of theirs, whose traffic nobody accepted: it must stay closed."""
    locked = lab.namespace("locked")
    host.ip_batch(
        "link add closed type bridge",
        f"link add c0 type veth peer name eth0 netns {locked.name}",
        "link set closed addrgenmode none",
        "link set c0 addrgenmode none",
        "addr add 172.31.0.1/24 dev closed",
        "link set c0 master closed up",
        "link set closed up",
    )
    locked.ip_batch("addr add 172.31.0.2/24 dev eth0", "link set eth0 up", "route add default via 172.31.0.1")
    return locked


def _guest_works(guest: Namespace) -> bool:
    return fetch(guest, f"http://{INTERNET}/") is not None


def _ours_works(scene: Scene, app: Inside, outside: LabHost) -> None:
    assert fetch(app, f"http://{INTERNET}/"), "out"
    seen = fetch(outside, f"http://{scene.host.address}:8088/")
    assert seen is not None, "in"
    assert seen["client"] == str(outside.address)


def _app(scene: Scene) -> Inside:
    scene.host.duct("network", "create", "net")
    app, friend = scene.sandbox("app", "net"), scene.sandbox("friend", "net")
    http_server(app, 8000, "app")
    scene.host.duct("publish", "app", "8088:8000")
    assert ping(friend, scene.address("app")), "between containers, which bridge-nf shows to FORWARD too"
    return app


@pytest.mark.parametrize("bridge_nf", [0, 1])
@pytest.mark.parametrize("kind", FIREWALLS)
def test_w6_a_firewall_that_was_there_first(
    lab: Lab, host: LabHost, outside: LabHost, kind: str, bridge_nf: int
) -> None:
    set_bridge_nf(host, bridge_nf)
    firewall = FIREWALLS[kind]
    guest, locked = foreign_bridge(lab, host), _locked(lab, host)
    # The answer of `outside` to `locked`, were it let out: it has no NAT of its own.
    outside.ip_batch(f"route add 172.31.0.0/24 via {host.address}")
    assert ping(locked, INTERNET), "open before"
    _run(host, firewall.close)
    with http_server(outside, 80, "internet"), Scene(host) as scene:
        before = host.run(*firewall.read).stdout
        assert _guest_works(guest)
        assert not ping(locked, INTERNET, timeout=QUICKLY_S)
        app = _app(scene)
        _ours_works(scene, app, outside)
        assert _guest_works(guest)
        assert not ping(locked, INTERNET, timeout=QUICKLY_S), "opened for our bridge alone"
        assert firewall.policy in host.run(*firewall.read).stdout
        assert len(_accepts(host, firewall)) == 2, "one for what comes, one for what goes"
        scene.remove_all()
        assert _accepts(host, firewall) == []
        # The tools print counters; the comparison of the whole host at the end leaves them out.
        assert before.count("\n") == host.run(*firewall.read).stdout.count("\n")
        assert _guest_works(guest)


@pytest.mark.parametrize("kind", FIREWALLS)
def test_w6_a_firewall_that_came_later(lab: Lab, host: LabHost, outside: LabHost, kind: str) -> None:
    set_bridge_nf(host, 0)
    firewall = FIREWALLS[kind]
    guest = foreign_bridge(lab, host)
    _run(host, firewall.close + firewall.open)  # so that its tables are there before and after
    with http_server(outside, 80, "internet"), Scene(host) as scene:
        app = _app(scene)
        _run(host, firewall.close)
        assert fetch(outside, f"http://{host.address}:8088/", QUICKLY_S) is None
        host.duct("publish", "app", "8089:8000")
        _ours_works(scene, app, outside)
        assert _guest_works(guest)
        scene.remove_all()
        assert _accepts(host, firewall) == []
        assert firewall.policy in host.run(*firewall.read).stdout
        _run(host, firewall.open)


def _docker_works(docker: DockerEngine, outside: LabHost) -> bool:
    published = fetch_text(outside, f"http://{docker.host.address}:8080/page")
    box = Inside("box", Path(f"/proc/{docker.pid('box')}/ns/net"))
    return "from docker" in published and fetch(box, f"http://{INTERNET}/") is not None


def fetch_text(ns: Namespace, url: str) -> str:
    """Ask a server that does not answer in JSON."""
    return ns.run("curl", "-sS", "--noproxy", "*", "--max-time", "3", url, check=False).stdout


def _start_box(docker: DockerEngine) -> None:
    page = "mkdir -p /www; echo from docker >/www/page; exec httpd -f -h /www -p 80"
    docker.run_container("box", "sh", "-c", page, options=("-p", "8080:80"))


def _saved(host: LabHost) -> list[str]:
    """Take down Docker's rules, without counters and without ours."""
    lines = host.snapshot()["iptables"].splitlines()
    return [line for line in lines if "ductwork:" not in line]


def _forward_policy(host: LabHost) -> str:
    return host.run("iptables", "-S", "FORWARD").stdout.splitlines()[0]


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_w6_docker_first(host: LabHost, outside: LabHost, bridge_nf: int) -> None:
    with docker_engine(host) as docker, http_server(outside, 80, "internet"):
        _start_box(docker)
        set_bridge_nf(host, bridge_nf)
        assert _docker_works(docker, outside)
        with Scene(host, docker.env) as scene:
            rules, policy = _saved(host), _forward_policy(host)
            assert policy == "-P FORWARD DROP"
            app = _app(scene)
            _ours_works(scene, app, outside)
            assert _docker_works(docker, outside)
            assert _saved(host) == rules
            assert _forward_policy(host) == policy
            scene.remove_all()
            assert _docker_works(docker, outside)
            assert _saved(host) == rules
            assert "ductwork" not in host.run("nft", "list", "ruleset").stdout


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_w6_ductwork_first(host: LabHost, outside: LabHost, bridge_nf: int) -> None:
    with Scene(host) as scene, http_server(outside, 80, "internet"):
        app = _app(scene)
        with docker_engine(host) as docker:
            _start_box(docker)
            set_bridge_nf(host, bridge_nf)
            scene.env = docker.env
            host.duct("publish", "app", "8089:8000", env=docker.env)
            _ours_works(scene, app, outside)
            assert _docker_works(docker, outside)
            rules, policy = _saved(host), _forward_policy(host)
            scene.end_processes()
            scene.remove_all()
            assert _docker_works(docker, outside), "Docker came to rely on forwarding"
            assert (_saved(host), _forward_policy(host)) == (rules, policy)
            assert "ductwork" not in host.run("nft", "list", "ruleset").stdout
            assert not [name for name in host.link_names() if name.startswith(("dw-", "dv-"))]
            host.duct("network", "create", "again")
            scene.remove_all()
            assert _docker_works(docker, outside), "and still does when ours come and go"
        scene.before = host.snapshot()  # Docker leaves its bridge and rules behind when it stops
