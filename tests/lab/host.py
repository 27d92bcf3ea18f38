"""A throwaway machine: a network namespace with network cards, and a folder for Ductwork's state."""

import json
import sys
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from tests.lab.commands import LabError, Result, clean_environment, run
from tests.lab.namespace import Namespace
from tests.lab.snapshot import Snapshot, take_snapshot

DUCT = Path(sys.executable).with_name("duct")


class LabHost(Namespace):
    """One host on the lab's network; `eth0` is its first card."""

    def __init__(
        self,
        name: str,
        state_dir: Path,
        address: IPv4Address,
        address6: IPv6Address,
        plug_in: Callable[["LabHost", str], None],
    ) -> None:
        super().__init__(name)
        self.state_dir = state_dir
        self.address = address
        self.address6 = address6
        self._plug_in = plug_in

    @property
    def duct_env(self) -> dict[str, str]:
        """The two settings that make `duct` work on this host and no other."""
        return {"DUCTWORK_NETNS": str(self.path), "DUCTWORK_HOST": str(self.state_dir)}

    def duct(
        self,
        *args: str,
        check: bool = True,
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
    ) -> Result:
        """Run `duct ARGS` for this host, as a user of the machine would: from outside the namespace."""
        environment = {**self.duct_env, **(env or {})}
        return run([str(DUCT), *args], check=check, timeout=timeout, env=environment, stdin=stdin)

    def duct_json(self, *args: str, timeout: float = 60, env: Mapping[str, str] | None = None) -> Any:
        """Run `duct ARGS --json` for this host and return what it says, as data."""
        end = args.index("--") if "--" in args else len(args)
        result = self.duct(*args[:end], "--json", *args[end:], timeout=timeout, env=env)
        try:
            return json.loads(result.stdout)
        except json.JSONDecodeError as error:
            raise LabError(f"duct {' '.join(args)} --json printed no JSON: {result.stdout!r}") from error

    def add_nic(self, ifname: str) -> None:
        """Plug one more network card into the underlay: up, without addresses."""
        self._plug_in(self, ifname)

    @property
    def has_bridge_nf(self) -> bool:
        """Whether the kernel has br_netfilter loaded, without which `bridge_nf` has nothing to switch."""
        return self.run("test", "-e", "/proc/sys/net/bridge", check=False).returncode == 0

    def bridge_nf(self, value: int) -> None:
        """Choose whether frames inside a bridge pass this host's iptables rules: 1 (Docker's wish) or 0."""
        if not self.has_bridge_nf:
            raise LabError(f"switching bridge-nf of {self.name}: br_netfilter is not loaded")
        for family in ("iptables", "ip6tables"):
            self.set_sysctl(f"net/bridge/bridge-nf-call-{family}", value)

    def snapshot(self) -> Snapshot:
        """Take down all network settings of this host as text; see `diff_snapshots`."""
        return take_snapshot(self.command(), clean_environment())
