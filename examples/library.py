"""Everything the command does, from Python: two networks, three sandboxes, a published port, and away again.

Run it as root:

    python examples/library.py

It works on the host that DUCTWORK_NETNS and DUCTWORK_HOST name, by default on this machine.
"""

from __future__ import annotations

from ductwork import (
    Conflict,
    ConnectSpec,
    Engine,
    NetworkSpec,
    NetworkUpdate,
    PortMapping,
    SandboxSpec,
    Subnet,
    open_engine,
    parse_ports,
)
from ductwork.model.addresses import parse_address, parse_network


def build(engine: Engine) -> None:
    """Make the networks and sandboxes."""
    engine.create_network(NetworkSpec("example-front", ipv6=True, labels=(("team", "web"),)))
    subnet = Subnet(parse_network("10.123.45.0/24"))
    engine.create_network(NetworkSpec("example-back", subnets=(subnet,), internal=True))
    for name, networks in (
        ("example-web", ("example-front", "example-back")),
        ("example-app", ("example-front",)),
    ):
        engine.create_sandbox(SandboxSpec(name, networks=networks))
    engine.create_sandbox(SandboxSpec("example-db"))
    chosen = ConnectSpec(addresses=(parse_address("10.123.45.10"),), ifname="data", aliases=("database",))
    endpoint = engine.connect("example-back", "example-db", chosen)
    print("example-db has", *endpoint.addresses)
    engine.link("example-web", "example-db", "db")


def publish(engine: Engine) -> None:
    """Publish ports while the sandbox runs; one is given, one is chosen."""
    mappings: tuple[PortMapping, ...] = engine.publish(
        "example-web", [*parse_ports("18080:80"), *parse_ports("443")]
    )
    for mapping in mappings:
        print("published", mapping)
    try:
        engine.publish("example-app", parse_ports("18080:80"))
    except Conflict as error:
        print("as expected:", error.message)
    engine.unpublish("example-web", parse_ports("18080:80"))


def show(engine: Engine) -> None:
    """Look at what there is: data classes, no text to take apart."""
    for network in engine.networks():
        print(network.name, *(subnet.cidr for subnet in network.subnets))
    status = engine.status()
    print(len(status.objects), "kernel objects,", len(status.missing), "missing")
    engine.plan_only = True
    engine.update_network("example-front", NetworkUpdate(mtu=1400))
    print("to change the MTU,", len(engine.report.lines()), "steps would be taken")
    engine.plan_only = False


def take_away(engine: Engine) -> None:
    """Leave the host as it was."""
    engine.disconnect("example-back", "example-db")
    engine.remove_sandboxes(["example-web", "example-app", "example-db"])
    engine.remove_networks(["example-front", "example-back"])


def main() -> None:
    """Do it all, and take it away whatever happens."""
    with open_engine() as engine:
        build(engine)
        try:
            publish(engine)
            show(engine)
        finally:
            take_away(engine)


if __name__ == "__main__":
    main()
