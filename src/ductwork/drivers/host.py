"""Driver `host`: sandboxes that use the host's own stack. There is no isolation at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from ductwork.drivers.base import Attachment, check_options
from ductwork.errors import InvalidArgument
from ductwork.model.network import Network
from ductwork.model.objects import KernelObject


class HostDriver:
    """A network that only says who runs in the host's own stack, unisolated."""

    kind: ClassVar[str] = "host"
    summary: ClassVar[str] = "the host's own stack, unisolated"
    uses_addresses: ClassVar[bool] = False
    has_gateway: ClassVar[bool] = False
    own_stack: ClassVar[bool] = False
    max_endpoints: ClassVar[int | None] = None
    couples_endpoints: ClassVar[bool] = False
    option_help: ClassVar[Mapping[str, str]] = {}

    def validate(self, network: Network) -> None:
        """Refuse addresses and walls: the host's stack has its own and none."""
        check_options(self.kind, dict(network.options), self.option_help)
        if network.subnets or network.ipv6:
            raise InvalidArgument(
                "a host network has the host's addresses", hint="leave --subnet and --ipv6 out"
            )
        if network.internal:
            raise InvalidArgument("a host network is not isolated from anything", hint="leave --internal out")

    def describe(self, network: Network) -> Mapping[str, str]:  # noqa: ARG002
        """Say the one thing that matters."""
        return {"isolation": "none (unisolated)"}

    def plan_network(self, network: Network, attached: Sequence[Attachment]) -> list[KernelObject]:  # noqa: ARG002
        """Nothing to make."""
        return []

    def plan_endpoint(self, network: Network, attached: Attachment) -> list[KernelObject]:  # noqa: ARG002
        """Nothing to make."""
        return []
