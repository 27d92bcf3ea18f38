"""A host as a value: which namespace is the host, and where its state lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_STATE_DIR = Path("/var/lib/ductwork")
DEFAULT_RUN_DIR = Path("/run/ductwork")
IP_NETNS_DIR = Path("/run/netns")
ETC_NETNS_DIR = Path("/etc/netns")


@dataclass(frozen=True, slots=True)
class Host:
    """Everything that makes one host different from another on the same machine.

    Attributes:
        netns: path of the namespace that is this host, e.g. /run/netns/h1; empty means the caller's own.
        netns_dir: where sandboxes are pinned; /run/netns makes them visible to `ip netns`.
        etc_dir: where `ip netns exec` looks for per-namespace files (hosts, resolv.conf); ip-netns(8).
    """

    netns: str
    state_dir: Path
    run_dir: Path
    netns_dir: Path
    etc_dir: Path
    name: str = ""

    @staticmethod
    def at(state_dir: Path | None = None, netns: str = "", name: str = "") -> Host:
        """Describe the machine's default host, or one whose whole state is in `state_dir`."""
        if state_dir is None or state_dir == DEFAULT_STATE_DIR:
            return Host(netns, DEFAULT_STATE_DIR, DEFAULT_RUN_DIR, IP_NETNS_DIR, ETC_NETNS_DIR, name)
        here = state_dir.absolute()
        return Host(netns, here, here / "run", here / "netns", here / "etc-netns", name)
