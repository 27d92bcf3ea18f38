"""Kernel objects and steps in the words of ip(8), nft(8) and bridge(8): for people, and for `--plan`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ductwork.model.objects import (
    HOST,
    Add,
    Address,
    Bridge,
    Change,
    ForeignAccept,
    HostsEntries,
    KernelObject,
    LinkUp,
    LoopbackGuard,
    NamespaceName,
    Neighbour,
    NftElement,
    NftField,
    PinnedNamespace,
    Remove,
    Route,
    Ruleset,
    Step,
    Sysctl,
    Verdict,
    Veth,
)


def describe_object(item: KernelObject) -> str:
    """Name an object in one line, with the namespace it is in unless that is the host."""
    place = getattr(item, "ns", HOST)
    where = "" if place == HOST else f" in {place}"
    return _words(item) + where


def _words(item: KernelObject) -> str:
    match item:
        case PinnedNamespace():
            return f"netns {item.path}"
        case NamespaceName():
            return f"netns name {item.path} for {item.points_to}"
        case Bridge():
            return f"link {item.name} type bridge address {item.mac} mtu {item.mtu}"
        case Veth():
            peer = f"peer {item.peer_name} address {item.peer_mac} netns {item.peer_ns}"
            return f"link {item.name} type veth {peer}"
        case LinkUp():
            return f"link {item.name} up"
        case Address():
            return f"address {item.ip} dev {item.dev}"
        case Route():
            to = "default" if item.dst.prefixlen == 0 else str(item.dst)
            via = f" via {item.via}" if item.via else ""
            metric = f" metric {item.metric}" if item.metric else ""
            return f"route {to}{via} dev {item.dev}{metric}"
        case Neighbour():
            return f"neighbour {item.ip} lladdr {item.mac} dev {item.dev} nud permanent"
        case LoopbackGuard():
            return f"filter dev {item.dev} ingress ip dst 127.0.0.0/8 drop"
        case Sysctl():
            return f"sysctl {item.path.replace('/', '.')}={item.value}"
        case Ruleset():
            return "nft table inet ductwork"
        case NftElement():
            return f"nft element {item.set} {{ {_element(item)} }}"
        case ForeignAccept():
            return f"{item.firewall} rule in {item.table} {item.chain}: {item.direction} {item.dev} accept"
        case HostsEntries():
            return f"hosts file entries of {item.where}: {len(item.lines)}"


def _element(item: NftElement) -> str:
    key = " . ".join(_field(f) for f in item.key)
    if item.value is None:
        return key
    if isinstance(item.value, Verdict):
        return f"{key} : {item.value.code} {item.value.chain}".rstrip()
    return f"{key} : {' . '.join(_field(f) for f in item.value)}"


def _field(value: NftField) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def describe_step(step: Step) -> str:
    """Write a step as one line that begins with +, - or ~."""
    match step:
        case Remove(Sysctl() as item):
            return f"~ sysctl {item.path.replace('/', '.')}={item.before}"
        case Add(item):
            return f"+ {describe_object(item)}"
        case Remove(item):
            return f"- {describe_object(item)}"
        case Change(_, item):
            return f"~ {describe_object(item)}"


def describe_steps(steps: Iterable[Step], names: Mapping[str, str] | None = None) -> list[str]:
    """Write steps one a line; `names` says what to call the namespaces."""
    return [with_names(describe_step(step), names or {}) for step in steps]


_KEY = re.compile(r"sandbox/[\w-]+")


def with_names(text: str, names: Mapping[str, str]) -> str:
    """Write names for the keys of namespaces."""
    return _KEY.sub(lambda key: names.get(key.group(), key.group()), text)
