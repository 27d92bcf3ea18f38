"""`duct network …`."""

from __future__ import annotations

from typing import Any

import click

from ductwork import Engine, Network, NetworkSpec, NetworkUpdate
from ductwork.drivers.registry import DRIVERS, driver_of
from ductwork.frontends.cli.common import Context, shared_options
from ductwork.frontends.cli.output import endpoint_value, network_value, object_value, print_json, print_table
from ductwork.frontends.cli.parse import parse_pairs, parse_subnets


@click.group("network", short_help="Create, change, list and remove networks.")
def network_group() -> None:
    """Networks: endpoints that can reach each other."""


def _options_help() -> str:
    parts = []
    for driver in DRIVERS.values():
        keys = ", ".join(driver.option_help) or "none"
        parts.append(f"{driver.kind}: {keys}")
    return "Option of the driver. " + "; ".join(parts) + "."


@network_group.command("create")
@click.argument("name")
@click.option("--driver", "-d", default="bridge", show_default=True, help=f"One of {', '.join(DRIVERS)}.")
@click.option("--subnet", "subnets", multiple=True, metavar="CIDR", help="Chosen when left out.")
@click.option("--gateway", "gateways", multiple=True, metavar="IP", help="The host's address in a subnet.")
@click.option(
    "--ip-range", "ranges", multiple=True, metavar="CIDR", help="Automatic addresses come from here."
)
@click.option("--reserve", "reserved", multiple=True, metavar="IP", help="Never given out automatically.")
@click.option("--ipv6", is_flag=True, help="Give it an IPv6 subnet too.")
@click.option("--internal", is_flag=True, help="No way out, and none in.")
@click.option("--mtu", type=int, help="Bytes; the uplink's when left out.")
@click.option("--opt", "-o", "options", multiple=True, metavar="K=V", help=_options_help())
@click.option("--label", "labels", multiple=True, metavar="K=V", help="A label, for your own use.")
@shared_options
def create(context: Context, name: str, driver: str, mtu: int | None, **words: Any) -> None:
    """Create network NAME."""
    spec = NetworkSpec(
        name,
        driver,
        parse_subnets(words["subnets"], words["gateways"], words["ranges"], words["reserved"]),
        words["ipv6"],
        words["internal"],
        mtu,
        parse_pairs(words["labels"], "label"),
        parse_pairs(words["options"], "option"),
    )
    with context.engine() as engine:
        network = engine.create_network(spec)
        context.show(engine, _value(network), _sentence("created", network))


@network_group.command("update")
@click.argument("name")
@click.option("--subnet", "subnets", multiple=True, metavar="CIDR", help="Add a subnet.")
@click.option(
    "--gateway", "gateways", multiple=True, metavar="IP", help="The host's address in an added subnet."
)
@click.option("--ip-range", "ranges", multiple=True, metavar="CIDR", help="For an added subnet.")
@click.option("--reserve", "reserved", multiple=True, metavar="IP", help="For an added subnet.")
@click.option("--mtu", type=int, help="Bytes.")
@click.option("--internal/--no-internal", "internal", default=None, help="Close or open the way out.")
@click.option("--opt", "-o", "options", multiple=True, metavar="K=V", help="Set a driver's option.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Set a label; K= takes it away.")
@shared_options
def update(context: Context, name: str, mtu: int | None, internal: bool | None, **words: Any) -> None:
    """Change network NAME in place; endpoints and their connections stay."""
    wanted = NetworkUpdate(
        parse_subnets(words["subnets"], words["gateways"], words["ranges"], words["reserved"]),
        mtu,
        internal,
        parse_pairs(words["labels"], "label"),
        parse_pairs(words["options"], "option"),
    )
    with context.engine() as engine:
        network = engine.update_network(name, wanted)
        context.show(engine, _value(network), _sentence("updated", network))


@network_group.command("ls")
@shared_options
def ls(context: Context) -> None:
    """List networks."""
    with context.engine(changes=False) as engine:
        networks = engine.networks()
        if context.json:
            print_json([_value(n) for n in networks])
            return
        state = engine.state()
        rows = [
            (
                n.name,
                n.driver,
                ", ".join(str(s.cidr) for s in n.subnets) or "-",
                str(state.count_endpoints(n.id)),
                ", ".join(_remarks(n)) or "-",
            )
            for n in networks
        ]
        print_table(("NAME", "DRIVER", "SUBNETS", "ENDPOINTS", "NOTES"), rows)


@network_group.command("inspect")
@click.argument("names", nargs=-1, required=True)
@shared_options
def inspect(context: Context, names: tuple[str, ...]) -> None:
    """Show networks with their endpoints and every kernel object they consist of."""
    with context.engine(changes=False) as engine:
        values = [_inspected(engine, name) for name in names]
        if context.json:
            print_json(values)
            return
        for value in values:
            _print_inspected(value)


@network_group.command("rm")
@click.argument("names", nargs=-1, required=True)
@shared_options
def rm(context: Context, names: tuple[str, ...]) -> None:
    """Remove networks without endpoints."""
    with context.engine() as engine:
        removed = engine.remove_networks(names)
        shown = ", ".join(n.name for n in removed)
        context.show(engine, [n.name for n in removed], f"removed {shown}")


@network_group.command("prune")
@shared_options
def prune(context: Context) -> None:
    """Remove every network without endpoints."""
    with context.engine() as engine:
        removed = engine.prune_networks()
        shown = ", ".join(n.name for n in removed)
        context.show(
            engine, [n.name for n in removed], f"removed {shown}" if removed else "nothing to remove"
        )


def _value(network: Network) -> dict[str, Any]:
    return network_value(network, dict(driver_of(network.driver).describe(network)))


def _sentence(verb: str, network: Network) -> str:
    words = [network.driver, *(str(s.cidr) for s in network.subnets)]
    if network.driver == "host":
        words.append("unisolated")
    return f"{verb} network {network.name} ({', '.join(words)})"


def _remarks(network: Network) -> list[str]:
    remarks = ["unisolated"] if network.driver == "host" else []
    if network.internal:
        remarks.append("internal")
    for key, value in driver_of(network.driver).describe(network).items():
        if (key, value) in {("nat", "off"), ("isolation", "strict"), ("isolation", "off")}:
            remarks.append(f"{key} {value}")
    return remarks + [f"{k}={v}" for k, v in network.labels]


def _inspected(engine: Engine, name: str) -> dict[str, Any]:
    state = engine.state()
    network = state.network(name)
    endpoints = [
        endpoint_value(e, network.name, state.sandbox(e.sandbox_id).name, state.ports_of(e.id))
        for e in state.endpoints_on(network.id)
    ]
    if not driver_of(network.driver).has_gateway:  # then no end of it is in the host
        endpoints = [{**e, "host_ifname": ""} for e in endpoints]
    objects = [object_value(o) for o in engine.network_objects(network)]
    return {**_value(network), "endpoints": endpoints, "objects": objects}


def _print_inspected(value: dict[str, Any]) -> None:
    click.echo(f"network {value['name']}  ({value['driver']})")
    for subnet in value["subnets"]:
        gateway = f"  gateway {subnet['gateway']}" if subnet["gateway"] else ""
        click.echo(f"  subnet {subnet['cidr']}{gateway}")
    extras = {**value["options"], "mtu": value["mtu"]}
    if value["internal"]:
        extras["internal"] = "yes"
    click.echo("  " + "  ".join(f"{k} {v}" for k, v in extras.items()))
    for endpoint in value["endpoints"]:
        ports = "  ".join(_port(p) for p in endpoint["ports"])
        outer = f"{endpoint['host_ifname']} → " if endpoint["host_ifname"] else ""
        inner = f":{endpoint['container_ifname']}" if endpoint["container_ifname"] else ""
        place = f"{outer}{endpoint['sandbox']}{inner}"
        click.echo(f"  {place}  {' '.join(endpoint['addresses'])}  {endpoint['mac']}  {ports}".rstrip())
    click.echo("  objects:")
    for item in value["objects"]:
        click.echo(f"    {' ' if item['present'] else '!'} {item['object']}")


def _port(port: dict[str, Any]) -> str:
    ip = f"{port['host_ip']}:" if port["host_ip"] else ""
    return f"{ip}{port['host_port']}→{port['container_port']}/{port['protocol']}"
