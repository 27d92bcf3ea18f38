"""From a topology file as written to a checked topology: every word parsed, every name found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ductwork.errors import DuctworkError, InvalidArgument
from ductwork.frontends.cli.parse import parse_route
from ductwork.frontends.topology_entries import (
    ConnectionEntry,
    NetworkEntry,
    PortEntry,
    SandboxEntry,
    SubnetEntry,
    TopologyEntry,
)
from ductwork.ipam.subnets import validate_subnet
from ductwork.model.addresses import IPAddress, parse_address, parse_network
from ductwork.model.names import parse_ifname, parse_mac, parse_name
from ductwork.model.network import NetworkSpec, Subnet
from ductwork.model.topology import Topology, WantedEndpoint, WantedLink, WantedPort, WantedSandbox
from ductwork.plan.port_grammar import parse_ports

_MODES = ("bridge", "none", "host")
_KINDS = ("docker", "podman", "lxc", "netns", "pid")


def check_topology(entry: TopologyEntry, file: str, name: str) -> Topology:
    """Check a whole file.

    Raises:
        InvalidArgument: the message begins with the file and the place in it.
    """
    networks = {key: network or NetworkEntry() for key, network in (entry.networks or {}).items()}
    sandboxes = {key: sandbox or SandboxEntry() for key, sandbox in (entry.sandboxes or {}).items()}
    names = _Names(frozenset(networks), frozenset(sandboxes))
    specs = [_network(f"{file}: networks.{key}", key, network) for key, network in networks.items()]
    wanted = [_sandbox(f"{file}: sandboxes.{key}", key, sandbox, names) for key, sandbox in sandboxes.items()]
    external = tuple(key for key, network in networks.items() if network.external)
    return Topology(
        name,
        tuple(spec for spec in specs if spec.name not in external),
        external,
        tuple(_with_root(file, one, {w.name: w for w in wanted}) for one in wanted),
    )


@dataclass(frozen=True, slots=True)
class _Names:
    """The names that a file defines."""

    networks: frozenset[str]
    sandboxes: frozenset[str]


@contextmanager
def _in(place: str) -> Iterator[None]:
    """Begin what is refused inside with its place in the file; of several places the innermost counts."""
    try:
        yield
    except DuctworkError as error:
        if not error.message.startswith(place.partition(": ")[0] + ": "):
            error.message = f"{place}: {error.message}"
        raise


def _network(place: str, name: str, entry: NetworkEntry) -> NetworkSpec:
    with _in(place):
        parse_name(name, "network")
        if entry.external:
            _refuse_more(entry)
        return NetworkSpec(
            name,
            entry.driver,
            tuple(_subnet(f"{place}.subnets[{i}]", subnet) for i, subnet in enumerate(entry.subnets)),
            entry.ipv6,
            entry.internal,
            entry.mtu,
            _pairs(entry.labels, "true", "false"),
            _pairs(entry.options, "on", "off"),
        )


def _subnet(place: str, entry: str | SubnetEntry) -> Subnet:
    with _in(place):
        if isinstance(entry, str):
            subnet = Subnet(parse_network(entry))
        else:
            subnet = Subnet(
                parse_network(entry.subnet),
                parse_address(entry.gateway, "gateway") if entry.gateway else None,
                parse_network(entry.ip_range, "ip_range") if entry.ip_range else None,
                tuple(parse_address(a, "reserved address") for a in entry.reserved),
            )
        validate_subnet(subnet)
        return subnet


def _refuse_more(entry: NetworkEntry) -> None:
    empty = NetworkEntry(external=True)
    said = [key for key in entry.__struct_fields__ if getattr(entry, key) != getattr(empty, key)]
    if said:
        raise InvalidArgument(
            f"it is external, so its {', '.join(said)} cannot be said here",
            hint="leave out all but `external: true`",
        )


def _pairs(words: Mapping[str, str | int | bool], yes: str, no: str) -> tuple[tuple[str, str], ...]:
    """Write options and labels as text; YAML's true and false as the words that are usual there."""
    texts = {True: yes, False: no}
    return tuple(
        sorted((key, texts[value] if isinstance(value, bool) else str(value)) for key, value in words.items())
    )


def _sandbox(place: str, name: str, entry: SandboxEntry, names: _Names) -> WantedSandbox:
    with _in(place):
        parse_name(name, "sandbox")
        _check_mode(name, entry)
        endpoints = _connections(place, entry, names)
        joined = [endpoint.network for endpoint in endpoints]
        ports = [_port(f"{place}.ports[{i}]", port, joined) for i, port in enumerate(entry.ports)]
        links = [_link(f"{place}.links[{i}]", name, link, names) for i, link in enumerate(entry.links)]
        _refuse_twice("link alias", [link.alias for link in links])
        return WantedSandbox(
            name,
            entry.mode,
            entry.target,
            tuple(endpoints),
            tuple(one for some in ports for one in some),
            tuple(links),
        )


def _check_mode(name: str, entry: SandboxEntry) -> None:
    mode, shared = entry.mode, entry.mode.startswith("container:")
    if mode and mode not in _MODES and not (shared and mode != "container:"):
        raise InvalidArgument(
            f"mode {mode!r} is not known", hint="it is bridge, none, host or container:OTHER"
        )
    if mode and entry.target:
        raise InvalidArgument(
            f"{name} has a target, which has its mode already", hint="leave one of them out"
        )
    if mode == "bridge" and not entry.networks:
        raise InvalidArgument("mode bridge needs a network", hint="name one in `networks:`")
    if mode == "none" and entry.networks:
        raise InvalidArgument("mode none has no networks", hint="leave mode or networks out")
    if shared and (entry.networks or entry.ports or entry.links):
        other = mode.partition(":")[2]
        raise InvalidArgument(
            f"it shares the stack of {other} and has no networks, ports or links of its own",
            hint=f"give them to {other}",
        )
    if mode == "host" and (entry.ports or entry.links):
        raise InvalidArgument(
            "it uses the host's own network (unisolated): its ports are the host's already",
            hint="leave ports and links out",
        )


def _connections(place: str, entry: SandboxEntry, names: _Names) -> list[WantedEndpoint]:
    found: dict[str, WantedEndpoint] = {}
    for where, network, connection in _written_connections(place, entry):
        with _in(where):
            if connection.name and connection.network and connection.name != connection.network:
                raise InvalidArgument("name and network say different things", hint="leave one of them out")
            name = network or connection.name or connection.network
            if not name:
                raise InvalidArgument("it does not say which network", hint="write `name: NETWORK`")
            if name not in names.networks:
                raise InvalidArgument(
                    f"network {name!r} is not in this file",
                    hint="add it to `networks:`, with `external: true` when it is somebody else's; "
                    + _list(names.networks),
                )
            if name in found:
                raise InvalidArgument(f"it is connected to {name} twice", hint="leave one of them out")
            found[name] = _connection(name, connection)
    _refuse_twice("ifname", [e.ifname for e in found.values() if e.ifname])
    _refuse_twice("route to", [r.destination for e in found.values() for r in e.routes])
    return list(found.values())


def _refuse_twice(what: str, values: Sequence[object]) -> None:
    twice = next((value for number, value in enumerate(values) if value in values[:number]), None)
    if twice is not None:
        raise InvalidArgument(f"{what} {twice} stands there twice", hint="leave one of them out")


def _written_connections(place: str, entry: SandboxEntry) -> Iterator[tuple[str, str, ConnectionEntry]]:
    """Yield place, network (empty when the entry says it) and entry."""
    if isinstance(entry.networks, dict):
        for name, named in entry.networks.items():
            yield f"{place}.networks.{name}", name, named or ConnectionEntry()
        return
    for number, one in enumerate(entry.networks):
        where = f"{place}.networks[{number}]"
        yield (where, one, ConnectionEntry()) if isinstance(one, str) else (where, "", one)


def _connection(network: str, entry: ConnectionEntry) -> WantedEndpoint:
    return WantedEndpoint(
        network,
        tuple(_addresses(entry)),
        parse_mac(entry.mac) if entry.mac else None,
        parse_ifname(entry.ifname) if entry.ifname else "",
        tuple(dict.fromkeys(parse_name(alias, "alias") for alias in entry.aliases)),
        tuple(parse_route(route) for route in entry.routes),
        entry.gateway_priority,
    )


def _addresses(entry: ConnectionEntry) -> Iterator[IPAddress]:
    for key, text, version in (("ip", entry.ip, 4), ("ip6", entry.ip6, 6)):
        if text:
            address = parse_address(text, key)
            if address.version != version:
                other = "ip6" if version == 4 else "ip"
                raise InvalidArgument(
                    f"{key} {text} is an IPv{address.version} address", hint=f"write `{other}: {text}`"
                )
            yield address


def _port(place: str, entry: str | int | PortEntry, joined: list[str]) -> list[WantedPort]:
    if not isinstance(entry, PortEntry):
        entry = PortEntry(entry)
    with _in(place):
        sources = [parse_network(text, "allow_from") for text in entry.allow_from]
        if entry.network and entry.network not in joined:
            raise InvalidArgument(
                f"the sandbox is not connected to network {entry.network!r}", hint=_list(joined)
            )
        if not joined:
            raise InvalidArgument("the sandbox has no network to publish through", hint="connect it to one")
        requests = parse_ports(str(entry.publish), sources)
        return [WantedPort(request, entry.network, place.partition(": ")[2]) for request in requests]


def _link(place: str, name: str, text: str, names: _Names) -> WantedLink:
    with _in(place):
        other, colon, alias = text.rpartition(":")
        if not colon or other in _KINDS:
            other, alias = text, text.rpartition(":")[2]
        if other not in names.sandboxes and ":" not in other and "/" not in other:
            raise InvalidArgument(
                f"sandbox {other!r} is not in this file",
                hint=f"write OTHER:ALIAS; {_list(names.sandboxes)}; others by KIND:NAME:ALIAS",
            )
        if other == name:
            raise InvalidArgument("a sandbox cannot be linked to itself", hint="name another one")
        return WantedLink(other, parse_name(alias, "alias"))


def _with_root(file: str, wanted: WantedSandbox, every: Mapping[str, WantedSandbox]) -> WantedSandbox:
    """Let a sandbox share directly with the one at the end of the chain, as the engine does."""
    if not wanted.shares_with:
        return wanted
    seen, other = [wanted.name], wanted.shares_with
    while other in every and every[other].shares_with:
        if other in seen:
            raise InvalidArgument(
                f"{file}: sandboxes.{wanted.name}.mode: {' shares with '.join([*seen, other])}",
                hint="let one of them have a stack of its own",
            )
        seen.append(other)
        other = every[other].shares_with
    if other not in every and ":" not in other and "/" not in other:
        raise InvalidArgument(
            f"{file}: sandboxes.{wanted.name}.mode: sandbox {other!r} is not in this file",
            hint=f"{_list(every)}; others by container:KIND:NAME",
        )
    if other in seen:
        raise InvalidArgument(
            f"{file}: sandboxes.{wanted.name}.mode: it shares with itself", hint="name another sandbox"
        )
    return replace(wanted, mode=f"container:{other}")


def _list(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
    return f"there are: {', '.join(listed[:10])}{more}" if listed else "there are none"
