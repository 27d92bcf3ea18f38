"""The loopback guard as tc knows it: a filter at a link's ingress that drops packets to 127.0.0.0/8.

Its program is a few socket-filter instructions (classifier "bpf" with a direct verdict), because that needs
one kernel module, cls_bpf, where u32 needs two, and one that small kernels leave out (act_gact).
Source: linux/pkt_cls.h, linux/filter.h, net/sched/cls_bpf.c, tc-bpf(8).
"""

from __future__ import annotations

import struct
from errno import EINVAL, ENODEV, ENOENT
from typing import Final

from ductwork.kernel.netlink.codec import Request, attributes
from ductwork.kernel.netlink.tables import (
    CREATE,
    DELFILTER,
    DELQDISC,
    EXCL,
    GETFILTER,
    GETQDISC,
    NEWFILTER,
    NEWQDISC,
    TCMSG,
    Bpf,
    Tc,
)
from ductwork.model.marks import LOOPBACK_ANSWER

GONE: Final = frozenset({ENODEV, ENOENT, EINVAL})  # EINVAL: there is no such qdisc to look in
MISSING: Final = ENOENT
MISSING_TEXT: Final = "this kernel cannot filter at a link's ingress: it lacks module sch_ingress or cls_bpf"

_CLSACT: Final = 0xFFFF_FFF1
_INGRESS, _EGRESS = 0xFFFF_FFF2, 0xFFFF_FFF3
_INGRESS_KINDS: Final = frozenset({"clsact", "ingress"})
_PRIORITY: Final = 0xD7D7  # ours; a filter of somebody else at another one is not in our way
_HANDLE: Final = 0xD7
_ETH_P_IP: Final = 0x0800
_INFO: Final = _PRIORITY << 16 | struct.unpack("=H", struct.pack("!H", _ETH_P_IP))[0]
_DIRECT: Final = 1  # TCA_BPF_FLAG_ACT_DIRECT: what the program returns is the verdict

_PROGRAM: Final = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 0xFFF0_0000 + 16),  # load byte: the first of the destination, from SKF_NET_OFF
        (0x15, 0, 3, 127),  # jump to the second return unless equal
        (0x20, 0, 0, 0xFFFF_F000 + 20),  # load the mark, from SKF_AD_OFF + SKF_AD_MARK
        (0x45, 1, 0, LOOPBACK_ANSWER),  # jump to the second return when our bit is set
        (0x06, 0, 0, 2),  # return TC_ACT_SHOT
        (0x06, 0, 0, 0xFFFF_FFFF),  # return TC_ACT_UNSPEC: ask the next filter
    )
)
_FILTER: Final = Tc.KIND.encode("bpf") + Tc.OPTIONS.encode(
    Bpf.OPS_LEN.encode(len(_PROGRAM) // 8) + Bpf.OPS.encode(_PROGRAM) + Bpf.FLAGS.encode(_DIRECT)
)
_QDISC: Final = Tc.KIND.encode("clsact")


def add(ifindex: int, *, over: bool = False) -> tuple[Request, Request]:
    """Make the place for filters, which may be there already, and our filter in it.

    `over` puts it in the place of an older one of ours.
    """
    place = TCMSG.pack(0, ifindex, 0xFFFF_0000, _CLSACT, 0) + _QDISC
    made = TCMSG.pack(0, ifindex, _HANDLE, _INGRESS, _INFO) + _FILTER
    return (
        Request(NEWQDISC, CREATE | EXCL, place),
        Request(NEWFILTER, CREATE if over else CREATE | EXCL, made),
    )


def remove(ifindex: int) -> Request:
    """Take our filter away."""
    header = TCMSG.pack(0, ifindex, _HANDLE, _INGRESS, _INFO)
    return Request(DELFILTER, 0, header + Tc.KIND.encode("bpf"))


def remove_place(ifindex: int) -> Request:
    """Take the place for filters away, with all filters in it: look first."""
    return Request(DELQDISC, 0, TCMSG.pack(0, ifindex, 0xFFFF_0000, _CLSACT, 0) + _QDISC)


def dump_places() -> Request:
    """Ask for the queueing disciplines of all links."""
    return Request(GETQDISC, 0, TCMSG.pack(0, 0, 0, 0, 0))


def decode_place(body: memoryview) -> tuple[int, bool] | None:
    """Read where filters at ingress can be: the link, and whether by a clsact; else None."""
    _, ifindex, _, _, _ = TCMSG.unpack_from(body)
    kind = Tc.KIND.get(attributes(body, TCMSG.size), "")
    return (ifindex, kind == "clsact") if kind in _INGRESS_KINDS else None


def dump_filters(ifindex: int) -> tuple[Request, Request]:
    """Ask for the filters at a link's ingress, and for those at its egress."""
    return (
        Request(GETFILTER, 0, TCMSG.pack(0, ifindex, 0, _INGRESS, 0)),
        Request(GETFILTER, 0, TCMSG.pack(0, ifindex, 0, _EGRESS, 0)),
    )


def is_ours(body: memoryview) -> bool:
    """Say whether a filter is ours, perhaps one that an older version made."""
    _, _, handle, _, info = TCMSG.unpack_from(body)
    return (handle, info) == (_HANDLE, _INFO) and Tc.KIND.find(attributes(body, TCMSG.size)) == "bpf"


def is_guard(body: memoryview) -> bool:
    """Say whether a filter is ours and does what ours does."""
    options = Tc.OPTIONS.parts(attributes(body, TCMSG.size))
    return is_ours(body) and Bpf.OPS.find(options) == _PROGRAM


def is_others(body: memoryview) -> bool:
    """Say whether an entry of a list of filters is somebody else's; each priority has a head entry."""
    return bool(TCMSG.unpack_from(body)[4] != _INFO)
