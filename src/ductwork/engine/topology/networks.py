"""Networks of a topology: made, changed in place, made anew where nothing else helps, or removed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial

from ductwork.drivers.registry import driver_of
from ductwork.engine import networks
from ductwork.engine.networks import NetworkUpdate
from ductwork.engine.topology.actions import Action, Sign
from ductwork.engine.topology.existing import Existing, at
from ductwork.engine.topology.subnets import SubnetChanges, compare_subnets
from ductwork.engine.work import Work
from ductwork.errors import Conflict, FailedPrecondition, NotFound
from ductwork.model.addresses import IPNetwork
from ductwork.model.network import Network, NetworkSpec
from ductwork.model.topology import Topology

Pairs = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class NetworkChanges:
    """What to do about networks; `going` holds the ids of those that are taken away, for good or not."""

    removals: list[Action] = field(default_factory=list)
    updates: list[Action] = field(default_factory=list)
    creations: list[Action] = field(default_factory=list)
    going: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def compare_networks(
    existing: Existing, topology: Topology, going_sandboxes: Collection[str]
) -> NetworkChanges:
    """Compare every network of a topology, and find those it has dropped.

    Raises:
        Conflict: a name belongs to somebody else. NotFound: an external one does not exist.
        FailedPrecondition: one must be made anew and somebody else uses it.
    """
    changes = NetworkChanges()
    users = _other_users(existing, going_sandboxes)
    claimed = [s.cidr for spec in topology.networks for s in spec.subnets]
    # Subnets that were asked for are taken before any is chosen.
    for spec in sorted(topology.networks, key=_choices):
        with at(f"networks.{spec.name}"):
            _compare(existing, changes, spec, users, claimed)
    for name in topology.external:
        _use(existing, changes, name)
    kept = {spec.name for spec in topology.networks} | set(topology.external)
    for network in existing.networks.values():
        if existing.is_ours(network) and network.name not in kept:
            _drop(changes, network, users.get(network.id, []))
    return changes


def _choices(spec: NetworkSpec) -> int:
    """Count the subnets that a network leaves to us."""
    given = {s.cidr.version for s in spec.subnets}
    return (not given) + (spec.ipv6 and 6 not in given)


def _other_users(existing: Existing, going_sandboxes: Collection[str]) -> dict[str, list[str]]:
    """Return who is on each network by somebody else's wish, by network id."""
    users: dict[str, list[str]] = {}
    for sandbox in existing.sandboxes.values():
        if sandbox.id not in going_sandboxes:
            for endpoint in existing.endpoints.get(sandbox.id, []):
                if not existing.is_ours(endpoint):
                    users.setdefault(endpoint.network_id, []).append(sandbox.name)
    return users


def _compare(
    existing: Existing,
    changes: NetworkChanges,
    spec: NetworkSpec,
    users: dict[str, list[str]],
    claimed: list[IPNetwork],
) -> None:
    _validate(spec)
    create = partial(networks.create, spec=spec, topology=existing.topology)
    place = f"networks.{spec.name}"
    network = existing.networks.get(spec.name)
    if network is None:
        changes.creations.append(Action(Sign.ADD, "network", spec.name, create, (spec.driver,), place))
        return
    if not existing.is_ours(network):
        owner = f"topology {network.topology}" if network.topology else "somebody else"
        raise Conflict(
            f"a network of this name exists already and belongs to {owner}",
            hint="write `external: true` to use it as it is, or choose another name",
        )
    subnets = compare_subnets(spec, network, claimed)
    reasons = _reasons_to_rebuild(spec, network, subnets)
    if not reasons:
        update, details = _update(existing, spec, network, subnets)
        if details:
            do = partial(networks.update, name=spec.name, wanted=update)
            changes.updates.append(Action(Sign.CHANGE, "network", spec.name, do, details, place))
        return
    others = users.get(network.id, [])
    if others:
        raise FailedPrecondition(
            f"it has to be made anew ({', '.join(reasons)}) and {', '.join(others[:5])} is on it by hand",
            hint=f"disconnect first: duct disconnect {spec.name} {others[0]}",
        )
    changes.going.add(network.id)
    changes.removals.append(Action(Sign.REMOVE, "network", spec.name, _removing(network), reasons))
    changes.creations.append(Action(Sign.ADD, "network", spec.name, create, ("made anew",), place))


def _validate(spec: NetworkSpec) -> None:
    draft = Network("", spec.name, spec.driver, 0, spec.subnets, spec.ipv6, spec.internal)
    driver_of(spec.driver).validate(replace(draft, options=spec.options, labels=spec.labels))


def _use(existing: Existing, changes: NetworkChanges, name: str) -> None:
    network = existing.networks.get(name)
    if network is None:
        raise NotFound(
            f"networks.{name}: it is external and does not exist",
            hint=f"make it first: duct network create {name}",
            subject="network",
            name=name,
        )
    if existing.is_ours(network):
        give_up = partial(_give_up, name=name)
        changes.updates.append(Action(Sign.CHANGE, "network", name, give_up, ("is external from now on",)))


def _give_up(work: Work, name: str) -> None:
    work.state.put_network(replace(work.state.network(name), topology=""))


def _drop(changes: NetworkChanges, network: Network, others: list[str]) -> None:
    if others:
        changes.notes.append(f"network {network.name} is kept: {', '.join(others[:5])} is on it by hand")
        return
    changes.going.add(network.id)
    changes.removals.append(Action(Sign.REMOVE, "network", network.name, _removing(network)))


def _removing(network: Network) -> partial[list[Network]]:
    return partial(networks.remove, names=[network.name])


def _reasons_to_rebuild(spec: NetworkSpec, network: Network, subnets: SubnetChanges) -> tuple[str, ...]:
    if spec.driver != network.driver:
        return (f"driver {network.driver} → {spec.driver}",)
    before, after = dict(network.options).get("bridge", ""), dict(spec.options).get("bridge", "")
    renamed = (f"bridge {before or 'ours'} → {after or 'ours'}",) if before != after else ()
    return (*renamed, *subnets.impossible)


def _update(
    existing: Existing, spec: NetworkSpec, network: Network, subnets: SubnetChanges
) -> tuple[NetworkUpdate, tuple[str, ...]]:
    mtu = spec.mtu or existing.uplink_mtu
    labels, label_remarks = _pairs("label", network.labels, spec.labels)
    options, option_remarks = _pairs("option", network.options, spec.options)
    remarks = list(subnets.remarks)
    if mtu != network.mtu:
        remarks.append(f"mtu {network.mtu} → {mtu}")
    if spec.internal != network.internal:
        remarks.append("internal" if spec.internal else "not internal any more")
    update = NetworkUpdate(
        add_subnets=subnets.added,
        ipv6=subnets.add_ipv6,
        limits=subnets.limited,
        mtu=mtu if mtu != network.mtu else None,
        internal=spec.internal,
        labels=labels,
        options=options,
    )
    return update, (*remarks, *option_remarks, *label_remarks)


def _pairs(what: str, before: Pairs, after: Pairs) -> tuple[Pairs, tuple[str, ...]]:
    """Return which keys to set, "" taking one away, and say so."""
    old, new = dict(before), dict(after)
    changed = {key: new.get(key, "") for key in {**old, **new} if old.get(key, "") != new.get(key, "")}
    remarks = [f"{what} {k}={v}" if v else f"no {what} {k}" for k, v in sorted(changed.items())]
    return tuple(sorted(changed.items())), tuple(remarks)
