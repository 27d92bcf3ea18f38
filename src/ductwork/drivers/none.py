"""Driver `none`: sandboxes with a loopback interface and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from ductwork.drivers.base import Attachment, check_options
from ductwork.errors import InvalidArgument
from ductwork.model.network import Network
from ductwork.model.objects import KernelObject


class NoneDriver:
    """A network whose members have no way to anybody."""

    kind: ClassVar[str] = "none"
    summary: ClassVar[str] = "loopback only"
    uses_addresses: ClassVar[bool] = False
    has_gateway: ClassVar[bool] = False
    own_stack: ClassVar[bool] = True
    max_endpoints: ClassVar[int | None] = None
    couples_endpoints: ClassVar[bool] = False
    option_help: ClassVar[Mapping[str, str]] = {}

    def validate(self, network: Network) -> None:
        """Refuse addresses: there is no interface to carry them."""
        check_options(self.kind, dict(network.options), self.option_help)
        if network.subnets or network.ipv6:
            raise InvalidArgument("a none network has no addresses", hint="leave --subnet and --ipv6 out")

    def describe(self, network: Network) -> Mapping[str, str]:  # noqa: ARG002
        """Nothing to choose."""
        return {}

    def plan_network(self, network: Network, attached: Sequence[Attachment]) -> list[KernelObject]:  # noqa: ARG002
        """Nothing to make."""
        return []

    def plan_endpoint(self, network: Network, attached: Attachment) -> list[KernelObject]:  # noqa: ARG002
        """Nothing to make."""
        return []
