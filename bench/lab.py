"""Hosts, clients and containers for one benchmark, all namespaces, all taken away at the end."""

from __future__ import annotations

import atexit
import contextlib
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench.command import run
from bench.netns import NamespaceThread

RUN_NETNS = Path("/run/netns")
SUBNET = "10.88.0.0/16"
GATEWAY = "10.88.0.1"
CLIENT_ADDRESS = "10.99.0.2"
HOST_ADDRESS = "10.99.0.1"
CONTAINER_PORT = 80


def container_address(index: int) -> str:
    """The address of the index-th container in SUBNET; index 0 is the first after the gateway."""
    number = index + 2
    return f"10.88.{number // 256}.{number % 256}"


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace that plays a host, a client on its wire, and a thread that lives in the host."""

    netns: Path
    client: Path
    thread: NamespaceThread


class Lab:
    """Make namespaces and remove them, on every way out that leaves the interpreter alive."""

    def __init__(self) -> None:
        self._prefix = f"tbench-{secrets.token_hex(3)}"
        self._count = 0
        self._namespaces: list[Path] = []
        self._cleanup = contextlib.ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="ductwork-bench-"))
        self._cleanup.callback(self._remove_all)
        atexit.register(self.close)

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Undo everything, last made first. A second call does nothing."""
        atexit.unregister(self.close)
        self._cleanup.close()

    @property
    def cleanup(self) -> contextlib.ExitStack:
        """What else must happen before the namespaces go: ending a daemon, closing a contestant."""
        return self._cleanup

    def _remove_all(self) -> None:
        lines = "".join(f"netns del {path.name}\n" for path in reversed(self._namespaces))
        try:
            if lines:
                run(["ip", "-force", "-batch", "-"], stdin=lines)
        finally:
            self._namespaces.clear()
            shutil.rmtree(self.directory, ignore_errors=True)

    def folder(self, name: str) -> Path:
        """An empty folder that goes with the lab."""
        path = self.directory / name
        path.mkdir(parents=True)
        return path

    def namespaces(self, count: int) -> list[Path]:
        """Make fresh namespaces; deleting waits for the end, as it disturbs what runs beside it."""
        made = [RUN_NETNS / f"{self._prefix}-{self._count + number}" for number in range(count)]
        self._count += count
        self._namespaces += made
        run(["ip", "-batch", "-"], stdin="".join(f"netns add {path.name}\n" for path in made))
        return made

    def host(self) -> Host:
        """A host that forwards, with a client wired to it: CLIENT_ADDRESS - HOST_ADDRESS."""
        netns, client = self.namespaces(2)
        run(["ip", "-n", netns.name, "-batch", "-"], stdin=_wire(client.name))
        run(
            ["ip", "-n", client.name, "-batch", "-"],
            stdin=f"addr add {CLIENT_ADDRESS}/24 dev eth0\nlink set eth0 up\nlink set lo up\n",
        )
        thread = NamespaceThread(netns)
        self._cleanup.callback(thread.close)
        # /proc/sys/net shows the namespace of whoever opens it
        thread.call(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
        return Host(netns, client, thread)


def _wire(client: str) -> str:
    return (
        f"link set lo up\nlink add eth0 type veth peer name eth0 netns {client}\n"
        f"addr add {HOST_ADDRESS}/24 dev eth0\nlink set eth0 up\n"
    )


def add_bridge(host: Host, name: str) -> int:
    """Give a host a bridge that is the gateway of SUBNET, and return its index."""
    run(
        ["ip", "-n", host.netns.name, "-batch", "-"],
        stdin=f"link add {name} type bridge\naddr add {GATEWAY}/16 dev {name}\nlink set {name} up\n",
    )
    shown = run(["ip", "-n", host.netns.name, "-o", "link", "show", "dev", name])
    return int(shown.split(":", 1)[0])
