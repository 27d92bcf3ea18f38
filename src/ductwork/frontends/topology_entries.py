"""The topology file as a person writes it; its JSON schema for editors is made from these classes."""

from __future__ import annotations

from typing import Annotated

import msgspec

Words = dict[str, str | int | bool]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class SubnetEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A subnet with its limits."""

    subnet: Annotated[str, msgspec.Meta(description="CIDR, e.g. 10.1.0.0/24")]
    gateway: Annotated[str, msgspec.Meta(description="The host's address; the first one when left out")] = ""
    ip_range: Annotated[str, msgspec.Meta(description="Automatic addresses come from here")] = ""
    reserved: Annotated[list[str], msgspec.Meta(description="Never given out automatically")] = []


class NetworkEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A network."""

    driver: Annotated[str, msgspec.Meta(description="bridge, link, host, none, …")] = "bridge"
    subnets: Annotated[
        list[str | SubnetEntry], msgspec.Meta(description="Chosen when left out; CIDRs, or with limits")
    ] = []
    ipv6: Annotated[bool, msgspec.Meta(description="Give it an IPv6 subnet too")] = False
    internal: Annotated[bool, msgspec.Meta(description="No way out, and none in")] = False
    mtu: Annotated[int, msgspec.Meta(description="Bytes; the uplink's when left out")] | None = None
    options: Annotated[
        Words, msgspec.Meta(description="The driver's options; true and false mean on and off")
    ] = {}
    labels: Annotated[Words, msgspec.Meta(description="For your own use")] = {}
    external: Annotated[
        bool, msgspec.Meta(description="It exists already and belongs to somebody else; nothing else is said")
    ] = False


class ConnectionEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A connection of a sandbox to a network; what is left out is chosen once and kept."""

    name: Annotated[str, msgspec.Meta(description="The network, in a list")] = ""
    network: Annotated[str, msgspec.Meta(description="The same as name")] = ""
    ip: Annotated[str, msgspec.Meta(description="IPv4 address")] = ""
    ip6: Annotated[str, msgspec.Meta(description="IPv6 address")] = ""
    mac: str = ""
    ifname: Annotated[str, msgspec.Meta(description="Interface name inside; the lowest free ethN")] = ""
    aliases: Annotated[list[str], msgspec.Meta(description="Other names on this network")] = []
    routes: Annotated[list[str], msgspec.Meta(description="DST[@GATEWAY], routes inside")] = []
    gateway_priority: Annotated[int, msgspec.Meta(description="The highest has the default route")] = 0


class PortEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A published port with its limits."""

    publish: Annotated[str | Port, msgspec.Meta(description="[[IP:]HOST[-END]:]PORT[-END][/tcp|udp|sctp]")]
    allow_from: Annotated[list[str], msgspec.Meta(description="Only these clients, CIDRs")] = []
    network: Annotated[str, msgspec.Meta(description="Through this network; the default gateway's")] = ""


class SandboxEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A sandbox: one container's network stack, made for it or already there."""

    mode: Annotated[str, msgspec.Meta(description="bridge, none, host (unisolated), container:OTHER")] = ""
    target: Annotated[
        str,
        msgspec.Meta(
            description="Use this instead: docker:NAME, podman:NAME, lxc:NAME, netns:NAME, pid:N, a path"
        ),
    ] = ""
    networks: Annotated[
        list[str | ConnectionEntry] | dict[str, ConnectionEntry | None],
        msgspec.Meta(description="Networks in the order of connecting: a list, or by name"),
    ] = []
    ports: Annotated[
        list[str | Port | PortEntry], msgspec.Meta(description='Published ports, e.g. "8080:80"')
    ] = []
    links: Annotated[list[str], msgspec.Meta(description="OTHER[:ALIAS], known in the hosts file")] = []


class TopologyEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A ductwork.yaml file."""

    version: Annotated[int, msgspec.Meta(ge=1, le=1, description="Always 1")] = 1
    name: Annotated[str, msgspec.Meta(description="Marks what it makes; the folder's name when left out")] = (
        ""
    )
    networks: dict[str, NetworkEntry | None] | None = None
    sandboxes: dict[str, SandboxEntry | None] | None = None
