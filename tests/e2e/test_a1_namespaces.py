"""Row A1: `duct sandbox` and `ip netns` see the same namespaces, whichever of them made one.

    h1 ── dw-… ── eth0 box    made by duct
             `── eth0 made   made by `ip netns add`

Both work on the usual /run/netns, in a mount namespace of the test's own.
"""

from collections.abc import Iterator

import pytest
from tests.e2e.scene import Scene, refused
from tests.e2e.usual_places import UsualPlaces, usual_places
from tests.lab import LabHost, ping


@pytest.fixture
def usual(host: LabHost) -> Iterator[UsualPlaces]:
    with usual_places(host) as places:
        yield places


def test_a1_what_duct_made_is_seen_by_ip_netns(usual: UsualPlaces) -> None:
    usual.duct("sandbox", "create", "box")
    assert usual.netns_list() == ["box"]
    (lo,) = usual.ip("box", "addr", "show")
    assert "UP" in lo["flags"], "without anybody doing it by hand"
    assert [a["local"] for a in lo["addr_info"]] == ["127.0.0.1", "::1"]
    same = ("readlink", "/proc/self/ns/net")
    by_ip = usual.run("ip", "netns", "exec", "box", *same).stdout
    assert by_ip == usual.duct("sandbox", "exec", "box", "--", *same).stdout != usual.run(*same).stdout
    assert usual.run("ip", "netns", "exec", "box", "ping", "-c1", "-W1", "127.0.0.1").returncode == 0
    usual.duct("sandbox", "rm", "box")
    assert usual.netns_list() == []
    assert usual.duct_json("sandbox", "ls") == []


def test_a1_what_ip_netns_made_is_seen_by_duct_and_can_be_connected(usual: UsualPlaces) -> None:
    usual.run("ip", "netns", "add", "made")
    usual.run("ip", "-n", "made", "link", "set", "lo", "up")
    before = usual.ip("made", "addr", "show")
    (row,) = usual.duct_json("sandbox", "ls")
    assert (row["name"], row["mode"], row["target"]) == ("netns:made", "ip netns", "/run/netns/made")
    usual.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
    usual.duct("sandbox", "create", "box", "--network", "net")
    usual.duct("connect", "net", "made")
    assert [s["name"] for s in usual.duct_json("sandbox", "ls")] == ["box", "netns:made"]
    assert usual.ip("made", "-4", "addr", "show", "dev", "eth0")[0]["addr_info"][0]["local"] == "10.9.0.3"
    for one, other in (("box", "10.9.0.3"), ("made", "10.9.0.2")):
        usual.run("ip", "netns", "exec", one, "ping", "-c1", "-W2", other)
    # Names that `ip netns exec` reads from /etc/netns are those of this namespace.
    hosts = usual.run("ip", "netns", "exec", "made", "getent", "ahostsv4", "made").stdout
    assert hosts.split()[0] == "10.9.0.3"
    usual.duct("disconnect", "net", "made")
    assert usual.netns_list() == ["box", "made"], "not ours to remove"
    assert usual.ip("made", "addr", "show") == before
    assert usual.run("ls", "/etc/netns").stdout.split() == ["box"]
    usual.run("ip", "netns", "del", "made")


def test_a1_each_may_remove_what_the_other_made(usual: UsualPlaces) -> None:
    usual.duct("network", "create", "net")
    usual.run("ip", "netns", "add", "made")
    usual.duct("sandbox", "create", "box", "--network", "net")
    usual.duct("connect", "net", "netns:made")
    usual.run("ip", "netns", "del", "made")
    usual.run("ip", "netns", "del", "box")
    shown = {s["name"]: s["alive"] for s in usual.duct_json("sandbox", "ls")}
    assert not any(shown.values()), shown
    usual.duct("sandbox", "rm", "box")
    assert [s["name"] for s in usual.duct_json("sandbox", "ls")] == [], "made was forgotten by itself"
    usual.duct("network", "rm", "net")
    usual.duct("sandbox", "create", "box")
    assert usual.netns_list() == ["box"], "the name is free again"


def test_a1_a_name_that_is_taken_is_refused(usual: UsualPlaces) -> None:
    usual.run("ip", "netns", "add", "made")
    taken = usual.duct("sandbox", "create", "made", check=False)
    assert (taken.returncode, "netns:made" in taken.stderr) == (4, True), taken.stderr
    usual.duct("sandbox", "create", "box")
    assert usual.duct("sandbox", "create", "box", check=False).returncode == 4
    assert usual.run("ip", "netns", "add", "box", check=False).returncode != 0
    for bad in ("../made", "a/b", "", "a b", "-x", "."):
        assert usual.duct("sandbox", "create", "--", bad, check=False).returncode == 2, bad
    assert usual.netns_list() == ["box", "made"]
    usual.run("ip", "netns", "del", "made")


def test_a1_exec_is_the_command_and_nothing_else(usual: UsualPlaces) -> None:
    usual.duct("sandbox", "create", "box")
    run = ("sandbox", "exec", "box", "--")
    assert usual.duct(*run, "sh", "-c", "exit 7", check=False).returncode == 7
    assert usual.duct(*run, "sh", "-c", "kill -TERM $$", check=False).returncode in {-15, 143}
    assert usual.duct(*run, "cat", stdin="through\n").stdout == "through\n"
    assert usual.duct(*run, "printf", "%s|", "a b", "--json", "*").stdout == "a b|--json|*|"
    missing = usual.duct(*run, "no-such-command", check=False)
    assert (missing.returncode, "no-such-command" in missing.stderr) == (3, True)
    gone = usual.duct("sandbox", "exec", "nobody", "--", "true", check=False)
    assert (gone.returncode, "nobody" in gone.stderr) == (3, True)


def test_a1_with_a_folder_of_its_own_a_host_keeps_to_itself(host: LabHost) -> None:
    """With DUCTWORK_HOST the namespaces are pinned in that folder: many hosts on one machine do not meet."""
    with Scene(host) as scene:
        host.duct("network", "create", "net")
        box = scene.sandbox("box", "net")
        assert box.path.parent == host.state_dir / "netns"
        assert ping(host, scene.address("box"))
        assert "box" not in host.run("ip", "netns", "list").stdout.split()
        host.duct("sandbox", "rm", "box")
        assert not box.path.exists()
        assert refused(host, "sandbox", "rm", "box").returncode == 3
