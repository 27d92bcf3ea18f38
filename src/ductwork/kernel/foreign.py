"""Other people's firewalls: what they do with forwarded packets, and accepts of ours in their chains.

Nothing is run where no other firewall is: the base chains, which the caller has read over netlink, say
whether iptables' nft backend is in use, and a file in /proc whether the legacy one is (asking
`iptables-legacy` would load its table). Which accepts should exist is the plan's business; policies are
never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from ductwork.errors import FailedPrecondition
from ductwork.kernel.foreign_nft import NftRun, add_accept, chain_drops, observe_chain, remove_accept
from ductwork.kernel.iptables import Chains, Iptables, Run
from ductwork.kernel.ports import NftChainInfo
from ductwork.model.foreign import ForeignView, IptablesForward, NftForward
from ductwork.model.nft_schema import FAMILY, TABLE
from ductwork.model.objects import ALIAS_PREFIX, HOST, Add, ForeignAccept, Remove

_DOCKER_USER = "DOCKER-USER"
_DOCKER = "DOCKER"  # its accepts for published ports; what passes it meets the policy
_XTABLES = frozenset({"filter", "mangle", "security"})  # iptables' tables with a FORWARD chain of type filter
_DIALECTS = {"ip": "iptables", "ip6": "ip6tables"}
_LEGACY_FILES = (("iptables-legacy", "ip_tables_names"), ("ip6tables-legacy", "ip6_tables_names"))
_FLAGS = {"in": "-i", "out": "-o"}
_MOST_COPIES = 16  # of one rule; more than one is somebody's iptables-restore on top of ours

Found = tuple[IptablesForward, list[ForeignAccept]]


def read_legacy_tables() -> set[str]:
    """Say which legacy dialects have a filter table in the calling thread's namespace."""
    # thread-self and not self: only this one thread has entered the namespace.
    here = Path("/proc/thread-self/net")
    return {
        firewall
        for firewall, name in _LEGACY_FILES
        if (here / name).exists() and "filter" in (here / name).read_text().split()
    }


def observe_foreign(
    chains: Sequence[NftChainInfo],
    run: Run,
    nft_run: NftRun,
    legacy_tables: Callable[[], Collection[str]],
) -> ForeignView:
    """Read what every firewall but ours does with forwarded packets.

    Args:
        chains: all base chains of the namespace.
        nft_run: `NftPort.run` of the namespace.
        legacy_tables: `read_legacy_tables`, run inside the namespace.
    Raises:
        FailedPrecondition: iptables drops forwarded packets and the tool to open it is not installed.
        KernelError: a firewall would not be read.
    """
    iptables: list[IptablesForward] = []
    nft: list[NftForward] = []
    accepts: list[ForeignAccept] = []
    for chain in filter(_forwards, chains):
        found = _observe_iptables_nft(chain, run, nft_run) if _looks_like_iptables(chain) else None
        if found is None:
            forward, ours = observe_chain(chain, nft_run)
            nft.append(forward)
        else:
            by_iptables, ours = found
            iptables.append(by_iptables)
        accepts += ours
    unread: list[str] = []
    for firewall in sorted(legacy_tables()):
        try:
            known = Iptables(firewall, run).chains()
        except FailedPrecondition:
            # Before Linux 5.15 the table is there once anybody on the machine used it: no reason to fail.
            unread.append(firewall)
            continue
        if known is not None:
            iptables.append(_forward(firewall, "filter", known))
            accepts += _accepts(firewall, "filter", known)
    return ForeignView(tuple(iptables), tuple(nft), tuple(accepts), tuple(unread))


def apply_foreign(step: Add | Remove, run: Run, nft_run: NftRun) -> None:
    """Add or remove one accept; adding what is there and removing what is gone are success.

    Raises:
        FailedPrecondition: the table belongs to a process that lets nobody change it, or a tool is missing.
        KernelError: anything else the firewall had against it.
    """
    accept = step.object
    if not isinstance(accept, ForeignAccept):
        raise TypeError(f"not a step for another firewall: {step}")
    adding = isinstance(step, Add)
    if accept.firewall == "nft":
        (add_accept if adding else remove_accept)(accept, nft_run)
    else:
        (_add if adding else _remove)(accept, Iptables(accept.firewall, run, accept.table))


def _forwards(chain: NftChainInfo) -> bool:
    ours = (chain.family, chain.table) == (FAMILY, TABLE)
    return chain.hook == "forward" and chain.family in {"inet", "ip", "ip6"} and not ours


def _looks_like_iptables(chain: NftChainInfo) -> bool:
    return chain.family in _DIALECTS and chain.table in _XTABLES and chain.name == "FORWARD"


def _observe_iptables_nft(chain: NftChainInfo, run: Run, nft_run: NftRun) -> Found | None:
    """Ask the tool about a chain that looks like its own; None when it says that it is not."""
    firewall = _DIALECTS[chain.family]
    harmless = IptablesForward(firewall, "ACCEPT", drops=False, table=chain.table)
    # Only in the filter table do people end an accepting chain with a reject: save the fork elsewhere.
    if chain.table != "filter" and chain.policy != "drop":
        return harmless, []
    try:
        known = Iptables(firewall, run, chain.table).chains()
    except FailedPrecondition:
        if chain_drops(chain, nft_run):
            raise
        return harmless, []
    if known is None:
        return None
    return _forward(firewall, chain.table, known), _accepts(firewall, chain.table, known)


def _forward(firewall: str, table: str, known: Chains) -> IptablesForward:
    return IptablesForward(
        firewall,
        known.policies.get("FORWARD", "ACCEPT"),
        drops=known.drops("FORWARD"),
        docker_user=known.passes("FORWARD", _DOCKER_USER),
        table=table,
        guarded=known.sent_out_to(_DOCKER),
    )


def _accepts(firewall: str, table: str, known: Chains) -> list[ForeignAccept]:
    """Find the accepts of ours, by reading each rule as one of ours and comparing."""
    found: list[ForeignAccept] = []
    for chain in ("FORWARD", _DOCKER_USER):
        for words in (rule.words for rule in known.rules.get(chain, [])):
            if len(words) != 8 or not words[5].startswith(ALIAS_PREFIX):
                continue
            tag = words[5].removeprefix(ALIAS_PREFIX)
            for direction in _FLAGS:
                accept = ForeignAccept(HOST, firewall, table, chain, words[1], direction, tag)
                if _rule(accept) == words:
                    found.append(accept)
    return found


def _rule(accept: ForeignAccept) -> tuple[str, ...]:
    comment = ("-m", "comment", "--comment", ALIAS_PREFIX + accept.tag)
    return (_FLAGS[accept.direction], accept.dev, *comment, "-j", "ACCEPT")


def _add(accept: ForeignAccept, tool: Iptables) -> None:
    rule = _rule(accept)
    if tool.has(accept.chain, rule):
        return
    place = 1
    if accept.chain == _DOCKER_USER:
        # What an administrator wrote there is meant for containers: it goes first, and Docker's RETURN last.
        known = tool.chains(accept.chain)
        place = known.place_before_end(accept.chain) if known else 1
    tool.insert(accept.chain, place, rule)


def _remove(accept: ForeignAccept, tool: Iptables) -> None:
    rule = _rule(accept)
    for _ in range(_MOST_COPIES):
        if not tool.delete(accept.chain, rule):
            return
