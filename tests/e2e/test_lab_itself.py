"""The lab is the ground all other kernel tests stand on, so it is tested first.

h1 ── underlay ── h2
         └─────── outside (default gateway, owns 198.51.100.1)
"""

from pathlib import Path

import pytest
from tests.lab import (
    DockerEngine,
    Lab,
    LabError,
    LabHost,
    PodmanEngine,
    curl,
    diff_snapshots,
    docker_engine,
    fetch,
    http_server,
    ping,
    tcp_connect,
    tcp_hold,
    udp_ask,
    udp_echo,
    wait_listening,
    wait_until,
)
from tests.lab.commands import is_alive
from tests.lab.topology import INTERNET, INTERNET6


def test_hosts_reach_each_other_and_the_outside(lab: Lab) -> None:
    one, two = lab.host("h1"), lab.host("h2")
    lab.outside()
    assert (str(one.address), str(two.address)) == ("192.0.2.1", "192.0.2.2")
    for address in (two.address, two.address6, INTERNET, INTERNET6):
        assert ping(one, address), address
    assert not ping(one, "192.0.2.77", timeout=0.5)


def test_the_same_name_is_the_same_host(lab: Lab) -> None:
    assert lab.host("h1") is lab.host("h1")
    assert lab.namespace("n") is lab.namespace("n")
    assert lab.outside() is lab.outside()


@pytest.mark.parametrize("bind", ["0.0.0.0", "::"])
def test_servers_say_whom_they_saw(lab: Lab, bind: str) -> None:
    one, two = lab.host("h1"), lab.host("h2")
    with (
        http_server(two, 8000, "hello", bind),
        udp_echo(two, 53, "dns", bind),
        tcp_hold(two, 7, "held", bind),
    ):
        wait_listening(two, 8000)
        wait_listening(two, 53, "udp")
        answer = fetch(one, f"http://{two.address}:8000/any/path")
        assert answer is not None
        assert (answer["text"], answer["client"]) == ("hello", str(one.address))
        datagram = udp_ask(one, two.address, 53, "question")
        assert datagram is not None
        assert (datagram["text"], datagram["client"], datagram["data"]) == (
            "dns",
            str(one.address),
            "question",
        )
        with tcp_connect(one, two.address, 7) as held:
            first, second = held.ask("a"), held.ask("b")
            assert first is not None
            assert second is not None
            assert (first["data"], second["data"]) == ("a", "b")
            assert first["port"] == second["port"]
    assert fetch(one, f"http://{two.address}:8000/") is None
    assert udp_ask(one, two.address, 53, timeout=0.3) is None


def test_servers_answer_over_ipv6(lab: Lab) -> None:
    one, two = lab.host("h1"), lab.host("h2")
    with http_server(two, 8000, "six", bind="::"):
        answer = fetch(one, f"http://[{two.address6}]:8000/")
    assert answer is not None
    assert answer["client"] == str(one.address6)


def test_a_held_connection_notices_that_the_server_died(lab: Lab) -> None:
    one, two = lab.host("h1"), lab.host("h2")
    server = tcp_hold(two, 7)
    with tcp_connect(one, two.address, 7) as held:
        assert held.ask()
        server.close()
        assert held.ask(timeout=1) is None
    with pytest.raises(LabError, match="refused"):
        tcp_connect(one, two.address, 7)


def test_a_snapshot_changes_only_with_the_settings(lab: Lab) -> None:
    one, two = lab.host("h1"), lab.host("h2")
    before = one.snapshot()
    for kind in ("links", "addresses", "routes4", "routes6", "rules4", "rules6", "sysctls"):
        assert before[kind], kind
    with http_server(two, 8000, "traffic"):
        assert curl(one, f"http://{two.address}:8000/").returncode == 0
    assert diff_snapshots(before, one.snapshot()) == ""


@pytest.mark.parametrize(
    ("kind", "do", "undo"),
    [
        ("links", "ip link add br9 type bridge", "ip link del br9"),
        ("addresses", "ip addr add 10.9.0.1/24 dev eth0", "ip addr del 10.9.0.1/24 dev eth0"),
        ("routes4", "ip route add 10.8.0.0/16 via 192.0.2.2", "ip route del 10.8.0.0/16"),
        ("routes6", "ip -6 route add fd00:8::/64 dev eth0", "ip -6 route del fd00:8::/64"),
        ("rules4", "ip rule add from 10.1.0.0/16 table 9", "ip rule del from 10.1.0.0/16"),
        ("rules6", "ip -6 rule add from fd00::/16 table 9", "ip -6 rule del from fd00::/16"),
        ("neighbours", "ip neigh add 192.0.2.9 lladdr 02::9 dev eth0", "ip neigh del 192.0.2.9 dev eth0"),
        ("proxied", "ip neigh add proxy 192.0.2.9 dev eth0", "ip neigh del proxy 192.0.2.9 dev eth0"),
        ("qdiscs", "tc qdisc add dev eth0 clsact", "tc qdisc del dev eth0 clsact"),
        ("nft", "nft add table inet mine", "nft delete table inet mine"),
        ("iptables", "iptables -A FORWARD -j DROP", "nft delete table ip filter"),
        ("sysctls", "sysctl -qw net.ipv4.ip_forward=1", "sysctl -qw net.ipv4.ip_forward=0"),
    ],
)
def test_a_snapshot_sees_each_kind_of_setting(host: LabHost, kind: str, do: str, undo: str) -> None:
    before = host.snapshot()
    host.run(*do.replace("02::9", "02:00:00:00:00:09").split())
    changed = host.snapshot()
    assert changed[kind] != before[kind], diff_snapshots(before, changed)
    host.run(*undo.split())
    assert diff_snapshots(before, host.snapshot()) == ""


def test_a_snapshot_sees_traffic_filters(host: LabHost) -> None:
    host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    before = host.snapshot()
    match = ("u32", "match", "u32", "0", "0", "flowid", "1:1")
    host.run("tc", "filter", "add", "dev", "eth0", "ingress", "protocol", "ip", *match)
    assert host.snapshot()["filters"] != before["filters"]


def test_snapshots_see_legacy_iptables(host: LabHost) -> None:
    host.run("iptables-legacy", "-A", "FORWARD", "-j", "DROP")
    assert "-A FORWARD -j DROP" in host.snapshot()["iptables-legacy"]


@pytest.mark.parametrize("value", [0, 1])
def test_bridge_nf_is_switched_per_host(lab: Lab, value: int) -> None:
    one, two = lab.host("h1"), lab.host("h2")
    two.bridge_nf(1 - value)
    one.bridge_nf(value)
    assert one.sysctl("net/bridge/bridge-nf-call-iptables") == str(value)
    assert one.sysctl("net/bridge/bridge-nf-call-ip6tables") == str(value)
    assert two.sysctl("net/bridge/bridge-nf-call-iptables") == str(1 - value)


def test_a_second_card_is_on_the_same_wire(lab: Lab) -> None:
    one, two = lab.host("h1"), lab.host("h2")
    two.add_nic("eth1")
    two.ip_batch("addr add 203.0.113.2/24 dev eth1")
    one.ip_batch("addr add 203.0.113.1/24 dev eth0")
    assert ping(one, "203.0.113.2")
    assert two.link_names() == ["eth0", "eth1", "lo"]
    assert two.addresses("eth1") == ["203.0.113.2/24"]


def test_everything_is_gone_afterwards_even_after_a_failure() -> None:
    with pytest.raises(RuntimeError, match="test failed"), Lab() as lab:
        one = lab.host("h1")
        server = http_server(one, 8000, "x")
        # Goes to the background and forgets its parent, as engines' helpers do.
        one.run("sh", "-c", "sleep 300 >/dev/null 2>&1 &")
        stray = next(pid for pid in one.pids() if pid != server.process.pid)
        left = lab.unique("left-by-a-test")
        one.run("ip", "netns", "add", left)
        folder = one.state_dir
        raise RuntimeError("test failed")
    assert not list(Path("/run/netns").glob(f"{lab.prefix}*"))
    assert not folder.exists()
    assert server.process.poll() is not None
    assert not is_alive(stray)
    lab.close()


def test_docker_runs_a_container_and_publishes_its_port(docker: DockerEngine) -> None:
    """From another machine, through the engine's host, into the container."""
    container_id = docker.run_container("web", "httpd", "-f", "-h", "/www", options=("-p", "8080:80"))
    assert len(container_id) == 64
    assert Path(f"/proc/{docker.pid('web')}/ns/net").exists()
    assert "docker0" in docker.host.link_names()
    assert docker.exec("web", "cat", "/proc/sys/net/ipv4/ip_forward").stdout.strip() in {"0", "1"}
    assert curl(docker.host, f"http://{docker.host.address}:8080/").returncode == 0
    docker.docker("rm", "-f", "web")


def test_docker_restarts_and_keeps_its_containers(docker: DockerEngine) -> None:
    docker.run_container("kept", options=("--restart", "always"))
    docker.kill()
    docker.start()
    assert docker.docker("ps", "--format", "{{.Names}}").stdout.split() == ["kept"]
    docker.docker("rm", "-f", "kept")


def test_an_engine_that_died_leaves_no_container_behind(lab: Lab) -> None:
    with docker_engine(lab.host("h1")) as engine:
        engine.run_container("orphan")
        pid = engine.pid("orphan")
        engine.kill()
        assert is_alive(pid)
    wait_until(lambda: not is_alive(pid), "the container gone", timeout=5)
    assert not engine.folder.exists()


def test_podman_runs_a_container(podman: PodmanEngine) -> None:
    podman.run_container("db")
    pid = podman.pid("db")
    assert Path(f"/proc/{pid}/ns/net").exists()
    assert {"podman0", "cni-podman0"} & set(podman.host.link_names())
    assert "inet 10.88." in podman.exec("db", "ip", "addr").stdout
    podman.podman("rm", "-f", "db")


def test_podman_is_found_by_anyone_with_its_environment(podman: PodmanEngine) -> None:
    """`duct` asks Podman itself, outside of the lab's private mounts."""
    podman.run_container("seen")
    result = podman.host.run("podman", "inspect", "--format", "{{.State.Pid}}", "seen", env=podman.env)
    assert int(result.stdout) == podman.pid("seen")
    podman.podman("rm", "-f", "seen")
