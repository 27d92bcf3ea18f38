"""One host in memory for the engine's tests: a kernel, a store, as many lives of the process as wanted."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from ipaddress import ip_interface, ip_network
from pathlib import Path
from uuid import UUID

import pytest

from ductwork.engine import change, endpoints, engine, networks, sandboxes, targets
from ductwork.engine.engine import Engine
from ductwork.engine.sandboxes import SandboxSpec
from ductwork.kernel.containers import ContainerEngines
from ductwork.kernel.fake import FakeKernel, Killed
from ductwork.kernel.fake.namespace import RT_TABLE_MAIN
from ductwork.kernel.ports import RouteInfo
from ductwork.model.addresses import parse_address
from ductwork.model.foreign import ForeignView, IptablesForward
from ductwork.model.host import Host
from ductwork.model.network import NetworkSpec, Subnet
from ductwork.model.port_mapping import PortRequest
from ductwork.plan.port_grammar import parse_ports
from ductwork.store.memory import MemoryStore
from ductwork.store.protocol import StoreChange

HOST_NETNS = "/run/netns/host"
UPLINK = 2
_MAKERS = (change, endpoints, engine, networks, sandboxes, targets)


class MortalStore(MemoryStore):
    """A store whose process dies right before or right after a chosen commit."""

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.die_before: int | None = None
        self.die_after: int | None = None

    def commit(self, changes: Sequence[StoreChange], durable: bool = False) -> int:
        self.commits += 1
        if self.commits == self.die_before:
            raise Killed("before a commit")
        revision = super().commit(changes, durable)
        if self.commits == self.die_after:
            raise Killed("after a commit")
        return revision

    def revive(self) -> None:
        self.commits, self.die_before, self.die_after = 0, None, None

    def dump(self) -> dict[str, object]:
        """Return every record; revisions do not count."""
        return {entry.key: _value(entry.value) for entry in self.scan("")}


def _value(value: bytes) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value.decode()


class Picture(dict[str, object]):
    """All that a host consists of; `differences` says how two are not equal."""


def differences(left: object, right: object, path: str = "") -> list[str]:
    """Name every place at which two pictures differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        keys = sorted({*left, *right}, key=str)
        missing = object()
        pairs = [(f"{path}/{key}", left.get(key, missing), right.get(key, missing)) for key in keys]
        return [line for where, one, two in pairs if one != two for line in differences(one, two, where)]
    if isinstance(left, list) and isinstance(right, list):
        more = [f"{path}: + {item}" for item in left if item not in right]
        less = [f"{path}: - {item}" for item in right if item not in left]
        return more + less or [f"{path}: another order"]
    return [f"{path}: {left} instead of {right}"]


class World:
    """A host with one uplink; `engine` is the process that lives now.

    Identities come from a counter, so two worlds with the same history are equal to the last byte.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        numbers = itertools.count(1)
        for module in _MAKERS:
            patch.setattr(module, "uuid4", lambda: UUID(int=next(numbers)))
        self.kernel = FakeKernel(HOST_NETNS)
        self.store = MortalStore()
        self.host = Host.at(folder, HOST_NETNS)
        self.containers = ContainerEngines({})
        uplink = self.kernel.host.add_link("eth0", kind="", ifindex=UPLINK, up=True)
        self.kernel.host.addresses.append((uplink.ifindex, ip_interface("192.0.2.1/24")))
        way_out = RouteInfo(
            ip_network("0.0.0.0/0"), parse_address("192.0.2.254"), UPLINK, 0, RT_TABLE_MAIN, 3
        )
        self.kernel.host.static_routes[(way_out.dst, 0, RT_TABLE_MAIN)] = way_out
        self.kernel.host.foreign = ForeignView(iptables=(IptablesForward("iptables", "DROP", drops=True),))
        self.engine = self.process()

    def process(self) -> Engine:
        return Engine(self.host, self.kernel, self.store, None, self.containers)

    def restart(self) -> Engine:
        """Let the process that died come back."""
        self.kernel.restart()
        self.store.revive()
        self.engine = self.process()
        return self.engine

    def picture(self) -> Picture:
        """Return all there is: kernel and store."""
        return Picture({"kernel": self.kernel.snapshot(), "store": self.store.dump()})

    def foreign(self, name: str) -> str:
        """Declare somebody else's namespace and return it as a target."""
        self.kernel.declare_namespace(f"/run/netns/{name}")
        return f"netns:{name}"

    def remove_all(self) -> None:
        """Take away everything of ours, as a person would."""
        self.engine.remove_sandboxes([s.name for s in self.engine.sandboxes() if s.other])
        self.engine.remove_sandboxes([s.name for s in self.engine.sandboxes()])
        self.engine.remove_networks([n.name for n in self.engine.networks()])


Worlds = Callable[[], World]


def v4(cidr: str, **more: object) -> Subnet:
    return Subnet(ip_network(cidr), **more)  # type: ignore[arg-type]


def network(name: str, *cidrs: str, **more: object) -> NetworkSpec:
    return NetworkSpec(name, subnets=tuple(v4(c) for c in cidrs), **more)  # type: ignore[arg-type]


def sandbox(name: str, *networks_to_join: str, **more: str) -> SandboxSpec:
    return SandboxSpec(name, networks=networks_to_join, **more)  # type: ignore[arg-type]


def ports(*texts: str) -> tuple[PortRequest, ...]:
    return tuple(request for text in texts for request in parse_ports(text))
