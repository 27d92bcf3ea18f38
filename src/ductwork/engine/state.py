"""The store in the engine's words: records, the indexes that find them, and who holds an address or a port.

Keys, all below one root:

    host                               HostRecord
    network/ID                         Network            network-name/NAME -> ID
    sandbox/ID                         Sandbox            sandbox-name/NAME -> ID, cookie/COOKIE -> ID
    shared-by/OTHER/ID                 -> ""              the sandboxes that share another's stack
    endpoint/ID                        Endpoint
    attached/NETWORK/SANDBOX           -> endpoint ID     attached-to/SANDBOX/NETWORK -> endpoint ID
    lease/NETWORK/VERSION/HEX          -> endpoint ID     cursor/NETWORK/VERSION -> last address given
    port/PROTOCOL/PORT/ADDRESS         PublishedPort      published/ENDPOINT/PROTOCOL/PORT/ADDRESS
    link/SANDBOX/ALIAS                 Link               linked-from/OTHER/SANDBOX -> ""
    port-cursor                        -> last ephemeral host port given
    foreign/NETWORK/NUMBER             ForeignAccept
    count/NETWORK                      -> number of endpoints
    slot                               -> how many slots were given
    pending/ID                         Journal entry of a change under way
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

from ductwork.errors import NotFound
from ductwork.model.addresses import IPAddress
from ductwork.model.endpoint import Endpoint, Link
from ductwork.model.network import Network
from ductwork.model.objects import ForeignAccept
from ductwork.model.port_mapping import PortMapping, Protocol
from ductwork.model.sandbox import Mode, Sandbox
from ductwork.plan.names import SLOTS
from ductwork.store.records import decode, encode
from ductwork.store.staged import StagedStore

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class SysctlBefore:
    """A sysctl of the host that a network needed changed, and what it was."""

    path: str
    before: str
    value: str
    version: int


@dataclass(frozen=True, slots=True)
class HostRecord:
    """What is kept of the host itself.

    Attributes:
        active: there is a network that needs our rules and forwarding.
        boot: the boot in which the kernel was last as it should be.
        rules: fingerprint of the rules that were loaded last.
        guarded: bridges of others that our accepts in their firewall must not open to our containers.
        sysctls: changed for forwarding, in the order of changing; written back with the last network.
        forward_chains: other people's forward chains when the first network came ("FAMILY TABLE CHAIN"). If
            there are new ones at the end, somebody else has come to rely on forwarding and it stays on.
    """

    id: str
    active: bool = False
    boot: str = ""
    rules: str = ""
    guarded: tuple[str, ...] = ()
    sysctls: tuple[SysctlBefore, ...] = ()
    forward_chains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A host port and the endpoint that has it."""

    endpoint_id: str
    mapping: PortMapping


@dataclass(slots=True)
class State:
    """Typed access to one staged view of the store."""

    store: StagedStore

    # -- records ---------------------------------------------------------------------------------------

    def _read(self, kind: type[R], key: str) -> R | None:
        entry = self.store.get(key)
        if entry is None:
            return None
        return decode(kind, entry.value)

    def _text(self, key: str) -> str | None:
        entry = self.store.get(key)
        return None if entry is None else entry.value.decode()

    def _put(self, key: str, record: object) -> None:
        self.store.put(key, record.encode() if isinstance(record, str) else encode(record))

    def _all(self, kind: type[R], prefix: str) -> list[R]:
        return [decode(kind, entry.value) for entry in self.store.scan(prefix)]

    def host(self) -> HostRecord | None:
        """Return the host's record, None before the first change."""
        return self._read(HostRecord, "host")

    def put_host(self, record: HostRecord) -> None:
        """Keep the host's record."""
        self._put("host", record)

    # -- networks --------------------------------------------------------------------------------------

    def networks(self) -> list[Network]:
        """Return all networks, by name."""
        return sorted(self._all(Network, "network/"), key=lambda n: n.name)

    def find_network(self, name_or_id: str) -> Network | None:
        """Find a network by name, else by id."""
        identity = self._text(f"network-name/{name_or_id}")
        return self.network_or_none(identity or name_or_id)

    def network_or_none(self, identity: str) -> Network | None:
        """Return a network by id."""
        return self._read(Network, f"network/{identity}")

    def network(self, name_or_id: str) -> Network:
        """Find a network.

        Raises:
            NotFound: with the names there are.
        """
        network = self.find_network(name_or_id)
        if network is None:
            known = ", ".join(n.name for n in self.networks()[:10]) or "none yet"
            raise NotFound(
                f"network {name_or_id!r} does not exist",
                hint=f"networks here: {known}",
                subject="network",
                name=name_or_id,
            )
        return network

    def put_network(self, network: Network) -> None:
        """Keep a network and its name."""
        before = self.network_or_none(network.id)
        if before is not None and before.name != network.name:
            self.store.delete(f"network-name/{before.name}")
        self._put(f"network/{network.id}", network)
        self._put(f"network-name/{network.name}", network.id)

    def delete_network(self, network: Network) -> None:
        """Forget a network and everything kept for it alone."""
        for key in (f"network/{network.id}", f"network-name/{network.name}", f"count/{network.id}"):
            self.store.delete(key)
        for prefix in (f"cursor/{network.id}/", f"lease/{network.id}/"):
            for entry in self.store.scan(prefix):
                self.store.delete(entry.key)

    # -- sandboxes -------------------------------------------------------------------------------------

    def sandboxes(self) -> list[Sandbox]:
        """Return all sandboxes, by name."""
        return sorted(self._all(Sandbox, "sandbox/"), key=lambda s: s.name)

    def find_sandbox(self, name: str) -> Sandbox | None:
        """Find a sandbox by its exact name."""
        identity = self._text(f"sandbox-name/{name}")
        return None if identity is None else self.sandbox(identity)

    def sandbox(self, identity: str) -> Sandbox:
        """Return a sandbox by id."""
        sandbox = self._read(Sandbox, f"sandbox/{identity}")
        if sandbox is None:
            raise NotFound(f"sandbox {identity!r} does not exist", subject="sandbox", name=identity)
        return sandbox

    def sandbox_or_none(self, identity: str) -> Sandbox | None:
        """Return a sandbox by id, None when there is none."""
        return self._read(Sandbox, f"sandbox/{identity}")

    def sandbox_by_cookie(self, cookie: int) -> Sandbox | None:
        """Find the sandbox that is this very namespace, whatever name it was first reached by."""
        identity = self._text(f"cookie/{cookie}")
        return None if identity is None else self.sandbox_or_none(identity)

    def put_sandbox(self, sandbox: Sandbox) -> None:
        """Keep a sandbox, its name and its namespace's cookie."""
        before = self.sandbox_or_none(sandbox.id)
        if before is not None and before.cookie != sandbox.cookie:
            self._forget_cookie(before)
        if sandbox.cookie and sandbox.mode in {Mode.OWN, Mode.FOREIGN}:
            self._put(f"cookie/{sandbox.cookie}", sandbox.id)
        if sandbox.other:
            self._put(f"shared-by/{sandbox.other}/{sandbox.id}", "-")
        self._put(f"sandbox/{sandbox.id}", sandbox)
        self._put(f"sandbox-name/{sandbox.name}", sandbox.id)

    def delete_sandbox(self, sandbox: Sandbox) -> None:
        """Forget a sandbox and its links, in both directions."""
        self.store.delete(f"sandbox/{sandbox.id}")
        self.store.delete(f"sandbox-name/{sandbox.name}")
        self.store.delete(f"shared-by/{sandbox.other}/{sandbox.id}")
        self._forget_cookie(sandbox)
        for link in self.links(sandbox.id):
            self.delete_link(sandbox.id, link)
        for other in self.linked_from(sandbox.id):
            for link in self.links(other):
                if link.sandbox_id == sandbox.id:
                    self.delete_link(other, link)

    def sharers(self, sandbox_id: str) -> list[Sandbox]:
        """Return the sandboxes that share this one's stack."""
        found = self.store.scan(f"shared-by/{sandbox_id}/")
        return [self.sandbox(entry.key.rsplit("/", 1)[1]) for entry in found]

    def _forget_cookie(self, sandbox: Sandbox) -> None:
        # After a reboot the numbers begin anew, and another sandbox may have this one's.
        if self._text(f"cookie/{sandbox.cookie}") == sandbox.id:
            self.store.delete(f"cookie/{sandbox.cookie}")

    # -- endpoints -------------------------------------------------------------------------------------

    def endpoint_or_none(self, identity: str) -> Endpoint | None:
        """Return an endpoint by id, None when there is none."""
        return self._read(Endpoint, f"endpoint/{identity}")

    def endpoints(self) -> list[Endpoint]:
        """Return all endpoints."""
        return self._all(Endpoint, "endpoint/")

    def endpoint_of(self, network_id: str, sandbox_id: str) -> Endpoint | None:
        """Return the attachment of one sandbox to one network."""
        identity = self._text(f"attached/{network_id}/{sandbox_id}")
        return None if identity is None else self.endpoint_or_none(identity)

    def endpoints_on(self, network_id: str) -> list[Endpoint]:
        """Return a network's endpoints, oldest first."""
        found = (self.endpoint_or_none(e.value.decode()) for e in self.store.scan(f"attached/{network_id}/"))
        return sorted((e for e in found if e is not None), key=lambda e: e.slot)

    def endpoints_in(self, sandbox_id: str) -> list[Endpoint]:
        """Return a sandbox's endpoints in their own order."""
        found = (
            self.endpoint_or_none(e.value.decode()) for e in self.store.scan(f"attached-to/{sandbox_id}/")
        )
        return sorted((e for e in found if e is not None), key=lambda e: (e.order, e.slot))

    def put_endpoint(self, endpoint: Endpoint) -> None:
        """Keep an endpoint; a new one is counted."""
        pair = f"{endpoint.network_id}/{endpoint.sandbox_id}"
        if self.store.get(f"attached/{pair}") is None:
            self._count(endpoint.network_id, +1)
        self._put(f"endpoint/{endpoint.id}", endpoint)
        self._put(f"attached/{pair}", endpoint.id)
        self._put(f"attached-to/{endpoint.sandbox_id}/{endpoint.network_id}", endpoint.id)

    def delete_endpoint(self, endpoint: Endpoint) -> None:
        """Forget an endpoint with its leases and ports."""
        self.store.delete(f"endpoint/{endpoint.id}")
        self.store.delete(f"attached/{endpoint.network_id}/{endpoint.sandbox_id}")
        self.store.delete(f"attached-to/{endpoint.sandbox_id}/{endpoint.network_id}")
        self._count(endpoint.network_id, -1)
        for address in endpoint.addresses:
            self.release_address(endpoint.network_id, address.ip)
        for mapping in self.ports_of(endpoint.id):
            self.release_port(mapping, endpoint.id)

    def count_endpoints(self, network_id: str) -> int:
        """Say how many endpoints a network has without reading them."""
        return int(self._text(f"count/{network_id}") or "0")

    def _count(self, network_id: str, step: int) -> None:
        self._put(f"count/{network_id}", str(self.count_endpoints(network_id) + step))

    def next_slot(self) -> int:
        """Give a slot that no living object has; they come round again after nine million."""
        number = int(self._text("slot") or "0") + 1
        if number >= SLOTS:
            taken = {n.slot for n in self.networks()} | {e.slot for e in self.endpoints()}
            while number % SLOTS in taken:
                number += 1
        self._put("slot", str(number))
        return number % SLOTS

    # -- addresses and ports ---------------------------------------------------------------------------

    def address_holder(self, network_id: str, address: IPAddress) -> str | None:
        """Return the endpoint that has an address."""
        return self._text(_lease_key(network_id, address))

    def reserve_address(self, network_id: str, address: IPAddress, endpoint_id: str) -> None:
        """Give an address to an endpoint."""
        self._put(_lease_key(network_id, address), endpoint_id)

    def release_address(self, network_id: str, address: IPAddress) -> None:
        """Take an address back."""
        self.store.delete(_lease_key(network_id, address))

    def cursor(self, network_id: str, version: int) -> IPAddress | None:
        """Return the address given last."""
        text = self._text(f"cursor/{network_id}/{version}")
        return None if text is None else ip_address(text)

    def put_cursor(self, network_id: str, address: IPAddress) -> None:
        """Remember the address given last."""
        self._put(f"cursor/{network_id}/{address.version}", str(address))

    def ports(self) -> list[PublishedPort]:
        """Return every published port of the host."""
        return self._all(PublishedPort, "port/")

    def port_or_none(self, key: str) -> PublishedPort | None:
        """Return a published port by its mapping's key."""
        return self._read(PublishedPort, f"port/{key}")

    def port_holders(self, protocol: Protocol, port: int) -> list[PublishedPort]:
        """Return who has a host port, on any address."""
        return self._all(PublishedPort, f"port/{protocol}/{port}/")

    def ports_of(self, endpoint_id: str) -> tuple[PortMapping, ...]:
        """Return the ports published through an endpoint, by protocol and host port."""
        prefix = f"published/{endpoint_id}/"
        keys = (entry.key.removeprefix(prefix) for entry in self.store.scan(prefix))
        found = (self.port_or_none(key) for key in keys)
        mappings = [port.mapping for port in found if port is not None]
        return tuple(sorted(mappings, key=lambda m: (m.protocol, m.host_port, str(m.host_ip))))

    def reserve_port(self, mapping: PortMapping, endpoint_id: str) -> None:
        """Give a host port to an endpoint."""
        self._put(f"port/{mapping.key}", PublishedPort(endpoint_id, mapping))
        self._put(f"published/{endpoint_id}/{mapping.key}", "-")

    def release_port(self, mapping: PortMapping, endpoint_id: str) -> None:
        """Take a host port back."""
        self.store.delete(f"port/{mapping.key}")
        self.store.delete(f"published/{endpoint_id}/{mapping.key}")

    def port_cursor(self) -> int:
        """Return the ephemeral host port given last, 0 before the first."""
        return int(self._text("port-cursor") or "0")

    def put_port_cursor(self, port: int) -> None:
        """Remember the ephemeral host port given last."""
        self._put("port-cursor", str(port))

    # -- links between sandboxes -----------------------------------------------------------------------

    def links(self, sandbox_id: str) -> list[Link]:
        """Return the names a sandbox knows others by."""
        return self._all(Link, f"link/{sandbox_id}/")

    def linked_from(self, other_id: str) -> list[str]:
        """Return the sandboxes that know this one by a name."""
        return [e.key.rsplit("/", 1)[1] for e in self.store.scan(f"linked-from/{other_id}/")]

    def put_link(self, sandbox_id: str, link: Link) -> None:
        """Let a sandbox know another by an alias."""
        self._put(f"link/{sandbox_id}/{link.alias}", link)
        self._put(f"linked-from/{link.sandbox_id}/{sandbox_id}", "-")

    def delete_link(self, sandbox_id: str, link: Link) -> None:
        """Forget an alias."""
        self.store.delete(f"link/{sandbox_id}/{link.alias}")
        if not any(other.sandbox_id == link.sandbox_id for other in self.links(sandbox_id)):
            self.store.delete(f"linked-from/{link.sandbox_id}/{sandbox_id}")

    # -- what other firewalls were given ---------------------------------------------------------------

    def foreign(self, network_id: str) -> tuple[ForeignAccept, ...]:
        """Return the accepts for a network in other people's chains."""
        return tuple(self._all(ForeignAccept, f"foreign/{network_id}/"))

    def put_foreign(self, network_id: str, accepts: list[ForeignAccept]) -> None:
        """Keep the accepts for a network, replacing those kept before."""
        self.delete_foreign(network_id)
        for number, accept in enumerate(accepts):
            self._put(f"foreign/{network_id}/{number}", accept)

    def delete_foreign(self, network_id: str) -> None:
        """Forget the accepts for a network."""
        for entry in self.store.scan(f"foreign/{network_id}/"):
            self.store.delete(entry.key)


def _lease_key(network_id: str, address: IPAddress) -> str:
    return f"lease/{network_id}/{address.version}/{address.packed.hex()}"
