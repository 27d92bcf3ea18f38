"""The names people give to things, and the rules the kernel and DNS put on them."""

from __future__ import annotations

import re
from typing import NewType

from ductwork.errors import InvalidArgument

Mac = NewType("Mac", str)

IFNAME_MAX_BYTES = 15  # IFNAMSIZ - 1, linux/if.h
NAME_MAX_CHARS = 63  # a DNS label, RFC 1035 section 2.3.4

_SYSCTL_WORDS = frozenset({"all", "default"})  # net/ipv4/conf/all and /default are no interfaces

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def parse_name(text: str, what: str) -> str:
    """Check a name of a network, sandbox or alias: it becomes a file name and a DNS label."""
    if len(text) > NAME_MAX_CHARS:
        raise InvalidArgument(
            f"{what} name {text[:20]!r}… has {len(text)} characters, the limit is {NAME_MAX_CHARS}",
            hint="choose a shorter name",
        )
    if not _NAME.fullmatch(text):
        raise InvalidArgument(
            f"{what} name {text!r} is not allowed",
            hint="use letters, digits, '.', '_' and '-', and begin with a letter or digit",
        )
    return text


def parse_ifname(text: str) -> str:
    """Check an interface name by the kernel's own rules (dev_valid_name, net/core/dev.c)."""
    size = len(text.encode())
    if size > IFNAME_MAX_BYTES:
        raise InvalidArgument(
            f"interface name {text!r} has {size} bytes, the kernel's limit is {IFNAME_MAX_BYTES}",
            hint="choose a shorter name",
        )
    if not text or text in {".", ".."} or any(c in "/:%" or c.isspace() or not c.isprintable() for c in text):
        raise InvalidArgument(
            f"interface name {text!r} is not allowed", hint="use letters, digits, '.', '_' and '-'"
        )
    if text in _SYSCTL_WORDS:
        raise InvalidArgument(
            f"interface name {text!r} is not allowed: it has a meaning of its own in sysctls",
            hint="choose another name",
        )
    return text


def parse_mac(text: str) -> Mac:
    """Check a unicast MAC address and bring it to lower case with colons."""
    mac = text.lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise InvalidArgument(
            f"MAC address {text!r} is not of the form 02:00:00:00:00:01",
            hint="write six pairs of hexadecimal digits",
        )
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise InvalidArgument(
            f"MAC address {text!r} is not a unicast address", hint="use one like 02:00:00:00:00:01"
        )
    return Mac(mac)
