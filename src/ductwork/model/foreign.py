"""What other firewalls of a host do with forwarded packets, as values.

Only what decides about a packet that nothing else matched is kept: an accept of ours ends our own chain and
never theirs, so whoever drops such a packet drops our containers' traffic too.
"""

from __future__ import annotations

from dataclasses import dataclass

from ductwork.model.objects import ForeignAccept


def family_of(firewall: str) -> int:
    """Return the address family, 4 or 6, that an iptables dialect judges."""
    return 6 if firewall.startswith("ip6") else 4


@dataclass(frozen=True, slots=True)
class IptablesForward:
    """The FORWARD chain of one iptables dialect; there is one only where that table is loaded.

    Attributes:
        firewall: "iptables", "ip6tables", "iptables-legacy" or "ip6tables-legacy".
        drops: a packet that nothing else matches is dropped or rejected, by the policy or by a last rule.
        guarded: Docker's bridges, which it keeps closed by dropping whatever no rule has accepted.
        docker_user: a DOCKER-USER chain exists and every packet passes it.
    """

    firewall: str
    policy: str
    drops: bool
    docker_user: bool = False
    table: str = "filter"
    guarded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NftForward:
    """A base chain at the forward hook that belongs to neither us nor iptables.

    Attributes:
        owned: the table has `flags owner`: only the process that made it can change it.
        known: interfaces an owned table has rules for already; nobody asks about the others.
    """

    family: str
    table: str
    name: str
    drops: bool
    owned: bool = False
    known: frozenset[str] = frozenset()

    @property
    def families(self) -> frozenset[int]:
        """The address families whose packets pass this chain."""
        return frozenset({"ip": {4}, "ip6": {6}}.get(self.family, {4, 6}))


@dataclass(frozen=True, slots=True)
class ForeignView:
    """All firewalls of a host but ours.

    Attributes:
        accepts: the accepts of ours that stand in them now.
        unread: dialects that are in use but whose tool is missing, so that nobody knows what they do.
    """

    iptables: tuple[IptablesForward, ...] = ()
    nft: tuple[NftForward, ...] = ()
    accepts: tuple[ForeignAccept, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def guarded(self) -> tuple[str, ...]:
        """The interfaces that an accept of ours would open although their owner drops what goes there."""
        return tuple(sorted({name for forward in self.iptables if forward.drops for name in forward.guarded}))


@dataclass(frozen=True, slots=True)
class ForeignWarning:
    """A firewall that drops us and that we cannot open; `remedy` is what a person can do."""

    message: str
    remedy: str
