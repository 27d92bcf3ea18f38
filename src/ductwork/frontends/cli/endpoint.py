"""`duct connect`, `disconnect`, `publish`, `unpublish`, `link`, `unlink`."""

from __future__ import annotations

from typing import Any

import click

from ductwork import ConnectSpec, Endpoint, Engine, InvalidArgument, PortMapping, parse_mac
from ductwork.drivers.registry import driver_of
from ductwork.frontends.cli.common import Context, shared_options
from ductwork.frontends.cli.output import endpoint_value, port_value
from ductwork.frontends.cli.parse import parse_addresses, parse_all_ports, parse_route

ALLOW_FROM = click.option(
    "--allow-from", multiple=True, metavar="CIDR", help="Only these clients may use the ports published here."
)


@click.command("connect")
@click.argument("network")
@click.argument("target")
@click.option("--ip", default="", metavar="A", help="IPv4 address; chosen when left out.")
@click.option("--ip6", default="", metavar="A", help="IPv6 address; chosen when left out.")
@click.option("--mac", default="", metavar="M", help="MAC address; always the same one when left out.")
@click.option("--ifname", default="", metavar="NAME", help="Interface name inside; the lowest free ethN.")
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Another name on this network.")
@click.option(
    "-p", "--publish", "ports", multiple=True, metavar="PORTS", help="[[IP:]HOST[-END]:]PORT[-END][/PROTO]"
)
@ALLOW_FROM
@click.option("--route", "routes", multiple=True, metavar="DST[@GW]", help="A route inside.")
@click.option("--gateway-priority", type=int, default=0, help="The highest has the default route.")
@shared_options
def connect(context: Context, network: str, target: str, **words: Any) -> None:
    """Connect TARGET to NETWORK while it runs.

    TARGET is a sandbox's name, netns:NAME, pid:N, docker:NAME, podman:NAME, lxc:NAME or a path.
    """
    spec = ConnectSpec(
        parse_addresses(words["ip"], words["ip6"]),
        parse_mac(words["mac"]) if words["mac"] else None,
        words["ifname"],
        words["aliases"],
        parse_all_ports(words["ports"], words["allow_from"]),
        tuple(parse_route(text) for text in words["routes"]),
        words["gateway_priority"],
    )
    with context.engine() as engine:
        endpoint = engine.connect(network, target, spec)
        context.show(
            engine, _value(engine, endpoint, network, target), _sentence(engine, endpoint, network, target)
        )


@click.command("disconnect")
@click.argument("network")
@click.argument("target")
@shared_options
def disconnect(context: Context, network: str, target: str) -> None:
    """Disconnect TARGET from NETWORK; what is not connected is success."""
    with context.engine() as engine:
        endpoint = engine.disconnect(network, target)
        value = {"network": network, "target": target, "was_connected": endpoint is not None}
        context.show(engine, value, f"disconnected {target} from {network}" if endpoint else "")


@click.command("publish")
@click.argument("target")
@click.argument("ports", nargs=-1, required=True)
@click.option("--network", default="", metavar="NAME", help="Through this network; the default gateway's.")
@ALLOW_FROM
@shared_options
def publish(
    context: Context, target: str, ports: tuple[str, ...], network: str, allow_from: tuple[str, ...]
) -> None:
    """Make ports of TARGET reachable through the host: [IP:]HOST[-END]:PORT[-END][/PROTO]."""
    requests = parse_all_ports(ports, allow_from)
    with context.engine() as engine:
        mappings = engine.publish(target, requests, network)
        context.show(engine, [port_value(m) for m in mappings], _ports(f"{target}: published", mappings))


@click.command("unpublish")
@click.argument("target")
@click.argument("ports", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every port it publishes.")
@shared_options
def unpublish(context: Context, target: str, ports: tuple[str, ...], everything: bool) -> None:
    """Take published ports back, by host port or by the whole mapping."""
    if bool(ports) == everything:
        raise InvalidArgument("say which ports, or --all", hint="duct unpublish TARGET HOSTPORT[/PROTO]…")
    with context.engine() as engine:
        mappings = engine.unpublish(target, parse_all_ports(ports))
        context.show(engine, [port_value(m) for m in mappings], _ports(f"{target}: unpublished", mappings))


@click.command("link")
@click.argument("target")
@click.argument("other")
@shared_options
def link(context: Context, target: str, other: str) -> None:
    """Let TARGET find OTHER:ALIAS by that alias, in its hosts file."""
    name, _, alias = other.rpartition(":")
    if not name or name in {"docker", "podman", "lxc", "netns", "pid"}:
        name, alias = other, other.rpartition(":")[2]
    with context.engine() as engine:
        made = engine.link(target, name, alias)
        value = {"target": target, "other": name, "alias": made.alias}
        context.show(engine, value, f"{target} finds {name} as {made.alias}")


@click.command("unlink")
@click.argument("target")
@click.argument("alias")
@shared_options
def unlink(context: Context, target: str, alias: str) -> None:
    """Take ALIAS out of TARGET's hosts file."""
    with context.engine() as engine:
        engine.unlink(target, alias)
        context.show(engine, {"target": target, "alias": alias}, f"{target} does not know {alias} any more")


def _value(engine: Engine, endpoint: Endpoint, network: str, target: str) -> dict[str, Any]:
    state = engine.state()
    sandbox = state.sandbox_or_none(endpoint.sandbox_id)
    ports = state.ports_of(endpoint.id)
    return endpoint_value(endpoint, network, sandbox.name if sandbox else target, ports)


def _sentence(engine: Engine, endpoint: Endpoint, network: str, target: str) -> str:
    state = engine.state()
    addresses = " ".join(str(a) for a in endpoint.addresses)
    where = f" as {endpoint.container_ifname} {addresses}" if endpoint.container_ifname else ""
    if not driver_of(state.network(endpoint.network_id).driver).own_stack:
        where = ", the host's own stack (unisolated)"
    text = f"connected {target} to {network}{where}"
    return "\n".join([text, *(f"  published {p}" for p in state.ports_of(endpoint.id))])


def _ports(head: str, mappings: tuple[PortMapping, ...]) -> str:
    return "\n".join(f"{head} {m}" for m in mappings)
