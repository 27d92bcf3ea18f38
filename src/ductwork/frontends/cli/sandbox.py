"""`duct sandbox …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ductwork import InvalidArgument, SandboxSpec
from ductwork.frontends.cli.common import Context, shared_options
from ductwork.frontends.cli.output import mode_word, print_json, print_table, sandbox_value, shared_word


@click.group("sandbox", short_help="Create, adopt, list, enter and remove sandboxes.")
def sandbox_group() -> None:
    """Sandboxes: one container's network stack each."""


@sandbox_group.command("create")
@click.argument("name")
@click.option(
    "--mode", default="", metavar="MODE", help="bridge, host (unisolated), none or container:OTHER."
)
@click.option("--network", "networks", multiple=True, metavar="N", help="Connect it to this network.")
@shared_options
def create(context: Context, name: str, mode: str, networks: tuple[str, ...]) -> None:
    """Create sandbox NAME, visible to `ip netns`."""
    with context.engine() as engine:
        sandbox = engine.create_sandbox(SandboxSpec(name, mode, networks))
        where = f" at {sandbox.target}" if sandbox.target else f", {mode_word(sandbox)}"
        context.show(engine, sandbox_value(sandbox, True), f"created sandbox {name}{where}")


@sandbox_group.command("ls")
@shared_options
def ls(context: Context) -> None:
    """List sandboxes, and the namespaces that `ip netns` made."""
    with context.engine(changes=False) as engine:
        sandboxes = [(s, engine.is_alive(s)) for s in engine.sandboxes()]
        others = engine.foreign_namespaces()
        if context.json:
            known = [sandbox_value(s, alive) for s, alive in sandboxes]
            print_json([*known, *(_unknown(path) for path in others)])
            return
        state = engine.state()
        rows = [
            (
                s.name,
                shared_word(s, state),
                "yes" if alive else "gone",
                ", ".join(_networks(state, s.id)) or "-",
                s.target or "-",
            )
            for s, alive in sandboxes
        ]
        rows += [(f"netns:{Path(p).name}", "ip netns", "yes", "-", p) for p in others]
        print_table(("NAME", "MODE", "ALIVE", "NETWORKS", "AT"), rows)


@sandbox_group.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("name")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@shared_options
def execute(context: Context, name: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in sandbox NAME: duct sandbox exec NAME -- COMMAND…"""
    with context.engine(changes=False) as engine:
        start = engine.prepare_exec(name)
    words = command[1:] if command[0] == "--" else command
    if not words:
        raise InvalidArgument("no command was given", hint="duct sandbox exec NAME -- COMMAND…")
    start(words)


@sandbox_group.command("adopt")
@click.argument("target")
@click.option("--name", default="", metavar="NAME", help="The name for `ip netns`; the container's own.")
@shared_options
def adopt(context: Context, target: str, name: str) -> None:
    """Make a running container visible to `ip netns` for as long as it lives."""
    with context.engine() as engine:
        sandbox = engine.adopt_sandbox(target, name)
        context.show(engine, sandbox_value(sandbox, True), f"adopted {target}: {sandbox.adopted}")


@sandbox_group.command("rm")
@click.argument("names", nargs=-1, required=True)
@shared_options
def rm(context: Context, names: tuple[str, ...]) -> None:
    """Disconnect sandboxes from everything and remove those that Ductwork made."""
    with context.engine() as engine:
        gone = engine.remove_sandboxes(names)
        context.show(engine, [s.name for s in gone], f"removed {', '.join(s.name for s in gone)}")


def _unknown(path: str) -> dict[str, Any]:
    name = f"netns:{Path(path).name}"
    return {"id": "", "name": name, "mode": "ip netns", "target": path, "alive": True, "adopted": ""}


def _networks(state: Any, identity: str) -> list[str]:
    return [state.network(e.network_id).name for e in state.endpoints_in(identity)]
