"""`duct up`, `diff`, `down`.

The file's reader is imported by the commands that read one: all others start without it.
"""

from __future__ import annotations

import click

from ductwork.engine.topology import TopologyPlan
from ductwork.frontends.cli.common import Context, shared_options
from ductwork.frontends.cli.output import note, print_json
from ductwork.frontends.cli.progress import Progress

FILE = click.argument("file", default="", metavar="[FILE]")


@click.command("up")
@FILE
@shared_options
def up(context: Context, file: str) -> None:
    """Bring this host to what FILE describes (ductwork.yaml here when left out).

    What is as it should be is left alone; what the file made before and does not have any more is removed.
    """
    from ductwork.frontends.topology_file import find_topology_file, read_topology

    topology = read_topology(find_topology_file(file))
    with context.engine() as engine, Progress.of(engine):
        plan = engine.up(topology)
        context.show(engine, _value(plan), _text(plan, f"{topology.name} is up already"))


@click.command("diff")
@FILE
@click.option("--schema", is_flag=True, help="Print the file's JSON schema, for editors.")
@shared_options
def diff(context: Context, file: str, schema: bool) -> None:
    """Say what `duct up` would do; exit with 1 when there is anything, like diff(1)."""
    from ductwork.frontends.topology_file import find_topology_file, json_schema, read_topology

    if schema:
        print_json(json_schema())
        return
    topology = read_topology(find_topology_file(file))
    with context.engine(changes=False) as engine:
        plan = engine.diff(topology)
    for line in plan.notes:
        note(line)
    if context.json:
        print_json(_value(plan))
    elif plan.actions:
        click.echo(_text(plan, ""))
    if plan.actions:
        raise click.exceptions.Exit(1)


@click.command("down")
@FILE
@click.option("--name", default="", metavar="NAME", help="The topology of this name; no file is read.")
@shared_options
def down(context: Context, file: str, name: str) -> None:
    """Take away everything that `duct up` made of FILE; what is gone already is success."""
    from ductwork.frontends.topology_file import find_topology_file, read_name

    topology = name or read_name(find_topology_file(file))
    with context.engine() as engine, Progress.of(engine):
        plan = engine.down(topology)
        context.show(engine, _value(plan), _text(plan, f"{topology} is down already"))


def _text(plan: TopologyPlan, nothing: str) -> str:
    return "\n".join(action.line for action in plan.actions) or nothing


def _value(plan: TopologyPlan) -> dict[str, object]:
    actions = [
        {
            "sign": action.sign.value,
            "kind": action.kind,
            "name": action.name,
            "details": list(action.details),
            "place": action.place,
        }
        for action in plan.actions
    ]
    return {"topology": plan.topology, "actions": actions, "notes": list(plan.notes)}
