"""Taking down a host's network settings as text, so that "as before" can be checked byte for byte.

Left out is what changes by itself or by mere traffic: counters, timers, lifetimes, learned neighbours.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.lab.commands import run

Snapshot = dict[str, str]
"""Name of a kind of setting -> its text, one object a line."""

_FOREVER_S = 0xFFFFFFFF
_TIMES = {"valid_life_time", "preferred_life_time", "expires"}
_VOLATILE = re.compile(r"_timer$|^(used|age|stats64?|refcnt|confirmed|updated)$")
_VOLATILE_SYSCTLS = ("net/netfilter/nf_conntrack_count", "net/ipv4/route/flush", "net/ipv6/route/flush")


def take_snapshot(enter: Sequence[str], env: Mapping[str, str]) -> Snapshot:
    """Take a snapshot; `enter` is the start of a command line that runs the rest of it in the namespace."""

    def ask(*argv: str) -> str:
        return run([*enter, *argv], check=False, env=env).stdout

    commands: dict[str, tuple[tuple[str, ...], Callable[[str], str]]] = {
        "links": (("ip", "-j", "-d", "link", "show"), _in_any_order),
        "addresses": (("ip", "-j", "addr", "show"), _in_any_order),
        "routes4": (("ip", "-j", "-4", "route", "show", "table", "all"), _in_any_order),
        "routes6": (("ip", "-j", "-6", "route", "show", "table", "all"), _in_any_order),
        "rules4": (("ip", "-j", "-4", "rule", "show"), _in_given_order),
        "rules6": (("ip", "-j", "-6", "rule", "show"), _in_given_order),
        "neighbours": (("ip", "-j", "neigh", "show", "nud", "permanent"), _in_any_order),
        "proxied": (("ip", "-j", "neigh", "show", "proxy"), _in_any_order),
        "fdb": (("bridge", "-j", "fdb", "show"), _settled_fdb),
        "qdiscs": (("tc", "-j", "qdisc", "show"), _in_given_order),
        "nft": (("nft", "--stateless", "list", "ruleset"), _as_it_is),
        "iptables": (("iptables-save",), _without_counters),
        "ip6tables": (("ip6tables-save",), _without_counters),
        "iptables-legacy": (("iptables-legacy-save",), _without_counters),
        "ip6tables-legacy": (("ip6tables-legacy-save",), _without_counters),
        "sysctls": (("grep", "-rs", "", "/proc/sys/net"), _settled_sysctls),
    }
    snapshot = {name: settle(ask(*argv)) for name, (argv, settle) in commands.items()}
    snapshot["filters"] = _filters(ask, snapshot["qdiscs"])
    return snapshot


def diff_snapshots(before: Snapshot, after: Snapshot) -> str:
    """Show what differs as a unified diff; empty when everything is as it was."""
    return "\n".join(
        line
        for name in sorted(before.keys() | after.keys())
        for line in difflib.unified_diff(
            before.get(name, "").splitlines(),
            after.get(name, "").splitlines(),
            f"{name} before",
            f"{name} after",
            lineterm="",
            n=0,
        )
    )


def _in_given_order(text: str) -> str:
    return "\n".join(json.dumps(_settle(item), sort_keys=True) for item in _items(text))


def _in_any_order(text: str) -> str:
    return "\n".join(sorted(_in_given_order(text).splitlines()))


def _items(text: str) -> list[Any]:
    # `ip -j` prints empty objects for what its filters left out.
    return [item for item in json.loads(text or "[]") if item]


def _settle(value: Any) -> Any:
    if isinstance(value, list):
        return [_settle(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _settle_field(key, item) for key, item in value.items() if not _VOLATILE.search(key)}


def _settle_field(key: str, value: Any) -> Any:
    if key in _TIMES:
        return "forever" if value == _FOREVER_S else "some time"
    return _settle(value)


def _settled_fdb(text: str) -> str:
    """Keep what was set; entries without a state were learned from traffic."""
    kept = [json.dumps(_settle(entry), sort_keys=True) for entry in _items(text) if entry.get("state")]
    return "\n".join(sorted(kept))


def _settled_sysctls(text: str) -> str:
    lines = (line.removeprefix("/proc/sys/") for line in text.splitlines())
    return "\n".join(sorted(line for line in lines if not line.startswith(_VOLATILE_SYSCTLS)))


def _without_counters(text: str) -> str:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return "\n".join(re.sub(r"\[\d+:\d+\]", "[0:0]", line) for line in lines)


def _as_it_is(text: str) -> str:
    return text


def _filters(ask: Callable[..., str], qdiscs: str) -> str:
    """List the traffic filters of every link that has a place for them."""
    rows = [json.loads(line) for line in qdiscs.splitlines()]
    devices = sorted({row["dev"] for row in rows if row["kind"] in {"clsact", "ingress", "htb"}})
    return "\n".join(
        f"{device} {place}: {shown}"
        for device in devices
        for place in ("ingress", "egress", "root")
        # As text: for some kinds of filter `tc -j` prints what is no JSON (seen with u32 and iproute2 5.15).
        if (shown := ask("tc", "filter", "show", "dev", device, place))
    )
