"""What a topology needs done, as values that a person can read and the engine can carry out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from ductwork.engine.work import Work
from ductwork.model.addresses import IPAddress


class Sign(StrEnum):
    """What an action does to its object; the values are those of diff(1)."""

    ADD = "+"
    REMOVE = "-"
    CHANGE = "~"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do.

    Attributes:
        kind: "network", "sandbox", "endpoint", "port" or "link".
        name: the object, e.g. "web on front" for an endpoint.
        details: what differs, one remark each.
        place: where the topology says so, e.g. "sandboxes.web.networks.front"; empty for what it dropped.
        do: carries it out in a change.
    """

    sign: Sign
    kind: str
    name: str
    do: Callable[[Work], object] = field(compare=False, repr=False)
    details: tuple[str, ...] = ()
    place: str = ""

    @property
    def line(self) -> str:
        """Write it as one line."""
        remarks = f": {', '.join(self.details)}" if self.details else ""
        return f"{self.sign} {self.kind} {self.name}{remarks}"


@dataclass(frozen=True, slots=True)
class TopologyPlan:
    """How to bring a host to a topology, in the order of doing.

    Attributes:
        asked: networks and addresses that endpoints to come ask for, and nobody else may be given.
        notes: what stays although the topology does not have it, and why.
    """

    topology: str
    removals: tuple[Action, ...] = ()
    creations: tuple[Action, ...] = ()
    asked: tuple[tuple[str, IPAddress], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        """Return everything to do."""
        return self.removals + self.creations
