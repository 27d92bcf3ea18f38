"""The command `duct`: words in, engine calls, words out."""

from __future__ import annotations

import sys

import click

from ductwork import __version__
from ductwork.frontends.cli import endpoint, look, topology
from ductwork.frontends.cli.common import Context, run
from ductwork.frontends.cli.network import network_group
from ductwork.frontends.cli.sandbox import sandbox_group


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="duct")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--plan", "plan_only", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--netns", metavar="PATH", default="", help="The namespace that is the host (DUCTWORK_NETNS).")
@click.option("--host", metavar="DIR", default="", help="The folder with the host's state (DUCTWORK_HOST).")
@click.pass_obj
def duct(context: Context, as_json: bool, plan_only: bool, netns: str, host: str) -> None:
    """Networks for containers and network namespaces on this host."""
    context.json, context.plan, context.netns, context.host = as_json, plan_only, netns, host


duct.add_command(network_group)
duct.add_command(sandbox_group)
for command in (
    endpoint.connect,
    endpoint.disconnect,
    endpoint.publish,
    endpoint.unpublish,
    endpoint.link,
    endpoint.unlink,
    look.inspect,
    look.status,
    look.repair,
    look.graph,
    topology.up,
    topology.diff,
    topology.down,
):
    duct.add_command(command)


def main() -> None:
    """Run the command line."""
    sys.exit(run(duct, sys.argv[1:]))
