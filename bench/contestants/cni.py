"""CNI's `bridge` with `host-local`, then `portmap`, run as libcni runs them: environment and stdin."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.command import environment, run
from bench.contestants import Reach, Target, UnavailableError
from bench.lab import CONTAINER_PORT, GATEWAY, HOST_ADDRESS, SUBNET, Host

PLUGINS = Path("/usr/lib/cni")
_VERSION = "0.4.0"
_NETWORK = "bench"


def require_plugins() -> None:
    missing = [name for name in ("bridge", "host-local", "portmap") if not (PLUGINS / name).exists()]
    if missing:
        raise UnavailableError(f"no CNI plugin {', '.join(missing)} in {PLUGINS}")


def run_plugin(plugin: str, command: str, container: str, netns: Path, config: str) -> str:
    """One plugin call. The answer of an ADD is JSON, that of a DEL is empty."""
    env = environment(
        CNI_COMMAND=command,
        CNI_CONTAINERID=container,
        CNI_NETNS=str(netns),
        CNI_IFNAME="eth0",
        CNI_PATH=str(PLUGINS),
    )
    return run([PLUGINS / plugin], stdin=config, env=env)


def portmap_config(previous: dict[str, Any], host_port: int) -> str:
    mapping = {"hostPort": host_port, "containerPort": CONTAINER_PORT, "protocol": "tcp"}
    return json.dumps(
        {
            "cniVersion": _VERSION,
            "name": _NETWORK,
            "type": "portmap",
            "capabilities": {"portMappings": True},
            "runtimeConfig": {"portMappings": [mapping]},
            "prevResult": previous,
        }
    )


def _bridge_config(state_dir: Path) -> str:
    """The bridge network Podman writes for CNI: gateway on the bridge, masquerade, hairpin."""
    ipam = {
        "type": "host-local",
        "dataDir": str(state_dir),
        "ranges": [[{"subnet": SUBNET, "gateway": GATEWAY}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return json.dumps(
        {
            "cniVersion": _VERSION,
            "name": _NETWORK,
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": ipam,
        }
    )


@dataclass(slots=True)
class Cni:
    """Two plugin calls an attachment (host-local is called by bridge)."""

    name: str = "cni"
    label: str = "CNI bridge + host-local, then portmap"
    in_host: bool = True
    _host: Host | None = None
    _config: str = ""
    _results: dict[int, dict[str, Any]] = field(default_factory=dict)

    def setup(self, host: Host, state_dir: Path) -> None:
        """Write the network's configuration; the first container makes the bridge."""
        require_plugins()
        self._host = host
        self._config = _bridge_config(state_dir)

    def prepare(self, target: Target) -> None:
        """The configuration of the network is ready since setup."""

    def attach(self, target: Target) -> None:
        """Call `bridge`, and hand its answer to `portmap`."""
        result = json.loads(run_plugin("bridge", "ADD", _container(target), target.netns, self._config))
        self._results[target.index] = result
        config = portmap_config(result, target.host_port)
        run_plugin("portmap", "ADD", _container(target), target.netns, config)

    def reach(self, target: Target) -> Reach:
        """From the client, through the published port."""
        assert self._host is not None
        return Reach(target.netns, self._host.client, HOST_ADDRESS, target.host_port)

    def detach(self, target: Target) -> None:
        """The same two calls with DEL, in reverse."""
        config = portmap_config(self._results.pop(target.index), target.host_port)
        run_plugin("portmap", "DEL", _container(target), target.netns, config)
        run_plugin("bridge", "DEL", _container(target), target.netns, self._config)

    def close(self) -> None:
        """The plugins keep no process; their rules and links go with the namespaces."""


def _container(target: Target) -> str:
    return f"bench{target.index:05d}"
