"""What a topology is compared with: the host's records, read once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ductwork.engine.networks import uplink_mtu
from ductwork.engine.publishing import ephemeral_range
from ductwork.engine.state import State
from ductwork.engine.work import Work
from ductwork.errors import DuctworkError
from ductwork.model.endpoint import Endpoint, Link
from ductwork.model.network import Network
from ductwork.model.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Existing:
    """The records of a host, by what they are looked up with.

    Attributes:
        topology: the name of the topology that is compared.
        networks, sandboxes: by name.
        endpoints: by sandbox id, in their order.
        pinned: paths of the namespaces that stand in the host's folder.
        uplink_mtu: the MTU of a network that is made now and names none.
        ephemeral: first and last host port that is chosen when none is asked for.
    """

    topology: str
    host_id: str
    state: State
    networks: dict[str, Network]
    sandboxes: dict[str, Sandbox]
    endpoints: dict[str, list[Endpoint]]
    network_names: dict[str, str]
    pinned: frozenset[str]
    uplink_mtu: int
    ephemeral: tuple[int, int]

    def is_ours(self, item: Network | Sandbox | Endpoint | Link) -> bool:
        """Say whether the topology that is compared made something."""
        return item.topology == self.topology


def read_existing(work: Work, topology: str) -> Existing:
    """Read everything that a topology may have to do with."""
    networks = work.state.networks()
    endpoints: dict[str, list[Endpoint]] = {}
    for endpoint in sorted(work.state.endpoints(), key=lambda e: (e.order, e.slot)):
        endpoints.setdefault(endpoint.sandbox_id, []).append(endpoint)
    return Existing(
        topology,
        work.host_id,
        work.state,
        {n.name: n for n in networks},
        {s.name: s for s in work.state.sandboxes()},
        endpoints,
        {n.id: n.name for n in networks},
        frozenset(work.kernel.namespace_paths(str(work.host.netns_dir))),
        uplink_mtu(work),
        ephemeral_range(work),
    )


@contextmanager
def at(place: str) -> Iterator[None]:
    """Begin the message of whatever is refused inside with the place in the topology that asked for it."""
    try:
        yield
    except DuctworkError as error:
        if place and not error.message.startswith(place):
            error.message = f"{place}: {error.message}"
        raise
