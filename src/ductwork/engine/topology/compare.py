"""The whole comparison, in the order in which things depend on one another."""

from __future__ import annotations

from ductwork.engine.topology.actions import TopologyPlan
from ductwork.engine.topology.endpoints import compare_endpoints
from ductwork.engine.topology.existing import read_existing
from ductwork.engine.topology.links import compare_links
from ductwork.engine.topology.networks import compare_networks
from ductwork.engine.topology.ports import compare_ports
from ductwork.engine.topology.sandboxes import compare_sandboxes
from ductwork.engine.work import Work
from ductwork.model.topology import Topology


def compare(work: Work, topology: Topology) -> TopologyPlan:
    """Say what to do so that a host is as a topology describes it; an empty topology takes all of it away.

    Args:
        work: for reading; targets that are seen for the first time become records in it, so throw it away.
    Raises:
        Conflict, NotFound, InvalidArgument, FailedPrecondition: the topology does not fit this host.
    """
    existing = read_existing(work, topology.name)
    sandboxes = compare_sandboxes(work, existing, topology)
    networks = compare_networks(existing, topology, sandboxes.going)
    endpoints = compare_endpoints(existing, topology, networks, sandboxes)
    ports = compare_ports(existing, topology, sandboxes, endpoints)
    links = compare_links(work, existing, topology, sandboxes)
    removals = (links, ports, endpoints, sandboxes, networks)
    creations = (networks, sandboxes, endpoints, ports, links)
    return TopologyPlan(
        topology.name,
        tuple(action for part in removals for action in part.removals),
        (*networks.updates, *(action for part in creations for action in part.creations)),
        tuple(endpoints.asked),
        tuple(networks.notes),
    )
