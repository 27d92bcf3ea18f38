"""A sandbox: one container's network stack, ours or somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """How a sandbox gets its stack. HOST means no isolation at all from the host's network."""

    OWN = "own"
    HOST = "host"
    CONTAINER = "container"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A network stack that endpoints can be connected to.

    Attributes:
        name: unique on the host: "web" when made by us, else the target, e.g. "docker:web".
        target: how to find the namespace again: a path, "docker:NAME", "pid:N", …
        cookie: SO_NETNS_COOKIE of the namespace when last seen; inodes are reused, cookies are not.
        other: for mode CONTAINER the sandbox whose stack is shared.
        adopted: the path at which it is visible to `ip netns`, a link to `adopted_from`.
        own_default: IP versions for which somebody else's default route was there first and is left alone.
    """

    id: str
    name: str
    mode: Mode
    target: str
    cookie: int = 0
    other: str = ""
    adopted: str = ""
    adopted_from: str = ""
    topology: str = ""
    own_default: tuple[int, ...] = ()

    @property
    def hostname(self) -> str:
        """The bare name, as it stands in hosts files and DNS."""
        return self.name.rsplit(":", 1)[-1].rsplit("/", 1)[-1]
