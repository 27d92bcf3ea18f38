"""nftables in memory: our table with its sets and maps, and the base chains a test declares for others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from errno import EEXIST, EINVAL, ENOENT, ENOTEMPTY, EOPNOTSUPP
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from ductwork.kernel.fake.faults import Faults, refuse
from ductwork.kernel.ports import NftChainInfo
from ductwork.model.nft_schema import FAMILY, SETS, TABLE, FieldType
from ductwork.model.nft_text import count_rules
from ductwork.model.objects import Add, Change, NftElement, NftField, Remove, Ruleset, Step

Contents = dict[str, dict[tuple[NftField, ...], NftElement]]

_BASE_CHAIN = re.compile(
    r"chain (?P<name>\S+) \{\s*type (?P<type>\w+) hook (?P<hook>\w+) priority (?P<priority>[^;]+);"
    r"(?:\s*policy (?P<policy>\w+);)?"
)
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}


@dataclass
class Tables:
    """All tables of one namespace.

    Attributes:
        ruleset: what our table was loaded from, None when there is no table.
        flushed: its rules are gone, the chains and sets stand.
        chains: base chains of others.
        answers: what `run` prints for a text; other texts are refused.
    """

    ruleset: Ruleset | None = None
    flushed: bool = False
    contents: Contents = field(default_factory=dict)
    chains: list[NftChainInfo] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    def flush(self) -> None:
        """Do what somebody's `nft flush ruleset` does."""
        self.ruleset = None
        self.contents = {}
        self.chains.clear()

    def flush_rules(self) -> None:
        """Do what somebody's `nft flush table inet ductwork` does."""
        self.flushed = True

    def snapshot(self) -> dict[str, object]:
        """Return a comparable value of all tables."""
        elements = sorted(str(e) for by_key in self.contents.values() for e in by_key.values())
        owner = self.ruleset.owner if self.ruleset else None
        return {
            "owner": owner,
            "flushed": self.flushed and owner is not None,
            "elements": elements,
            "chains": sorted(map(str, self.chains)),
        }


class FakeNft:
    """The nftables port of one namespace."""

    def __init__(self, tables: Tables, faults: Faults) -> None:
        self._tables = tables
        self._faults = faults

    def load(self, ruleset: Ruleset) -> None:
        """Replace our table; its maps are empty then."""
        self._faults.begin("load our nft table")
        self._tables.ruleset = ruleset
        self._tables.flushed = False
        self._tables.contents = {}

    def delete_table(self) -> None:
        """Take our table away; one that is gone is success."""
        self._faults.begin("delete our nft table")
        self._tables.ruleset = None
        self._tables.contents = {}

    def owner(self) -> str | None:
        """Return for whom our table was loaded."""
        return self._tables.ruleset.owner if self._tables.ruleset else None

    def rule_count(self) -> int:
        """Count the rules of our table."""
        ruleset = self._tables.ruleset
        return 0 if ruleset is None or self._tables.flushed else count_rules(ruleset.text)

    def apply(self, steps: Sequence[Step]) -> None:
        """Do all steps or none; a whole transaction counts as one step for fault injection."""
        doing = f"apply {len(steps)} element changes"
        self._faults.begin(doing)
        self._require_table(doing)
        after = {name: dict(by_key) for name, by_key in self._tables.contents.items()}
        for step in steps:
            _apply_one(after, step)
        self._tables.contents = after

    def elements(self, set_name: str) -> list[NftElement]:
        """List one set or map."""
        self._require_table(f"list {set_name}")
        return list(self._tables.contents.get(set_name, {}).values())

    def base_chains(self) -> list[NftChainInfo]:
        """List everybody's base chains, ours included."""
        ruleset = self._tables.ruleset
        return self._tables.chains + (_read_base_chains(ruleset.text) if ruleset else [])

    def run(self, text: str) -> str:
        """Answer from the scripted table; only listing does not count as a change."""
        doing = f"nft {text}"
        if not text.startswith("list "):
            self._faults.begin(doing)
        if text not in self._tables.answers:
            raise refuse(EOPNOTSUPP, doing, "the fake has no answer to this")
        return self._tables.answers[text]

    def _require_table(self, doing: str) -> None:
        if self._tables.ruleset is None:
            raise refuse(ENOENT, doing)


def _apply_one(contents: Contents, step: Step) -> None:
    match step:
        case Add(NftElement() as element, tolerant):
            _add(contents, element, tolerant=tolerant)
        case Remove(NftElement() as element):
            _by_key(contents, element, "remove").pop(element.key, None)
        case Change(NftElement() as old, NftElement() as new):
            _by_key(contents, old, "change").pop(old.key, None)
            _add(contents, new, tolerant=True)
        case _:
            raise TypeError(f"{step} is not for nftables")


def _by_key(contents: Contents, element: NftElement, verb: str) -> dict[tuple[NftField, ...], NftElement]:
    if element.set not in SETS:
        raise refuse(ENOENT, f"{verb} an element of {element.set}")
    return contents.setdefault(element.set, {})


def _add(contents: Contents, element: NftElement, *, tolerant: bool) -> None:
    doing = f"add {element.key} to {element.set}"
    by_key = _by_key(contents, element, "add")
    _check_shape(element, doing)
    if tolerant:
        by_key.pop(element.key, None)
    if element.key in by_key:
        raise refuse(EEXIST, doing)
    if SETS[element.set].interval:
        _check_overlap(element, by_key, doing)
    by_key[element.key] = element


_FIELD_CLASSES: dict[FieldType, tuple[type, ...]] = {
    "ifname": (str,),
    "ipv4_addr": (IPv4Address, IPv4Network),
    "ipv6_addr": (IPv6Address, IPv6Network),
    "inet_proto": (int, str),
    "inet_service": (int,),
    "ether_addr": (str,),
    "mark": (int,),
}


def _fits(fields: tuple[NftField, ...], types: tuple[FieldType, ...], *, interval: bool) -> bool:
    return len(fields) == len(types) and all(
        isinstance(value, _FIELD_CLASSES[kind])
        and (interval or not isinstance(value, (IPv4Network, IPv6Network)))
        for value, kind in zip(fields, types, strict=True)
    )


def _check_shape(element: NftElement, doing: str) -> None:
    schema = SETS[element.set]
    fits = _fits(element.key, schema.key, interval=schema.interval)
    if schema.verdict or not schema.is_map:
        fits = fits and not isinstance(element.value, tuple) and (element.value is not None) == schema.verdict
    else:
        fits = (
            fits and isinstance(element.value, tuple) and _fits(element.value, schema.value, interval=False)
        )
    if not fits:
        raise refuse(EINVAL, doing)


def _ends(key: tuple[NftField, ...]) -> tuple[tuple[int | str, ...], tuple[int | str, ...]]:
    """Return the first and the last point of a key whose fields may be ranges."""
    first: list[int | str] = []
    last: list[int | str] = []
    for value in key:
        if isinstance(value, (str, int)):
            first.append(value)
            last.append(value)
        else:
            network = ip_network(value)
            first.append(int(network[0]))
            last.append(int(network[-1]))
    return tuple(first), tuple(last)


def _check_overlap(element: NftElement, by_key: dict[tuple[NftField, ...], NftElement], doing: str) -> None:
    # nft_pipapo_insert looks up only the new key's two ends, so a wide key after a narrow one passes.
    ends = _ends(element.key)
    for key in by_key:
        low, high = _ends(key)
        if (low, high) == ends:
            raise refuse(EEXIST, doing)
        for point in ends:
            if all(_between(a, x, b) for a, x, b in zip(low, point, high, strict=True)):
                raise refuse(ENOTEMPTY, doing)


def _between(low: int | str, value: int | str, high: int | str) -> bool:
    if isinstance(low, int) and isinstance(value, int) and isinstance(high, int):
        return low <= value <= high
    return low == value


def _read_base_chains(text: str) -> list[NftChainInfo]:
    return [
        NftChainInfo(
            family=FAMILY,
            table=TABLE,
            name=found["name"],
            type=found["type"],
            hook=found["hook"],
            priority=_read_priority(found["priority"]),
            policy=found["policy"] or "accept",
        )
        for found in _BASE_CHAIN.finditer(text)
    ]


def _read_priority(text: str) -> int:
    """Read "-105", "filter" or "filter - 5"."""
    word, *offset = text.replace("- ", "-").replace("+ ", "+").split()
    base = _PRIORITIES[word] if word in _PRIORITIES else int(word)
    return base + sum(map(int, offset))
