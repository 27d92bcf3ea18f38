"""Link messages: making bridges and veth pairs, settling and aligning them, and reading links back.

A new link is made by one message and settled by a second, which carries what a create refuses: the alias and
the settings per address family. The kernel does both inside one send, so a process that dies leaves no half.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from ipaddress import IPv6Address, IPv6Interface
from pathlib import Path
from typing import Final

from ductwork.kernel.netlink import layer3
from ductwork.kernel.netlink.codec import Request, attributes
from ductwork.kernel.netlink.tables import (
    CREATE,
    DELLINK,
    EXCL,
    GETLINK,
    IFINFOMSG,
    NEWLINK,
    SETLINK,
    BridgeData,
    BridgePort,
    Inet4,
    Inet4Conf,
    Inet6,
    Link,
    LinkKind,
    PerFamily,
    VethData,
)
from ductwork.kernel.ports import LinkInfo
from ductwork.model.objects import Bridge, Veth

IFF_UP: Final = 0x1
_IFF_LOWER_UP: Final = 0x10000
_IPV6_MIN_MTU: Final = 1280  # below it the kernel takes IPv6 off a link, and refuses settings for it
_EUI64, _NONE = 0, 1  # IFLA_INET6_ADDR_GEN_MODE
_SKIP_STATS = 1 << 3  # RTEXT_FILTER_SKIP_STATS
_header = IFINFOMSG.pack

_PLAIN_BRIDGE = Link.LINKINFO.encode(
    LinkKind.KIND.encode("bridge")
    + LinkKind.DATA.encode(
        BridgeData.FORWARD_DELAY.encode(0)
        + BridgeData.STP_STATE.encode(0)
        + BridgeData.MCAST_SNOOPING.encode(0)
    )
)
_VETH = LinkKind.KIND.encode("veth")
_HAIRPIN = tuple(
    Link.LINKINFO.encode(
        LinkKind.SLAVE_KIND.encode("bridge") + LinkKind.SLAVE_DATA.encode(BridgePort.MODE.encode(mode))
    )
    for mode in (0, 1)
)
_LOCALNET = tuple(
    PerFamily.INET.encode(Inet4.CONF.encode(Inet4Conf.ROUTE_LOCALNET.encode(on))) for on in (0, 1)
)
_ADDR_GEN = tuple(PerFamily.INET6.encode(Inet6.ADDR_GEN_MODE.encode(mode)) for mode in (_EUI64, _NONE))
_NO_ADDRESS = Link.AF_SPEC.encode(_ADDR_GEN[_NONE])
_NO_STATS = Link.EXT_MASK.encode(_SKIP_STATS)
DUMP = Request(GETLINK, 0, _header(0, 0, 0, 0, 0) + _NO_STATS)


@cache
def kernel_has_ipv6() -> bool:
    """Say whether the kernel has IPv6 at all; without it settings of that family are refused."""
    return Path("/proc/net/if_inet6").exists()


def _wants_no_address(mtu: int) -> bool:
    return mtu >= _IPV6_MIN_MTU and kernel_has_ipv6()


# -- making --------------------------------------------------------------------------------------------------


def create_bridge(bridge: Bridge) -> Request:
    """Make a bridge without spanning tree, delays and snooping; it is down."""
    body = (
        _header(0, 0, bridge.ifindex, 0, 0)
        + Link.IFNAME.encode(bridge.name)
        + Link.MTU.encode(bridge.mtu)
        + Link.ADDRESS.encode(bridge.mac)
        + _PLAIN_BRIDGE
    )
    return Request(NEWLINK, CREATE | EXCL, body)


def settle_bridge(bridge: Bridge) -> Request:
    """Mark a new bridge as ours and set it up. Without carrier it gets no address before the mode is set."""
    families = _LOCALNET[1] if bridge.route_localnet else b""
    if not bridge.ipv6 and _wants_no_address(bridge.mtu):
        families += _ADDR_GEN[_NONE]
    body = _header(0, 0, bridge.ifindex, IFF_UP, IFF_UP) + Link.IFALIAS.encode(bridge.alias)
    return Request(SETLINK, 0, body + (Link.AF_SPEC.encode(families) if families else b""))


def create_veth(veth: Veth, peer_fd: int) -> Request:
    """Make both ends, each in its place, both down: the kernel refuses a peer that is to be up (ENOTCONN)."""
    mtu = Link.MTU.encode(veth.mtu)
    peer = (
        _header(0, 0, veth.peer_ifindex, 0, 0)
        + Link.IFNAME.encode(veth.peer_name)
        + mtu
        + Link.ADDRESS.encode(veth.peer_mac)
        + Link.NET_NS_FD.encode(peer_fd)
    )
    body = _header(0, 0, veth.ifindex, 0, 0) + Link.IFNAME.encode(veth.name) + mtu
    if veth.master:
        body += Link.MASTER.encode(veth.master)
    if veth.mac is not None:
        body += Link.ADDRESS.encode(veth.mac)
    body += Link.LINKINFO.encode(_VETH + LinkKind.DATA.encode(VethData.PEER.encode(peer)))
    return Request(NEWLINK, CREATE | EXCL, body)


def settle_outer(veth: Veth) -> Request:
    """Mark the outer end as ours and set it up; it has no carrier until the inner end is up."""
    body = _header(0, 0, veth.ifindex, IFF_UP, IFF_UP) + Link.IFALIAS.encode(veth.alias)
    if _outer_is_silent(veth) and _wants_no_address(veth.mtu):
        body += _NO_ADDRESS
    if veth.hairpin and veth.master:
        # Only RTM_NEWLINK takes settings of a port along.
        return Request(NEWLINK, 0, body + _HAIRPIN[1])
    return Request(SETLINK, 0, body)


def settle_inner(veth: Veth) -> list[Request]:
    """Set the inner end up. Flags act before the settings of one message, so the mode goes first."""
    requests = [set_up(veth.peer_ifindex)]
    if not veth.ipv6 and _wants_no_address(veth.mtu):
        requests.insert(0, Request(SETLINK, 0, _header(0, 0, veth.peer_ifindex, 0, 0) + _NO_ADDRESS))
    return requests


def _outer_is_silent(veth: Veth) -> bool:
    """Say whether the outer end needs no link-local address: a bridge's port never does."""
    return not veth.ipv6 or veth.master != 0


def set_up(ifindex: int) -> Request:
    """Set a link up."""
    return Request(SETLINK, 0, _header(0, 0, ifindex, IFF_UP, IFF_UP))


# -- taking away ---------------------------------------------------------------------------------------------


def delete(ifindex: int) -> Request:
    """Delete one link."""
    return Request(DELLINK, 0, _header(0, 0, ifindex, 0, 0))


def move_to_group(ifindex: int, group: int) -> Request:
    """Put a link into a group."""
    return Request(SETLINK, 0, _header(0, 0, ifindex, 0, 0) + Link.GROUP.encode(group))


def delete_group(group: int) -> Request:
    """Delete all links of a group at once."""
    return Request(DELLINK, 0, _header(0, 0, 0, 0, 0) + Link.GROUP.encode(group))


# -- reading -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LinkState(LinkInfo):
    """A link with what only we look at.

    Attributes:
        addr_gen_mode: None where IPv6 is off.
    """

    group: int
    hairpin: bool
    route_localnet: bool
    addr_gen_mode: int | None


def get_by_index(ifindex: int) -> Request:
    """Ask for a link."""
    return Request(GETLINK, 0, _header(0, 0, ifindex, 0, 0) + _NO_STATS)


def get_by_name(name: str) -> Request:
    """Ask for a link; the kernel looks at alternative names too."""
    return Request(GETLINK, 0, _header(0, 0, 0, 0, 0) + Link.IFNAME.encode(name) + _NO_STATS)


def decode(body: memoryview) -> LinkState:
    """Read a link message."""
    _, _, ifindex, flags, _ = IFINFOMSG.unpack_from(body)
    found = attributes(body, IFINFOMSG.size)
    kind = Link.LINKINFO.parts(found)
    families = Link.AF_SPEC.parts(found)
    conf = PerFamily.INET.parts(families).get(Inet4.CONF.kind, memoryview(b""))
    at = (Inet4Conf.ROUTE_LOCALNET.kind - 1) * 4
    port = LinkKind.SLAVE_DATA.parts(kind) if LinkKind.SLAVE_KIND.find(kind) == "bridge" else {}
    return LinkState(
        ifindex=ifindex,
        name=Link.IFNAME.get(found, ""),
        kind=LinkKind.KIND.get(kind, ""),
        mac=Link.ADDRESS.get(found, ""),
        mtu=Link.MTU.get(found, 0),
        up=bool(flags & IFF_UP),
        carrier=bool(flags & _IFF_LOWER_UP),
        master=Link.MASTER.get(found, 0),
        peer_ifindex=Link.LINK.get(found, 0),
        alias=Link.IFALIAS.get(found, ""),
        group=Link.GROUP.get(found, 0),
        hairpin=bool(BridgePort.MODE.get(port, 0)),
        route_localnet=any(conf[at : at + 4]),
        addr_gen_mode=Inet6.ADDR_GEN_MODE.find(PerFamily.INET6.parts(families)),
    )


_INFO_FIELDS = tuple(item.name for item in fields(LinkInfo))


def info(state: LinkState) -> LinkInfo:
    """Leave out what only we look at."""
    return LinkInfo(*(getattr(state, name) for name in _INFO_FIELDS))


def is_ours(item: Bridge | Veth, state: LinkState) -> bool:
    """Say whether a link is the one we made for this object.

    Our alias says so. Without any alias it is ours only when all that our create message chose is there:
    a process that dies between two sends leaves such a link.
    """
    if state.alias:
        return state.alias == item.alias
    if (state.ifindex, state.name) != (item.ifindex, item.name):
        return False
    if isinstance(item, Bridge):
        return state.kind == "bridge" and state.mac == item.mac
    return state.kind == "veth" and state.peer_ifindex == item.peer_ifindex


# -- aligning ------------------------------------------------------------------------------------------------


def align_bridge(bridge: Bridge, state: LinkState) -> list[Request]:
    """Say what makes an existing bridge what it should be; nothing when it is."""
    families = b""
    if state.route_localnet != bridge.route_localnet:
        families = _LOCALNET[bridge.route_localnet]
    changed = _common(state, bridge.name, bridge.mac, bridge.mtu, bridge.alias)
    return _align(state, changed, families, silent=not bridge.ipv6)


def align_outer(veth: Veth, state: LinkState) -> list[Request]:
    """Say what makes the outer end of an existing pair what it should be."""
    changed = _common(state, veth.name, veth.mac, veth.mtu, veth.alias)
    if state.master != veth.master:
        changed += Link.MASTER.encode(veth.master)
    requests = _align(state, changed, b"", silent=_outer_is_silent(veth))
    # A port that changes bridges comes without its settings.
    hairpin = state.hairpin and state.master == veth.master
    if veth.master and veth.hairpin != hairpin:
        requests.append(Request(NEWLINK, 0, _header(0, 0, state.ifindex, 0, 0) + _HAIRPIN[veth.hairpin]))
    return requests


def align_inner(veth: Veth, state: LinkState) -> list[Request]:
    """Say what makes the inner end of an existing pair what it should be; its name is its user's affair."""
    changed = _common(state, state.name, veth.peer_mac, veth.mtu, state.alias)
    return _align(state, changed, b"", silent=not veth.ipv6)


def _common(state: LinkState, name: str, mac: str | None, mtu: int, alias: str) -> bytes:
    changed = b""
    if state.name != name:
        changed += Link.IFNAME.encode(name)
    if mac is not None and state.mac != mac:
        changed += Link.ADDRESS.encode(mac)
    if state.mtu != mtu:
        changed += Link.MTU.encode(mtu)
    if state.alias != alias:
        changed += Link.IFALIAS.encode(alias)
    return changed


def _align(state: LinkState, changed: bytes, families: bytes, *, silent: bool) -> list[Request]:
    requests: list[Request] = []
    index = state.ifindex
    flips = state.addr_gen_mode is not None and silent != (state.addr_gen_mode == _NONE)
    if flips:
        families += _ADDR_GEN[silent]
    if families:
        changed += Link.AF_SPEC.encode(families)
    if changed:
        requests.append(Request(SETLINK, 0, _header(0, 0, index, 0, 0) + changed))
    if not state.up:
        requests.append(set_up(index))
    elif flips and not silent:
        # A link that is up already does not think of it by itself.
        requests.append(layer3.add_address(index, link_local(state.mac), tolerant=True))
    if flips and state.addr_gen_mode == _EUI64:
        requests.append(layer3.remove_address(index, link_local(state.mac)))
    return requests


def link_local(mac: str) -> IPv6Interface:
    """Derive the address a link gives itself from its MAC (RFC 4291, appendix A)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    host = bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:]
    return IPv6Interface((IPv6Address(b"\xfe\x80" + bytes(6) + host), 64))
