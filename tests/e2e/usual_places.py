"""A throwaway host on which Ductwork and `ip netns` keep their things where they do on a real machine.

Elsewhere tests give each host a folder of its own (DUCTWORK_HOST), which `ip netns` knows nothing about. Here
/run, /var/lib and /etc are replaced inside a mount namespace, so that both meet at /run/netns as they do for
a user, and nothing of the machine's own is touched.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.lab import LabError, LabHost, Result, diff_snapshots
from tests.lab.commands import end_process, run
from tests.lab.host import DUCT

_LIFETIME_S = 600
_SCRIPT = f"""\
set -e
cp -a /etc "$1"
mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir /run/netns
echo ready
exec sleep {_LIFETIME_S}
"""


class UsualPlaces:
    """Runs commands in the host's namespace, with the usual places its own."""

    def __init__(self, host: LabHost, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.host = host
        self.env = dict(env or {})
        words = ("unshare", "--mount", "sh", "-c", _SCRIPT, "sh", str(folder))
        self._holder = host.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self._holder.stdout is not None
        first = self._holder.stdout.readline().strip()
        if first != "ready":
            self.close()
            raise LabError(f"replacing /run, /var/lib and /etc for {host.name}: {first}")

    def run(self, *argv: str, check: bool = True, timeout: float = 60, stdin: str = "") -> Result:
        """Run a command as on the machine that this host is."""
        enter = ["nsenter", "--target", str(self._holder.pid), "--mount", "--net", "--"]
        return run([*enter, *argv], check=check, timeout=timeout, env=self.env, stdin=stdin)

    def duct(self, *args: str, check: bool = True, stdin: str = "") -> Result:
        """Run `duct` with no setting that says which host: it is this one."""
        return self.run(str(DUCT), *args, check=check, stdin=stdin)

    def duct_json(self, *args: str) -> Any:
        """Run `duct ARGS --json` and return what it says."""
        return json.loads(self.duct(*args, "--json").stdout)

    def netns_list(self) -> list[str]:
        """List what `ip netns` sees."""
        return sorted(line.split()[0] for line in self.run("ip", "netns", "list").stdout.splitlines())

    def ip(self, netns: str, *args: str) -> Any:
        """Return what `ip -j ARGS` says in a namespace that `ip netns` sees."""
        text = self.run("ip", "-n", netns, "-j", *args).stdout.strip()
        return json.loads(text) if text else []

    def remove_all(self) -> None:
        """Remove every sandbox and network that `duct` lists."""
        known = [s["name"] for s in self.duct_json("sandbox", "ls") if s["id"]]
        if known:
            self.duct("sandbox", "rm", *known)
        networks = [n["name"] for n in self.duct_json("network", "ls")]
        if networks:
            self.duct("network", "rm", *networks)

    def close(self) -> None:
        """Let go of the mounts; the namespaces pinned in them go, too."""
        end_process(self._holder)


@contextlib.contextmanager
def usual_places(host: LabHost, env: Mapping[str, str] | None = None) -> Iterator[UsualPlaces]:
    """Give a host its usual places for a block, take all away at the end and compare the host with before."""
    folder = Path(tempfile.mkdtemp(prefix=f"{host.name}-usual-"))
    before = host.snapshot()
    usual = UsualPlaces(host, folder, env)
    try:
        yield usual
        usual.remove_all()
        assert usual.duct_json("status") == {"leftovers": [], "missing": 0, "objects": []}
        assert diff_snapshots(before, host.snapshot()) == ""
    finally:
        usual.close()
        shutil.rmtree(folder, ignore_errors=True)
