"""`duct inspect`, `status`, `repair`, `graph`."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click

from ductwork import Engine, FailedPrecondition
from ductwork.frontends.cli.common import Context, shared_options
from ductwork.frontends.cli.output import endpoint_value, link_value, object_value, print_json, sandbox_value
from ductwork.plan.graph import graph_json, render_mermaid, render_svg, render_text

GRAPH_FORMATS = ("text", "svg", "mermaid", "json")


@click.command("inspect")
@click.argument("targets", nargs=-1, required=True)
@shared_options
def inspect(context: Context, targets: tuple[str, ...]) -> None:
    """Show sandboxes with their endpoints and every kernel object made for them."""
    with context.engine(changes=False) as engine:
        values = [_inspected(engine, target) for target in targets]
        if context.json:
            print_json(values)
            return
        for value in values:
            _print(value)


def _inspected(engine: Engine, target: str) -> dict[str, Any]:
    state = engine.state()
    sandbox = engine.targets.known(state, target)
    endpoints = state.endpoints_in(sandbox.id)
    return {
        **sandbox_value(sandbox, engine.is_alive(sandbox)),
        "endpoints": [
            endpoint_value(e, state.network(e.network_id).name, sandbox.name, state.ports_of(e.id))
            for e in endpoints
        ],
        "links": [link_value(k, state.sandbox(k.sandbox_id).name) for k in state.links(sandbox.id)],
        "objects": [object_value(o) for o in engine.sandbox_objects(sandbox)],
    }


def _print(value: dict[str, Any]) -> None:
    alive = "" if value["alive"] else "  GONE"
    click.echo(f"sandbox {value['name']}  ({value['mode']}){alive}  {value['target']}".rstrip())
    for endpoint in value["endpoints"]:
        addresses = " ".join(endpoint["addresses"])
        name = endpoint["container_ifname"] or "-"
        click.echo(f"  {name} on {endpoint['network']}  {addresses}  {endpoint['mac']}")
    for known in value["links"]:
        click.echo(f"  knows {known['sandbox']} as {known['alias']}")
    click.echo("  objects:")
    for item in value["objects"]:
        click.echo(f"    {' ' if item['present'] else '!'} {item['object']}")


@click.command("status")
@shared_options
def status(context: Context) -> None:
    """List every kernel object Ductwork made on this host, and say what is missing or left over."""
    with context.engine(changes=False) as engine:
        found = engine.status()
        if context.json:
            objects = [object_value(o) for o in found.objects]
            print_json(
                {"objects": objects, "missing": len(found.missing), "leftovers": list(found.leftovers)}
            )
            return
        owner = ""
        for item in found.objects:
            if item.owner != owner:
                owner = item.owner
                click.echo(owner)
            click.echo(f"  {' ' if item.present else '!'} {object_value(item)['object']}")
        total = len(found.objects)
        click.echo(f"{total} objects, {len(found.missing)} missing, {len(found.leftovers)} left over")
        for name in found.leftovers:
            click.echo(f"  ? link {name} carries Ductwork's mark but is on no record")
        if found.missing:
            click.echo("repair with: duct repair")


@click.command("repair")
@shared_options
def repair(context: Context) -> None:
    """Make everything on record exist again, whatever somebody else took away.

    What is there is left as it is, and so are its connections.
    """
    with context.engine(changes=False) as engine:
        done = engine.repair()
        still = {(o.owner, o.object) for o in done.still_missing}
        lines = [f"{'!' if (o.owner, o.object) in still else '+'} {o.text} ({o.owner})" for o in done.missing]
        total = f"{len(done.missing)} missing, {len(done.missing) - len(still)} made again"
        value = {
            "missing": [object_value(o) for o in done.missing],
            "still_missing": [object_value(o) for o in done.still_missing],
        }
        context.show(engine, value, "\n".join([*lines, total]) if lines else "nothing is missing")
    if still and not context.plan:
        raise FailedPrecondition(f"{len(still)} objects could not be made again", hint="see: duct status")


@click.command("graph")
@click.option("--format", "form", type=click.Choice(GRAPH_FORMATS), default="text", show_default=True)
@shared_options
def graph(context: Context, form: str) -> None:
    """Draw the host: networks, bridges, ports, sandboxes, addresses."""
    with context.engine(changes=False) as engine:
        view = engine.view()
        if context.json or form == "json":
            print_json(graph_json(view))
        elif form == "svg":
            click.echo(render_svg(view))
        elif form == "mermaid":
            click.echo(render_mermaid(view))
        else:
            width = shutil.get_terminal_size((100, 24)).columns
            click.echo(render_text(view, width, sys.stdout.isatty()))
