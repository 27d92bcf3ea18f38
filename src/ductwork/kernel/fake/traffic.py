"""What uses the network of a namespace: flows in connection tracking, and local sockets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ductwork.kernel.fake.faults import Faults
from ductwork.kernel.ports import Listener
from ductwork.model.addresses import IPAddress
from ductwork.model.objects import FlowFilter


@dataclass(frozen=True, slots=True)
class FakeFlow:
    """A tracked flow: what the client asked for, and who answers it."""

    protocol: int
    original_src: IPAddress
    original_dst: IPAddress
    original_port: int
    reply_src: IPAddress

    @property
    def translated(self) -> bool:
        """Say whether somebody else answers than was asked."""
        return self.reply_src != self.original_dst

    def matches(self, wanted: FlowFilter) -> bool:
        """Say whether a filter means this flow."""
        return (
            self.protocol == wanted.protocol
            and self.original_dst.version == wanted.version
            and wanted.original_port in {None, self.original_port}
            and wanted.original_dst in {None, self.original_dst}
            and wanted.reply_src in {None, self.reply_src}
            and not (wanted.untranslated_only and self.translated)
        )


class FakeConntrack:
    """The connection tracking port of one namespace."""

    def __init__(self, flows: list[FakeFlow], faults: Faults) -> None:
        self._flows = flows
        self._faults = faults

    def delete(self, flows: Sequence[FlowFilter]) -> None:
        """Delete every flow that one of the filters means."""
        self._faults.begin(f"delete {len(flows)} kinds of flow")
        self._flows[:] = [flow for flow in self._flows if not any(flow.matches(each) for each in flows)]


class FakeSockets:
    """The socket port of one namespace: the listeners a test declared."""

    def __init__(self, listeners: list[Listener]) -> None:
        self._listeners = listeners

    def bind_conflict(self, protocol: str, ip: IPAddress, port: int) -> bool:
        """Say whether a bind would fail; `::` takes both families, as it does by default."""
        return any(_overlap(held.ip, ip) for held in self.listeners(protocol, port))

    def listeners(self, protocol: str, port: int) -> list[Listener]:
        """Return who holds a port."""
        return [held for held in self._listeners if (held.protocol, held.port) == (protocol, port)]


def _overlap(held: IPAddress, asked: IPAddress) -> bool:
    if held.version == asked.version:
        return held == asked or held.is_unspecified or asked.is_unspecified
    return held.version == 6 and held.is_unspecified
