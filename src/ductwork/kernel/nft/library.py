"""libnftables, for what is not on the hot path: loading the constant rules and running nft's own language.

The library opens its netlink socket in the calling thread's namespace, and opens it anew when it gets out of
step, so everything here must run in a thread that is inside the namespace.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from functools import cache
from typing import Protocol, cast

from ductwork.errors import FailedPrecondition
from ductwork.kernel.ports import KernelError

_LIBRARY = "libnftables.so.1"
_NETLINK_NETFILTER = 12
_FD_SETSIZE = 1024  # select(2)
_KNOWN = (errno.EPERM, errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.ENOSPC, errno.EOPNOTSUPP)


class _Nftables(Protocol):
    def cmd(self, cmdline: str) -> tuple[int, str, str]: ...
    def set_json_output(self, val: bool) -> int: ...


@cache
def _require_library() -> None:
    # The binding's own failure to load leaves a half-made object behind that complains when it is collected.
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise FailedPrecondition(
            f"loading {_LIBRARY}: {error}", hint="install libnftables1, the library of the nft command"
        ) from None


def _require_descriptor(doing: str) -> None:
    """Fail where the library would end the whole process: without a descriptor that select(2) can take."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as probe:
        if probe.fileno() >= _FD_SETSIZE:
            text = (
                f"no file descriptor below {_FD_SETSIZE} is free in this process, and libnftables needs one"
            )
            raise KernelError(errno.EMFILE, text, doing)


def run_here(text: str, doing: str) -> str:
    """Run nft commands in the calling thread's namespace; with `-j ` in front, print JSON.

    Raises:
        KernelError: a command was refused; those of one text succeed or fail together.
        FailedPrecondition: libnftables is not installed.
    """
    _require_library()
    from nftables import Nftables  # a copy of nft's own binding

    _require_descriptor(doing)
    nft = cast(_Nftables, Nftables())
    if text.startswith("-j "):
        nft.set_json_output(True)
        text = text[3:]
    code, printed, complaint = nft.cmd(text)
    if code != 0:
        raise KernelError(_errno_in(complaint), _first_complaint(complaint), doing)
    return printed


def _errno_in(complaint: str) -> int:
    """Find the errno behind the library's words, which is all it returns."""
    return next((code for code in _KNOWN if os.strerror(code) in complaint), errno.EINVAL)


def _first_complaint(complaint: str) -> str:
    """Keep the first error with the line it points at; more errors mostly follow from the first."""
    lines = [line.rstrip() for line in complaint.splitlines() if line.strip()]
    return "\n".join(lines[:3]) or "nft gave no reason"
