"""Networks, addresses, names and published ports for any container or network namespace.

    from ductwork import ConnectSpec, NetworkSpec, SandboxSpec, open_engine, parse_ports

    with open_engine() as engine:
        engine.create_network(NetworkSpec("front"))
        engine.create_sandbox(SandboxSpec("web"))
        engine.connect("front", "web", ConnectSpec(ports=tuple(parse_ports("8080:80"))))

Everything the command `duct` does is a method of `Engine`. Errors are the classes of `ductwork.errors`.
"""

from ductwork.api import host_from_environment, open_engine
from ductwork.engine.endpoints import ConnectSpec
from ductwork.engine.engine import Engine, Report
from ductwork.engine.look import HostStatus, ObjectStatus
from ductwork.engine.networks import NetworkUpdate
from ductwork.engine.sandboxes import SandboxSpec
from ductwork.errors import (
    Conflict,
    Denied,
    DuctworkError,
    Exhausted,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    TeardownErrors,
    Unavailable,
)
from ductwork.model.endpoint import Endpoint, Link, StaticRoute
from ductwork.model.host import Host
from ductwork.model.names import parse_mac
from ductwork.model.network import Network, NetworkSpec, Scope, Subnet
from ductwork.model.port_mapping import PortMapping, PortRequest, Protocol
from ductwork.model.sandbox import Mode, Sandbox
from ductwork.model.view import HostView
from ductwork.plan.port_grammar import parse_ports

__version__ = "0.1.0"

__all__ = [
    "Conflict",
    "ConnectSpec",
    "Denied",
    "DuctworkError",
    "Endpoint",
    "Engine",
    "Exhausted",
    "FailedPrecondition",
    "Host",
    "HostStatus",
    "HostView",
    "Internal",
    "InvalidArgument",
    "Link",
    "Mode",
    "Network",
    "NetworkSpec",
    "NetworkUpdate",
    "NotFound",
    "ObjectStatus",
    "PortMapping",
    "PortRequest",
    "Protocol",
    "Report",
    "Sandbox",
    "SandboxSpec",
    "Scope",
    "StaticRoute",
    "Subnet",
    "TeardownErrors",
    "Unavailable",
    "host_from_environment",
    "open_engine",
    "parse_mac",
    "parse_ports",
]
