"""One network namespace made for a test, and everything that runs inside it."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tests.lab.commands import LabError, Result, clean_environment, end_process, run

NETNS_DIR = Path("/run/netns")


class Namespace:
    """A named network namespace with `lo` up; `close` ends what runs inside and removes it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = NETNS_DIR / name
        self._processes: list[subprocess.Popen[str]] = []
        run(["ip", "netns", "add", name])
        self.ip_batch("link set lo up")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    def command(self, *argv: str) -> list[str]:
        """Say how to run `argv` in here; /sys and the control groups stay those of the machine."""
        return ["nsenter", f"--net={self.path}", "--", *argv]

    def run(
        self,
        *argv: str,
        check: bool = True,
        timeout: float = 20,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
    ) -> Result:
        """Run a command in here to its end."""
        return run(self.command(*argv), check=check, timeout=timeout, env=env, stdin=stdin)

    def run_with_sysfs(self, *argv: str, check: bool = True, timeout: float = 20) -> Result:
        """Run a command that reads this namespace's /sys/class/net, such as `brctl show`."""
        return run(["ip", "netns", "exec", self.name, *argv], check=check, timeout=timeout)

    def popen(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[str] = subprocess.DEVNULL,
        stdout: int | IO[str] = subprocess.DEVNULL,
        stderr: int | IO[str] = subprocess.DEVNULL,
    ) -> subprocess.Popen[str]:
        """Start a command in here that is ended together with the namespace."""
        return self.popen_outside(self.command(*argv), env=env, stdin=stdin, stdout=stdout, stderr=stderr)

    def popen_outside(
        self,
        argv: list[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[str] = subprocess.DEVNULL,
        stdout: int | IO[str] = subprocess.DEVNULL,
        stderr: int | IO[str] = subprocess.DEVNULL,
    ) -> subprocess.Popen[str]:
        """Start a command that enters this namespace by itself, and end it together with the namespace."""
        process = subprocess.Popen(
            argv, env=clean_environment(env), stdin=stdin, stdout=stdout, stderr=stderr, text=True
        )
        self._processes.append(process)
        return process

    def ip(self, *args: str) -> Any:
        """Return what `ip -j ARGS` says in here, as data."""
        text = self.run("ip", "-j", *args).stdout.strip()
        return json.loads(text) if text else []

    def ip_batch(self, *lines: str) -> None:
        """Run many `ip` commands in here in one go, stopping at the first that fails."""
        run(["ip", "-n", self.name, "-batch", "-"], stdin="".join(f"{line}\n" for line in lines))

    def link_names(self) -> list[str]:
        """List the interfaces in here, `lo` included, sorted."""
        return sorted(link["ifname"] for link in self.ip("link", "show"))

    def addresses(self, ifname: str) -> list[str]:
        """List an interface's global addresses with their prefix lengths, e.g. `192.0.2.1/24`."""
        links = self.ip("addr", "show", "dev", ifname, "scope", "global")
        # `ip -j` prints an empty object for each address that its filter left out.
        found = [address for link in links for address in link.get("addr_info", []) if address]
        return [f"{address['local']}/{address['prefixlen']}" for address in found]

    def sysctl(self, name: str) -> str:
        """Read a value by its path below /proc/sys, e.g. `net/ipv4/ip_forward`."""
        return self.run("cat", f"/proc/sys/{name}").stdout.strip()

    def set_sysctl(self, name: str, value: str | int) -> None:
        """Set a value of this namespace; only names below `net/` belong to a namespace."""
        if not name.startswith("net/"):
            raise LabError(f"setting {name}: only net/… belongs to a network namespace")
        self.run("sh", "-c", 'printf %s "$2" >"/proc/sys/$1"', "sh", name, str(value))

    def pids(self) -> list[int]:
        """List the processes in here."""
        return [int(pid) for pid in run(["ip", "netns", "pids", self.name], check=False).stdout.split()]

    def close(self) -> None:
        """End the processes in here and remove the namespace; once is enough, twice is harmless."""
        for process in reversed(self._processes):
            end_process(process)
        self._processes.clear()
        if not self.path.exists():
            return
        self._end_strays()
        run(["ip", "netns", "del", self.name])

    def _end_strays(self) -> None:
        # Servers in the background (containerd, conmon, aardvark-dns) outlive the process we started.
        for number, patience_s in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
            strays = self.pids()
            for pid in strays:
                with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                    os.kill(pid, number)
            end = time.monotonic() + patience_s
            while self.pids() and time.monotonic() < end:
                time.sleep(0.02)
