"""Row A4: any running container is a TARGET, whoever runs it: real Docker and real Podman on one host.

h1 ─┬─ docker0 ── eth0 web eth1 ──┐           web: Docker's own network first, then ours
    │                             ├── net 10.9.0.0/24
    ├─ (podman)  db  eth0 ────────┤           db: Podman, --network none
    └─ (pid:N)   a process  eth0 ─┘
underlay ── outside 192.0.2.254, 198.51.100.1
"""

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_interface
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.scene import QUICKLY_S, Inside
from tests.e2e.usual_places import usual_places
from tests.lab import (
    DockerEngine,
    Lab,
    LabHost,
    Namespace,
    PodmanEngine,
    Result,
    Snapshot,
    diff_snapshots,
    docker_engine,
    ping,
    podman_engine,
    wait_until,
)
from tests.lab.topology import INTERNET

SERVE = ("httpd", "-f", "-h", "/www")


@dataclass
class Machine:
    """A host with both engines; what a test starts on it is gone after the test."""

    host: LabHost
    outside: LabHost
    docker: DockerEngine
    podman: PodmanEngine
    started: list[tuple[DockerEngine | PodmanEngine, str]] = field(default_factory=list)

    @property
    def env(self) -> Mapping[str, str]:
        """How `duct` finds the engines: Podman has mounts of its own here."""
        words = shlex.join(self.podman._holder.command("podman"))
        return {**self.docker.env, **self.podman.env, "DUCTWORK_PODMAN": words}

    def run(
        self, engine: DockerEngine | PodmanEngine, name: str, *cmd: str, options: Sequence[str] = ()
    ) -> Inside:
        engine.run_container(name, *cmd, options=options)
        self.started.append((engine, name))
        return Inside(name, Path(f"/proc/{engine.pid(name)}/ns/net"))

    def remove_container(self, engine: DockerEngine | PodmanEngine, name: str) -> None:
        command = engine.docker if isinstance(engine, DockerEngine) else engine.podman
        command("rm", "-f", name)

    def duct(self, *args: str, check: bool = True) -> Result:
        return self.host.duct(*args, check=check, env=self.env)

    def duct_json(self, *args: str) -> Any:
        return self.host.duct_json(*args, env=self.env)

    def close(self) -> None:
        for engine, name in self.started:
            self.remove_container(engine, name)
        self.started.clear()


@pytest.fixture(scope="module")
def both(machine_untouched: None) -> Iterator[Machine]:
    with Lab() as lab:
        host, outside = lab.host("h1"), lab.outside()
        with docker_engine(host) as docker, podman_engine(host) as podman:
            # One container stays on docker0, so that its state does not follow the coming of others.
            docker.run_container("keeper", *SERVE)
            wait_until(lambda: not _tentative(host), "docker0 ready")
            yield Machine(host, outside, docker, podman)


@pytest.fixture
def machine(both: Machine) -> Iterator[Machine]:
    """The machine with our network on it, compared afterwards with what it was."""
    before = both.host.snapshot()
    both.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
    try:
        yield both
    finally:
        _remove_all(both)
        both.close()
    assert both.duct_json("status") == {"leftovers": [], "missing": 0, "objects": []}
    assert diff_snapshots(before, both.host.snapshot()) == ""


def _tentative(host: LabHost) -> list[Any]:
    return [a for link in host.ip("addr", "show", "tentative") for a in link.get("addr_info", []) if a]


def _remove_all(machine: Machine) -> None:
    known = [s["name"] for s in machine.duct_json("sandbox", "ls") if s["id"]]
    if known:
        machine.duct("sandbox", "rm", *known)
    networks = [n["name"] for n in machine.duct_json("network", "ls")]
    if networks:
        machine.duct("network", "rm", *networks)


def _address(place: Inside, ifname: str) -> str:
    return str(ip_interface(place.addresses(ifname)[0]).ip)


def _ping(engine: DockerEngine | PodmanEngine, name: str, address: str) -> bool:
    return engine.exec(name, "ping", "-c1", "-W1", address, check=False).returncode == 0


def _page(place: Namespace, url: str) -> str:
    return place.run("curl", "-sS", "-m2", url, check=False).stdout


def test_a4_docker_and_podman_containers_talk_over_our_network(machine: Machine) -> None:
    docker, podman = machine.docker, machine.podman
    web, db = (
        machine.run(docker, "web", *SERVE),
        machine.run(podman, "db", *SERVE, options=["--network=none"]),
    )
    for engine, name in ((docker, "web"), (podman, "db")):
        engine.exec(name, "sh", "-c", f"echo this is {name} >/www/index.html")
    links, routes = web.ip("addr", "show", "dev", "eth0"), web.ip("route", "show")
    machine.duct("connect", "net", "docker:web")
    machine.duct("connect", "net", "podman:db")
    assert web.link_names() == ["eth0", "eth1", "lo"]
    assert db.link_names() == ["eth0", "lo"]
    assert web.ip("addr", "show", "dev", "eth0") == links, "Docker's own interface is left alone"
    assert web.ip("route", "show", "default") == [r for r in routes if r["dst"] == "default"]
    there, here = _address(db, "eth0"), _address(web, "eth1")
    assert _ping(docker, "web", there)
    assert _ping(podman, "db", here)
    assert _page(web, f"http://{there}/") == "this is db\n"
    assert _page(db, f"http://{here}/") == "this is web\n"
    names = docker.exec("web", "cat", "/etc/hosts").stdout
    assert here in names, "the container finds itself by its name on our network"
    machine.duct("disconnect", "net", "docker:web")
    assert web.ip("route", "show") == routes
    assert web.ip("addr", "show", "dev", "eth0") == links
    assert here not in docker.exec("web", "cat", "/etc/hosts").stdout
    assert not _ping(podman, "db", here)
    machine.duct("connect", "net", "docker:web")
    assert _ping(podman, "db", _address(web, "eth1")), "and once more while it runs"


def test_a4_dockers_own_network_works_as_before(machine: Machine) -> None:
    docker, host, outside = machine.docker, machine.host, machine.outside
    machine.run(docker, "web", *SERVE, options=["-p", "8080:80"])
    docker.exec("web", "sh", "-c", "echo docker published this >/www/index.html")
    web = Inside("web", Path(f"/proc/{docker.pid('web')}/ns/net"))

    def all_is_well() -> None:
        assert _ping(docker, "web", str(INTERNET)), "Docker's masquerading"
        assert _page(outside, f"http://{host.address}:8080/") == "docker published this\n"

    all_is_well()
    machine.duct("connect", "net", "docker:web")
    all_is_well()
    assert _ping(docker, "web", "10.9.0.1")
    # A port of our own beside Docker's, although the way back leads over docker0.
    machine.duct("publish", "docker:web", "8090:80", "--network", "net")
    assert _page(outside, f"http://{host.address}:8090/") == "docker published this\n"
    assert [r["dev"] for r in web.ip("route", "show", "default")] == ["eth0"]
    all_is_well()
    taken = machine.duct("publish", "docker:web", "8080:80", "--network", "net", check=False)
    assert taken.returncode == 4, "Docker's port is not ours to take"
    machine.duct("disconnect", "net", "docker:web")
    all_is_well()


def test_a4_a_container_without_a_network_gets_all_from_us(machine: Machine) -> None:
    docker, host, outside = machine.docker, machine.host, machine.outside
    machine.run(docker, "alone", *SERVE, options=["--network=none"])
    docker.exec("alone", "sh", "-c", "echo alone >/www/index.html")
    machine.duct("connect", "net", "docker:alone", "-p", "8091:80")
    assert _ping(docker, "alone", str(INTERNET))
    url = f"http://{host.address}:8091/"
    for place in (outside, host):
        assert _page(place, url) == "alone\n"
    machine.duct("unpublish", "docker:alone", "8091")
    assert _page(outside, url) == ""


def test_a4_processes_paths_and_named_namespaces(machine: Machine) -> None:
    """Every other way to say where: a pid, a path of the user's own, a name of `ip netns`."""
    host = machine.host
    with Lab() as lab, contextlib.ExitStack() as stack:
        made, bound = lab.namespace("made"), lab.namespace("bound")
        process = host.popen("unshare", "--net", "sleep", "60")
        stack.callback(process.kill)
        wait_until(lambda: _own_stack(process.pid, host), "a process in a stack of its own")
        path = lab.folder("own") / "stack"
        path.symlink_to(bound.path)
        targets = {
            f"pid:{process.pid}": Inside("process", Path(f"/proc/{process.pid}/ns/net")),
            str(path): Inside("bound", bound.path),
            f"netns:{made.name}": Inside("made", made.path),
        }
        for target in targets:
            machine.duct("connect", "net", target)
        addresses = {target: _address(place, "eth0") for target, place in targets.items()}
        assert len(set(addresses.values())) == 3
        for (one, place), (other, address) in product(targets.items(), addresses.items()):
            assert one == other or ping(place, address), f"{one} to {other}"
        known = {s["name"] for s in machine.duct_json("sandbox", "ls") if s["id"]}
        assert known == set(targets)
        again = machine.duct("connect", "net", str(bound.path), check=False)
        assert again.returncode == 4, "the same namespace by another name is the same"
        for target, place in targets.items():
            machine.duct("disconnect", "net", target)
            assert place.link_names() == ["lo"]


def _own_stack(pid: int, host: LabHost) -> bool:
    theirs, ours = Path(f"/proc/{pid}/ns/net"), host.path
    return theirs.exists() and not theirs.samefile(ours)


def test_a4_adopted_for_ip_netns_as_long_as_it_lives(both: Machine) -> None:
    docker = both.docker
    try:
        with usual_places(both.host, both.env) as usual:
            both.run(docker, "web", *SERVE)
            assert usual.netns_list() == []
            usual.duct("sandbox", "adopt", "docker:web")
            assert usual.netns_list() == ["web"]
            inside = ("readlink", "/proc/self/ns/net")
            theirs = usual.run("readlink", f"/proc/{docker.pid('web')}/ns/net").stdout
            assert usual.run("ip", "netns", "exec", "web", *inside).stdout == theirs
            assert usual.ip("web", "addr", "show", "dev", "eth0")[0]["ifname"] == "eth0"
            usual.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
            usual.duct("connect", "net", "docker:web")
            usual.run("ip", "netns", "exec", "web", "ping", "-c1", "-W2", "10.9.0.1")
            both.close()
            said = usual.duct("network", "create", "other").stderr
            assert "docker:web" in said, "the next command says that it is gone"
            assert usual.netns_list() == []
            assert usual.run("ls", "-A", "/run/netns").stdout == ""
            assert usual.duct_json("sandbox", "ls") == []
            usual.duct("network", "rm", "net", "other")
            both.run(docker, "web", *SERVE)
            usual.duct("sandbox", "adopt", "docker:web", "--name", "shown")
            assert usual.netns_list() == ["shown"]
            usual.duct("sandbox", "rm", "docker:web")
            assert usual.netns_list() == []
            assert docker.exec("web", "true").returncode == 0, "the container is Docker's to remove"
            links = both.host.link_names()
            both.close()
            wait_until(lambda: len(both.host.link_names()) < len(links), "its veth pair gone")
    finally:
        both.close()


def _made(host: LabHost) -> Snapshot:
    """Take down all that an endpoint consists of, without the looks of bridges that had a port before."""
    kinds = ("nft", "neighbours", "fdb", "iptables", "qdiscs", "sysctls")
    return {kind: text for kind, text in host.snapshot().items() if kind in kinds}


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_a4_one_that_dies_while_connected_leaves_nothing(machine: Machine, kind: str) -> None:
    engine = machine.docker if kind == "docker" else machine.podman
    bare, links = _made(machine.host), machine.host.link_names()
    machine.run(engine, "mortal", options=["--network=none"])
    machine.duct("connect", "net", f"{kind}:mortal", "-p", "8092:80")
    assert diff_snapshots(bare, _made(machine.host)) != ""
    machine.close()
    gone = machine.duct("disconnect", "net", f"{kind}:mortal", check=False)
    assert "Traceback" not in gone.stderr
    assert machine.duct_json("network", "inspect", "net")[0]["endpoints"] == []
    assert machine.duct_json("status")["missing"] == 0
    wait_until(lambda: machine.host.link_names() == links, "the veth pair went with the namespace")
    assert diff_snapshots(bare, _made(machine.host)) == ""
    # Another container of that name is another one, and its port is free.
    machine.run(engine, "mortal", options=["--network=none"])
    machine.duct("connect", "net", f"{kind}:mortal", "-p", "8092:80")


def test_a4_a_restarted_container_can_be_connected_again(machine: Machine) -> None:
    docker = machine.docker
    machine.run(docker, "web", options=["--network=none"])
    machine.duct("connect", "net", "docker:web")
    (before,) = machine.duct_json("network", "inspect", "net")[0]["endpoints"]
    docker.docker("restart", "-t", "0", "web")
    machine.duct("connect", "net", "docker:web")
    (after,) = machine.duct_json("network", "inspect", "net")[0]["endpoints"]
    assert after["mac"] == before["mac"]
    assert _ping(docker, "web", "10.9.0.1")


def test_a4_what_cannot_be_connected_is_refused_in_words(machine: Machine) -> None:
    docker, podman, host = machine.docker, machine.podman, machine.host
    for engine in (docker, podman):
        machine.run(engine, "hosted", options=["--network=host"])
        machine.run(engine, "same", options=["--network=none"])
    before = host.snapshot()
    for target, code, words in (
        ("docker:hosted", 5, "unisolated"),
        ("podman:hosted", 5, "unisolated"),
        (f"pid:{docker.pid('hosted')}", 5, "unisolated"),
        ("same", 2, "docker:same, podman:same"),
        ("docker:nobody", 3, "nobody"),
        ("nobody", 3, "nobody"),
        ("martian:x", 2, "martian"),
        ("pid:x", 2, "number"),
        ("/etc/hosts", 2, "not a network namespace"),
    ):
        result = machine.duct("connect", "net", target, check=False)
        assert (result.returncode, words in result.stderr) == (code, True), f"{target}: {result.stderr}"
    docker.docker("stop", "-t", "0", "same")
    stopped = machine.duct("connect", "net", "docker:same", check=False)
    assert (stopped.returncode, "docker start same" in stopped.stderr) == (5, True), stopped.stderr
    assert not [s for s in machine.duct_json("sandbox", "ls") if s["id"]]
    assert diff_snapshots(before, host.snapshot()) == ""


def test_a4_dockers_containers_do_not_reach_ours(machine: Machine) -> None:
    """What opens Docker's firewall for our bridge does not open our network to Docker's."""
    keeper = Inside("keeper", Path(f"/proc/{machine.docker.pid('keeper')}/ns/net"))
    db = machine.run(machine.podman, "db", *SERVE, options=["--network=none"])
    machine.duct("connect", "net", "podman:db")
    assert ping(machine.host, _address(keeper, "eth0"))
    assert ping(db, INTERNET)
    assert not ping(keeper, _address(db, "eth0"), timeout=QUICKLY_S)
    assert _page(keeper, f"http://{_address(db, 'eth0')}/") == ""


def test_a4_ours_do_not_reach_dockers_containers(machine: Machine) -> None:
    keeper = Inside("keeper", Path(f"/proc/{machine.docker.pid('keeper')}/ns/net"))
    db = machine.run(machine.podman, "db", *SERVE, options=["--network=none"])
    machine.duct("connect", "net", "podman:db")
    assert not ping(db, _address(keeper, "eth0"), timeout=QUICKLY_S)
