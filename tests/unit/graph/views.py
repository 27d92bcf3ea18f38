"""Hosts to draw: one that fits a README, and one with everything that can be in a picture."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from ductwork.model.port_mapping import PortMapping, Protocol
from ductwork.model.sandbox import Mode
from ductwork.model.view import EndpointView, HostView, Isolation, NetworkView, SandboxView, UplinkView

TCP, UDP = Protocol.TCP, Protocol.UDP


def small() -> HostView:
    """Two networks, four sandboxes, one of them on both."""
    limited = (ip_network("198.51.100.0/24"),)
    web_ports = (PortMapping(TCP, None, 8080, 80), PortMapping(TCP, ip_address("192.0.2.1"), 8443, 443))
    dns_ports = (PortMapping(UDP, ip_address("2001:db8::1"), 53, 53, limited),)
    endpoints = (
        _endpoint("web", "frontend", 1, "eth0", "10.1.0.2/24", "fd00:1::2/64", ports=web_ports, default=True),
        _endpoint("web", "backend", 2, "eth1", "10.2.0.2/24"),
        _endpoint("cache", "frontend", 3, "eth0", "10.1.0.3/24", "fd00:1::3/64", default=True),
        _endpoint("db", "backend", 4, "eth0", "10.2.0.3/24"),
        _endpoint("docker:dns", "frontend", 5, "eth0", "10.1.0.4/24", ports=dns_ports, default=True),
    )
    frontend = NetworkView(
        "frontend",
        "bridge",
        (ip_network("10.1.0.0/24"), ip_network("fd00:1::/64")),
        (ip_address("10.1.0.1"), ip_address("fd00:1::1")),
        bridge="dw-frontend",
    )
    backend = NetworkView(
        "backend",
        "bridge",
        (ip_network("10.2.0.0/24"),),
        (ip_address("10.2.0.1"),),
        bridge="dw-backend",
        mtu=1450,
        internal=True,
        nat=False,
        isolation=Isolation.STRICT,
    )
    return HostView(
        "h1",
        "/run/netns/h1",
        (frontend, backend),
        tuple(_sandbox(name, endpoints) for name in ("web", "cache", "db", "docker:dns")),
        (UplinkView("eth0", (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64"))),),
    )


NETWORKS = ("edge", "frontend", "backend", "database", "observability", "a-rather-long-name-for-one-network")


def large() -> HostView:
    """Six networks in use and one without endpoints; thirty-three sandboxes of every mode."""
    endpoints = tuple(e for i in range(30) for e in _of_sandbox(i))
    sandboxes = [_sandbox(name, endpoints) for name in dict.fromkeys(e.sandbox for e in endpoints)]
    sandboxes += [SandboxView("node-exporter", Mode.HOST), SandboxView("idle", Mode.OWN)]
    sandboxes += [SandboxView("docker:with-a-very-long-name-that-goes-on-and-on", Mode.FOREIGN, alive=False)]
    uplinks = (
        UplinkView("eth0", (ip_interface("192.0.2.1/24"),)),
        UplinkView("wlan0", (ip_interface("198.51.100.7/24"), ip_interface("2001:db8:77::7/64"))),
    )
    networks = [_network(i, name) for i, name in enumerate(NETWORKS)]
    networks.append(NetworkView("spare", "bridge", (ip_network("10.9.0.0/24"),), (ip_address("10.9.0.1"),)))
    return HostView("production-7", "", tuple(networks), tuple(sandboxes), uplinks)


def _network(i: int, name: str) -> NetworkView:
    drivers = ("bridge", "bridge", "bridge", "overlay", "routed", "macvlan")
    return NetworkView(
        name,
        drivers[i],
        (ip_network(f"10.{i + 1}.0.0/24"),),
        (ip_address(f"10.{i + 1}.0.1"),) if i != 5 else (),
        bridge=f"dw-{name}" if i < 4 else "",
        mtu=1450 if i == 3 else 1500,
        internal=i == 3,
        nat=i < 3,
        isolation=tuple(Isolation)[i % 3],
        note="bridge is missing" if i == 2 else "",
    )


def _of_sandbox(i: int) -> list[EndpointView]:
    name = f"{('proxy', 'web', 'api', 'db', 'prom', 'job')[i % 6]}-{i:02d}"
    mine = [i % 6, (i + 1) % 6] if i % 4 == 0 else [1, 2, 5] if i == 7 else [i % 6]
    many = tuple(PortMapping(TCP, ip_address("192.0.2.1"), 9000 + n, 9000 + n) for n in range(8))
    ports = many if i == 10 else (PortMapping(TCP, None, 8000 + i, 80),) if i % 7 == 0 else ()
    return [
        _endpoint(
            name,
            NETWORKS[n],
            i * 4 + k,
            f"eth{k}",
            f"10.{n + 1}.0.{i + 2}/24",
            ports=ports if k == 0 else (),
            default=k == 0 and n != 3,
        )
        for k, n in enumerate(mine)
    ]


def _endpoint(
    sandbox: str,
    network: str,
    slot: int,
    ifname: str,
    *addresses: str,
    ports: tuple[PortMapping, ...] = (),
    default: bool = False,
) -> EndpointView:
    return EndpointView(
        sandbox,
        network,
        f"dwv{slot:04d}",
        ifname,
        tuple(map(ip_interface, addresses)),
        f"02:42:00:00:00:{slot:02x}",
        ("www",) if sandbox == "web" and default else (),
        ports,
        default,
    )


def _sandbox(name: str, endpoints: tuple[EndpointView, ...]) -> SandboxView:
    mode = Mode.FOREIGN if name.startswith("docker:") else Mode.OWN
    return SandboxView(
        name,
        mode,
        name if mode is Mode.FOREIGN else "",
        True,
        tuple(e for e in endpoints if e.sandbox == name),
    )
