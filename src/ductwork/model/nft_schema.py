"""The sets and maps of our nft table: what grows while the rules stay the same.

One list serves three readers: the ruleset's text, the element codec, and whoever observes. Field types are
nft(8)'s data types. One map cannot hold both address families, so most have an ip and an ip6 twin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

TABLE = "ductwork"
FAMILY = "inet"

FieldType: TypeAlias = Literal[
    "ifname", "ipv4_addr", "ipv6_addr", "inet_proto", "inet_service", "ether_addr", "mark"
]

FIELD_BYTES: dict[FieldType, int] = {
    "ifname": 16,
    "ipv4_addr": 4,
    "ipv6_addr": 16,
    "inet_proto": 1,
    "inet_service": 2,
    "ether_addr": 6,
    "mark": 4,
}


@dataclass(frozen=True, slots=True)
class SetSchema:
    """A set (`value` empty) or a map.

    Attributes:
        key, value: field types in order, concatenated when more than one.
        verdict: a verdict map; `value` is empty then.
        interval: keys may be ranges or prefixes; otherwise a hash, one exact key per element.
        purpose: the comment that stands in the table for whoever lists it.
    """

    name: str
    key: tuple[FieldType, ...]
    value: tuple[FieldType, ...] = ()
    verdict: bool = False
    interval: bool = False
    purpose: str = ""

    @property
    def is_map(self) -> bool:
        """Say whether elements carry a value."""
        return bool(self.value) or self.verdict


def _twins(name: str, key: tuple[str, ...], value: tuple[str, ...] = (), **more: object) -> list[SetSchema]:
    """Make the ip and the ip6 form of a schema whose address fields are written `addr`."""

    def typed(fields: tuple[str, ...], family: str) -> tuple[FieldType, ...]:
        return tuple(f"{family}_addr" if f == "addr" else f for f in fields)  # type: ignore[misc]

    return [
        SetSchema(f"{name}{digit}", typed(key, family), typed(value, family), **more)  # type: ignore[arg-type]
        for digit, family in (("4", "ipv4"), ("6", "ipv6"))
    ]


_PORT = ("inet_proto", "inet_service")
_TARGET = ("addr", "inet_service")

SCHEMAS: tuple[SetSchema, ...] = (
    SetSchema("bridges", ("ifname",), purpose="bridges of our networks"),
    SetSchema("same", ("ifname", "ifname"), purpose="in and out of one network"),
    SetSchema("internal", ("ifname",), purpose="networks without a way out"),
    SetSchema("guarded", ("ifname",), purpose="bridges of others that their firewall keeps closed"),
    SetSchema("open", ("ifname",), purpose="networks with isolation off: open to one another"),
    SetSchema("strict", ("ifname",), purpose="networks whose published ports other networks may not use"),
    *_twins("gateways", ("addr",), purpose="our own address on every network"),
    *_twins("own_gateway", ("ifname", "addr"), purpose="which network may talk to which of those"),
    SetSchema("masq", ("ifname",), purpose="networks whose way out is masqueraded"),
    *_twins("source", ("ifname",), ("addr",), purpose="networks whose way out has a chosen source address"),
    *_twins("hairpin", ("addr", "addr"), interval=True, purpose="from a network back into itself"),
    *_twins("publish", (*_PORT[:1], "addr", *_PORT[1:]), _TARGET, purpose="published on one address"),
    *_twins("publish_any", _PORT, _TARGET, purpose="published on every address of this host"),
    *_twins(
        "publish_from",
        (*_PORT[:1], "addr", *_PORT[1:], "addr"),
        _TARGET,
        interval=True,
        purpose="published on one address for some sources",
    ),
    *_twins(
        "publish_any_from",
        (*_PORT, "addr"),
        _TARGET,
        interval=True,
        purpose="published on every address for some sources",
    ),
    SetSchema("policies", ("ifname",), verdict=True, purpose="per-port policy chains, reserved"),
)

SETS: dict[str, SetSchema] = {schema.name: schema for schema in SCHEMAS}
