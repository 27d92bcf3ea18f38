"""Every wrong input ends in one clear error with a remedy and the right exit code, and changes nothing.

h1 192.0.2.1, a server of its own on :9090, a route to 198.18.0.0/15
  |- net    10.9.0.0/24  web (publishes 8088:8000), app
  |- tiny   10.9.1.0/30  web            full
  |- closed internal     app
  `- lonely, connected to nothing; ghost, whose namespace somebody removed
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.scene import Scene
from tests.lab import Lab, LabHost, Result, diff_snapshots, http_server, wait_until
from tests.lab.commands import run
from tests.lab.host import DUCT

INVALID, NOT_FOUND, CONFLICT, PRECONDITION, EXHAUSTED, DENIED = 2, 3, 4, 5, 6, 7
KINDS = {2: "invalid", 3: "not-found", 4: "conflict", 5: "precondition", 6: "exhausted", 7: "denied"}

# What is typed, the exit code, and a word that the first line must say.
CASES: tuple[tuple[str, int, str], ...] = (
    # -- words nobody knows
    ("frobnicate", INVALID, "frobnicate"),
    ("network create", INVALID, "NAME"),
    ("network create new --colour red", INVALID, "--colour"),
    ("connect net lonely --gateway-priority high", INVALID, "high"),
    # -- networks
    ("network create new --subnet banana", INVALID, "banana"),
    ("network create new --subnet 10.7.0.0/33", INVALID, "10.7.0.0/33"),
    ("network create new --subnet 10.7.0.1/24", INVALID, "10.7.0.1/24"),
    ("network create new --subnet 10.9.0.128/25", CONFLICT, "network net"),
    ("network create new --subnet 10.0.0.0/8", CONFLICT, "network"),
    ("network create new --subnet 192.0.2.0/25", CONFLICT, "192.0.2.1"),
    ("network create new --subnet 198.18.5.0/24", CONFLICT, "198.18.0.0/15"),
    ("network create new --subnet 10.7.0.0/24 --subnet 10.7.0.0/25", CONFLICT, "twice"),
    ("network create new --subnet 127.5.0.0/16", INVALID, "loopback"),
    ("network create new --subnet 10.7.0.0/32", INVALID, "single address"),
    ("network create new --subnet 10.7.0.0/24 --gateway 10.8.0.1", INVALID, "10.8.0.1"),
    ("network create new --subnet 10.7.0.0/24 --gateway 10.7.0.255", INVALID, "broadcast"),
    ("network create new --subnet 10.7.0.0/24 --ip-range 10.7.0.1/32", INVALID, "no address"),
    ("network create new --gateway 10.7.0.1", INVALID, "10.7.0.1"),
    ("network create new --driver swich", INVALID, "swich"),
    ("network create new --opt colour=red", INVALID, "colour"),
    ("network create new --opt nat=maybe", INVALID, "maybe"),
    ("network create new --opt nat", INVALID, "KEY=VALUE"),
    ("network create new --opt isolation=much", INVALID, "much"),
    ("network create new --label =x", INVALID, "KEY=VALUE"),
    ("network create new --mtu 10", INVALID, "10"),
    ("network create new --mtu 70000", INVALID, "70000"),
    ("network create new --ipv6 --mtu 1000", INVALID, "1000"),
    ("network create new --opt bridge=eth0", CONFLICT, "eth0"),
    ("network create new --opt bridge=abcdefghijklmnop", INVALID, "16 bytes"),
    (f"network create {'n' * 64}", INVALID, "64 characters"),
    ("network create _new", INVALID, "_new"),
    ("network create net", CONFLICT, "net"),
    ("network inspect nonet", NOT_FOUND, "nonet"),
    ("network rm nonet", NOT_FOUND, "nonet"),
    ("network rm net", PRECONDITION, "web"),
    ("network update nonet --mtu 1400", NOT_FOUND, "nonet"),
    ("network update net --opt bridge=other", INVALID, "bridge"),
    ("network update net --internal", PRECONDITION, "web"),
    ("network update net --subnet 10.9.1.0/24", CONFLICT, "tiny"),
    # -- connecting
    ("connect nonet lonely", NOT_FOUND, "nonet"),
    ("connect net nobody", NOT_FOUND, "nobody"),
    ("connect net ghost", PRECONDITION, "ghost"),
    ("connect net web", CONFLICT, "already"),
    ("connect tiny lonely", EXHAUSTED, "tiny"),
    ("connect net lonely --ip 10.9.0.2", CONFLICT, "web"),
    ("connect net lonely --ip 10.9.0.1", INVALID, "10.9.0.1"),
    ("connect net lonely --ip 10.8.0.2", INVALID, "10.8.0.2"),
    ("connect net lonely --ip 10.9.0.0", INVALID, "10.9.0.0"),
    ("connect net lonely --ip banana", INVALID, "banana"),
    ("connect net lonely --ip fd00::2", INVALID, "IPv6"),
    ("connect net lonely --ip6 fd00::2", INVALID, "fd00::2"),
    ("connect net lonely --mac nonsense", INVALID, "nonsense"),
    ("connect net lonely --mac 01:00:00:00:00:01", INVALID, "unicast"),
    ("connect net lonely --ifname abcdefghijklmnop", INVALID, "16 bytes"),
    ("connect net lonely --ifname a/b", INVALID, "a/b"),
    ("connect net lonely --ifname lo", CONFLICT, "lo"),
    ("connect net lonely --alias -x", INVALID, "-x"),
    ("connect net lonely --route banana", INVALID, "banana"),
    ("connect net lonely --route 10.50.0.0/16@fd00::1", INVALID, "IPv4 and IPv6"),
    ("connect net lonely -p banana", INVALID, "banana"),
    ("connect net pid:99999999", NOT_FOUND, "99999999"),
    ("connect net pid:banana", INVALID, "banana"),
    ("connect net rkt:web", INVALID, "rkt"),
    ("connect net /nonexistent", NOT_FOUND, "/nonexistent"),
    ("connect net /proc/self/ns/net", PRECONDITION, "machine's own"),
    ("connect net pid:٣", INVALID, "number"),
    ("publish app 8099:80 --allow-from 2001:db8::/64", INVALID, "nobody"),
    ("network create fresh --opt bridge=default", INVALID, "default"),
    ("network create fresh --mtu 0", INVALID, "mtu 0"),
    ("connect net /etc/passwd", INVALID, "/etc/passwd"),
    ("disconnect nonet web", NOT_FOUND, "nonet"),
    # -- ports
    ("publish app 8088:80", CONFLICT, "web"),
    ("publish app 9090:80", CONFLICT, "python"),
    ("publish app 8000-8100:8000-8100", CONFLICT, "8088"),
    ("publish app 70000:80", INVALID, "70000"),
    ("publish app 80:banana", INVALID, "banana"),
    ("publish app 80:80/icmp", INVALID, "icmp"),
    ("publish app 80-81:80-85", INVALID, "80-81:80-85"),
    ("publish app 81-80:80", INVALID, "backwards"),
    ("publish app [::1]:80:80", INVALID, "[::1]"),
    ("publish app 203.0.113.7:80:80", PRECONDITION, "203.0.113.7"),
    ("publish app 7777:80 --allow-from banana", INVALID, "banana"),
    ("publish app 7777:80 --network tiny", PRECONDITION, "tiny"),
    ("publish app 7777:80 --network closed", PRECONDITION, "internal"),
    ("publish lonely 7777:80", PRECONDITION, "lonely"),
    ("publish nobody 7777:80", NOT_FOUND, "nobody"),
    ("unpublish web 7777", INVALID, "7777"),
    ("unpublish web", INVALID, "which ports"),
    ("unpublish nobody --all", NOT_FOUND, "nobody"),
    # -- sandboxes and links
    ("sandbox create web", CONFLICT, "web"),
    ("sandbox create new --mode upside-down", INVALID, "upside-down"),
    ("sandbox create new --mode container:nobody", NOT_FOUND, "nobody"),
    ("sandbox create new --mode none --network net", INVALID, "none"),
    ("sandbox create new --network net --network nonet", NOT_FOUND, "nonet"),
    ("sandbox create a/b", INVALID, "a/b"),
    ("sandbox rm nobody", NOT_FOUND, "nobody"),
    ("sandbox rm web nobody", NOT_FOUND, "nobody"),
    ("sandbox exec nobody -- true", NOT_FOUND, "nobody"),
    ("sandbox exec ghost -- true", PRECONDITION, "ghost"),
    ("sandbox adopt nobody", NOT_FOUND, "nobody"),
    ("link app nobody:db", NOT_FOUND, "nobody"),
    ("link app app:me", INVALID, "itself"),
    ("unlink app db", NOT_FOUND, "db"),
    ("inspect nobody", NOT_FOUND, "nobody"),
    # -- the host
    ("--netns t-no-such-namespace network create new", NOT_FOUND, "t-no-such-namespace"),
    ("network create new --netns /etc/passwd", INVALID, "/etc/passwd"),
)


@pytest.fixture(scope="module")
def stage(machine_untouched: None) -> Iterator[LabHost]:
    """One host for all cases: none of them may change it."""
    with Lab() as lab:
        host = lab.host("h1")
        lab.outside()
        with Scene(host):
            host.ip_batch("route add 198.18.0.0/15 via 192.0.2.254")
            host.duct("network", "create", "net", "--subnet", "10.9.0.0/24")
            host.duct("network", "create", "tiny", "--subnet", "10.9.1.0/30")
            host.duct("network", "create", "closed", "--internal")
            for name, networks in {"web": ("net", "tiny"), "app": ("net", "closed"), "lonely": ()}.items():
                host.duct("sandbox", "create", name, *(w for n in networks for w in ("--network", n)))
            host.duct("publish", "web", "8088:8000", "--network", "net")
            host.duct("sandbox", "create", "ghost")
            ghost = host.state_dir / "netns" / "ghost"
            run(["umount", str(ghost)])
            ghost.unlink()
            with http_server(host, 9090, "the host's own"):
                yield host
            host.ip_batch("route del 198.18.0.0/15")


def _records(host: LabHost) -> list[tuple[object, ...]]:
    """Read the state file itself, without our own code."""
    with sqlite3.connect(f"file:{host.state_dir / 'state.db'}?mode=ro", uri=True) as db:
        return db.execute("SELECT key, value FROM entry ORDER BY key").fetchall()


def _check_words(result: Result, code: int, word: str) -> None:
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 2, result.stderr
    assert lines[0].startswith("duct: "), result.stderr
    assert word in lines[0], result.stderr
    assert lines[1].startswith("      "), "the remedy"
    assert lines[1].strip()
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("typed", "code", "word"), CASES, ids=[case[0][:60] for case in CASES])
def test_a_wrong_input(stage: LabHost, typed: str, code: int, word: str) -> None:
    before, records = stage.snapshot(), _records(stage)
    _check_words(stage.duct(*typed.split(), check=False), code, word)
    assert diff_snapshots(before, stage.snapshot()) == ""
    assert _records(stage) == records


def test_errors_as_data(stage: LabHost) -> None:
    for typed, code, word in CASES[::9]:
        result = stage.duct("--json", *typed.split(), check=False)
        assert result.returncode == code
        value = json.loads(result.stdout)
        assert set(value) == {"error", "message", "hint"}
        assert value["error"] == KINDS[code]
        assert word in value["message"]
        assert value["hint"]
        assert result.stderr == ""


def test_without_root(stage: LabHost) -> None:
    somebody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(DUCT))
    _check_words(
        run([*somebody, "network", "create", "new"], check=False, env=stage.duct_env), DENIED, "root"
    )


def test_root_of_a_user_namespace_that_does_not_own_the_host(stage: LabHost) -> None:
    own = ("unshare", "--user", "--map-root-user", str(DUCT))
    result = run([*own, "network", "create", "new"], check=False, env=stage.duct_env)
    _check_words(result, DENIED, "permission")


def test_a_state_file_of_a_newer_version(host: LabHost) -> None:
    with Scene(host):
        host.duct("network", "create", "net")
        host.duct("network", "rm", "net")
        with sqlite3.connect(host.state_dir / "state.db") as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            db.execute(f"PRAGMA user_version = {version + 1}")
        _check_words(host.duct("network", "create", "new", check=False), PRECONDITION, "version")
        with sqlite3.connect(host.state_dir / "state.db") as db:
            db.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_state_file(host: LabHost, content: bytes) -> None:
    with Scene(host):
        state = host.state_dir / "state.db"
        state.write_bytes(content)
        _check_words(host.duct("network", "create", "new", check=False), PRECONDITION, "damaged")
        assert state.read_bytes() == content, "nothing is lost that might be mended"
        state.unlink()


def test_a_state_folder_that_cannot_be_written(host: LabHost) -> None:
    """A file system that is mounted read-only: root may write in any folder whose mode forbids it."""
    with Scene(host):
        script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
        words = ("sh", "-c", script, "sh", str(host.state_dir), str(DUCT), "network", "create", "new")
        result = run(["unshare", "--mount", *words], check=False, env=host.duct_env)
        _check_words(result, DENIED, str(host.state_dir))


def test_a_state_folder_that_is_a_file(host: LabHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = host.duct("--host", str(tmp_path / "file"), "network", "create", "new", check=False)
    _check_words(result, PRECONDITION, str(tmp_path / "file"))


def test_two_hosts_in_one_namespace(host: LabHost, tmp_path: Path) -> None:
    with Scene(host):
        host.duct("network", "create", "net")
        host.duct("sandbox", "create", "app", "--network", "net")
        # A bridge finds out about its carrier a little later.
        wait_until(lambda: "linkdown" not in host.run("ip", "route").stdout, "the bridge up")
        before = host.snapshot()
        result = host.duct("--host", str(tmp_path), "network", "create", "other", check=False)
        _check_words(result, CONFLICT, "another Ductwork host")
        assert diff_snapshots(before, host.snapshot()) == "", "the other's table is untouched"
        assert host.duct("--host", str(tmp_path), "network", "ls").stdout.count("\n") == 1


def test_output_that_nobody_reads(stage: LabHost) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as nobody:
        done = subprocess.run(
            [str(DUCT), "status"],
            env={**os.environ, **stage.duct_env},
            stdout=nobody,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=20,
        )
    assert "Traceback" not in done.stderr
