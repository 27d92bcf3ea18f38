"""`netavark setup` with one published port, called as Podman calls it: options as JSON on standard input."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from bench.command import find_program, run
from bench.contestants import Reach, Target, UnavailableError
from bench.lab import CONTAINER_PORT, GATEWAY, HOST_ADDRESS, SUBNET, Host, container_address


@dataclass(slots=True)
class Netavark:
    """One process an attachment. Name service is off, so aardvark-dns is not on the bill."""

    name: str = "netavark"
    label: str = "netavark setup"
    in_host: bool = True
    _host: Host | None = None
    _program: str = ""
    _config_dir: Path = Path()
    _options: str = ""

    def setup(self, host: Host, state_dir: Path) -> None:
        """Find the program; the first container makes the bridge."""
        program = find_program("netavark")
        if program is None:
            raise UnavailableError("netavark is not installed")
        self._host, self._program, self._config_dir = host, program, state_dir

    def prepare(self, target: Target) -> None:
        """Write the options, which Podman would have at hand."""
        self._options = _render_options(target)

    def attach(self, target: Target) -> None:
        """Call `setup`."""
        self._call("setup", target.netns, self._options)

    def reach(self, target: Target) -> Reach:
        """From the client, through the published port."""
        assert self._host is not None
        return Reach(target.netns, self._host.client, HOST_ADDRESS, target.host_port)

    def detach(self, target: Target) -> None:
        """Call `teardown` with the same options."""
        self._call("teardown", target.netns, _render_options(target))

    def _call(self, command: str, netns: Path, options: str) -> None:
        run([self._program, "--config", self._config_dir, "--rootless=false", command, netns], stdin=options)

    def close(self) -> None:
        """netavark keeps no process here; its rules and links go with the namespaces."""


def _render_options(target: Target) -> str:
    network = {
        "name": "podman",
        "id": hashlib.sha256(b"podman").hexdigest(),
        "driver": "bridge",
        "network_interface": "podman0",
        "created": "2026-01-01T00:00:00Z",
        "subnets": [{"subnet": SUBNET, "gateway": GATEWAY}],
        "ipv6_enabled": False,
        "internal": False,
        "dns_enabled": False,
        "ipam_options": {"driver": "host-local"},
    }
    mapping = {
        "host_ip": "",
        "container_port": CONTAINER_PORT,
        "host_port": target.host_port,
        "range": 1,
        "protocol": "tcp",
    }
    attachment = {"static_ips": [container_address(target.index)], "interface_name": "eth0"}
    return json.dumps(
        {
            "container_id": hashlib.sha256(str(target.netns).encode()).hexdigest(),
            "container_name": target.netns.name,
            "port_mappings": [mapping],
            "networks": {"podman": attachment},
            "network_info": {"podman": network},
        }
    )
