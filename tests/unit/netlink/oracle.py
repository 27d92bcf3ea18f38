"""pyroute2 as the judge: our messages in its words, and its messages as the bytes we must read."""

import struct
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from ductwork.kernel.netlink.codec import Request

_CLASSES = {4: ifinfmsg, 5: ifaddrmsg, 6: rtmsg, 7: ndmsg, 9: tcmsg, 11: tcmsg}


def read(request: Request) -> Any:
    """Let pyroute2 decode a request of ours."""
    header = struct.pack("=IHHII", 16 + len(request.body), request.kind, request.flags, 1, 0)
    message = _CLASSES[request.kind // 4](header + request.body)
    message.decode()
    return message


def plain(message: Any) -> dict[str, Any]:
    """Turn pyroute2's attribute lists into dictionaries, all the way down."""
    return {entry[0]: plain(entry[1]) if _nested(entry[1]) else entry[1] for entry in message["attrs"]}


def _nested(value: Any) -> bool:
    return isinstance(value, dict) and "attrs" in value


def written(kind: int, fields: dict[str, Any], attrs: dict[str, Any]) -> memoryview:
    """Let pyroute2 encode a message, and return its body as we get it from the kernel."""
    message = _CLASSES[kind // 4]()
    message.update(fields)
    message["attrs"] = _lists(attrs)
    message["header"]["type"] = kind
    message.encode()
    return memoryview(bytes(message.data))[16:]


def _lists(attrs: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        (name, {"attrs": _lists(value)} if isinstance(value, dict) else value)
        for name, value in attrs.items()
    ]
