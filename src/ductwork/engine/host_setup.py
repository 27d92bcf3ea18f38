"""What the first network needs of the host, and giving it back with the last: forwarding and our table.

Switching forwarding on changes more than one sysctl (inet_forward_change, net/ipv4/devinet.c, and
addrconf_fixup_forwarding, net/ipv6/addrconf.c): every interface's own switch, and for IPv4 the acceptance of
redirects. All that would not come back by itself is written down first.
"""

from __future__ import annotations

from dataclasses import replace

from ductwork.engine.planner import THE_HOST
from ductwork.engine.state import HostRecord, SysctlBefore
from ductwork.engine.work import Work
from ductwork.kernel.ports import LinkInfo
from ductwork.model.foreign import ForeignView
from ductwork.model.nft_schema import TABLE
from ductwork.model.objects import ALIAS_PREFIX, HOST
from ductwork.plan.ruleset import ruleset_digest

_RA_PROTOCOL = 9  # RTPROT_RA: a route learned from a router advertisement


def activate(work: Work, versions: set[int]) -> None:
    """Make the host ready for a network that routes these IP versions."""
    record = work.state.host() or HostRecord(work.host_id)
    # What was left on for others when the last network went has become the host's own setting.
    kept = record.sysctls if record.active else ()
    have = {s.version for s in kept}
    added: list[SysctlBefore] = []
    if 4 in versions and 4 not in have:
        added += _forwarding4(work)
    if 6 in versions and 6 not in have:
        added += _forwarding6(work)
    chains = record.forward_chains if record.active else tuple(_forward_chains(work))
    rules = record.rules if record.active else ruleset_digest()
    new = replace(record, active=True, rules=rules, sysctls=kept + tuple(added), forward_chains=chains)
    if new != record:
        work.state.put_host(new)
        work.change.touch(THE_HOST)


def keep_closed(work: Work, view: ForeignView) -> None:
    """Note which bridges of others our accepts in their firewall must not open to our containers."""
    record = work.state.host()
    if record is not None and record.guarded != view.guarded:
        work.state.put_host(replace(record, guarded=view.guarded))
        work.change.touch(THE_HOST)


def deactivate(work: Work) -> None:
    """Give everything back; called when the last network that needs it goes.

    Forwarding stays on when somebody else's forward chain has come since: they may rely on it by now.
    """
    record = work.state.host()
    if record is None or not record.active:
        return
    newcomers = [c for c in _forward_chains(work) if c not in record.forward_chains]
    kept = record.sysctls if newcomers else ()
    if newcomers and record.sysctls:
        work.change.notes.append(
            f"forwarding stays on: {newcomers[0]} came after Ductwork and may rely on it"
            f" (switch it off with: sysctl -w {record.sysctls[-1].path.replace('/', '.')}=0)"
        )
    work.state.put_host(replace(record, active=False, guarded=(), sysctls=kept, forward_chains=()))
    work.change.touch(THE_HOST)


def _forward_chains(work: Work) -> list[str]:
    chains = work.kernel.nft(HOST).base_chains()
    return sorted(
        f"{c.family} {c.table} {c.name}" for c in chains if c.hook == "forward" and c.table != TABLE
    )


def _forwarding4(work: Work) -> list[SysctlBefore]:
    sysctl = work.kernel.sysctl(HOST)
    if sysctl.get("net/ipv4/ip_forward") != "0":
        return []
    tree = sysctl.tree("net/ipv4/conf")
    redirects = "net/ipv4/conf/all/accept_redirects"
    changed = []
    if tree.get(redirects) == "0":
        changed.append(SysctlBefore(redirects, "0", "0", 4))
    changed += [
        SysctlBefore(path, value, "1", 4)
        for path, value in sorted(tree.items())
        if path.endswith("/forwarding") and "/all/" not in path and value != "0"
    ]
    return [*changed, SysctlBefore("net/ipv4/ip_forward", "0", "1", 4)]


def _forwarding6(work: Work) -> list[SysctlBefore]:
    sysctl = work.kernel.sysctl(HOST)
    switch = "net/ipv6/conf/all/forwarding"
    if sysctl.get(switch) != "0":
        return []
    tree = sysctl.tree("net/ipv6/conf")
    # With forwarding on, an interface that merely accepts router advertisements (1) stops doing so and the
    # kernel drops its default route at once; 2 means "also when forwarding".
    changed = [
        SysctlBefore(path, "1", "2", 6)
        for path in (f"net/ipv6/conf/{name}/accept_ra" for name in _uplinks(work))
        if tree.get(path) == "1"
    ]
    changed += [
        SysctlBefore(path, value, "1", 6)
        for path, value in sorted(tree.items())
        if path.endswith("/forwarding") and "/all/" not in path and value != "0"
    ]
    return [*changed, SysctlBefore(switch, "0", "1", 6)]


def _uplinks(work: Work) -> list[str]:
    """Return the links by which router advertisements may come: real NICs, and whatever has a way out."""
    route = work.kernel.route(HOST)
    outward = {r.ifindex for r in route.routes() if r.dst.prefixlen == 0 or r.protocol == _RA_PROTOCOL}
    return sorted(link.name for link in route.links() if _is_uplink(link, outward))


def _is_uplink(link: LinkInfo, outward: set[int]) -> bool:
    if link.name == "lo" or link.alias.startswith(ALIAS_PREFIX):
        return False
    return link.ifindex in outward or link.kind == ""
