"""nf_tables messages: what we ask for, and reading what comes back about tables and chains."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

from ductwork.kernel.nft.nfnetlink import (
    ATTRIBUTE_BYTES,
    HEADER_BYTES,
    NESTED,
    Answer,
    Request,
    attribute,
    attributes,
    each_attribute,
    text_attribute,
    text_of,
)
from ductwork.kernel.ports import NftChainInfo
from ductwork.model.nft_schema import TABLE

_SUBSYSTEM = 10 << 8
_GETTABLE, _DELTABLE, _GETCHAIN = _SUBSYSTEM | 1, _SUBSYSTEM | 2, _SUBSYSTEM | 4
_NEWRULE, _GETRULE = _SUBSYSTEM | 6, _SUBSYSTEM | 7
NEWSETELEM, GETSETELEM, DELSETELEM = _SUBSYSTEM | 12, _SUBSYSTEM | 13, _SUBSYSTEM | 14

_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_INET = 1
_IP_HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
_HOOKS = {"arp": ("input", "output", "forward"), "netdev": ("ingress", "egress")}
_POLICIES = ("drop", "accept")

_NAME, _TABLE_USERDATA = 1, 6
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 1, 3, 4, 5, 7
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2
_RULE_TABLE = 1
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_COMMENT = 0  # libnftnl's first kind of user data of a table

# The length of an attribute has 16 bits, and the list is one attribute.
_LIST_BYTES = 0xFFFF - ATTRIBUTE_BYTES
_TABLE_ATTRIBUTE = text_attribute(_LIST_TABLE, TABLE)


def element_lists(
    kind: int, flags: int, set_name: str, entries: Sequence[bytes]
) -> Iterator[tuple[Request, int]]:
    """Put entries of one set into as few messages as fit; with each, how many entries it took."""
    head = _TABLE_ATTRIBUTE + text_attribute(_LIST_SET, set_name)
    start, size = 0, 0
    for index, entry in enumerate(entries):
        if size + len(entry) > _LIST_BYTES:
            yield _element_list(kind, flags, head, entries[start:index]), index - start
            start, size = index, 0
        size += len(entry)
    yield _element_list(kind, flags, head, entries[start:]), len(entries) - start


def _element_list(kind: int, flags: int, head: bytes, entries: Iterable[bytes]) -> Request:
    return Request(kind, flags, _INET, head + attribute(_LIST_ELEMENTS | NESTED, b"".join(entries)))


def entry_at(request: Request, offset: int) -> int | None:
    """Say which entry of an element list lies at an offset of the message, as an extended ack names it."""
    place = HEADER_BYTES
    for kind, value in each_attribute(memoryview(request.body)):
        if kind == _LIST_ELEMENTS:
            place += ATTRIBUTE_BYTES
            for index, (_, entry) in enumerate(each_attribute(value)):
                end = place + ATTRIBUTE_BYTES + len(entry)
                if place <= offset < end:
                    return index
                place = (end + 3) & ~3
            return None
        place += (ATTRIBUTE_BYTES + len(value) + 3) & ~3
    return None


def question(set_name: str, entry: bytes) -> Request:
    """Ask for one element."""
    return next(element_lists(GETSETELEM, 0, set_name, [entry]))[0]


def dump_elements(set_name: str) -> Request:
    """Ask for all elements of a set."""
    return Request(GETSETELEM, 0, _INET, _TABLE_ATTRIBUTE + text_attribute(_LIST_SET, set_name))


def entries(answers: Iterable[Answer]) -> Iterator[memoryview]:
    """Walk the entries of the element lists in answers."""
    for answer in answers:
        found = attributes(answer.body)
        if _LIST_ELEMENTS in found:
            for _, entry in each_attribute(found[_LIST_ELEMENTS]):
                yield entry


def get_table() -> Request:
    """Ask for our table."""
    return Request(_GETTABLE, 0, _INET, text_attribute(_NAME, TABLE))


def delete_table() -> Request:
    """Delete our table with all in it."""
    return Request(_DELTABLE, 0, _INET, text_attribute(_NAME, TABLE))


def table_comment(answer: Answer) -> str:
    """Read a table's comment, which libnftnl keeps among the user data as type, length, text."""
    data = bytes(attributes(answer.body).get(_TABLE_USERDATA, b""))
    while len(data) >= 2:
        kind, size = data[0], data[1]
        if kind == _COMMENT:
            return text_of(data[2 : 2 + size])
        data = data[2 + size :]
    return ""


def dump_rules() -> Request:
    """Ask for the rules of our table only."""
    return Request(_GETRULE, 0, _INET, text_attribute(_RULE_TABLE, TABLE))


def is_rule(answer: Answer) -> bool:
    """Say whether an answer is a rule."""
    return answer.kind == _NEWRULE


def dump_chains() -> Request:
    """Ask for the chains of every table of every family."""
    return Request(_GETCHAIN, 0, 0, b"")


def base_chain(answer: Answer) -> NftChainInfo | None:
    """Read a chain; None when it hangs on no hook or is of a family that has appeared since."""
    found = attributes(answer.body)
    family = _FAMILIES.get(answer.family)
    if _CHAIN_HOOK not in found or family is None:
        return None
    hook = attributes(found[_CHAIN_HOOK])
    number = _number(hook[_HOOK_NUMBER])
    names = _HOOKS.get(family, _IP_HOOKS)
    policy = _number(found[_CHAIN_POLICY]) if _CHAIN_POLICY in found else 1
    return NftChainInfo(
        family=family,
        table=text_of(found[_CHAIN_TABLE]),
        name=text_of(found[_CHAIN_NAME]),
        type=text_of(found.get(_CHAIN_TYPE, b"")),
        hook=names[number] if number < len(names) else str(number),
        priority=struct.unpack("!i", hook[_HOOK_PRIORITY])[0],
        policy=_POLICIES[policy] if policy < len(_POLICIES) else str(policy),
    )


def _number(value: memoryview) -> int:
    return int.from_bytes(value, "big")
