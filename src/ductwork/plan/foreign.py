"""Which accepts of ours must stand in other people's firewalls.

An accept in our own table cannot overrule a drop in another, so where another one drops what it does not know
(Docker sets FORWARD to DROP), that firewall must be told about each of our bridges. Policies are never
changed, and nothing is planned where nothing drops. Chains of the bridge, arp and netdev families judge
frames of ports their owner named, not forwarded packets, and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from ductwork.errors import InvalidArgument
from ductwork.model.foreign import ForeignView, ForeignWarning, IptablesForward, NftForward, family_of
from ductwork.model.objects import HOST, ForeignAccept

DOCKER_USER = "DOCKER-USER"
_FIREWALLD = "firewalld"


def plan_foreign(view: ForeignView, bridge: str, owner_tag: str, families: Set[int]) -> list[ForeignAccept]:
    """Say which accepts let traffic from and to a bridge pass everybody else's forward chains.

    Args:
        owner_tag: marks the accepts as this owner's; removal hits exactly the ones with the same tag.
        families: the address families (4, 6) the bridge carries.
    Raises:
        InvalidArgument: the bridge's name means more than this bridge in iptables' language.
    """
    return [
        ForeignAccept(HOST, firewall, table, chain, bridge, direction, owner_tag)
        for firewall, table, chain in (
            *_iptables_places(view, bridge, families),
            *_nft_places(view, families),
        )
        for direction in ("in", "out")
    ]


def plan_warnings(view: ForeignView, bridge: str, families: Set[int]) -> list[ForeignWarning]:
    """Say which firewalls drop a bridge's traffic, or may do so, without us being able to change it."""
    owned = [
        _warn(chain, bridge)
        for chain in view.nft
        if chain.drops and chain.owned and chain.families & families and bridge not in chain.known
    ]
    unread = [
        ForeignWarning(
            f"{firewall} has a filter table here, but its tool is not installed: "
            f"nobody can tell whether it drops what bridge {bridge} forwards",
            "install the package iptables (on Fedora and RHEL: iptables-legacy)",
        )
        for firewall in view.unread
        if family_of(firewall) in families
    ]
    return [*owned, *unread]


def _iptables_places(view: ForeignView, bridge: str, families: Set[int]) -> Iterator[tuple[str, str, str]]:
    for forward in view.iptables:
        if forward.drops and family_of(forward.firewall) in families:
            _check_name(bridge, forward.firewall)
            yield forward.firewall, forward.table, _chain(forward)


def _nft_places(view: ForeignView, families: Set[int]) -> Iterator[tuple[str, str, str]]:
    for chain in view.nft:
        if chain.drops and not chain.owned and chain.families & families:
            yield "nft", f"{chain.family} {chain.table}", chain.name


def _chain(forward: IptablesForward) -> str:
    # Docker leaves DOCKER-USER to others and puts it first again whenever it rebuilds its own rules.
    return DOCKER_USER if forward.docker_user else "FORWARD"


def _check_name(bridge: str, firewall: str) -> None:
    # iptables(8), --in-interface: a name that ends in "+" matches every name that begins so.
    if bridge.endswith("+") or bridge.startswith("!"):
        raise InvalidArgument(
            f"opening {firewall} for bridge {bridge!r}: iptables would take the name for a pattern",
            hint="choose a bridge name of letters, digits, '.', '_' and '-'",
        )


def _warn(chain: NftForward, bridge: str) -> ForeignWarning:
    message = (
        f"nft chain {chain.family} {chain.table} {chain.name} drops what bridge {bridge} forwards, "
        "and only the program that owns the table can change it"
    )
    if chain.table == _FIREWALLD:
        command = f"firewall-cmd --zone=trusted --add-interface={bridge}"
        return ForeignWarning(message, f"{command} (and once more with --permanent)")
    return ForeignWarning(message, f"have that program accept forwarding from and to {bridge}")
