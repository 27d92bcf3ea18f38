"""What the end-to-end tests share: a host that must be left as it was found, and a way into its sandboxes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.lab import Lab, LabError, LabHost, Result, diff_snapshots, wait_until
from tests.lab.commands import end_process, is_alive, run
from tests.lab.namespace import Namespace

QUICKLY_S = 0.8
"""How long a client waits for an answer that must not come."""


class Inside(Namespace):
    """A namespace that the lab did not make: a sandbox or a container, entered by its path."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self._processes = []

    def ip_batch(self, *lines: str) -> None:
        """Run many `ip` commands in here in one go, stopping at the first that fails."""
        self.run("ip", "-batch", "-", stdin="".join(f"{line}\n" for line in lines))

    def close(self) -> None:
        """End what the test started in here; the namespace is its maker's to remove."""
        for process in reversed(self._processes):
            end_process(process)
        self._processes.clear()


class Scene:
    """A host under test, taken down before and after.

    Leaving the block removes every sandbox and network through `duct`, and compares the host with before.

    Args:
        env: what `duct` needs to find container engines.
    """

    def __init__(self, host: LabHost, env: Mapping[str, str] | None = None) -> None:
        self.host = host
        self.env = env or {}
        # Link-local addresses of other people's bridges stay "tentative" for a second.
        wait_until(lambda: not _tentative(host), f"{host.name} settled")
        self.before = host.snapshot()
        self._inside: dict[str, Inside] = {}

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.end_processes()
            if kind is None:
                self.remove_all()
                changes = self.changes()
                assert not changes, f"the host is not as it was:\n{changes}"
        finally:
            # The folder is a mount of its own, like /run/netns, for as long as a namespace is pinned in it.
            folder = self.host.state_dir / "netns"
            for pinned in (*folder.glob("*"), folder):
                run(["umount", "-l", str(pinned)], check=False)

    def sandbox(self, name: str, *networks: str) -> Inside:
        """Create a sandbox with the command, connected to these networks, and give the way into it."""
        self.host.duct("sandbox", "create", name, *(word for n in networks for word in ("--network", n)))
        return self.inside(name)

    def inside(self, name: str) -> Inside:
        """Give the way into a sandbox that exists."""
        if name not in self._inside:
            self._inside[name] = Inside(name, self.host.state_dir / "netns" / name)
        return self._inside[name]

    def container(self, name: str, pid: int) -> Inside:
        """Give the way into a running container's namespace."""
        inside = self._inside[name] = Inside(name, Path(f"/proc/{pid}/ns/net"))
        return inside

    def address(self, name: str, version: int = 4, ifname: str = "eth0") -> str:
        """Ask `ip` inside a sandbox for its address."""
        found = self.inside(name).addresses(ifname)
        return next(a.partition("/")[0] for a in found if (":" in a) == (version == 6))

    def gateway(self, name: str, version: int = 4) -> str:
        """Ask `ip` inside a sandbox for its default gateway."""
        return str(self.inside(name).ip(f"-{version}", "route", "show", "default")[0]["gateway"])

    def end_processes(self) -> None:
        """End what the test started inside sandboxes."""
        for inside in self._inside.values():
            inside.close()

    def remove_all(self) -> None:
        """Remove every sandbox and network that `duct` lists."""
        known = [s["name"] for s in self.host.duct_json("sandbox", "ls", env=self.env) if s["id"]]
        if known:
            self.host.duct("sandbox", "rm", *known, env=self.env)
        networks = [n["name"] for n in self.host.duct_json("network", "ls", env=self.env)]
        if networks:
            self.host.duct("network", "rm", *networks, env=self.env)

    def changes(self) -> str:
        """Show what differs on the host from the beginning; empty when nothing does."""
        return diff_snapshots(self.before, self.host.snapshot())


_THEIR_NAT = """\
table ip theirs {
  chain nat { type nat hook postrouting priority srcnat; policy accept; ip saddr 172.30.0.0/24 masquerade; }
  chain watch { type filter hook forward priority filter; policy accept; ip saddr 172.30.0.0/24 counter; }
}
"""


def foreign_bridge(lab: Lab, host: LabHost) -> Namespace:
    """Build what an administrator had on the host before us: bridge `theirs`, a guest, forwarding, NAT."""
    guest = lab.namespace("guest")
    host.ip_batch(
        "link add theirs type bridge",
        f"link add t0 type veth peer name eth0 netns {guest.name}",
        # Not together with "up": the link-local address would be there before it is switched off.
        "link set theirs addrgenmode none",
        "link set t0 addrgenmode none",
        "addr add 172.30.0.1/24 dev theirs",
        "link set t0 master theirs up",
        "link set theirs up",
    )
    guest.ip_batch("addr add 172.30.0.2/24 dev eth0", "link set eth0 up", "route add default via 172.30.0.1")
    host.set_sysctl("net/ipv4/ip_forward", 1)
    host.run("nft", "-f", "-", stdin=_THEIR_NAT)
    wait_until(lambda: host.ip("link", "show", "theirs")[0]["operstate"] == "UP", "bridge theirs up")
    return guest


def set_bridge_nf(host: LabHost, value: int) -> None:
    """Choose whether frames inside a bridge pass the host's rules; without br_netfilter they never do."""
    if host.has_bridge_nf:
        host.bridge_nf(value)
    elif value:
        pytest.skip("br_netfilter is not loaded: bridge-nf-call-iptables cannot be 1")


def _tentative(host: LabHost) -> list[str]:
    links = host.ip("addr", "show")
    return [a["local"] for link in links for a in link.get("addr_info", []) if a.get("tentative")]


def refused(host: LabHost, *words: str) -> Result:
    """Run `duct` expecting it to fail."""
    result = host.duct(*words, check=False)
    assert result.returncode != 0, f"duct {' '.join(words)} should have failed:\n{result.stdout}"
    return result


def nft_rules(host: LabHost) -> list[dict[str, Any]]:
    """List every rule in the host's nft, whoever made it."""
    ruleset = json.loads(host.run("nft", "-j", "list", "ruleset").stdout)["nftables"]
    return [item["rule"] for item in ruleset if "rule" in item]


def ifindexes(ns: Namespace) -> dict[str, int]:
    """List a namespace's interfaces with the kernel's numbers for them."""
    return {link["ifname"]: link["ifindex"] for link in ns.ip("link", "show")}


def flows(host: LabHost, *filters: str) -> list[str]:
    """List the host's conntrack entries that fit."""
    return host.run("conntrack", "-L", *filters, check=False).stdout.splitlines()


@contextlib.contextmanager
def captured(ns: Namespace, ifname: str, expression: str, folder: Path) -> Iterator[list[str]]:
    """Watch an interface with tcpdump during a `with` block; the list is filled when the block ends."""
    lines: list[str] = []
    out, log = folder / "packets", folder / "tcpdump.log"
    words = ("tcpdump", "-n", "-l", "--immediate-mode", "-i", ifname, expression)
    with out.open("w") as packets, log.open("w") as talk:
        process = ns.popen(*words, stdout=packets, stderr=talk)
        wait_until(lambda: "listening on" in log.read_text(), "tcpdump listening")
        try:
            yield lines
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(5)
            # Without the lines in between, in which tcpdump shows what it knows of the content.
            lines += [line for line in out.read_text().splitlines() if " > " in line]


_UDP_CLIENT = """
import socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.connect((sys.argv[1], int(sys.argv[2])))
    sock.settimeout(0.5)
    for line in sys.stdin:
        try:
            sock.send(line.encode())
            print(sock.recv(65536).decode(), flush=True)
        except OSError:
            print(flush=True)
"""


@contextlib.contextmanager
def udp_client(ns: Namespace, address: object, port: int) -> Iterator[Callable[[], str | None]]:
    """Keep one socket to a `udp_echo`: gives what asks once and returns the server's text."""
    pipe = subprocess.PIPE
    words = (sys.executable, "-ISc", _UDP_CLIENT, str(address), str(port))
    process = ns.popen(*words, stdin=pipe, stdout=pipe)

    def ask() -> str | None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("hello\n")
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        return str(json.loads(answer)["text"]) if answer else None

    try:
        yield ask
    finally:
        end_process(process)


def kill(pid: int) -> None:
    """End a process at once and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), f"process {pid} gone")


__all__ = [
    "QUICKLY_S",
    "Inside",
    "LabError",
    "Scene",
    "captured",
    "flows",
    "foreign_bridge",
    "ifindexes",
    "kill",
    "nft_rules",
    "refused",
    "set_bridge_nf",
    "udp_client",
]
