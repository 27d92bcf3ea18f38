"""Chains of plain nft rules that belong to somebody else: reading them, and an accept of ours at their top.

All commands are nft's JSON, because an interface's name may hold any quote or brace of nft's own language.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from ductwork.errors import FailedPrecondition
from ductwork.kernel.ports import KernelError, NftChainInfo
from ductwork.model.foreign import NftForward
from ductwork.model.objects import ALIAS_PREFIX, HOST, ForeignAccept

# `NftPort.run`: a text that begins with `-j ` prints JSON.
NftRun: TypeAlias = Callable[[str], str]
Json: TypeAlias = dict[str, Any]

_KEYS = {"in": "iifname", "out": "oifname"}
_PLAIN_NAME = re.compile(r"[A-Za-z][\w./-]*")
_SILENT = frozenset({"counter", "log"})  # statements that let the packet go on


def observe_chain(chain: NftChainInfo, nft_run: NftRun) -> tuple[NftForward, list[ForeignAccept]]:
    """Read what a chain does with the packets nothing in it matches, and the accepts of ours in it."""
    rules = _rules(chain.family, chain.table, chain.name, nft_run)
    drops = _ends_in_drop(chain.policy, rules)
    owned, known = _owner(chain.family, chain.table, nft_run) if drops else (False, frozenset())
    forward = NftForward(chain.family, chain.table, chain.name, drops, owned, known)
    accepts = _accepts(f"{chain.family} {chain.table}", chain.name, rules)
    return forward, [accept for _, accept in accepts]


def chain_drops(chain: NftChainInfo, nft_run: NftRun) -> bool:
    """Say whether a packet that nothing in the chain matches is dropped or rejected."""
    return _ends_in_drop(chain.policy, _rules(chain.family, chain.table, chain.name, nft_run))


def add_accept(accept: ForeignAccept, nft_run: NftRun) -> None:
    """Put an accept at the top of its chain, unless it stands there already."""
    if not _handles(accept, nft_run):
        comment = ALIAS_PREFIX + accept.tag
        rule = {**_place(accept), "expr": _expression(accept), "comment": comment}
        _change(accept, {"insert": {"rule": rule}}, nft_run)


def remove_accept(accept: ForeignAccept, nft_run: NftRun) -> None:
    """Take an accept away by its handle; rule, chain or table may be gone."""
    for handle in _handles(accept, nft_run):
        try:
            _change(accept, {"delete": {"rule": {**_place(accept), "handle": handle}}}, nft_run)
        except KernelError as error:
            if error.errno != errno.ENOENT:  # somebody else was faster
                raise


def _place(accept: ForeignAccept) -> dict[str, str]:
    family, _, table = accept.table.partition(" ")
    return {"family": family, "table": table, "chain": accept.chain}


def _handles(accept: ForeignAccept, nft_run: NftRun) -> list[int]:
    family, _, table = accept.table.partition(" ")
    rules = _rules(family, table, accept.chain, nft_run)
    return [handle for handle, found in _accepts(accept.table, accept.chain, rules) if found == accept]


def _rules(family: str, table: str, chain: str, nft_run: NftRun) -> list[Json]:
    """Read the rules of a chain; a chain that is gone has none."""
    where = {"family": family, "table": table, "name": chain}
    return [item["rule"] for item in _ask({"list": {"chain": where}}, nft_run) if "rule" in item]


def _ask(command: Json, nft_run: NftRun) -> list[Json]:
    try:
        printed = nft_run(_text(command))
    except KernelError as error:
        if error.errno == errno.ENOENT:
            return []
        raise
    items: list[Json] = json.loads(printed)["nftables"] if printed.strip() else []
    return items


def _text(command: Json) -> str:
    return "-j " + json.dumps({"nftables": [command]})


def _ends_in_drop(policy: str, rules: Sequence[Json]) -> bool:
    for rule in rules:
        kinds = [kind for statement in rule["expr"] for kind in statement if kind not in _SILENT]
        if kinds and kinds[0] in {"drop", "reject"}:
            return True
        if kinds and kinds[0] in {"accept", "return"}:
            break
    return policy == "drop"


def _owner(family: str, table: str, nft_run: NftRun) -> tuple[bool, frozenset[str]]:
    """Say whether a table is owned, and which interfaces an owned one names."""
    if not _PLAIN_NAME.fullmatch(table):
        return False, frozenset()
    # Not as JSON: nft 1.0.6 prints rubbish as the value of "flags", sometimes no JSON at all.
    try:
        text = nft_run(f"list table {family} {table}")
    except KernelError:  # gone, or a name that is a word of nft's language: an attempt to change it will tell
        return False, frozenset()
    if not re.search(r"^\s*flags [\w, ]*\bowner\b", text, re.MULTILINE):
        return False, frozenset()
    return True, frozenset(re.findall(r'\b[io]ifname "([^"]+)"', text))


def _accepts(table: str, chain: str, rules: Sequence[Json]) -> Iterator[tuple[int, ForeignAccept]]:
    """Find accepts of ours among a chain's rules, with their handles."""
    for rule in rules:
        comment = rule.get("comment", "")
        name = rule["expr"][0].get("match", {}).get("right") if rule["expr"] else None
        if not comment.startswith(ALIAS_PREFIX) or not isinstance(name, str):
            continue
        tag = comment.removeprefix(ALIAS_PREFIX)
        for direction in _KEYS:
            accept = ForeignAccept(HOST, "nft", table, chain, _unescape(name), direction, tag)
            if rule["expr"] == _expression(accept):
                yield rule["handle"], accept


def _expression(accept: ForeignAccept) -> list[Json]:
    key = {"meta": {"key": _KEYS[accept.direction]}}
    return [{"match": {"op": "==", "left": key, "right": _escape(accept.dev)}}, {"accept": None}]


def _escape(dev: str) -> str:
    # A last "*" would mean every interface whose name begins so.
    return f"{dev[:-1]}\\*" if dev.endswith("*") else dev


def _unescape(name: str) -> str:
    return f"{name[:-2]}*" if name.endswith("\\*") else name


def _change(accept: ForeignAccept, command: Json, nft_run: NftRun) -> None:
    doing = f"changing nft chain {accept.table} {accept.chain} for bridge {accept.dev}"
    try:
        nft_run(_text(command))
    except KernelError as error:
        if error.errno != errno.EPERM:
            raise KernelError(error.errno, error.text, doing) from error
        hint = "have the program that owns it accept forwarding from and to the bridge"
        if accept.table.endswith(" firewalld"):
            hint = f"run firewall-cmd --zone=trusted --add-interface={accept.dev}, also with --permanent"
        raise FailedPrecondition(
            f"{doing}: only the process that owns the table may change it, or CAP_NET_ADMIN is missing",
            hint=hint,
            subject="bridge",
            name=accept.dev,
        ) from error
