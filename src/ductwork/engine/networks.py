"""Networks: create, update in place, remove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from ductwork.drivers.bridge import BridgeDriver, BridgeOptions
from ductwork.drivers.registry import driver_of
from ductwork.engine import host_setup
from ductwork.engine.addresses import allocate_address
from ductwork.engine.change import Direction
from ductwork.engine.planner import endpoint_owner, network_owner, port_owner, sandbox_owner
from ductwork.engine.subnets import added_subnets, complete_subnets
from ductwork.engine.work import Work
from ductwork.errors import Conflict, FailedPrecondition, InvalidArgument
from ductwork.ipam.subnets import validate_subnet
from ductwork.model.names import parse_name
from ductwork.model.network import Network, NetworkSpec, Subnet
from ductwork.model.objects import HOST
from ductwork.plan.foreign import plan_foreign, plan_warnings
from ductwork.plan.names import network_alias

DEFAULT_MTU = 1500
MTU_MAX = 65535  # ETH_MAX_MTU
MTU_MIN = {4: 68, 6: 1280}  # RFC 791, RFC 8200 section 5


@dataclass(frozen=True, slots=True)
class NetworkUpdate:
    """What to change of a network; None and empty leave things as they are.

    Attributes:
        labels, options: set these keys; a value of "" takes the key away.
        ipv6: True gives a network without an IPv6 subnet one of our choice.
        limits: subnets it has already, with another ip_range or other reserved addresses.
    """

    add_subnets: tuple[Subnet, ...] = ()
    mtu: int | None = None
    internal: bool | None = None
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    ipv6: bool = False
    limits: tuple[Subnet, ...] = ()


def create(work: Work, spec: NetworkSpec, topology: str = "") -> Network:
    """Make a network.

    Raises:
        InvalidArgument, Conflict, Exhausted: nothing was changed.
    """
    parse_name(spec.name, "network")
    _refuse_taken(work, spec.name)
    driver = driver_of(spec.driver)
    draft = Network(
        id=str(uuid4()),
        name=spec.name,
        driver=spec.driver,
        slot=work.state.next_slot(),
        subnets=spec.subnets,
        ipv6=spec.ipv6 or any(s.cidr.version == 6 for s in spec.subnets),
        internal=spec.internal,
        labels=tuple(sorted(dict(spec.labels).items())),
        options=tuple(sorted(dict(spec.options).items())),
        topology=topology,
    )
    driver.validate(draft)
    if driver.uses_addresses:
        subnets = complete_subnets(work, draft, draft.subnets, gateway=driver.has_gateway, automatic=True)
        draft = replace(draft, subnets=subnets)
    network = replace(draft, mtu=_check_mtu(uplink_mtu(work) if spec.mtu is None else spec.mtu, draft))
    if isinstance(driver, BridgeDriver):
        _prepare_bridge(work, network)
    work.state.put_network(network)
    work.change.touch(network_owner(network.id))
    return network


def update(work: Work, name: str, wanted: NetworkUpdate) -> Network:
    """Change a network in place; its endpoints and their connections stay."""
    before = work.state.network(name)
    driver = driver_of(before.driver)
    adding = bool(wanted.add_subnets) or (wanted.ipv6 and not before.subnets_of(6))
    if adding and not driver.uses_addresses:
        raise InvalidArgument(f"a {before.driver} network has no subnets", hint="leave --subnet out")
    network = replace(
        before,
        subnets=_limited(before, wanted.limits),
        internal=before.internal if wanted.internal is None else wanted.internal,
        labels=_merged(before.labels, wanted.labels),
        options=_merged(before.options, wanted.options),
        ipv6=before.ipv6 or wanted.ipv6 or any(s.cidr.version == 6 for s in wanted.add_subnets),
    )
    if adding:
        more = added_subnets(work, network, wanted.add_subnets, gateway=driver.has_gateway)
        network = replace(network, subnets=network.subnets + more)
    if wanted.mtu is not None or adding:
        network = replace(network, mtu=_check_mtu(before.mtu if wanted.mtu is None else wanted.mtu, network))
    driver.validate(network)
    _refuse_unchangeable(work, before, network)
    if isinstance(driver, BridgeDriver) and adding:
        host_setup.activate(work, {s.cidr.version for s in network.subnets})
        _open_foreign(work, network)
    work.state.put_network(network)
    work.change.touch(network_owner(network.id))
    _update_endpoints(work, network)
    return network


def remove(work: Work, names: Sequence[str]) -> list[Network]:
    """Remove networks that have no endpoints.

    Raises:
        NotFound; FailedPrecondition: with who is still connected.
    """
    work.change.direction = Direction.FINISH
    removed = []
    for network in [work.state.network(name) for name in names]:
        users = [work.state.sandbox(e.sandbox_id).name for e in work.state.endpoints_on(network.id)]
        if users:
            more = f" and {len(users) - 5} more" if len(users) > 5 else ""
            raise FailedPrecondition(
                f"network {network.name} is in use by {', '.join(users[:5])}{more}",
                hint=f"disconnect first: duct disconnect {network.name} {users[0]}",
            )
        work.change.touch(network_owner(network.id))
        work.state.delete_network(network)
        work.state.delete_foreign(network.id)
        removed.append(network)
    if not any(n.driver == BridgeDriver.kind for n in work.state.networks()):
        host_setup.deactivate(work)
    return removed


def prune(work: Work) -> list[Network]:
    """Remove every network without endpoints."""
    unused = [n.name for n in work.state.networks() if work.state.count_endpoints(n.id) == 0]
    return remove(work, unused)


def _refuse_taken(work: Work, name: str) -> None:
    if work.state.find_network(name) is not None:
        raise Conflict(
            f"network {name} exists already",
            hint=f"choose another name, or change it: duct network update {name}",
            subject="network",
            name=name,
        )


def _prepare_bridge(work: Work, network: Network) -> None:
    bridge = BridgeOptions.of(network).bridge
    for other in work.state.networks():
        if other.driver == BridgeDriver.kind and BridgeOptions.of(other).bridge == bridge:
            raise Conflict(
                f"bridge {bridge} belongs to network {other.name}", hint="choose another --opt bridge="
            )
    links = {link.name: link.alias for link in work.kernel.route(HOST).links()}
    if bridge in links and not _is_going(work, links[bridge]):
        raise Conflict(
            f"an interface named {bridge} exists on this host and is not Ductwork's",
            hint="choose another name with --opt bridge=NAME",
        )
    host_setup.activate(work, {s.cidr.version for s in network.subnets})
    _open_foreign(work, network)


def _is_going(work: Work, alias: str) -> bool:
    """Say whether a link is the bridge of a network that this same change removes."""
    left = {network_alias(n.id) for n in work.state.networks()}
    return alias not in left and alias in {network_alias(n.id) for n in work.change.before.networks()}


def _limited(network: Network, limits: Sequence[Subnet]) -> tuple[Subnet, ...]:
    """Return a network's subnets with other limits on what is handed out; addresses in use stay."""
    wanted = {s.cidr: s for s in limits}
    changed = []
    for subnet in network.subnets:
        limit = wanted.get(subnet.cidr, subnet)
        changed.append(replace(subnet, ip_range=limit.ip_range, reserved=limit.reserved))
        validate_subnet(changed[-1])
    return tuple(changed)


def _open_foreign(work: Work, network: Network) -> None:
    view = work.kernel.observe_foreign(HOST)
    versions = {s.cidr.version for s in network.subnets}
    bridge = BridgeOptions.of(network).bridge
    work.state.put_foreign(network.id, plan_foreign(view, bridge, network.id, versions))
    host_setup.keep_closed(work, view)
    work.change.notes += [f"{w.message}; {w.remedy}" for w in plan_warnings(view, bridge, versions)]


def _refuse_unchangeable(work: Work, before: Network, after: Network) -> None:
    if before.driver != BridgeDriver.kind:
        return
    if BridgeOptions.of(before).bridge != BridgeOptions.of(after).bridge:
        raise InvalidArgument("the bridge's name cannot be changed in place", hint="make a new network")
    if not after.internal or before.internal:
        return
    published = next((e for e in work.state.endpoints_on(after.id) if e.port_count), None)
    if published is not None:
        who = work.state.sandbox(published.sandbox_id).name
        port = work.state.ports_of(published.id)[0]
        raise FailedPrecondition(
            f"network {after.name} cannot become internal: {who} publishes {port}",
            hint=f"unpublish first: duct unpublish {who} {port.host_port}",
        )


def _update_endpoints(work: Work, network: Network) -> None:
    """Plan every endpoint again, and give each an address of a family that is new."""
    families = {s.cidr.version for s in network.subnets}
    for endpoint in work.state.endpoints_on(network.id):
        missing = sorted(families - {a.version for a in endpoint.addresses})
        more = tuple(allocate_address(work, network, endpoint.id, version) for version in missing)
        if more:
            work.state.put_endpoint(replace(endpoint, addresses=endpoint.addresses + more))
            work.change.touch(*(port_owner(m) for m in work.state.ports_of(endpoint.id)))
        work.change.touch(endpoint_owner(endpoint.id), sandbox_owner(endpoint.sandbox_id))


def _merged(
    before: tuple[tuple[str, str], ...], changed: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    merged = {**dict(before), **dict(changed)}
    return tuple(sorted((key, value) for key, value in merged.items() if value != ""))


def _check_mtu(mtu: int, network: Network) -> int:
    least = max((MTU_MIN[s.cidr.version] for s in network.subnets), default=MTU_MIN[4])
    if not least <= mtu <= MTU_MAX:
        raise InvalidArgument(f"mtu {mtu} is out of range", hint=f"give one from {least} to {MTU_MAX}")
    return mtu


def uplink_mtu(work: Work) -> int:
    """Take the MTU of the way out, so that nothing has to be fragmented there; 1500 where there is none."""
    route = work.kernel.route(HOST)
    ways = sorted((r for r in route.routes() if r.dst.prefixlen == 0), key=lambda r: r.metric)
    if not ways:
        return DEFAULT_MTU
    return next((k.mtu for k in route.links() if k.ifindex == ways[0].ifindex), DEFAULT_MTU)
