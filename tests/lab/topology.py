"""The lab: builds hosts on a network of their own, and leaves nothing behind."""

import atexit
import contextlib
import secrets
import shutil
import tempfile
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.commands import LabError, run
from tests.lab.host import LabHost
from tests.lab.namespace import NETNS_DIR, Namespace

UNDERLAY = IPv4Network("192.0.2.0/24")
UNDERLAY6 = IPv6Network("2001:db8::/64")
OUTSIDE_NUMBER = 254
INTERNET = IPv4Address("198.51.100.1")
INTERNET6 = IPv6Address("2001:db8:ffff::1")


class Lab:
    """A context that makes hosts and namespaces, and removes every one of them however it ends."""

    def __init__(self) -> None:
        self.prefix = f"t{secrets.token_hex(3)}"
        self._cleanup = contextlib.ExitStack()
        self._hosts: dict[str, LabHost] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._ports = 0
        atexit.register(self.close)
        # Registered first, so done last: what a failed test left under our own random prefix.
        self._cleanup.callback(self._delete_leftover_namespaces)
        self._underlay = self._open_underlay()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything, last made first; once is enough, twice is harmless."""
        atexit.unregister(self.close)
        self._cleanup.close()
        self._hosts.clear()
        self._namespaces.clear()

    def unique(self, name: str) -> str:
        """Make a namespace name no other test uses; if it is still there at the end, the lab removes it."""
        return f"{self.prefix}-{name}"

    def folder(self, name: str) -> Path:
        """Make an empty folder that goes away with the lab; its path is short enough for sockets in it."""
        path = Path(tempfile.mkdtemp(prefix=f"{self.unique(name)}-"))
        self._cleanup.callback(shutil.rmtree, path, ignore_errors=True)
        return path

    def namespace(self, name: str) -> Namespace:
        """Return the bare namespace of that name, made on first use: `lo` is up, nothing else is there."""
        if name not in self._namespaces:
            space = Namespace(self.unique(name))
            self._cleanup.callback(space.close)
            self._namespaces[name] = space
        return self._namespaces[name]

    def host(self, name: str) -> LabHost:
        """Return the host of that name, made on first use: 192.0.2.N and 2001:db8::N, N counting from 1."""
        if name not in self._hosts:
            number = 1 + sum(1 for known in self._hosts if known != "outside")
            if number >= OUTSIDE_NUMBER:
                raise LabError(f"making host {name}: {UNDERLAY} is full")
            host = self._hosts[name] = self._make_host(name, number)
            gateway, gateway6 = _numbered(OUTSIDE_NUMBER)
            host.ip_batch(f"route add default via {gateway}", f"route add ::/0 via {gateway6}")
        return self._hosts[name]

    def outside(self) -> LabHost:
        """Return the machine that is not ours: every host's default gateway, and the only one with INTERNET.

        It has no route to addresses behind the hosts, as the internet has none: reaching it from a container
        takes masquerading, or a route that the test adds.
        """
        if "outside" not in self._hosts:
            outside = self._hosts["outside"] = self._make_host("outside", OUTSIDE_NUMBER)
            outside.ip_batch(f"addr add {INTERNET}/32 dev lo", f"addr add {INTERNET6}/128 dev lo nodad")
        return self._hosts["outside"]

    def _open_underlay(self) -> Namespace:
        underlay = Namespace(self.unique("underlay"))
        self._cleanup.callback(underlay.close)
        underlay.ip_batch("link add sw type bridge", "link set sw addrgenmode none up")
        return underlay

    def _make_host(self, name: str, number: int) -> LabHost:
        address, address6 = _numbered(number)
        state_dir = self.folder(name)
        host = LabHost(self.unique(name), state_dir, address, address6, self._plug_in)
        self._cleanup.callback(host.close)
        # Fresh namespaces copy these from the machine; every run must start from the same.
        for setting, value in (("ip_forward", 0), ("conf/all/rp_filter", 0), ("conf/default/rp_filter", 2)):
            host.set_sysctl(f"net/ipv4/{setting}", value)
        self._plug_in(host, "eth0")
        host.ip_batch(
            f"addr add {address}/{UNDERLAY.prefixlen} dev eth0",
            f"addr add {address6}/{UNDERLAY6.prefixlen} dev eth0 nodad",
        )
        return host

    def _plug_in(self, host: LabHost, ifname: str) -> None:
        """Join a new card of the host and a port of the underlay's bridge; the card comes up last."""
        self._ports += 1
        port = f"p{self._ports}"
        mac = f"02:00:5e:00:{self._ports >> 8:02x}:{self._ports & 255:02x}"
        self._underlay.ip_batch(
            f"link add {port} type veth peer name {ifname} address {mac} netns {host.name}",
            f"link set {port} master sw addrgenmode none up",
        )
        # Link-local addresses must not stay "tentative" for a second: snapshots would change by themselves.
        host.set_sysctl(f"net/ipv6/conf/{ifname}/accept_dad", 0)
        host.ip_batch(f"link set {ifname} up")

    def _delete_leftover_namespaces(self) -> None:
        for path in NETNS_DIR.glob(f"{self.prefix}-*"):
            run(["ip", "netns", "del", path.name], check=False)


def _numbered(number: int) -> tuple[IPv4Address, IPv6Address]:
    # The digits are the same in both families, to be read by eye: 192.0.2.12 and 2001:db8::12.
    return UNDERLAY[number], UNDERLAY6[int(str(number), 16)]
