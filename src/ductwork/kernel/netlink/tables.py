"""The attributes and numbers of rtnetlink and tc that our objects need.

Source: linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h, pkt_sched.h, pkt_cls.h, veth.h, ip.h.
"""

from __future__ import annotations

import struct
from typing import Final

from ductwork.kernel.netlink.codec import U8, U16, U32, Bytes, Hardware, Ip, Nest, Table, Text

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
NEWQDISC, DELQDISC, GETQDISC = 36, 37, 38
NEWFILTER, DELFILTER, GETFILTER = 44, 45, 46

REPLACE: Final = 0x100
EXCL: Final = 0x200
CREATE: Final = 0x400

AF_INET: Final = 2
AF_BRIDGE: Final = 7
AF_INET6: Final = 10

# Multicast groups for `NetlinkSocket.subscribe`, rtnetlink_groups in linux/rtnetlink.h.
GROUP_LINK, GROUP_NEIGH = 1, 3
GROUP_IPV4_ADDRESS, GROUP_IPV4_ROUTE = 5, 7
GROUP_IPV6_ADDRESS, GROUP_IPV6_ROUTE = 9, 11

# family, type, index, flags, which flags change
IFINFOMSG = struct.Struct("=BxHiII")
# family, prefix length, flags, scope, index
IFADDRMSG = struct.Struct("=BBBBI")
# family, dst length, src length, tos, table, protocol, scope, type, flags
RTMSG = struct.Struct("=BBBBBBBBI")
# family, index, state, flags, type
NDMSG = struct.Struct("=BxxxiHBB")
# family, index, handle, parent, info
TCMSG = struct.Struct("=BxxxiIII")


class BridgeData(Table):
    """What a bridge is made with, IFLA_INFO_DATA of kind "bridge"."""

    prefix = "IFLA_BR_"
    FORWARD_DELAY = U32(1)
    STP_STATE = U32(5)
    MCAST_SNOOPING = U8(23)


class BridgePort(Table):
    """What a port of a bridge can be told, IFLA_INFO_SLAVE_DATA of kind "bridge"."""

    prefix = "IFLA_BRPORT_"
    MODE = U8(4)  # hairpin mode


class LinkKind(Table):
    """What kind of link it is, and of whose it is a part."""

    prefix = "IFLA_INFO_"
    KIND = Text(1)
    DATA = Nest(2)
    SLAVE_KIND = Text(4)
    SLAVE_DATA = Nest(5, BridgePort)


class Inet4(Table):
    """IPv4 settings of a link. Written, CONF holds attributes; read, a row of integers."""

    prefix = "IFLA_INET_"
    CONF = Nest(1)


class Inet4Conf(Table):
    """Settings of net.ipv4.conf by their number in linux/ip.h."""

    prefix = "IPV4_DEVCONF_"
    ROUTE_LOCALNET = U32(26)


class Inet6(Table):
    """IPv6 settings of a link."""

    prefix = "IFLA_INET6_"
    ADDR_GEN_MODE = U8(8)


class PerFamily(Table):
    """Settings of a link by address family."""

    prefix = "AF_"
    INET = Nest(AF_INET, Inet4)
    INET6 = Nest(AF_INET6, Inet6)


class Link(Table):
    """A link."""

    prefix = "IFLA_"
    ADDRESS = Hardware(1)
    IFNAME = Text(3)
    MTU = U32(4)
    LINK = U32(5)
    MASTER = U32(10)
    LINKINFO = Nest(18, LinkKind)
    IFALIAS = Text(20)
    AF_SPEC = Nest(26, PerFamily)
    GROUP = U32(27)
    NET_NS_FD = U32(28)
    EXT_MASK = U32(29)


class VethData(Table):
    """The other end of a veth pair: a whole link message without its netlink header."""

    prefix = "VETH_INFO_"
    PEER = Nest(1, Link, header=IFINFOMSG.size)


class Address(Table):
    """An address on a link."""

    prefix = "IFA_"
    ADDRESS = Ip(1)
    LOCAL = Ip(2)
    BROADCAST = Ip(4)
    FLAGS = U32(8)


class Route(Table):
    """A route."""

    prefix = "RTA_"
    DST = Ip(1)
    OIF = U32(4)
    GATEWAY = Ip(5)
    PRIORITY = U32(6)
    PREFSRC = Ip(7)
    MULTIPATH = Bytes(9)
    TABLE = U32(15)
    VIA = Bytes(18)


class Neighbour(Table):
    """A neighbour entry."""

    prefix = "NDA_"
    DST = Ip(1)
    LLADDR = Hardware(2)
    PROTOCOL = U8(12)


class Bpf(Table):
    """A classifier made of socket-filter instructions, TCA_OPTIONS of kind "bpf"."""

    prefix = "TCA_BPF_"
    OPS_LEN = U16(4)
    OPS = Bytes(5)
    FLAGS = U32(8)


class Tc(Table):
    """A queueing discipline or a filter."""

    prefix = "TCA_"
    KIND = Text(1)
    OPTIONS = Nest(2)


# What kind of message holds which attributes, behind how large a header; to name a bad attribute.
LAYOUT: Final = {
    **dict.fromkeys((NEWLINK, DELLINK, GETLINK, SETLINK), (IFINFOMSG.size, Link)),
    **dict.fromkeys((NEWADDR, DELADDR, GETADDR), (IFADDRMSG.size, Address)),
    **dict.fromkeys((NEWROUTE, DELROUTE, GETROUTE), (RTMSG.size, Route)),
    **dict.fromkeys((NEWNEIGH, DELNEIGH, GETNEIGH), (NDMSG.size, Neighbour)),
    **dict.fromkeys((NEWQDISC, DELQDISC, GETQDISC, NEWFILTER, DELFILTER, GETFILTER), (TCMSG.size, Tc)),
}
