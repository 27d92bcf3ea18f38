"""Sysctls below net/ in memory, with the ones that drag others along."""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL, ENOENT

from ductwork.kernel.fake.faults import Faults, refuse

# As in a fresh namespace of Linux 6.18 with br_netfilter loaded.
_GLOBAL = {
    "net/bridge/bridge-nf-call-arptables": "1",
    "net/bridge/bridge-nf-call-ip6tables": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/ipv4/ip_forward": "0",
    "net/ipv4/ip_local_port_range": "32768\t60999",
    "net/ipv4/ip_local_reserved_ports": "",
    "net/ipv4/ip_unprivileged_port_start": "1024",
    "net/ipv6/bindv6only": "0",
    "net/netfilter/nf_conntrack_max": "262144",
}
_IPV4_CONF = {
    "accept_local": "0",
    "accept_redirects": "1",
    "arp_announce": "0",
    "arp_ignore": "0",
    "arp_notify": "0",
    "forwarding": "0",
    "promote_secondaries": "0",
    "proxy_arp": "0",
    "route_localnet": "0",
    "rp_filter": "0",
    "send_redirects": "1",
}
_IPV6_CONF = {
    "accept_dad": "1",
    "accept_ra": "1",
    "accept_redirects": "1",
    "addr_gen_mode": "0",
    "autoconf": "1",
    "disable_ipv6": "0",
    "forwarding": "0",
    "proxy_ndp": "0",
}
_FAMILIES = {"ipv4": _IPV4_CONF, "ipv6": _IPV6_CONF}
_ACCEPT_REDIRECTS = "net/ipv4/conf/all/accept_redirects"


def _no_device_cares(device: str) -> None:
    """Stand in until a namespace says what follows."""


class Sysctls:
    """The values of one namespace.

    Attributes:
        on_ipv6_off, on_ipv6_forwarding: told the device for which IPv6 went off, or forwarding on.
    """

    def __init__(self) -> None:
        self.values = dict(_GLOBAL)
        self.on_ipv6_off: Callable[[str], None] = _no_device_cares
        self.on_ipv6_forwarding: Callable[[str], None] = _no_device_cares
        for family, defaults in _FAMILIES.items():
            for which in ("all", "default"):
                self.values |= {f"net/{family}/conf/{which}/{key}": value for key, value in defaults.items()}

    def add_device(self, name: str) -> None:
        """Make the folders of a new link from the defaults of the moment."""
        for family, defaults in _FAMILIES.items():
            for key in defaults:
                self.values[f"net/{family}/conf/{name}/{key}"] = self.values[
                    f"net/{family}/conf/default/{key}"
                ]

    def drop_device(self, name: str) -> None:
        """Take the folders of a link away."""
        folders = tuple(f"net/{family}/conf/{name}/" for family in _FAMILIES)
        self.values = {path: value for path, value in self.values.items() if not path.startswith(folders)}

    def write(self, path: str, value: str) -> None:
        """Set one sysctl and all that the kernel sets with it."""
        before, value = self.values[path], value.strip()
        match path.split("/"):
            case ["net", "ipv4", "ip_forward"] | ["net", "ipv4", "conf", "all", "forwarding"]:
                self._forward_ipv4(value, changed=before != value)
            case ["net", "ipv6", "conf", "all", ("forwarding" | "disable_ipv6") as key]:
                self._spread("ipv6", key, value)
            case _:
                self.values[path] = value
                self._follow(path, before)

    def _forward_ipv4(self, value: str, *, changed: bool) -> None:
        # inet_forward_change, net/ipv4/devinet.c: a router takes no redirects. Only at a change.
        if changed:
            self._spread("ipv4", "forwarding", value)
            self.values["net/ipv4/ip_forward"] = value
            self.values[_ACCEPT_REDIRECTS] = "0" if value != "0" else "1"

    def _spread(self, family: str, key: str, value: str) -> None:
        """Write `conf/all/KEY` and with it the same key of every device and of later ones."""
        prefix, suffix = f"net/{family}/conf/", f"/{key}"
        for path in [p for p in self.values if p.startswith(prefix) and p.endswith(suffix)]:
            before, self.values[path] = self.values[path], value
            self._follow(path, before)

    def _follow(self, path: str, before: str) -> None:
        match path.split("/"):
            case ["net", "ipv6", "conf", device, "disable_ipv6"] if self.values[path] != "0":
                self.on_ipv6_off(device)
            case ["net", "ipv6", "conf", device, "forwarding"] if before == "0" != self.values[path]:
                self.on_ipv6_forwarding(device)
            case _:
                pass


class FakeSysctl:
    """The sysctl port of one namespace."""

    def __init__(self, sysctls: Sysctls, faults: Faults) -> None:
        self._sysctls = sysctls
        self._faults = faults

    def get(self, path: str) -> str | None:
        """Read one value, None where there is no such sysctl."""
        return self._sysctls.values.get(path)

    def set(self, path: str, value: str) -> None:
        """Write one value.

        Raises:
            KernelError: ENOENT, no such sysctl; EINVAL, a word where a number belongs.
        """
        doing = f"set {path} to {value}"
        self._faults.begin(doing)
        before = self._sysctls.values.get(path)
        if before is None:
            raise refuse(ENOENT, doing)
        if before.isdigit() and not value.strip().removeprefix("-").isdigit():
            raise refuse(EINVAL, doing)
        self._sysctls.write(path, value)

    def tree(self, path: str) -> dict[str, str]:
        """Return every sysctl below a folder by its whole path."""
        prefix = path.rstrip("/") + "/"
        return {key: value for key, value in sorted(self._sysctls.values.items()) if key.startswith(prefix)}
