"""Sandboxes: made, adopted, linked, removed, and forgotten when they died."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import uuid4

from ductwork.engine import endpoints, networks
from ductwork.engine.change import Direction
from ductwork.engine.planner import namespace_key, sandbox_owner
from ductwork.engine.targets import Life
from ductwork.engine.work import Work
from ductwork.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from ductwork.model.endpoint import Link
from ductwork.model.host import IP_NETNS_DIR
from ductwork.model.names import parse_name
from ductwork.model.network import NetworkSpec
from ductwork.model.objects import HOST
from ductwork.model.sandbox import Mode, Sandbox

DEFAULT_NETWORK = "default"


class NamedMode(StrEnum):
    """The words of `sandbox create --mode`; `container:OTHER` is the fourth."""

    BRIDGE = "bridge"
    HOST = "host"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """A sandbox as asked for: mode bridge, host, none or container:OTHER, and networks to join."""

    name: str
    mode: str = ""
    networks: tuple[str, ...] = ()
    topology: str = ""


def create(work: Work, spec: SandboxSpec) -> Sandbox:
    """Make a sandbox and connect it."""
    parse_name(spec.name, "sandbox")
    if work.state.find_sandbox(spec.name) is not None:
        raise Conflict(f"sandbox {spec.name} exists already", hint="choose another name", subject="sandbox")
    sandbox = replace(_draft(work, spec), topology=spec.topology)
    work.state.put_sandbox(sandbox)
    work.change.touch(sandbox_owner(sandbox.id))
    if sandbox.mode is Mode.OWN:
        work.targets.expect(work.state, sandbox)
    for name in _networks(work, spec):
        endpoints.connect(work, name, spec.name)
    return sandbox


def _draft(work: Work, spec: SandboxSpec) -> Sandbox:
    identity = str(uuid4())
    if spec.mode.startswith("container:"):
        other = work.targets.resolve(work.state, spec.mode.partition(":")[2])
        if spec.networks:
            raise InvalidArgument(
                f"{spec.name} shares the stack of {other.name} and has no networks of its own",
                hint=f"connect {other.name} instead",
            )
        if other.mode is Mode.CONTAINER:
            other = work.state.sandbox(other.other)
        if other.mode is Mode.HOST:
            return Sandbox(identity, spec.name, Mode.HOST, "")
        return Sandbox(identity, spec.name, Mode.CONTAINER, "", other=other.id)
    if spec.mode and spec.mode not in set(NamedMode):
        raise InvalidArgument(
            f"mode {spec.mode!r} is not known", hint="it is bridge, host, none or container:OTHER"
        )
    if spec.mode == NamedMode.HOST:
        return Sandbox(identity, spec.name, Mode.HOST, "")
    if spec.mode == NamedMode.NONE and spec.networks:
        raise InvalidArgument("mode none has no networks", hint="leave --mode or --network out")
    path = work.host.netns_dir / spec.name
    if path.exists() or path.is_symlink():
        raise Conflict(
            f"a network namespace {path} exists already and is not Ductwork's",
            hint=f"use it as it is: duct connect NETWORK netns:{spec.name}",
        )
    return Sandbox(identity, spec.name, Mode.OWN, str(path))


def _networks(work: Work, spec: SandboxSpec) -> tuple[str, ...]:
    """Return the networks to join; `--mode bridge` alone means the default one, made when missing."""
    if spec.networks or spec.mode != NamedMode.BRIDGE:
        return spec.networks
    if work.state.find_network(DEFAULT_NETWORK) is None:
        networks.create(work, NetworkSpec(DEFAULT_NETWORK))
    return (DEFAULT_NETWORK,)


def remove(work: Work, names: Sequence[str]) -> list[Sandbox]:
    """Disconnect sandboxes from everything and take away those that are ours."""
    work.change.direction = Direction.FINISH
    gone = [work.targets.known(work.state, name) for name in names]
    going = {sandbox.id for sandbox in gone}
    for sandbox in gone:
        users = [s.name for s in work.state.sharers(sandbox.id) if s.id not in going]
        if users:
            raise FailedPrecondition(
                f"the stack of {sandbox.name} is shared by {', '.join(users)}",
                hint=f"remove first: duct sandbox rm {users[0]}",
            )
    for sandbox in gone:
        forget(work, sandbox)
    return gone


def forget(work: Work, sandbox: Sandbox) -> None:
    """Take a sandbox away with its endpoints, links and names, and with those that live in its stack."""
    for sharer in work.state.sharers(sandbox.id):
        forget(work, sharer)
    knowing = work.state.linked_from(sandbox.id)
    related = {*knowing, *(known.sandbox_id for known in work.state.links(sandbox.id)), sandbox.other}
    for endpoint in work.state.endpoints_in(sandbox.id):
        endpoints.drop(work, endpoint)
    work.change.touch(sandbox_owner(sandbox.id), *(sandbox_owner(other) for other in knowing))
    work.state.delete_sandbox(sandbox)
    for other in map(work.state.sandbox_or_none, sorted(related)):
        if other is not None:
            endpoints.forget_unused(work, other)


def adopt(work: Work, target: str, name: str = "") -> Sandbox:
    """Make a running container visible to `ip netns` for as long as it lives.

    It is a symbolic link to the process's namespace, not a mount: a mount would keep the namespace alive
    after the container died.
    """
    sandbox = work.targets.resolve(work.state, target)
    if sandbox.mode is not Mode.FOREIGN:
        raise InvalidArgument(f"{sandbox.name} is Ductwork's own already", hint="nothing to adopt")
    name = parse_name(name or sandbox.hostname, "sandbox")
    if sandbox.adopted:
        raise Conflict(f"{sandbox.name} is already adopted as {sandbox.adopted}", hint="nothing to do")
    path = work.host.netns_dir / name
    if path.exists() or path.is_symlink():
        raise Conflict(
            f"{path} exists already", hint=f"choose a name: duct sandbox adopt {target} --name NAME"
        )
    place = work.binder.place(sandbox.target)
    if place.pidfd < 0:
        raise InvalidArgument(f"{sandbox.name} has a path already: {place.path}", hint="nothing to adopt")
    work.binder.release(place)
    adopted = replace(sandbox, adopted=str(path), adopted_from=place.path)
    work.state.put_sandbox(adopted)
    work.change.touch(sandbox_owner(sandbox.id))
    return adopted


def link(work: Work, target: str, other: str, alias: str) -> Link:
    """Let a sandbox know another one by an alias, in its hosts file."""
    parse_name(alias, "alias")
    sandbox, known = work.targets.known(work.state, target), work.targets.known(work.state, other)
    for one in (sandbox, known):
        if one.mode in {Mode.HOST, Mode.CONTAINER}:
            raise InvalidArgument(f"{one.name} has no network stack of its own", hint="link the one that has")
    if sandbox.id == known.id:
        raise InvalidArgument(f"{sandbox.name} cannot be linked to itself", hint="name another sandbox")
    for existing in work.state.links(sandbox.id):
        if existing.alias == alias and existing.sandbox_id != known.id:
            who = work.state.sandbox(existing.sandbox_id).name
            raise Conflict(f"{sandbox.name} knows {who} as {alias} already", hint="choose another alias")
    made = Link(known.id, alias)
    work.state.put_link(sandbox.id, made)
    work.change.touch(sandbox_owner(sandbox.id))
    return made


def unlink(work: Work, target: str, alias: str) -> None:
    """Take an alias out of a sandbox's hosts file."""
    sandbox = work.targets.known(work.state, target)
    links = [x for x in work.state.links(sandbox.id) if x.alias == alias]
    if not links:
        raise NotFound(f"{sandbox.name} knows nobody as {alias}", hint="see: duct inspect " + sandbox.name)
    work.change.direction = Direction.FINISH
    work.state.delete_link(sandbox.id, links[0])
    work.change.touch(sandbox_owner(sandbox.id))
    for one in (sandbox, work.state.sandbox(links[0].sandbox_id)):
        endpoints.forget_unused(work, one)


def sweep(work: Work) -> list[str]:
    """Forget other people's sandboxes that died while connected; say which.

    A sandbox whose outer interfaces all stand is alive: they vanish with their peers. Only for the others
    somebody is asked.
    """
    work.change.direction = Direction.FINISH
    foreign = [s for s in work.state.sandboxes() if s.mode is Mode.FOREIGN]
    if not foreign:
        return []
    present = {link.name for link in work.kernel.route(HOST).links()}
    dead = []
    for sandbox in foreign:
        ends = [e.host_ifname for e in work.state.endpoints_in(sandbox.id) if e.container_ifname]
        if ends and present.issuperset(ends):
            continue
        if work.binder.look(sandbox, namespace_key(work.state, sandbox)) is Life.DEAD:
            dead += [sandbox.name, *(sharer.name for sharer in work.state.sharers(sandbox.id))]
            forget(work, sandbox)
    return dead


def named_namespaces(work: Work) -> list[str]:
    """Return the paths of named namespaces that are not ours, as `ip netns` makes them."""
    folders = dict.fromkeys((str(work.host.netns_dir), str(IP_NETNS_DIR)))
    ours = {s.target for s in work.state.sandboxes()} | {s.adopted for s in work.state.sandboxes()}
    found = [path for folder in folders for path in work.kernel.namespace_paths(folder)]
    return [path for path in found if path not in ours]
